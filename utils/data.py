"""CIFAR-10 as whole, checked, read-only arrays: see `load_cifar10`. Imports no TensorFlow."""

import contextlib
import functools
import hashlib
import html
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np

from utils import download, drawings
from utils.download import BATCH_NAMES, BATCH_SIZE, OFFICIAL_MD5, batch_files, cache_folder, exclusive, parse_batch

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
OFFICIAL = "CIFAR-10, official archive"
UNVERIFIED = "CIFAR-10 layout, unverified"
STAND_IN = "synthetic stand-in, not CIFAR-10"
TRAINING = 50_000  # images in the training files, the first of all

_VERSION = 3  # of the cache: to be raised with any change to the validation split or to its files
_PROJECT = Path(__file__).resolve().parents[1]
_SOURCES = ("auto", "local", "download", "synthetic")
_ROWS = {"train": slice(0, 45_000), "validation": slice(45_000, 50_000), "test": slice(50_000, 60_000)}


@dataclass(frozen=True, eq=False, repr=False)
class Cifar10:
    """Read-only images, uint8 (n, 32, 32, 3), and labels, int32 (n,): positions in `CLASS_NAMES`, of a `source`."""

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
        sizes = f"{len(self.y_train):,} training, {len(self.y_validation):,} validation, {len(self.y_test):,} test"
        return f"Cifar10({sizes} images; source: {self.source})"


def load_cifar10(source="auto"):
    """Load all of CIFAR-10: 45,000 training, 5,000 validation and 10,000 test images in the official order.

    The validation images, 500 of each class, are held out of the training images by a fixed seed. All come from

    1. the environment variable CIFAR10_DIR: a folder `cifar-10-batches-py` or the archive; else
    2. this series' cache (TUTORIAL_CACHE, or the user's cache folder), memory-mapped; else
    3. an archive or folder that Keras or torchvision left on this machine, if its hashes are the official ones; else
    4. the mirrors in `utils.download`; else
    5. the synthetic stand-in, with a warning and a mark on every figure.

    `source` is "auto" for 1 to 5, which CIFAR10_SOURCE replaces; "local" for 1 to 3, or FileNotFoundError; "download"
    for 2 and 4, or DownloadError; "synthetic" for 5. CIFAR10_DIR set to something else than CIFAR-10 is a ValueError.
    """
    asked_by = f'source="{source}"'
    if source == "auto" and os.environ.get("CIFAR10_SOURCE"):
        source = os.environ["CIFAR10_SOURCE"]
        asked_by = f"CIFAR10_SOURCE={source}"
    if source not in _SOURCES:
        raise ValueError(f"{asked_by}: expected one of {', '.join(_SOURCES)}; correct it or leave it out.")
    if source == "synthetic":
        return _stand_in(f"They were asked for by {asked_by}.")
    if source != "download" and os.environ.get("CIFAR10_DIR"):
        return _from_cifar10_dir(os.environ["CIFAR10_DIR"])
    try:
        return _load("official", download.CIFAR10_SHA256, functools.partial(_find_official, source, asked_by))
    except download.DownloadError as error:
        if source == "download":
            raise
        return _stand_in(str(error))


def subset(data, profile):
    """Choose as many images as `profile.train`, `.validation` and `.test` say, a tenth of each class, by a fixed seed.

    A smaller choice is part of every larger one; the original order is kept; a split wanted whole is not copied.
    """
    chosen = {}
    for split in _ROWS:
        images, labels, wanted = getattr(data, f"x_{split}"), getattr(data, f"y_{split}"), getattr(profile, split)
        if wanted != len(labels):
            rows = _choose(labels, wanted, seed=11, name=split)
            images, labels = _read_only(images[rows]), _read_only(labels[rows])
        chosen |= {f"x_{split}": images, f"y_{split}": labels}
    return Cifar10(**chosen, source=data.source)


