"""A reader's own picture, from wherever it is, to the pixels a model sees and to its answer."""

import contextlib
import functools
import importlib
import os
import re
import struct
import threading
import time
import warnings
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from urllib.request import url2pathname

import numpy as np
import pandas as pd
import requests
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from scipy.special import softmax

from utils import download, machine
from utils.data import CLASS_NAMES
from utils.evaluation import are_probabilities, energy
from utils.networks import PIXEL_MEAN
from utils.training import predict_views

with contextlib.suppress(ImportError):  # Colab has none; a HEIC photo is then refused with the line that installs it
    importlib.import_module("pi_heif").register_heif_opener()

MOST_BYTES = 40_000_000
MOST_PIXELS = 51_000_000  # phones have up to 8,192 × 6,144
MOST_PARTS, MOST_READS = 5_000, 1_000_000
WAYS = ("crop", "squash", "pad")
PAD_COLOUR = tuple(round(mean) for mean in PIXEL_MEAN)  # the least telling colour

_PATH, _BYTES = str | os.PathLike, bytes | bytearray | memoryview
Image.init()
_FORMATS = [name for name in "JPEG PNG WEBP GIF BMP TIFF HEIF AVIF JPEG2000".split() if name in Image.OPEN]
_ENDINGS = set(".jpg .jpeg .jpe .jfif .png .webp .gif .bmp .tif .tiff .heic .heif .avif .jp2 .svg".split())
_TURNED = dict(enumerate(map(Image.Transpose, (0, 3, 1, 5, 4, 6, 2)), 2))  # by the number that a camera notes
_AGAIN, _CONVERT = "save or download it again", "save it as JPEG or PNG"
_IPHONE = "Settings > Camera > Formats > Most Compatible"
_HEIC = _AGAIN if "HEIF" in Image.OPEN else f"pip install pi-heif, or {_CONVERT} (on an iPhone: {_IPHONE})"
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
        raise _refusal(source, f"at most {MOST_BYTES / 1e6:.0f} MB", "more", f"{_CONVERT} in a smaller size")
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
        raise _refusal(source, "a picture", *kind) from None
    except Exception as error:  # Pillow's readers let many kinds through
        if pieces.count > MOST_READS:
            raise _refusal(source, "few scans, strips, tiles, runs or notes", "more", _CONVERT) from error
        if "closed" in str(error):
            raise _refusal(source, "an open picture", "a closed one", "open it again, or give its path") from error
        found = f"a damaged one ({str(error) or type(error).__name__})"
        raise _refusal(source, "a whole picture", found, _AGAIN) from error
    raise _refusal(source, expected, found, remedy)


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
        nothing = _refusal(choice, "at least one picture", "none", f"choose one of the formats {', '.join(_FORMATS)}")
        raise next(iter(errors.values()), nothing)
    if errors:
        print(f"{len(errors)} of {len(sources)} pictures could not be read (see .unreadable): {', '.join(errors)}.")
    readable = {name: picture.result() for name, picture in coming.items() if name not in errors}
    return Pictures(readable, {name: str(error) for name, error in errors.items()})


