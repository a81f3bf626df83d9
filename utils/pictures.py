"""A reader's pictures, from wherever they are and of whatever format: upright, in right colours, on white."""

import contextlib
import functools
import importlib
import os
import re
import struct
import threading
import time
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from urllib.request import url2pathname

import numpy as np
import requests
from PIL import Image, ImageCms, UnidentifiedImageError

from utils import download, machine

with contextlib.suppress(ImportError):  # Colab has none; a HEIC photo is then refused with the line that installs it
    importlib.import_module("pi_heif").register_heif_opener()

MOST_BYTES = 40_000_000
MOST_PIXELS = 51_000_000  # phones have up to 8,192 × 6,144
MOST_PARTS, MOST_READS = 5_000, 1_000_000

PATH, BYTES = str | os.PathLike, bytes | bytearray | memoryview
Image.init()
_FORMATS = [name for name in "JPEG PNG WEBP GIF BMP TIFF HEIF AVIF JPEG2000".split() if name in Image.OPEN]
_ENDINGS = set(".jpg .jpeg .jpe .jfif .png .webp .gif .bmp .tif .tiff .heic .heif .avif .jp2 .svg".split())
_TURNED = dict(enumerate(map(Image.Transpose, (0, 3, 1, 5, 4, 6, 2)), 2))  # by the number that a camera notes
_AGAIN, _CONVERT = "save or download it again", "save it as JPEG or PNG"
_HEIC = f"pip install pi-heif if it is missing, or {_CONVERT} (iPhone: Settings > Camera > Formats > Most Compatible)"
_NO_PICTURE = {  # what bytes are that are no picture, by how they begin, and what to do about it
    rb"\Z": ("nothing, 0 bytes", _AGAIN),
    rb"II[*+]\0|MM\0[*+]": ("a TIFF that is damaged or of a rare kind", _CONVERT),
    rb"\xff\xd8|\x89PNG|RIFF.{4}WEBP|GIF8|BM|\0\0\0\x0cjP": ("only the beginning of one, or a damaged one", _AGAIN),
    rb".{4}ftyp(hei|hev|mif1|msf1)": ("a HEIC photo that cannot be read", _HEIC),
    rb".{4}ftypavi": ("an AVIF photo, damaged or too new for this Pillow", _CONVERT),
    rb".{4}ftyp": ("a film", "give one picture of it"),
    rb"PK\x03\x04|\x1f\x8b|Rar!|7z": ("an archive", "unpack it and give the folder"),
    rb"%PDF": ("a PDF", "save its page or picture as JPEG or PNG"),
    rb"\x00\x00\x01\x00": ("an icon", _CONVERT),
    rb".{,1000}<svg": ("an SVG drawing", _CONVERT),
    rb"\W*(?i:<(!doc|html|head|script))": ("a web page", "open it and take the address of the picture itself"),
    rb"[^\0-\x08\x0e-\x1f]{,1000}\Z": ("text", "give the picture itself"),
    rb"": ("bytes of another kind", _CONVERT),
}
_one_at_a_time = threading.Lock()  # warnings and stderr belong to the whole process


class _Pieces(BytesIO):
    """The bytes of a picture, read in so many pieces at most, each of which costs Pillow a round in Python."""

    count = 0

    def read(self, size=-1):
        self.count += 1
        if self.count > MOST_READS:
            raise ValueError("too many pieces")
        return super().read(size)


class Pictures(dict):
    """PIL images by name; its attribute `unreadable` is a dict from the names of others to why they cannot be read."""

    def __init__(self, readable, unreadable):
        super().__init__(readable)
        self.unreadable = unreadable


def load_image(source, *, seconds=10, longest_side=MOST_PIXELS, given_up=None):
    """Read one picture (JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC, AVIF, JPEG 2000): RGB, upright, on white, in sRGB.

    It may be a path, an address, bytes, a file opened in binary mode, or a PIL image, which is turned only as it comes
    from a file. A host may take `seconds` to answer, and the picture to arrive; sides above `longest_side` are reduced
    to so many pixels; nothing is decoded once the event `given_up` is set. Of several pictures the first is taken; of
    16-bit pixels 65,535 becomes 255; 32-bit ones are stretched from least to most.
    What cannot be read raises a FileNotFoundError or a ValueError that says why.
    """
    content = b"" if isinstance(source, Image.Image) else _read(source, seconds)
    if len(content) > MOST_BYTES:
        raise refusal(source, f"at most {MOST_BYTES / 1e6:.0f} MB", "more", f"{_CONVERT} in a smaller size")
    expected, remedy = f"1 to {MOST_PIXELS:,} pixels", f"{_CONVERT} in another size"
    pieces = _Pieces(content)
    pieces.count = _parts(content) * MOST_READS // MOST_PARTS
    try:
        with _one_at_a_time, warnings.catch_warnings(action="ignore"), machine.native_log_discarded():
            if given_up and given_up.is_set():
                raise InterruptedError
            image = source if isinstance(source, Image.Image) else Image.open(pieces, formats=_FORMATS)
            found = f"{image.width:,}×{image.height:,}"
            if rare := _rare_kind(getattr(image, "tag_v2", {})):
                expected, found, remedy = "a TIFF of a common kind", rare, _CONVERT
            elif 0 < image.width * image.height <= MOST_PIXELS:
                for step in (_upright, _eight_bits, _in_srgb, _on_white):
                    image = step(image)  # not within each other, so that two of them at most are in memory
                image.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
                return image
    except Image.DecompressionBombError:
        found = "far more"
    except UnidentifiedImageError:
        kind = next(kind for start, kind in _NO_PICTURE.items() if re.match(start, content, re.DOTALL))
        raise refusal(source, "a picture", *kind) from None
    except Exception as error:  # Pillow's readers let many kinds through
        if pieces.count > MOST_READS:
            raise refusal(source, "few scans, strips, tiles, runs or notes", "more", _CONVERT) from error
        if "closed" in str(error):
            raise refusal(source, "an open picture", "a closed one", "open it again, or give its path") from error
        found = f"a damaged one ({' '.join(str(error).split())[:200] or type(error).__name__})"
        raise refusal(source, "a whole picture", found, _AGAIN) from error
    raise refusal(source, expected, found, remedy)