def _choose(labels, wanted, seed, name):
    """Sorted positions of `wanted` labels, a tenth of each class."""
    available = len(CLASS_NAMES) * np.bincount(labels, minlength=len(CLASS_NAMES)).min()
    if wanted % len(CLASS_NAMES) or not 0 < wanted <= available:
        why = "so that every class has the same number of images; change the profile's number"
        raise ValueError(f"{name}={wanted:,}: expected a multiple of ten from 10 to {available:,}, {why}.")
    # The stream of RandomState is frozen, so the choice is the same under every version of numpy.
    order = np.random.RandomState(seed).permutation(len(labels))
    return np.sort(np.concatenate([order[labels[order] == c][: wanted // 10] for c in range(len(CLASS_NAMES))]))


def _load(name, state, read):
    """The `Cifar10` cached under `name` as made from this `state` of its source, or made of what `read` returns."""

    def build():
        images, labels, source = read()
        held_out = np.zeros(len(labels), bool)
        held_out[_choose(labels[:TRAINING], 5_000, seed=10, name="validation")] = True
        training = np.flatnonzero(~held_out[:TRAINING])
        order = np.concatenate([training, np.flatnonzero(held_out), np.arange(TRAINING, len(labels))])
        return images[order], labels[order], source

    images, labels, source = open_or_build(f"cifar10-{name}", state, build)
    matplotlib.rcParams["figure.hooks"] = ["utils.data:mark_as_stand_in"] if source == STAND_IN else []
    splits = {f"x_{split}": images[rows] for split, rows in _ROWS.items()}
    return Cifar10(**splits, **{f"y_{split}": labels[rows] for split, rows in _ROWS.items()}, source=source)


def _from_cifar10_dir(value):
    """Read the folder or archive; a relative path begins in the current folder or in the project's."""
    try:
        path = Path(os.path.expanduser(value))
        path = path if path.exists() or not (_PROJECT / path).exists() else _PROJECT / path
        inside = [path / name for name in ("cifar-10-batches-py", download.ARCHIVE_NAME)]
        path = next(filter(os.path.exists, inside), path).resolve()
        files = [path / name for name in (*BATCH_NAMES, "SOURCE.txt")] if path.is_dir() else [path]
        state = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.exists()]
        return _load(f"local-{digest(path)}", state, functools.partial(read_batches, path))
    except (ValueError, OSError, RuntimeError) as error:  # RuntimeError: a loop of links, in older versions of Python
        found = error if isinstance(error, ValueError) else f"expected a folder or archive, found none ({error!s:.80})"
        remedy = "Unpack or copy cifar-10-python.tar.gz again, or unset CIFAR10_DIR to download."
        raise ValueError(f"CIFAR10_DIR={value[:300]}: {found}. {remedy}") from error


def _find_official(source, asked_by):
    """Read what this series, Keras or torchvision left on this machine, else download it."""
    keras = Path(os.path.expanduser(os.environ.get("KERAS_HOME") or "~/.keras")) / "datasets"
    folders = [Path.cwd(), *(folder for folder in Path.cwd().parents if folder.is_relative_to(_PROJECT))]
    places = [cache_folder() / download.ARCHIVE_NAME]
    endings = ("-target_archive", "-target/cifar-10-batches-py", ".tar.gz", "")
    places += [keras / f"cifar-10-batches-py{ending}" for ending in endings]
    places += [folder / "data" / name for folder in folders for name in (download.ARCHIVE_NAME, "cifar-10-batches-py")]
    for path in filter(os.path.exists, places if source != "download" else ()):
        with contextlib.suppress(ValueError):
            if (found := read_batches(path))[2] == OFFICIAL:
                return found
    if source == "local":
        raise FileNotFoundError(
            f"{asked_by}: expected CIFAR-10 on this machine, found none in {cache_folder()} or where Keras and "
            "torchvision keep it; set CIFAR10_DIR to a folder cifar-10-batches-py or to the archive."
        )
    return read_batches(download.fetch_archive(download.MIRRORS, cache_folder(), download.CIFAR10_SHA256))


def read_batches(path):
    """Read the batch files in a folder or in the archive, checked: `(images, labels, source)`, or a ValueError.

    The training images come first, in the official order; `source` is `OFFICIAL` where all md5 sums match, else the
    first line of a file SOURCE.txt beside the batches, else `UNVERIFIED`.
    """
    images, labels = np.empty((60_000, 32, 32, 3), np.uint8), np.empty(60_000, np.int32)
    missing, official, note = {*BATCH_NAMES}, True, ""
    try:
        for name, content in batch_files(Path(path)):
            if name == "SOURCE.txt":
                note = "".join(filter(str.isprintable, content[:200].decode(errors="replace").strip().split("\n")[0]))
                continue
            official &= hashlib.md5(content, usedforsecurity=False).hexdigest() == OFFICIAL_MD5[name]
            rows = slice(start := BATCH_NAMES.index(name) * BATCH_SIZE, start + BATCH_SIZE)
            images[rows], labels[rows] = parse_batch(name, content)
            missing.discard(name)
    except ValueError:
        raise
    except Exception as error:  # a damaged file can raise anything that the decompressors raise
        raise ValueError(f"expected a readable CIFAR-10 folder or archive, found damaged content ({error})") from error
    if missing:
        wanted = "the folder cifar-10-batches-py with data_batch_1 … data_batch_5 and test_batch"
        raise ValueError(f"expected {wanted}; missing: {', '.join(sorted(missing))}")
    for part, split in (("training", labels[:TRAINING]), ("test", labels[TRAINING:])):
        counts = np.bincount(split, minlength=10)
        if counts.min() != counts.max():
            raise ValueError(f"expected {len(split) // 10:,} {part} images of each class, found {counts.tolist()}")
    claimed = note if note != OFFICIAL else ""  # only the md5 sums can show that
    return images, labels, OFFICIAL if official else claimed or UNVERIFIED


def _stand_in(reason):
    _warn(reason)
    return _load("synthetic", drawings.VERSION, _draw)


def _draw():
    print("Drawing 60,000 stand-in images, once: one or two minutes.", flush=True)
    halves = [drawings.draw_cifar10_like(size, seed) for size, seed in ((TRAINING, 12), (BATCH_SIZE, 13))]
    images, labels = (np.concatenate(pair) for pair in zip(*halves, strict=True))
    return images, labels, STAND_IN


def mark_as_stand_in(figure):
    """Write on a figure that its images are not CIFAR-10; matplotlib calls this for every one while they are in use."""
    text = STAND_IN.replace(", ", ",\n")  # two lines, since a row of small images is not high
    box = {"facecolor": "#B00020", "edgecolor": "none", "pad": 2}
    figure.supylabel(text, color="white", fontsize=10, bbox=box)


def _warn(reason):
    """Say, in a box where a notebook can show one, that these images are not CIFAR-10."""
    heading = "These images are NOT CIFAR-10."
    text = (
        f"They are a stand-in, drawn by this series. No accuracy on them says anything about CIFAR-10.\n{reason}\n"
        "To get the real images, connect this machine to the network and load again, or set the environment variable "
        "CIFAR10_DIR to a folder cifar-10-batches-py or to the archive cifar-10-python.tar.gz and start again."
    )
    plain = f"{'=' * 100}\nWARNING: {heading}\n{text}\n{'=' * 100}"
    if not hasattr("IPython" in sys.modules and sys.modules["IPython"].get_ipython(), "kernel"):
        return print(plain, flush=True)
    style = "background:#fff3cd;color:#332200;border:3px solid #b00020;border-radius:4px;padding:0.5em 1em"
    heading = f'<p style="color:#b00020;font-size:1.2em"><b>{heading}</b></p>'
    box = f'<div style="{style}">{heading}<p>{html.escape(text)}</p></div>'.replace("\n", "<br>")
    sys.modules["IPython"].display.display({"text/html": box, "text/plain": plain}, raw=True)


def digest(value):
    """Sixteen hexadecimal digits for anything whose `str` says what it is."""
    return hashlib.sha256(f"{_VERSION} {value}".encode(errors="surrogateescape")).hexdigest()[:16]


def open_arrays(name, state):
    """The `(images, labels, source)` cached under `name`, memory-mapped, or None where nothing whole of it is there."""
    folder = cache_folder() / name / digest(state)
    try:
        images, labels = _map(folder / "images", np.uint8).reshape(-1, 32, 32, 3), _map(folder / "labels", np.int32)
        source = bytes(_map(folder / "source.txt", np.uint8)[:1_000]).decode()
    except (OSError, ValueError):
        return None
    whole = len(images) == len(labels) and labels.view(np.uint32).max() <= 9 and source.isprintable()
    return (images, labels, source) if whole else None


def _map(path, dtype):
    """The numbers in a file that has no header, which could be damaged."""
    try:
        return np.asarray(np.memmap(path, dtype, mode="r"))
    except OSError:  # some file systems map nothing into memory
        return _read_only(np.fromfile(path, dtype))


def open_or_build(name, state, build):
    """Open what is cached, or cache what `build()` returns, in one process at a time; else it stays in memory."""
    begun, built, kept = False, None, open_arrays(name, state)
    if kept:
        return kept
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        with exclusive(cache_folder() / f"{name}.lock"):
            kept = open_arrays(name, state)
            if begun := not kept:
                built = build()
                _save(cache_folder() / name / digest(state), *built)
                kept = open_arrays(name, state)
    except OSError as error:
        if begun and not built:  # it comes from building, not from the cache
            raise
        built = built or build()
        reason = f"({error.strerror or error}), so every load reads the images anew."
        print(f"Not cached in {cache_folder()} {reason}", flush=True)
    return kept or (_read_only(built[0]), _read_only(built[1]), built[2])


def _save(folder, images, labels, source):
    """Write the arrays beside their final folder, then rename: a killed writer leaves nothing that would be read."""
    shutil.rmtree(folder.parent, ignore_errors=True)  # other states, damaged ones, and what a killed writer left
    unfinished = folder.with_name("unfinished")
    try:
        unfinished.mkdir(parents=True)
        np.asarray(images, np.uint8).tofile(unfinished / "images")
        np.asarray(labels, np.int32).tofile(unfinished / "labels")
        (unfinished / "source.txt").write_text(source, encoding="utf-8")
        unfinished.rename(folder)
    except OSError:
        shutil.rmtree(folder.parent, ignore_errors=True)
        raise


def _read_only(array):
    array.setflags(write=False)
    return array
