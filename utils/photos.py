"""A reader's own picture, from wherever it is, to the pixels a model sees and to its answer."""

import contextlib
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

import numpy as np
import pandas as pd
import requests
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy.special import softmax

from utils import download, machine
from utils.data import CLASS_NAMES
from utils.evaluation import are_probabilities, energy
from utils.networks import PIXEL_MEAN
from utils.training import predict_views

MOST_BYTES = 20_000_000
MOST_PIXELS = 50_000_000
MOST_PARTS, MOST_READS = 5_000, 1_000_000
WAYS = ("crop", "squash", "pad")
PAD_COLOUR = tuple(round(mean) for mean in PIXEL_MEAN)  # the least telling colour

_PATH, _BYTES = str | os.PathLike, bytes | bytearray | memoryview
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_ENDINGS = set(".jpg .jpeg .jpe .jfif .png .webp .gif .bmp .tif .tiff .heic .heif .avif .svg".split())
_AGAIN, _CONVERT = "save or download it again", "save it as JPEG or PNG"
_NO_PICTURE = {  # what bytes are that are no picture, by how they begin, and what to do about it
    rb"\Z": ("nothing, 0 bytes", _AGAIN),
    rb"\xff\xd8|\x89PNG|RIFF|GIF8|BM|II\*\0|MM\0\*": ("only the beginning of one, or a damaged one", _AGAIN),
    rb"....ftyp": ("a HEIC or AVIF photo, or a film", _CONVERT),
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
    """Read one picture (JPEG, PNG, WebP, GIF, BMP or TIFF): RGB, upright, on white, the first of several.

    It may be a path, an address, bytes, a file opened in binary mode, or a PIL image. A host may take `seconds` to
    answer, and the picture to arrive; sides above `longest_side` are reduced to so many pixels; nothing is decoded once
    the event `given_up` is set. Of 16-bit pixels 65,535 becomes 255; 32-bit ones are stretched from least to most.
    What cannot be read raises a FileNotFoundError or a ValueError that says why.
    """
    content = b"" if isinstance(source, Image.Image) else _read(source, seconds)
    if len(content) > MOST_BYTES:
        raise _refusal(source, f"at most {MOST_BYTES / 1e6:.0f} MB", "more", f"{_CONVERT} in a smaller size")
    pieces = _Pieces(content)
    pieces.count = _parts(content) * MOST_READS // MOST_PARTS
    try:
        with _one_at_a_time, warnings.catch_warnings(action="ignore"), machine.native_log_discarded():
            if given_up and given_up.is_set():
                raise InterruptedError
            image = source if isinstance(source, Image.Image) else Image.open(pieces, formats=_FORMATS)
            found = f"{image.width:,}×{image.height:,}"
            if 0 < image.width * image.height <= MOST_PIXELS:
                image = _plain(ImageOps.exif_transpose(image))
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
        found = f"a damaged one ({str(error) or type(error).__name__})"
        raise _refusal(source, "a whole picture", found, _AGAIN) from error
    raise _refusal(source, f"1 to {MOST_PIXELS:,} pixels", found, f"{_CONVERT} in another size")


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
    if isinstance(choice, _PATH) and os.path.isdir(os.path.expanduser(choice)):
        paths = sorted(Path(choice).expanduser().glob("[!.]*.*"))
        return {path.name: path for path in paths if path.suffix.lower() in _ENDINGS and not path.is_dir()}
    name = _name(choice)
    return {Path(name.partition("?")[0]).name or name: choice}


def _read(source, seconds):
    """The bytes of a source; of a file or an address no more than it takes to see that it is too large."""
    if isinstance(source, _BYTES):
        return bytes(source)
    if hasattr(source, "read") and not hasattr(source, "encoding"):
        return source.read(MOST_BYTES + 1)
    if isinstance(source, str) and source.strip().lower().startswith(("http://", "https://")):
        return _read_address(source.strip(), seconds)
    try:
        path = Path(os.path.expanduser(source))
        if path.exists() and not path.is_file():  # a pipe would keep one waiting
            raise OSError(0, "it is a folder, which gather reads, a device or a pipe")
        with open(path, "rb") as file:
            return file.read(MOST_BYTES + 1)
    except (OSError, TypeError, ValueError) as error:
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        found = f"none that can be read ({getattr(error, 'strerror', error)})"
        remedy = "check the path, or give an http(s) address, bytes, a file opened in binary mode or a PIL image"
        raise _refusal(source, "a picture", found, remedy, kind) from None


def _read_address(address, seconds):
    # Some hosts, Wikimedia Commons among them, refuse a program that does not say what it is.
    agent = f"cifar10-tutorial (reads one picture) {requests.utils.default_user_agent()}"
    headers = {"User-Agent": agent, "Accept-Encoding": "identity"}
    content, end = bytearray(), time.monotonic() + seconds
    try:
        with download.ask(address, seconds, headers=headers, timeout=seconds) as response:
            reason = "" if response.ok else f"answered {response.status_code} {ascii(response.reason)[1:-1]:.80}"
            while response.ok and len(content) <= MOST_BYTES and (chunk := response.raw.read1(1 << 16)):
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


def _plain(image):
    """RGB of 8 bit, on white; Pillow would cut off pixels of 16 or 32 bit at 255."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        pixels = np.asarray(image).astype(np.float32)
        np.nan_to_num(pixels, copy=False, posinf=0, neginf=0)
        low, high = (0, 65_535) if image.mode.startswith("I;16") else (pixels.min(), pixels.max())
        pixels -= low
        pixels *= 255 / ((high - low) or 1)
        image = Image.fromarray(np.round(pixels, out=pixels).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def from_array(pixels):
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3 or not pixels.size:
        found = f"{pixels.dtype} of shape {pixels.shape}" + (f" up to {pixels.max():.3g}" if pixels.size else "")
        remedy = "give it the pixels of a file, not divided by 255, which the model does itself"
        raise _refusal("the pixels", "uint8 from 0 to 255 of shape (height, width, 3)", found, remedy)
    return Image.fromarray(pixels)


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
