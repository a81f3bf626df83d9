"""The figures that several notebooks draw: data in, a Figure out, never shown here.

Blue means right or training, vermillion wrong or validation, and a word or a line style always says the same. Colours:
Wong 2011, "Points of view: Color blindness", Nature Methods 8, 441, darkened for text on white and told apart by all.
"""

import inspect
import os
from contextlib import contextmanager

import matplotlib.pyplot as plt
import numpy as np
from ipywidgets import SelectionSlider, interact

from utils.data import CLASS_NAMES

BLUE, VERMILLION, GREEN, GREY = "#0072B2", "#BF5300", "#00523C", "#6B6B6B"
WIDTH = 8.3  # inches: with the border that Jupyter adds 841 pixels, which fit in JupyterLab beside its open side bar
SMALL = 10  # points, of numbers and captions where space is short: as large as the text of a notebook


@contextmanager
def unmarked():
    """A context for figures that show no images of this run: the stand-in's mark stays away."""
    hooks = plt.rcParams["figure.hooks"]  # not rc_context, which would also undo what a first figure sets in a notebook
    plt.rcParams["figure.hooks"] = []
    try:
        yield
    finally:
        plt.rcParams["figure.hooks"] = hooks


def sliders(draw, **values):
    """Draw with a slider for each named argument of `draw`, over its list of values, beginning at its default.

    With TUTORIAL_STILL=start, as on pages, only the defaults are drawn; =ends, for tests, the ends of each list before.
    """
    still, parameters = os.environ.get("TUTORIAL_STILL"), inspect.signature(draw).parameters
    for name, options in values.items() if still == "ends" else ():
        draw(**{name: options[0]})
        draw(**{name: options[-1]})
    if still:
        return draw()
    for name, options in values.items():
        values[name] = SelectionSlider(options=options, value=parameters[name].default, continuous_update=False)
    interact(draw, **values)


def _pixels(image):
    """Return an image as an array, if it is one that can be shown without guessing its range."""
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)):
        found = f"found {pixels.dtype} {pixels.shape}; choose one of a batch, convert values of 0 to 255 by np.uint8."
        raise ValueError(f"expected an image, uint8 (height, width, 3) or (height, width), {found}")
    return pixels


def image_grid(images, captions, columns=5, heading="", size=1.6):
    """Show images in a grid, `columns` of them, `size` inches wide, in a row, each with a caption above it."""
    if not len(images) == len(captions) > 0:
        raise ValueError(f"expected a caption for each image, found {len(images)} images, {len(captions)} captions.")
    pixels = [_pixels(image) for image in images]
    rows = -(-len(pixels) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(columns * size, rows * (size + 0.3) + 0.5), squeeze=False)
    for axis in axes.flat[len(pixels) :]:
        axis.remove()
    for axis, image, caption in zip(axes.flat, pixels, captions, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set(visible=True, color=GREY, linewidth=0.5)  # a white image would look like none
        axis.set_title(caption, fontsize=11)
    figure.suptitle(heading)
    return figure


def learning_curves(history, heading="Learning curves", best_epoch=None):
    """Draw loss and accuracy of training (solid) and validation (dashed) by epochs of `model.fit(...).history`.

    A dotted line marks `best_epoch`, counted from 1.
    """
    missing = [key for key in ("loss", "accuracy", "val_loss", "val_accuracy") if key not in history]
    if missing:
        remedy = "compile with metrics=['accuracy'] and fit with validation_data."
        raise ValueError(f"the history has no {', '.join(missing)}: {remedy}")
    epochs = range(1, len(history["loss"]) + 1)
    if best_epoch is not None and best_epoch not in epochs:
        raise ValueError(f"best_epoch={best_epoch}: expected one of the {len(epochs)} epochs, counted from 1.")
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 4))
    for axis, key, label in zip(axes, ("loss", "accuracy"), ("loss (cross-entropy)", "accuracy"), strict=True):
        axis.plot(epochs, history[key], "o-", color=BLUE, markersize=4, label="training")
        axis.plot(epochs, history[f"val_{key}"], "s--", color=VERMILLION, markersize=4, label="validation")
        if best_epoch is not None:
            axis.axvline(best_epoch, color=GREY, linestyle=":", label="best epoch")
        axis.set(xlabel="epoch", ylabel=label)
        axis.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axis.grid()
    figure.legend(*axis.get_legend_handles_labels(), ncols=3, loc="outside lower center", frameon=False)
    figure.suptitle(heading)
    return figure


def prediction_grid(images, probabilities, labels, rows=5, columns=3):
    """Show the first rows × columns of n images, with the bars of its ten classes: blue if it is right.

    Images are uint8 (n, 32, 32, 3), probabilities have the shape (n, 10), labels, (n,), are the true classes, 0 to 9.
    """
    if not len(images) == len(probabilities) == len(labels) >= rows * columns:
        found = f"found {len(images)}, {len(probabilities)} and {len(labels)}."
        raise ValueError(f"expected at least {rows} × {columns} images, as many probabilities and labels, {found}")
    size = (WIDTH, 2.2 * rows + 0.5)
    figure, axes = plt.subplots(rows, 2 * columns, figsize=size, width_ratios=(1.6, 1) * columns)
    for number, (picture, bars) in enumerate(axes.reshape(-1, 2)):
        _draw_prediction(picture, bars, images[number], np.asarray(probabilities[number]), labels[number])
    figure.suptitle("What the model answers")
    return figure


def _draw_prediction(picture, bars, image, probabilities, label):
    if label not in range(len(CLASS_NAMES)):
        raise ValueError(f"label {label}: expected the true class, an integer from 0 to {len(CLASS_NAMES) - 1}.")
    if probabilities.shape != (len(CLASS_NAMES),) or not (0 <= probabilities.min() and probabilities.max() < 1.001):
        found = f"shape {probabilities.shape}, {probabilities.min():.3g} to {probabilities.max():.3g}"
        raise ValueError(f"expected {len(CLASS_NAMES)} probabilities from 0 to 1, found {found}; softmax makes them.")
    answer = int(np.argmax(probabilities))
    verdict, colour = ("right", BLUE) if answer == label else ("wrong", VERMILLION)
    bars.barh(CLASS_NAMES, probabilities, color=np.where(np.arange(len(CLASS_NAMES)) == answer, colour, GREY))
    bars.invert_yaxis()
    bars.set_xlim(0, 1)
    bars.set_xlabel("probability" if bars.get_subplotspec().is_last_row() else "", fontsize=SMALL)
    bars.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    bars.tick_params(labelsize=SMALL)
    picture.imshow(_pixels(image))
    picture.set_title(f"{CLASS_NAMES[answer]} {probabilities[answer]:.0%}: {verdict}", color=colour, loc="left")
    picture.set(xticks=[], yticks=[], anchor="N")
    picture.set_xlabel(f"truth: {CLASS_NAMES[label]}", loc="left", fontsize=SMALL)
