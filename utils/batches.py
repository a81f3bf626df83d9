"""Reading CIFAR-10's batch files, from their folder or straight out of the archive, without trusting them."""

import hashlib
import io
import pickle
import tarfile
from pathlib import Path, PurePosixPath

import numpy as np

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
