"""A picture to the pixels that a model sees, and to the model's answer."""

import os
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from PIL import Image, ImageOps
from scipy.special import softmax

from utils.data import CLASS_NAMES
from utils.evaluation import are_probabilities, energy
from utils.networks import PIXEL_MEAN
from utils.pictures import BYTES, PATH, load_image, refusal
from utils.training import predict_views

WAYS = ("crop", "squash", "pad")
PAD_COLOUR = tuple(round(mean) for mean in PIXEL_MEAN)  # the least telling colour


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


def classify(model, images, *, how="crop", views=1, class_names=CLASS_NAMES, threshold=None):
    """Name the class of one or thousands of pictures, each with how sure the model is.

    The model turns pixels 0 to 255 into logits, in the order of `class_names`; softmax is applied here. Images are one
    picture, as for `to_cifar_size`, which explains `how`, or a list, array, dict by name or `Pictures` of any size.
    Returns a DataFrame, one row a picture, unreadable ones last: file or position, class, confidence, calibrated (how
    often it is right), second guess, score (how familiar it is: by the model's `judge` if it has one, else, on another
    scale, minus the energy), known (by the threshold), all probabilities, reason.
    """
    files, pixels = _files_and_pixels(images, how)
    if (size := getattr(model, "input_shape", pixels.shape)[1:]) != pixels.shape[1:]:
        remedy = "train one for this size, as notebook 03 does"
        raise refusal("classify", "a model for images of shape (32, 32, 3)", f"one for {size}", remedy)
    judge = getattr(model, "judge", None)
    answers = predict_views(judge or model, pixels, views, batch_size=1_000)
    logits = _checked(answers[:, :-1] if judge else answers, class_names)
    probabilities = softmax(logits, axis=1)
    ranked = np.array(class_names, object)[probabilities.argsort(axis=1)]
    table = pd.DataFrame({"file": files, "class": ranked[:, -1], "confidence": probabilities.max(axis=1)})
    points = getattr(model, "calibration", {}).get(str(views))
    table["calibrated"] = np.interp(table["confidence"], *points) if points else "not calibrated"
    table["second guess"], table["score"] = ranked[:, -2], answers[:, -1] if judge else -energy(logits)
    if threshold is not None:
        table["known"] = (table["score"] >= threshold).astype("boolean")  # an unreadable picture has none
    table[list(class_names)] = probabilities
    if unreadable := getattr(images, "unreadable", None):
        table = pd.concat([table, pd.DataFrame(unreadable.items(), columns=["file", "reason"])], ignore_index=True)
    return table


def from_array(pixels):
    """A PIL image of pixels, uint8 (height, width, 3); others are refused with what to give instead."""
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
    raise refusal("the pixels", "uint8 from 0 to 255 of shape (height, width, 3)", found, remedy)


def _files_and_pixels(images, how):
    """What the table calls the pictures, and their pixels, uint8 of shape (n, 32, 32, 3)."""
    is_one = isinstance(images, PATH | BYTES) or hasattr(images, "read") or getattr(images, "ndim", 0) in (2, 3)
    if is_one or not isinstance(images, Iterable):
        images = [images]
    files, pixels = [], []
    for key, image in images.items() if isinstance(images, Mapping) else enumerate(images):
        files.append(os.fspath(image) if isinstance(key, int) and isinstance(image, PATH) else key)
        pixels.append(to_cifar_size(image, how))
    if not files:
        found = "; ".join(getattr(images, "unreadable", {}).values()) or "none"
        raise refusal("classify", "at least one picture", found, "give it a picture or a list of them")
    return files, np.array(pixels)


def _checked(logits, class_names):
    logits = np.asarray(logits, np.float64)
    if logits.shape[1:] != (len(class_names),) or not np.isfinite(logits).all():
        expected = f"one finite logit for each of {', '.join(class_names)}"
        found = f"an output of shape {logits.shape}, {np.isfinite(logits).mean():.0%} of it finite"
        raise refusal("classify", expected, found, "give the model's own class_names, or train it again")
    if are_probabilities(logits):
        found = "probabilities, on which softmax would be applied a second time"
        raise refusal("classify", "a model that returns logits", found, "build its last layer without activation")
    return logits
