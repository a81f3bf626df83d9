"""CIFAR-10 as whole, checked, read-only arrays: see `load_cifar10`. Imports no TensorFlow."""

import hashlib
import html
import io
import os
import pickle
import shutil
import sys
import tarfile
import textwrap
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import matplotlib
import numpy as np

from utils import download
from utils.download import cache_folder, exclusive

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
STAND_IN = "synthetic stand-in, not CIFAR-10"
_SOURCES = ("auto", "local", "download", "synthetic")
_PROJECT = Path(__file__).resolve().parents[1]
_VALIDATION_SEED, _SUBSET_SEED, _DRAWING_SEED = 10, 11, 12
_LAYOUT = {
    "x_train": ((45_000, 32, 32, 3), np.uint8),
    "y_train": ((45_000,), np.int32),
    "x_validation": ((5_000, 32, 32, 3), np.uint8),
    "y_validation": ((5_000,), np.int32),
    "x_test": ((10_000, 32, 32, 3), np.uint8),
    "y_test": ((10_000,), np.int32),
}


@dataclass(frozen=True, eq=False, repr=False)
class Cifar10:
    """Training, validation and test images with their labels, all read-only.

    Attributes:
        x_train, x_validation, x_test: uint8 arrays of shape (n, 32, 32, 3), values 0 to 255.
        y_train, y_validation, y_test: int32 arrays of shape (n,), values 0 to 9: positions in `CLASS_NAMES`.
        source: what the images are, for plot titles and run records.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    source: str

    @property
    def is_stand_in(self):
        """True where the images are drawn and no accuracy on them says anything about CIFAR-10."""
        return self.source == STAND_IN

    def __repr__(self):
        parts = ((self.y_train, "training"), (self.y_validation, "validation"), (self.y_test, "test"))
        sizes = ", ".join(f"{len(labels):,} {name}" for labels, name in parts)
        return f"Cifar10({sizes} images; source: {self.source})"


def load_cifar10(source="auto"):
    """Load all of CIFAR-10: 45,000 training, 5,000 validation and 10,000 test images.

    The validation images are held out of the 50,000 training images, 500 of each class, by a fixed seed; apart from
    that the official order is kept. Where the images come from, in this order:

    1. the environment variable CIFAR10_DIR: a folder `cifar-10-batches-py` or the archive;
    2. this series' cache (TUTORIAL_CACHE, or the user's cache folder) of an earlier download;
    3. an archive or folder that Keras or torchvision left on this machine, if its hashes are the official ones;
    4. the mirrors in `utils.download`;
    5. the synthetic stand-in, with a warning that cannot be missed.

    Args:
        source: "auto" for 1 to 5; "local" for 1 to 3, without network; "download" for 2 and 4; "synthetic" for 5.
            "local" and "download" never fall back to the stand-in. The environment variable CIFAR10_SOURCE replaces
            "auto".

    Returns:
        A `Cifar10`. Its arrays are memory-mapped from the cache where that can be written, so a repeated load takes
        milliseconds and no memory until pixels are touched.

    Raises:
        ValueError: if `source` is unknown, or CIFAR10_DIR is set to something that is not CIFAR-10.
        FileNotFoundError: if "local" finds nothing.
        utils.download.DownloadError: if "download" fails.
    """
    asked_by = f'source="{source}"'
    if source == "auto" and os.environ.get("CIFAR10_SOURCE"):
        source = os.environ["CIFAR10_SOURCE"]
        asked_by = f"CIFAR10_SOURCE={source}"
    if source not in _SOURCES:
        raise ValueError(f"{asked_by}: expected one of {', '.join(_SOURCES)}; correct it or leave it out.")
    if source == "synthetic":
        return _stand_in(f"They were asked for by {asked_by}.")
    matplotlib.rcParams["figure.hooks"] = []
    if source != "download" and os.environ.get("CIFAR10_DIR"):
        return _from_cifar10_dir(os.environ["CIFAR10_DIR"])
    found = _earlier_download() or (None if source == "download" else _found_on_this_machine())
    if found:
        return found
    if source == "local":
        raise FileNotFoundError(
            f"{asked_by}: expected CIFAR-10 on this machine, found none in {cache_folder()} or where Keras and "
            "torchvision keep it; set CIFAR10_DIR to a folder cifar-10-batches-py or to the archive."
        )
    try:
        return _kept_download(_download)
    except download.DownloadError as error:
        if source == "download":
            raise
        return _stand_in(str(error))


def subset(data, profile):
    """Choose the images that a profile trains and predicts with: the same number of every class, by a fixed seed.

    A smaller choice is part of every larger one, and the original order is kept within it.

    Args:
        data: a `Cifar10`.
        profile: a `utils.machine.Profile`, or anything with the numbers `train`, `validation` and `test`.

    Returns:
        A `Cifar10`; a split that is asked for whole is passed on without copying.

    Raises:
        ValueError: if a number is not a positive multiple of ten or there are not as many images.
    """
    chosen = {}
    for split in ("train", "validation", "test"):
        images, labels, wanted = getattr(data, f"x_{split}"), getattr(data, f"y_{split}"), getattr(profile, split)
        if wanted != len(labels):
            rows = _choose(labels, wanted, _SUBSET_SEED, split)
            images, labels = images[rows], labels[rows]
            images.setflags(write=False)
            labels.setflags(write=False)
        chosen |= {f"x_{split}": images, f"y_{split}": labels}
    return Cifar10(**chosen, source=data.source)


def _choose(labels, wanted, seed, name):
    """Sorted positions of `wanted` labels, a tenth of each class."""
    per_class, rest = divmod(wanted, len(CLASS_NAMES))
    available = np.bincount(labels, minlength=len(CLASS_NAMES)).min()
    if rest or not 0 < per_class <= available:
        raise ValueError(
            f"{name}={wanted:,}: expected a multiple of ten from 10 to {available * len(CLASS_NAMES):,}, "
            "so that every class has the same number of images; change the profile's number."
        )
    # The stream of RandomState is frozen, so the choice is the same under every version of numpy.
    order = np.random.RandomState(seed).permutation(len(labels))
    return np.sort(np.concatenate([order[labels[order] == label][:per_class] for label in range(len(CLASS_NAMES))]))


def _split(images, labels, source):
    """Hold the validation images out of the training images, which come first, and set the test images apart."""
    training = len(labels) - BATCH_SIZE
    held_out = np.zeros(training, bool)
    held_out[_choose(labels[:training], len(held_out) // 10, _VALIDATION_SEED, "validation")] = True
    rows = {"train": np.flatnonzero(~held_out), "validation": np.flatnonzero(held_out), "test": slice(training, None)}
    arrays = {f"x_{split}": images[chosen] for split, chosen in rows.items()}
    return arrays | {f"y_{split}": labels[chosen] for split, chosen in rows.items()}, source


def _kept(name, state, build):
    arrays, source = open_or_build(name, state, _LAYOUT, build)
    return Cifar10(**arrays, source=source)


def _kept_download(build):
    return _kept("official", download.CIFAR10_SHA256, build)


def _earlier_download():
    kept = open_arrays("official", download.CIFAR10_SHA256, _LAYOUT)
    return kept and Cifar10(**kept[0], source=kept[1])


def _download():
    archive = download.fetch_archive(download.MIRRORS, cache_folder(), download.CIFAR10_SHA256)
    return _split(*read_batches(archive))


def _from_cifar10_dir(value):
    path = _resolve(value)
    files = [path / name for name in (*BATCH_NAMES, "SOURCE.txt")] if path.is_dir() else [path]
    state = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.exists()]
    try:
        return _kept(f"local-{digest(path)}", state, lambda: _split(*read_batches(path)))
    except ValueError as error:
        remedy = "Unpack or copy cifar-10-python.tar.gz again, or unset CIFAR10_DIR to download."
        raise ValueError(f"CIFAR10_DIR={value}: {error}. {remedy}") from error


def _resolve(value):
    """Take a relative path from the current folder or, since notebooks run in their own folder, from the project's."""
    path = Path(value).expanduser()
    if not path.exists() and (_PROJECT / path).exists():
        path = _PROJECT / path
    inner = path / "cifar-10-batches-py"
    return (inner if inner.is_dir() else path).resolve()