def gather(choice, *, seconds=10):
    """Read what a reader chose; unreadable ones among several pictures stop nothing, and are printed.

    The choice is what `load_image` reads, a folder, or a dict by name, as Colab's `files.upload()` returns it. Several
    pictures are reduced to sides of 512 pixels, so that a thousand fit into memory; a model sees the same.
    """
    sources = choice if isinstance(choice, Mapping) else _sources(choice)
    pool, given_up = ThreadPoolExecutor(), threading.Event()
    options = {"seconds": seconds, "longest_side": 512 if len(sources) > 1 else MOST_PIXELS, "given_up": given_up}
    try:
        coming = {name: pool.submit(load_image, source, **options) for name, source in sources.items()}
        errors = {name: picture.exception() for name, picture in coming.items() if picture.exception()}
    finally:
        given_up.set()
        pool.shutdown(wait=False, cancel_futures=True)  # Ctrl+C waits for no picture that is not begun
    if not sources or len(errors) == len(sources) and sources is not choice:
        nothing = refusal(choice, "at least one picture", "none", f"choose one of the formats {', '.join(_FORMATS)}")
        raise next(iter(errors.values()), nothing)
    if errors:
        print(f"{len(errors)} of {len(sources)} pictures could not be read (see .unreadable): {', '.join(errors)}.")
    readable = {name: picture.result() for name, picture in coming.items() if name not in errors}
    return Pictures(readable, {name: str(error) for name, error in errors.items()})


def refusal(source, expected, found, remedy, kind=ValueError):
    """The error, to be raised, that names a source and says what was expected, what found, and what to do."""
    return kind(f"{_name(source)}: expected {expected}, found {found}; {remedy}.")


def _name(source):
    name = os.fspath(source) if isinstance(source, PATH) else str(getattr(source, "name", "the picture"))
    name = re.sub(r"(?<=//)[^/@]*@", "", " ".join(name.split()))  # without a password
    return name if len(name) <= 200 else f"{name[:80]}…"


def _sources(choice):
    """What a reader chose, as a dict from name to what `load_image` reads."""
    if isinstance(choice, PATH) and os.path.isdir(folder := _path(choice)):
        paths = sorted(folder.glob("[!.]*"))
        found = {path.name: path for path in paths if path.suffix.lower() in _ENDINGS and not path.is_dir()}
        if not found and (folders := [path.name for path in paths if path.is_dir()]):
            raise refusal(choice, "pictures", f"folders: {', '.join(folders[:12])}", "gather each of them by itself")
        return found
    name = _name(choice)
    return {Path(name.partition("?")[0]).name or name: choice}


def _read(source, seconds):
    """The bytes of a source; of a file or an address no more than it takes to see that it is too large."""
    if isinstance(source, BYTES):
        return bytes(source)
    if isinstance(source, str) and source.strip().lower().startswith(("http://", "https://")):
        return _read_address(source.strip(), seconds)
    try:
        if hasattr(source, "read") and not hasattr(source, "encoding"):
            content = source.read(MOST_BYTES + 1)
            if not content:  # it was read to its end before
                source.seek(0)
                content = source.read(MOST_BYTES + 1)
            return content
        path = _path(source)
        if path.exists() and not path.is_file():  # a pipe would keep one waiting
            raise OSError(0, "it is a folder, which gather reads, a device or a pipe")
        with open(path, "rb") as file:
            return file.read(MOST_BYTES + 1)
    except (OSError, TypeError, ValueError) as error:
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        found = f"none that can be read ({getattr(error, 'strerror', error)})"
        remedy = "check the path, or give an http(s) address, bytes, a file opened in binary mode or a PIL image"
        raise refusal(source, "a picture", found, remedy, kind) from None


