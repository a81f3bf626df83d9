"""CIFAR-10 as whole, checked, read-only arrays: see `load_cifar10`. Imports no TensorFlow."""

import html
import os
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils import batches, download
from utils.cache import cache_folder, digest, open_arrays, open_or_build

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
        profile: a `utils.profiles.Profile`, or anything with the numbers `train`, `validation` and `test`.

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
    training = len(labels) - batches.BATCH_SIZE
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
    return _split(*batches.read_batches(archive))


def _from_cifar10_dir(value):
    path = _resolve(value)
    files = [path / name for name in (*batches.BATCH_NAMES, "SOURCE.txt")] if path.is_dir() else [path]
    state = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.exists()]
    try:
        return _kept(f"local-{digest(path)}", state, lambda: _split(*batches.read_batches(path)))
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
            return _kept_download(lambda path=path: _split(*batches.read_batches(path, official_only=True)))
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
    drawing_code = Path(__file__).with_name("synthetic.py").read_text(encoding="utf-8")
    data = _kept("synthetic", drawing_code, _draw)
    _warn(reason)
    return data


def _draw():
    from utils.synthetic import draw_cifar10_like

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