def _found_on_this_machine():
    for path in filter(os.path.exists, _usual_places()):
        try:
            return _kept_download(lambda path=path: _split(*read_batches(path, official_only=True)))
        except ValueError:
            continue
    return None


def _usual_places():
    """Where an earlier download of this series, Keras and torchvision keep the archive or its folder."""
    keras = Path(os.path.expanduser(os.environ.get("KERAS_HOME") or "~/.keras")) / "datasets"
    endings = ("-target_archive", "-target/cifar-10-batches-py", ".tar.gz", "")
    here = Path.cwd()
    up_to_project = [folder for folder in here.parents if folder.is_relative_to(_PROJECT)]
    torchvision_names = (download.ARCHIVE_NAME, "cifar-10-batches-py")
    return [
        cache_folder() / download.ARCHIVE_NAME,
        *(keras / f"cifar-10-batches-py{ending}" for ending in endings),
        *(folder / "data" / name for folder in (here, *up_to_project) for name in torchvision_names),
    ]


def _stand_in(reason):
    drawing_code = Path(__file__).with_name("drawings.py").read_text(encoding="utf-8")
    data = _kept("synthetic", drawing_code, _draw)
    matplotlib.rcParams["figure.hooks"] = ["utils.data:mark_as_stand_in"]
    _warn(reason)
    return data