def to_cifar_size(image, how="crop"):
    """Reduce a picture to uint8 pixels (32, 32, 3), by a filter (Lanczos) that evens out fine patterns.

    Of a uint8 array (height, width, 3), or what `load_image` reads, "crop" cuts out the square in the middle, "squash"
    changes the proportions, and "pad" adds `PAD_COLOUR`.
    """
    if how not in WAYS:
        raise ValueError(f"to_cifar_size: expected how to be one of {', '.join(WAYS)}; found {how!r}.")
    image = from_array(image) if hasattr(image, "shape") else load_image(image)
    if how == "crop":
        return np.array(ImageOps.fit(image, (32, 32), Image.Resampling.LANCZOS))
    size = [32 if how == "squash" else max(1, round(32 * side / max(image.size))) for side in image.size]
    small = Image.new("RGB", (32, 32), PAD_COLOUR)
    small.paste(image.resize(size, Image.Resampling.LANCZOS), ((32 - size[0]) // 2, (32 - size[1]) // 2))
    return np.array(small)


def classify(model, images, *, how="crop", views=1, class_names=CLASS_NAMES, score="energy", threshold=None):
    """Name the class of one or thousands of pictures, each with how sure the model is.

    The model turns pixels 0 to 255 into logits, in the order of `class_names`; softmax is applied here. Images are one
    picture, as for `to_cifar_size`, which explains `how`, or a list, array, dict by name or `Pictures` of any size. The
    score, "energy" (its negative) or "confidence", is higher for what looks known; below the threshold nothing is.
    Returns a DataFrame, one row a picture, unreadable ones last: file (or position), class, confidence, second guess,
    score, known (with a threshold), the probability of every class, and the reason where one is unreadable.
    """
    if score not in ("energy", "confidence"):
        raise ValueError(f"classify: expected score to be energy or confidence; found {score!r}.")
    files, pixels = _files_and_pixels(images, how)
    if (size := getattr(model, "input_shape", pixels.shape)[1:]) != pixels.shape[1:]:
        remedy = "train one for this size, as notebook 03 does"
        raise _refusal("classify", "a model for images of shape (32, 32, 3)", f"one for {size}", remedy)
    logits = _checked(predict_views(model, pixels, views, batch_size=1_000), class_names)
    probabilities = softmax(logits, axis=1)
    ranked = np.array(class_names, object)[probabilities.argsort(axis=1)]
    table = pd.DataFrame({"file": files, "class": ranked[:, -1], "confidence": probabilities.max(axis=1)})
    table["second guess"] = ranked[:, -2]
    table["score"] = -energy(logits) if score == "energy" else table["confidence"]
    if threshold is not None:
        table["known"] = table["score"] >= threshold
    table[list(class_names)] = probabilities
    if unreadable := getattr(images, "unreadable", None):
        table = pd.concat([table, pd.DataFrame(unreadable.items(), columns=["file", "reason"])], ignore_index=True)
    return table


def _refusal(source, expected, found, remedy, kind=ValueError):
    return kind(f"{_name(source)}: expected {expected}, found {found}; {remedy}.")


def _name(source):
    name = os.fspath(source) if isinstance(source, _PATH) else str(getattr(source, "name", "the picture"))
    name = re.sub(r"(?<=//)[^/@]*@", "", " ".join(name.split()))  # without a password
    return name if len(name) <= 200 else f"{name[:80]}…"


def _sources(choice):
    """What a reader chose, as a dict from name to what `load_image` reads."""
    if isinstance(choice, _PATH) and _path(choice).is_dir():
        paths = sorted(_path(choice).glob("[!.]*"))
        found = {path.name: path for path in paths if path.suffix.lower() in _ENDINGS and not path.is_dir()}
        if not found and (folders := [path.name for path in paths if path.is_dir()]):
            raise _refusal(choice, "pictures", f"folders: {', '.join(folders[:12])}", "gather each of them by itself")
        return found
    name = _name(choice)
    return {Path(name.partition("?")[0]).name or name: choice}


def _read(source, seconds):
    """The bytes of a source; of a file or an address no more than it takes to see that it is too large."""
    if isinstance(source, _BYTES):
        return bytes(source)
    if isinstance(source, str) and source.strip().lower().startswith(("http://", "https://")):
        return _read_address(source.strip(), seconds)
    try:
        if hasattr(source, "read") and not hasattr(source, "encoding"):
            content = source.read(MOST_BYTES + 1)
            return content or (source.seek(0), source.read(MOST_BYTES + 1))[1]  # it was read to its end before
        path = _path(source)
        if path.exists() and not path.is_file():  # a pipe would keep one waiting
            raise OSError(0, "it is a folder, which gather reads, a device or a pipe")
        with open(path, "rb") as file:
            return file.read(MOST_BYTES + 1)
    except (OSError, TypeError, ValueError) as error:
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        found = f"none that can be read ({getattr(error, 'strerror', error)})"
        remedy = "check the path, or give an http(s) address, bytes, a file opened in binary mode or a PIL image"
        raise _refusal(source, "a picture", found, remedy, kind) from None


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
        raise _refusal(address, "a picture", f"none ({reason})", remedy)
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


def from_array(pixels):
    pixels = np.asarray(pixels)
    shape, kind = pixels.shape, pixels.dtype.kind
    if pixels.dtype == np.uint8 and pixels.ndim == 3 and shape[-1] == 3 and pixels.size:
        return Image.fromarray(pixels)
    found = f"{pixels.dtype} of shape {shape}"
    if pixels.size and kind in "iuf":
        found += f" from {pixels.min():.3g} to {pixels.max():.3g}"
    remedies = {
        "give the pixels of a picture": not pixels.size or kind not in "biuf",
        "give one image of the batch, as x[0], or classify all": pixels.ndim == 4,
        "give np.stack([x] * 3, axis=-1)": pixels.ndim == 2,
        "give np.repeat(x, 3, axis=-1)": shape[-1:] == (1,),
        "give x[..., :3], without transparency": shape[-1:] == (4,),
        "give x.transpose(1, 2, 0)": pixels.ndim == 3 and shape[0] == 3 != shape[-1],
        "give np.uint8(x) * 255": kind == "b",
        "give np.uint8((x + 1) * 127.5)": pixels.size and kind == "f" and -1 <= pixels.min() < 0,
        "give np.uint8(x * 255), as the model itself divides": pixels.size and kind == "f" and pixels.max() <= 1,
        "give the pixels of a file, as whole numbers from 0 to 255": True,
    }
    remedy = next(remedy for remedy, fits in remedies.items() if fits)
    raise _refusal("the pixels", "uint8 from 0 to 255 of shape (height, width, 3)", found, remedy)


def _files_and_pixels(images, how):
    """What the table calls the pictures, and their pixels, uint8 of shape (n, 32, 32, 3)."""
    is_one = isinstance(images, _PATH | _BYTES) or hasattr(images, "read") or getattr(images, "ndim", 0) in (2, 3)
    if is_one or not isinstance(images, Iterable):
        images = [images]
    files, pixels = [], []
    for key, image in images.items() if isinstance(images, Mapping) else enumerate(images):
        files.append(os.fspath(image) if isinstance(key, int) and isinstance(image, _PATH) else key)
        pixels.append(to_cifar_size(image, how))
    if not files:
        found = "; ".join(getattr(images, "unreadable", {}).values()) or "none"
        raise _refusal("classify", "at least one picture", found, "give it a picture or a list of them")
    return files, np.array(pixels)


def _checked(logits, class_names):
    logits = np.asarray(logits, np.float64)
    if logits.shape[1:] != (len(class_names),) or not np.isfinite(logits).all():
        expected = f"one finite logit for each of {', '.join(class_names)}"
        found = f"an output of shape {logits.shape}, {np.isfinite(logits).mean():.0%} of it finite"
        raise _refusal("classify", expected, found, "give the model's own class_names, or train it again")
    if are_probabilities(logits):
        found = "probabilities, on which softmax would be applied a second time"
        raise _refusal("classify", "a model that returns logits", found, "build its last layer without activation")
    return logits