def _path(source):
    """The path, also where it was copied with spaces, quotes, a line end, or as the `file://` of a file manager."""
    path = Path(os.path.expanduser(source))
    if isinstance(source, str) and not os.path.lexists(path):
        text = source.strip().strip("\"'")
        text = url2pathname(text.removeprefix("file://")) if text.startswith("file:///") else os.path.expanduser(text)
        path = Path(text) if os.path.lexists(text) else path
    return path


def _read_address(address, seconds):
    # Some hosts, Wikimedia Commons among them, refuse a program that does not say what it is.
    agent = f"cifar10-tutorial (reads one picture) {requests.utils.default_user_agent()}"
    headers = {"User-Agent": agent, "Accept-Encoding": "identity"}
    content, end = bytearray(), time.monotonic() + seconds
    try:
        with download.ask(address, seconds, headers=headers, timeout=seconds) as response:
            reason = "" if response.ok else f"answered {response.status_code} {ascii(response.reason)[1:-1]:.80}"
            read = functools.partial(response.raw.read1, 1 << 16, decode_content=True)  # some pack it unasked
            while response.ok and len(content) <= MOST_BYTES and (chunk := read()):
                content += chunk
                if time.monotonic() > end:
                    raise TimeoutError
    except Exception as error:
        reason = f"nothing complete within {seconds} s" if time.monotonic() > end else download.why(error)
    if reason:
        remedy = "check the address and the network, or download it in a browser and give its path"
        raise refusal(address, "a picture", f"none ({reason})", remedy)
    return bytes(content)


def _parts(content):
    """How many parts make up a picture, each of which takes its time and no reading of its own."""
    if content.startswith(b"\xff\xd8"):
        return len(re.findall(rb"\xff\xda\0[\x08\x0a\x0c\x0e]", content)) * MOST_PARTS // 50  # each may be a whole one
    if content.startswith((b"II+\0", b"MM\0+", b"II\0*", b"MM*\0")):
        return MOST_PARTS + 1  # a BigTIFF or an odd one, of any number
    if re.match(rb"BM.{28}[\1\2]\0\0\0", content, re.DOTALL):  # in runs, which Pillow unpacks in Python
        width, height = struct.unpack_from("<Ii", content, 18)
        return width * abs(height) // 1_000
    if not content.startswith((b"II*\0", b"MM\0*")):
        return 0
    order, parts = "<" if content.startswith(b"I") else ">", 0
    with contextlib.suppress(struct.error):  # only the beginning of one, as is found later
        start = struct.unpack_from(f"{order}I", content, 4)[0]
        for entry in range(struct.unpack_from(f"{order}H", content, start)[0]):
            tag, _, count = struct.unpack_from(f"{order}HHI", content, start + 2 + 12 * entry)
            parts = max(parts, count if tag in (273, 279, 324, 325) else 0)
    return parts


def _eight_bits(image):
    """Shades, RGB or RGBA of 8 bit; Pillow would cut off pixels of 16 or 32 bit at 255."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        pixels = np.asarray(image).astype(np.float32)
        np.nan_to_num(pixels, copy=False, posinf=0, neginf=0)
        low, high = (0, 65_535) if image.mode.startswith("I;16") else (pixels.min(), pixels.max())
        pixels -= low
        pixels *= 255 / ((high - low) or 1)
        return Image.fromarray(np.round(pixels, out=pixels).astype(np.uint8))
    if image.has_transparency_data:
        return image if image.mode == "RGBA" else image.convert("RGBA")
    return image.convert("RGB") if image.mode == "P" else image


def _on_white(image):
    if image.mode != "RGBA":
        return image.convert("RGB")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _rare_kind(tags):
    """What a TIFF with these tags is, where Pillow would read other numbers without a word; else ""."""
    bits, white, kind = (tags.get(number, usual) for number, usual in ((258, (8,)), (262, 1), (339, (1,))))
    rare = {"12 bits": bits[0] == 12, "16 bits and 0 for white": white == 0 and bits[0] == 16}
    rare["32 bits without sign"] = bits[0] == 32 and kind[0] == 1
    return next((f"one of {name}" for name, is_so in rare.items() if is_so), "")


def _upright(image):
    """Turn an image from a file by the one tag that says how the camera was held; others may be odd."""
    exif, turned = {}, 1
    with contextlib.suppress(Exception):
        exif = image.getexif()
        turned, exif[0x0112] = exif.get(0x0112, 1), 1  # Pillow turns a TIFF at loading, and minds every tag
    image.load()
    exif[0x0112] = turned
    return image.transpose(_TURNED[turned]) if image.format and turned in _TURNED else image


def _in_srgb(image):
    """Colours of another profile, as Display P3 of phones, in sRGB; a profile that is no use changes nothing."""
    with contextlib.suppress(Exception):
        profile = ImageCms.ImageCmsProfile(BytesIO(image.info["icc_profile"]))
        mode = image.mode if image.mode == "RGBA" else "RGB"
        image = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode=mode)
    return image