def mark_as_stand_in(figure):
    """Write on a figure that its images are not CIFAR-10; matplotlib calls this for every one while they are in use."""
    text = STAND_IN.replace(", ", ",\n")  # two lines, since a row of small images is not high
    box = {"facecolor": "#B00020", "edgecolor": "none", "pad": 2}
    figure.supylabel(text, color="white", fontsize=10, bbox=box)


def _draw():
    from utils.drawings import draw_cifar10_like

    print("Drawing 60,000 stand-in images, once: about a minute.", flush=True)
    training, test = draw_cifar10_like(50_000, _DRAWING_SEED), draw_cifar10_like(10_000, _DRAWING_SEED + 1)
    images, labels = (np.concatenate(pair) for pair in zip(training, test, strict=True))
    return _split(images, labels.astype(np.int32), STAND_IN)


def _warn(reason):
    """Say, in a box where a notebook can show one, that these images are not CIFAR-10."""
    heading = "These images are NOT CIFAR-10."
    paragraphs = (
        "They are a synthetic stand-in, drawn by this series so that it can go on without the real images. "
        "No accuracy on them says anything about CIFAR-10.",
        reason,
        "To get the real images, connect this machine to the network and load again, or set the environment variable "
        "CIFAR10_DIR to a folder cifar-10-batches-py or to the archive cifar-10-python.tar.gz and start again.",
    )
    lines = [line for text in (f"WARNING: {heading}", *paragraphs) for line in text.splitlines()]
    plain = "\n".join(("=" * 100, *(textwrap.fill(line, 100, break_long_words=False) for line in lines), "=" * 100))
    ipython = sys.modules.get("IPython")
    if getattr(ipython and ipython.get_ipython(), "kernel", None) is None:
        print(plain, flush=True)
        return
    body = "".join(f"<p>{html.escape(text)}</p>".replace("\n", "<br>") for text in paragraphs)
    box = (
        '<div style="background:#fff3cd;color:#332200;border:3px solid #b00020;border-radius:4px;padding:0.5em 1em">'
        f'<p style="color:#b00020;font-size:1.2em"><b>{heading}</b></p>{body}</div>'
    )
    ipython.display.display({"text/html": box, "text/plain": plain}, raw=True)


_VERSION = 1  # to be raised with any change to the validation split or to the files of the cache


def digest(value):
    """Sixteen hexadecimal digits for anything whose `str` says what it is."""
    return hashlib.sha256(f"{_VERSION} {value}".encode()).hexdigest()[:16]


