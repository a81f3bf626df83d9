"""A reader's own picture, from wherever it is, to the pixels a model sees and to its answer. Imports no TensorFlow."""

import difflib
import importlib
import os
import re
import stat
import threading
import time
import warnings
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from queue import Empty, SimpleQueue

import numpy as np
import pandas as pd
import requests
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy.special import logsumexp, softmax

from utils import download
from utils.data import CLASS_NAMES

MOST_BYTES = 20_000_000
MOST_PIXELS = 50_000_000
WAYS = ("crop", "squash", "pad")
PAD_COLOUR = (125, 123, 114)  # mean of the 50,000 training images, the least telling colour

_SIZE = (32, 32)
_DRIVE = "/content/drive"
_PATH = (str, os.PathLike)
_BYTES = (bytes, bytearray, memoryview)
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_SIGNATURES = (b"\xff\xd8", b"\x89PNG", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_ENDINGS = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
_OTHER_ENDINGS = {".heic", ".heif", ".avif", ".svg"}  # named as unreadable in a folder, with what to do
# Some hosts, Wikimedia Commons among them, refuse a program that does not say what it is.
_HEADERS = {
    "Accept-Encoding": "identity",
    "User-Agent": f"cifar10-tutorial (reads one picture) {requests.utils.default_user_agent()}",
}
_SAVE_AS = "save it as JPEG or PNG"
_AGAIN = "save or download it again"


class Pictures(dict):
    """Pictures of a folder by file name, in the order of the names.

    Args:
        readable: dict from file name to PIL image.
        unreadable: dict from file name to the sentence that says why it could not be read.

    Attributes:
        unreadable: the same.
    """

    def __init__(self, readable, unreadable):
        super().__init__(readable)
        self.unreadable = unreadable


def load_image(source, *, seconds=10):
    """Read one picture: JPEG, PNG, WebP, GIF, BMP or TIFF, from one pixel to 50 million.

    It comes upright (EXIF orientation applied), without transparency (laid on white), the first picture where there
    are several, and in three colours. Of 16-bit pixels 65,535 becomes 255; 32-bit pixels, whose white nothing defines,
    are stretched from their smallest to their largest value.

    Args:
        source: path (str or Path), http or https address, the bytes of a file, a file opened in binary mode, or a PIL
            image, which itself stays unchanged.
        seconds: how long a picture may take to arrive over the network.

    Returns:
        A PIL image of mode RGB.

    Raises:
        FileNotFoundError: if there is no such file; the message names similar ones.
        ValueError: if the source cannot be reached or read, has over 20 MB or over 50 million pixels, or is no whole
            picture of these formats.
    """
    name = _name(source)
    content = None if isinstance(source, Image.Image) else _read(source, name, seconds)
    found = "far more"
    try:
        with warnings.catch_warnings(action="ignore"), _silent_libraries():
            image = source if content is None else Image.open(BytesIO(content), formats=_FORMATS)
            if 0 < image.width * image.height <= MOST_PIXELS:
                return _on_white(_eight_bit(ImageOps.exif_transpose(image)))
            found = f"{image.width:,}×{image.height:,}"
    except Image.DecompressionBombError:
        pass
    except UnidentifiedImageError:
        raise ValueError(_refusal(name, "a picture", *_describe(content))) from None
    except Exception as error:  # Pillow's readers let many kinds through
        found = f"a damaged one ({str(error) or type(error).__name__})"
        raise ValueError(_refusal(name, "a whole picture", found, _AGAIN)) from error
    raise ValueError(_refusal(name, f"1 to {MOST_PIXELS:,} pixels", found, f"{_SAVE_AS} in another size"))


def load_folder(folder, *, longest_side=512):
    """Read all pictures of a folder; those that cannot be read stop nothing, are kept with the reason, and printed.

    A picture is a file whose name ends as picture files do (.jpg, .png, .webp ...); hidden files, files of other
    endings and folders inside are left alone. `classify` takes what is returned here, and gives an unreadable picture
    a row with its reason.

    Args:
        folder: path of the folder.
        longest_side: larger pictures are reduced to this many pixels, so that a thousand photos fit into memory; None
            to keep them as they are. Prediction is the same up to rounding.

    Returns:
        `Pictures`, a dict from file name to PIL image (RGB), 2 coming before 10; its attribute `unreadable` is a dict
        from file name to reason.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it is a file, cannot be opened, or has no picture in it.
    """
    paths = _pictures_in(folder)
    if not paths:
        remedy = f"copy some into it ({' '.join(sorted(_ENDINGS))})"
        raise ValueError(_refusal(folder, "pictures in this folder", "none", remedy))
    return read_all({path.name: path for path in paths}, folder, longest_side)


def read_all(sources, where, longest_side=None):
    """Read several pictures; those that cannot be read stop nothing, are kept with the reason, and printed.

    Args:
        sources: dict from name to what `load_image` reads.
        where: what the printed line calls the place they come from.
        longest_side: larger pictures are reduced to this many pixels; None to keep them as they are.

    Returns:
        `Pictures`.
    """
    readable, unreadable = {}, {}
    for name, source in sources.items():
        try:
            image = load_image(source)
        except (ValueError, FileNotFoundError) as error:
            unreadable[name] = str(error)
            continue
        if longest_side is not None:
            image.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
        readable[name] = image
    if unreadable:
        names = ", ".join(unreadable)
        print(f"{len(unreadable)} of {len(sources)} pictures in {where} could not be read: {names} (see .unreadable).")
    return Pictures(readable, unreadable)


def gather(choice):
    """Read what a reader chose, one picture or several, wherever it is. Asks only where "upload" was chosen.

    Args:
        choice: what `load_image` reads; or a folder; or, in Colab, "upload", to choose files of one's own computer. For
            a path below /content/drive Colab is first asked to connect the reader's Google Drive.

    Returns:
        `Pictures` by file name, at least one entry.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if no picture can be read or none is there, or "upload" or the Drive is chosen outside Colab.
    """
    if isinstance(choice, str) and choice == "upload":
        uploaded = _colab("files").upload()
        if not uploaded:
            raise ValueError("upload: expected at least one picture, found none; run this again and choose a file.")
        pictures = read_all(uploaded, "the upload")
    elif isinstance(choice, _PATH) and _is_folder(choice):
        pictures = load_folder(choice)
    else:
        pictures = Pictures({_file_name(choice): load_image(choice)}, {})
    if not pictures:
        raise ValueError(next(iter(pictures.unreadable.values())))
    return pictures


def _is_folder(choice):
    """Whether a path leads to a folder; one in Google Drive is first made to lead anywhere."""
    path = os.path.expanduser(choice)
    if os.fspath(path).startswith(f"{_DRIVE}/") and not os.path.ismount(_DRIVE):
        _colab("drive").mount(_DRIVE)
    return os.path.isdir(path)


def _file_name(choice):
    """The last part of a path or an address."""
    if not isinstance(choice, _PATH):
        return _name(choice)
    text = os.fspath(choice).strip()
    return Path(re.split("[?#]", text)[0] if "://" in text else text).name or _name(choice)


def _colab(part):
    """A part of Colab's own package, which exists only there."""
    try:
        return importlib.import_module(f"google.colab.{part}")
    except ImportError:
        raise ValueError(
            f"{part}: expected Google Colab, found another place; give the path of a picture or its address."
        ) from None


def to_cifar_size(image, how="crop"):
    """Reduce a picture to the 32×32 pixels of CIFAR-10, every pixel an average so that fine patterns become even.

    Args:
        image: PIL image of any size, or a uint8 array of shape (height, width, 3), or what `load_image` reads.
        how: "crop" cuts out the largest square in the middle; "squash" keeps everything and changes the proportions;
            "pad" keeps everything and the proportions, with `PAD_COLOUR`, the mean of CIFAR-10, at the sides.

    Returns:
        uint8 array, shape (32, 32, 3), values 0 to 255. Of a picture of 32×32 pixels nothing changes.

    Raises:
        ValueError: if `how` is unknown, an array is not of that kind, or the picture cannot be read.
    """
    if how not in WAYS:
        raise ValueError(f"to_cifar_size: expected how to be one of {', '.join(WAYS)}; found {how!r}.")
    image = Image.fromarray(_checked(image, "height, width, 3")) if _is_array(image) else load_image(image)
    if how == "crop":
        return np.array(ImageOps.fit(image, _SIZE, Image.Resampling.LANCZOS))
    if how == "squash":
        return np.array(image.resize(_SIZE, Image.Resampling.LANCZOS))
    width, height = (max(1, round(32 * side / max(image.size))) for side in image.size)
    padded = Image.new("RGB", _SIZE, PAD_COLOUR)
    padded.paste(image.resize((width, height), Image.Resampling.LANCZOS), ((32 - width) // 2, (32 - height) // 2))
    return np.array(padded)


def classify(
    model, images, *, how="crop", views=1, batch_size=1_000, class_names=CLASS_NAMES, score="energy", threshold=None
):
    """Name the class of one or thousands of pictures, each with how sure the model is.

    Args:
        model: Keras model, pixels 0 to 255 to logits; softmax is applied here, once.
        images: `Pictures` of `load_folder`; or a uint8 array of shape (n, height, width, 3); or one picture, or a list,
            generator or dict (from name) of pictures of any sizes, each a PIL image, a uint8 array of shape
            (height, width, 3) or what `load_image` reads.
        how: "crop", "squash" or "pad", as in `to_cifar_size`.
        views: 1, 2 or 6, as in `utils.training.predict_views`.
        batch_size: pictures in a batch.
        class_names: names of the classes in the order of the logits, at least two.
        score: "energy" (the negative energy of `utils.evaluation`) or "confidence": what `threshold` is compared with,
            higher for what looks known.
        threshold: pictures of a score below it are not known; None for no such answer. Choose it by
            `utils.evaluation.rejection_threshold` on scores of validation images, with the same `views`.

    Returns:
        A pandas DataFrame of one row a picture in the order given, unreadable ones of a folder behind. Columns: `file`
        (name, path or position), `class`, `confidence` (its probability), `second guess`, `score`, with a threshold
        `known` (True or False), one probability for every class, and where a picture was unreadable `reason`.

    Raises:
        FileNotFoundError: if a path that is not from `load_folder` leads to no file.
        ValueError: if there is no picture, one cannot be read, an array is not uint8 (such as pixels already divided by
            255), the model returns probabilities or another number of classes, or an option is unknown.

    Source: Liu et al. 2020, "Energy-based Out-of-distribution Detection" (the energy as a score).
    """
    if score not in ("energy", "confidence"):
        raise ValueError(f"classify: expected score to be energy or confidence; found {score!r}.")
    names, pixels = _names_and_pixels(images, how)
    unreadable = getattr(images, "unreadable", {})
    if not names and not unreadable:
        raise ValueError("classify: expected at least one picture, found none; give it a picture or a list of them.")
    logits = _logits(model, pixels, views, batch_size, class_names)
    table = _answers(logits, class_names, score, threshold).reindex(range(len(names) + len(unreadable)))
    table.insert(0, "file", [*names, *unreadable])
    if unreadable:
        table["reason"] = [None] * len(names) + list(unreadable.values())
    return table


def _refusal(name, expected, found, remedy):
    return f"{name}: expected {expected}, found {found}; {remedy}."


def _name(source):
    """What messages call the source."""
    if isinstance(source, _PATH):
        name = " ".join(os.fspath(source).split())
        return name if len(name) <= 200 else f"{name[:80]}…"
    return str(getattr(source, "name", None) or getattr(source, "filename", None) or "the picture")


def _read(source, name, seconds):
    """The bytes of a source, at most `MOST_BYTES`."""
    if isinstance(source, _BYTES):
        content = bytes(source)
    elif hasattr(source, "read"):
        if hasattr(source, "encoding"):
            raise ValueError(_refusal(name, "a file opened in binary mode", "text mode", "open it with mode 'rb'"))
        content = source.read(MOST_BYTES + 1)
    elif isinstance(source, str) and (scheme := re.match(r"\s*(data(?=:)|[a-z][a-z0-9+.-]+(?=://))", source, re.I)):
        if scheme[1].lower() not in ("http", "https"):
            remedy = "save the picture as a file and give its path"
            raise ValueError(_refusal(name, "a path, or an http or https address", f"{scheme[1]}:", remedy))
        content = _read_url(source.strip(), name, seconds)
    elif isinstance(source, _PATH):
        content = _read_file(Path(os.path.expanduser(source)), name)
    else:
        expected = "a path, an http or https address, bytes, a file opened in binary mode or a PIL image"
        raise ValueError(f"load_image: expected {expected}; found {type(source).__name__}.")
    if len(content) > MOST_BYTES:
        raise ValueError(_refusal(name, f"at most {MOST_BYTES / 1e6:.0f} MB", "more", f"{_SAVE_AS} in a smaller size"))
    return content


def _read_file(path, name):
    try:
        kind = path.stat().st_mode
        if stat.S_ISREG(kind):
            with open(path, "rb") as file:
                return file.read(MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise FileNotFoundError(_refusal(name, "a picture file", "none", _instead_of(path))) from None
    except OSError as error:
        found = f"one that cannot be opened ({error.strerror})"
        raise ValueError(_refusal(name, "a picture file", found, "check its name and permissions")) from error
    found = "a folder" if stat.S_ISDIR(kind) else "a device or a pipe"
    raise ValueError(_refusal(name, "a picture file", found, "give the path of a file, or a folder to load_folder"))


def _instead_of(path):
    """What to do about a missing file: take a similar name, or another picture, of its folder."""
    try:
        names = {other.name.lower(): other.name for other in _pictures_in(path.parent)}
    except (ValueError, FileNotFoundError):
        return f"correct the path, as there is no folder {path.parent} either (an address begins with https://)"
    if similar := difflib.get_close_matches(path.name.lower(), names):
        return f"similar names there: {', '.join(names[lower] for lower in similar)}"
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"the pictures there: {', '.join(list(names.values())[:5]) or 'none'}{more}"


def _pictures_in(folder):
    """Paths of a folder's pictures by name, numbers in it by value."""
    folder = Path(os.path.expanduser(folder))
    try:
        paths = [path for path in folder.iterdir() if path.suffix.lower() in _ENDINGS | _OTHER_ENDINGS]
    except (OSError, ValueError) as error:
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        found = f"none ({getattr(error, 'strerror', error)})"
        raise kind(_refusal(folder, "a folder of pictures", found, "correct the path")) from error

    def by_name(path):
        parts = re.split(r"([0-9]+)", path.name.lower())
        parts[1::2] = map(int, parts[1::2])
        return parts, path.name

    return sorted((path for path in paths if not path.name.startswith(".") and not path.is_dir()), key=by_name)


def _read_url(url, name, seconds):
    """The body behind an address, or a sentence why not, within so many seconds whatever the other side does.

    Hence the thread: no time-out of requests bounds the whole, which may also be the look-up of the name, redirects,
    or an answer that comes byte by byte.
    """
    answer = SimpleQueue()
    threading.Thread(target=lambda: answer.put(_fetch(url, seconds)), daemon=True).start()
    try:
        content = answer.get(timeout=seconds)
    except Empty:
        content = f"nothing complete within {seconds} s"
    if isinstance(content, str):
        remedy = "check the address and the network, or download it in a browser and give its path"
        raise ValueError(_refusal(name, "a picture", content, remedy))
    return content


def _fetch(url, seconds):
    """The body, a little more than `MOST_BYTES` of it at most; or, as a str, why there is none."""
    content, end = bytearray(), time.monotonic() + seconds + 1  # after which nobody waits for it
    try:
        with requests.get(url, headers=_HEADERS, stream=True, timeout=2 * seconds) as response:
            if not response.ok:
                return f"none (the server answered {response.status_code} {response.reason})"
            while len(content) <= MOST_BYTES and (chunk := response.raw.read1(1 << 16, decode_content=False)):
                content += chunk
                if time.monotonic() > end:
                    break
    except Exception as error:  # whatever stops a thread must not be printed from it
        return f"none ({download.why(error, seconds)})"
    return bytes(content)


def _describe(content):
    """What bytes are that are no picture, and what to do about it."""
    start = content[:1_000].removeprefix(b"\xef\xbb\xbf").lstrip()
    if not content:
        return "nothing, 0 bytes", _AGAIN
    if content.startswith(_SIGNATURES):
        return "only the beginning of one, or a damaged one", _AGAIN
    if content[4:8] == b"ftyp":
        return "a HEIC or AVIF photo, or a film", _SAVE_AS
    if b"<svg" in start:
        return "an SVG drawing", _SAVE_AS
    if start.lower().startswith((b"<!doctype html", b"<html", b"<head", b"<script")):
        return "a web page", "open it in a browser and take the address of the picture itself"
    if not re.search(rb"[\0-\x08\x0e-\x1f]", start):
        return "text", f"give the picture itself instead of {' '.join(start.decode('utf-8', 'replace').split())[:40]!r}"
    return f"{len(content):,} bytes of another kind", _SAVE_AS


@contextmanager
def _silent_libraries():
    """Drop what libtiff writes to the standard error of the process about a damaged file, past Python's warnings."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _eight_bit(image):
    """Bring pixels of 16 or 32 bit, which Pillow would cut off at 255, to the range 0 to 255."""
    if image.mode not in ("I", "F") and not image.mode.startswith("I;"):
        return image
    pixels = np.nan_to_num(np.asarray(image)).astype(np.float64)
    low, high = (0, 65_535) if image.mode.startswith("I;16") else (pixels.min(), pixels.max())
    return Image.fromarray(np.round((pixels - low) * (255 / ((high - low) or 1))).astype(np.uint8))


def _on_white(image):
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _is_array(picture):
    return getattr(picture, "ndim", 0) > 1


def _checked(array, shape):
    """The array, if it is of this shape and holds pixels as they come out of a file."""
    array = np.asarray(array)
    if array.ndim != shape.count(",") + 1 or array.shape[-1] != 3 or not array.size:
        raise ValueError(_refusal("the pixels", f"shape ({shape})", array.shape, "put the three colours last"))
    if array.dtype == np.uint8:
        return array
    found = f"{array.dtype} from {array.min():.3g} to {array.max():.3g}"
    remedy = "convert them, if nothing is lost, with astype('uint8')"
    if array.max() <= 1:
        remedy = "they seem divided by 255, which the model does itself: give it the pixels as they were before"
    raise ValueError(_refusal("the pixels", "uint8 from 0 to 255", found, remedy))


def _names_and_pixels(images, how):
    """Names of pictures and their pixels, uint8 of shape (n, 32, 32, 3)."""
    if _is_array(images) and images.ndim == 4:
        images = _checked(images, "n, height, width, 3")
        if images.shape[1:3] == _SIZE:
            return range(len(images)), images
    elif _is_one(images):
        images = [images]
    if isinstance(images, Mapping):
        named = images.items()
    else:
        named = ((os.fspath(image) if isinstance(image, _PATH) else row, image) for row, image in enumerate(images))
    names, pixels = [], []
    for name, image in named:
        names.append(name)
        pixels.append(to_cifar_size(image, how))
    return names, np.array(pixels, np.uint8).reshape(-1, *_SIZE, 3)


def _is_one(images):
    of_one = isinstance(images, _PATH + _BYTES) or hasattr(images, "read") or _is_array(images)
    return of_one or not isinstance(images, Iterable)


def _logits(model, pixels, views, batch_size, class_names):
    if not len(pixels):
        return np.empty((0, len(class_names)))
    from utils.evaluation import are_probabilities
    from utils.training import predict_views

    logits = np.asarray(predict_views(model, pixels, views, batch_size), np.float64)
    if logits.shape != (len(pixels), len(class_names)):
        raise ValueError(
            f"classify: expected a model with one logit for each of {', '.join(class_names)}; found an output of shape "
            f"{logits.shape}; give the names of its own classes as class_names."
        )
    if not np.isfinite(logits).all():
        raise ValueError("classify: expected finite logits, found NaN or infinite ones; train or load the model again.")
    if are_probabilities(logits):
        raise ValueError(
            "classify: expected a model that returns logits, found one that returns probabilities, on which softmax "
            "would be applied a second time; build its last layer without activation."
        )
    return logits


def _answers(logits, class_names, score, threshold):
    probabilities = softmax(logits, axis=1)
    ranked = np.array(class_names, object)[probabilities.argsort(axis=1)]
    confidence = probabilities.max(axis=1)
    table = {"class": ranked[:, -1], "confidence": confidence, "second guess": ranked[:, -2]}
    table["score"] = logsumexp(logits, axis=1) if score == "energy" else confidence
    if threshold is not None:
        table["known"] = table["score"] >= threshold
    return pd.DataFrame(table).join(pd.DataFrame(probabilities, columns=list(class_names)))