def open_arrays(name, state, layout):
    """Memory-map what was kept under `name`, as long as what it was made from is in the same state.

    Args:
        name: what the arrays are, usable as the name of a folder.
        state: anything whose `str` changes with what the arrays are made from.
        layout: dictionary from the name of each array to its `(shape, dtype)`.

    Returns:
        `(arrays, source)`, a dictionary of read-only arrays and a sentence saying what they are; or None where
        nothing is kept, or an array is cut short or of another shape.
    """
    folder = _folder(name, state)
    try:
        arrays = {key: np.asarray(np.load(folder / f"{key}.npy", mmap_mode="r")) for key in layout}
        source = (folder / "source.txt").read_text(encoding="utf-8")
    except (OSError, ValueError, EOFError):
        return None
    intact = all((arrays[key].shape, arrays[key].dtype) == (shape, dtype) for key, (shape, dtype) in layout.items())
    return (arrays, source) if intact and source else None


def open_or_build(name, state, layout, build):
    """Open what is kept, or build and keep it, in one process at a time.

    Where the folder cannot be written, one line says so and the arrays stay in memory.

    Args:
        name, state, layout: as in `open_arrays`.
        build: function without arguments that returns `(arrays, source)`.

    Returns:
        `(arrays, source)`, the arrays read-only.
    """
    kept, built = open_arrays(name, state, layout), None
    if kept:
        return kept
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        with exclusive(cache_folder() / f"{name}.lock"):
            kept = open_arrays(name, state, layout)
            if kept is None:
                built = build()
                _save(name, state, *built)
                kept = open_arrays(name, state, layout)
    except OSError as error:
        arrays, source = built or build()
        reason = error.strerror or error
        print(f"Not cached in {cache_folder()} ({reason}), so every load reads the images anew.", flush=True)
        for array in arrays.values():
            array.setflags(write=False)
        return arrays, source
    return kept


def _folder(name, state):
    return cache_folder() / name / digest(state)


def _save(name, state, arrays, source):
    """Write the arrays beside their final folder, then rename: a killed writer leaves nothing that would be read."""
    folder = _folder(name, state)
    shutil.rmtree(folder.parent, ignore_errors=True)  # other states, damaged ones, and what a killed writer left
    unfinished = folder.with_name("unfinished")
    try:
        unfinished.mkdir(parents=True)
        for key, array in arrays.items():
            np.save(unfinished / f"{key}.npy", array)
        (unfinished / "source.txt").write_text(source, encoding="utf-8")
        unfinished.rename(folder)
    except OSError:
        shutil.rmtree(folder.parent, ignore_errors=True)
        raise


OFFICIAL_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
BATCH_NAMES = tuple(OFFICIAL_MD5)
BATCH_SIZE = 10_000
OFFICIAL = "CIFAR-10, official archive"
UNVERIFIED = "CIFAR-10 layout, unverified"
_LARGEST_FILE = 64_000_000
_reconstruct = np.empty(0).__reduce__()[0]
_frombuffer = np.empty(0).__reduce_ex__(5)[0]


def _dtype(code, align=False, copy=True):
    """numpy.dtype, without the warning of numpy 2.4.0 to 2.4.4 at the integers with which Python 2 called it."""
    return np.dtype(code, bool(align), bool(copy))


def _encode_latin1(text, encoding):
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the text encoding {encoding!r}")
    return text.encode("latin1")


_ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,  # written by Python 2 or numpy 1
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,  # written by numpy 2
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,  # pickle protocol 5, numpy 1
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,  # pickle protocol 5, numpy 2
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode_latin1,  # how Python 3 writes bytes in pickle protocol 2
}


class _ArrayUnpickler(pickle.Unpickler):
    """Admits numpy's array reconstruction and nothing else, so that a batch file cannot run code."""

    def find_class(self, module, name):
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not part of an array")
        return _ADMITTED[module, name]


def read_batches(path, official_only=False):
    """Read the six batch files of CIFAR-10 from their folder or from the archive, which is never unpacked on disk.

    Args:
        path: folder `cifar-10-batches-py`, or an archive that tarfile can read.
        official_only: refuse a file before unpickling it unless its md5 sum is the official one.

    Returns:
        `(images, labels, source)`: uint8 array of shape (60000, 32, 32, 3) with values 0 to 255, int32 array of shape
        (60000,) with values 0 to 9, the 50,000 training images first, then the 10,000 test images, both in the
        official order; and a sentence saying what the images are: `OFFICIAL` where all md5 sums match, else the first
        line of the file SOURCE.txt beside the batches, else `UNVERIFIED`.

    Raises:
        ValueError: if a file is missing, damaged, of the wrong shape or not official. The message names the file,
            what was expected and what was found.

    Source: Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html (layout of the batch files).
    """
    images = np.empty((len(BATCH_NAMES) * BATCH_SIZE, 32, 32, 3), np.uint8)
    labels = np.empty(len(images), np.int32)
    found, official, note = [], True, ""
    try:
        for name, content in _wanted_files(Path(path)):
            if name == "SOURCE.txt":
                note = _first_line(content)
                continue
            is_official = hashlib.md5(content, usedforsecurity=False).hexdigest() == OFFICIAL_MD5[name]
            if official_only and not is_official:
                raise ValueError(f"expected the official CIFAR-10 file, found another md5 sum in {name}")
            start = BATCH_NAMES.index(name) * BATCH_SIZE
            images[start : start + BATCH_SIZE], labels[start : start + BATCH_SIZE] = _parse_batch(name, content)
            official &= is_official
            found.append(name)
    except ValueError:
        raise
    except Exception as error:  # a damaged file can raise anything that the decompressors raise
        raise ValueError(f"expected a readable CIFAR-10 folder or archive, found damaged content ({error})") from error
    _check_complete(found, labels)
    return images, labels, OFFICIAL if official else note or UNVERIFIED


def _wanted_files(path):
    """Yield the name and content of every batch file, and of SOURCE.txt, in the order in which they lie there."""
    wanted = {*BATCH_NAMES, "SOURCE.txt"}
    if path.is_dir():
        for name in sorted(wanted):
            if (path / name).is_file():
                yield name, (path / name).read_bytes()
        return
    if not path.exists() or not tarfile.is_tarfile(path):
        found = "another kind of file" if path.exists() else "nothing there"
        raise ValueError(f"expected a folder cifar-10-batches-py or the archive cifar-10-python.tar.gz, found {found}")
    with tarfile.open(path) as archive:
        for member in archive:
            name = PurePosixPath(member.name).name
            if member.isfile() and name in wanted:
                if member.size > _LARGEST_FILE:
                    raise ValueError(f"expected about 31 MB in {name}, found {member.size:,} bytes")
                yield name, archive.extractfile(member).read()


def _first_line(content):
    """The first line of a SOURCE.txt, unless it claims what only the md5 sums can show."""
    lines = content.decode("utf-8", errors="replace").strip().splitlines() or [""]
    line = lines[0].strip()[:200]
    return "" if line == OFFICIAL else line


def _parse_batch(name, content):
    """Unpickle one batch file and return its images (10000, 32, 32, 3) and labels (10000,)."""
    try:
        batch = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
        entries = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
        pixels, labels = entries["data"], np.asarray(entries["labels"])
    except Exception as error:  # a damaged or hostile pickle can raise anything
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"expected a pickled CIFAR-10 batch in {name}, found something else ({reason})") from error
    shape = (BATCH_SIZE, 3 * 32 * 32)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != shape:
        description = f"{getattr(pixels, 'dtype', type(pixels).__name__)} {getattr(pixels, 'shape', '')}".strip()
        raise ValueError(f"expected uint8 pixels of shape {shape} in {name}, found {description}")
    if labels.dtype.kind not in "iu" or labels.shape != (BATCH_SIZE,):
        raise ValueError(f"expected {BATCH_SIZE:,} whole-number labels in {name}, found {labels.dtype} {labels.shape}")
    if labels.min() < 0 or labels.max() > 9:
        raise ValueError(f"expected labels from 0 to 9 in {name}, found {labels.min()} to {labels.max()}")
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


def _check_complete(found, labels):
    missing = [name for name in BATCH_NAMES if name not in found]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise ValueError(
            "expected the folder cifar-10-batches-py with data_batch_1 … data_batch_5 and test_batch; "
            f"{', '.join(missing)} {verb} missing"
        )
    training = len(labels) - BATCH_SIZE
    for part, split in (("training", labels[:training]), ("test", labels[training:])):
        counts = np.bincount(split, minlength=10)
        if counts.min() != counts.max():
            raise ValueError(f"expected {len(split) // 10:,} {part} images of each class, found {counts.tolist()}")
