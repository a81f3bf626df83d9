"""The figures of the series: data in, Axes or Figure out, never shown here.

Blue means right or training, vermillion wrong or validation, and a word or a line style always says the same. Colours:
Wong 2011, "Points of view: Color blindness", Nature Methods 8, 441; vermillion and green darkened for text on white.
"""

import matplotlib.pyplot as plt
import numpy as np

from utils.data import CLASS_NAMES, STAND_IN

BLUE, VERMILLION, GREEN, GREY = "#0072B2", "#BF5300", "#007A5A", "#6B6B6B"
SPLIT_COLOURS = {"training": BLUE, "validation": VERMILLION, "test": GREEN}

_mark = ""


def use_style():
    """Set font sizes, resolution and grid for every figure that follows."""
    plt.rcParams.update(
        {
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "font.size": 11,
            "axes.titlesize": 12,
            "axes.prop_cycle": plt.cycler(color=[BLUE, VERMILLION, GREEN, GREY]),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": False,
            "image.interpolation": "nearest",
        }
    )


def mark_source(source):
    """Remember where the images come from, so that every later title says so if they are the stand-in.

    Args:
        source: the `source` of a `Cifar10`.
    """
    global _mark
    _mark = f"\n({STAND_IN})" if source == STAND_IN else ""


def title(text):
    """Return `text` as a plot title, followed by the stand-in's mark where `mark_source` was given the stand-in."""
    return text + _mark


def image_grid(images, captions, columns=5, heading="", size=1.6):
    """Show images in a grid, each with a caption above it.

    Args:
        images: sequence of n images, each uint8 (height, width, 3) or (height, width).
        captions: n strings.
        columns: images in a row.
        heading: title of the figure.
        size: width of one image in inches.

    Returns:
        The Figure.
    """
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(columns * size, rows * (size + 0.3) + 0.5), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, caption in zip(axes.flat, images, captions, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255)
        axis.set_title(caption, fontsize=10)
    figure.suptitle(title(heading))
    return figure


def class_counts(splits):
    """Draw how many images each class has in each split.

    Args:
        splits: dict from the name of a split ("training", "validation", "test") to its labels, integers 0 to 9.

    Returns:
        The Axes.
    """
    _, axis = plt.subplots(figsize=(9, 4))
    width = 0.8 / len(splits)
    for number, (name, labels) in enumerate(splits.items()):
        places = np.arange(len(CLASS_NAMES)) + (number - (len(splits) - 1) / 2) * width
        counts = np.bincount(labels, minlength=len(CLASS_NAMES))
        axis.bar(places, counts, width, label=name, color=SPLIT_COLOURS[name])
    axis.set_xticks(range(len(CLASS_NAMES)), CLASS_NAMES, rotation=30, ha="right")
    axis.set(ylabel="images", title=title("Images of each class in each split"))
    axis.figure.legend(ncols=len(splits), loc="outside lower center", frameon=False)
    return axis


def channels(image, caption):
    """Show a colour image beside its red, green and blue channel, with one colour bar in pixel values.

    Args:
        image: uint8, shape (height, width, 3).
        caption: what the image shows, for the title.

    Returns:
        The Figure.
    """
    figure, axes = plt.subplots(1, 4, figsize=(11, 3))
    axes[0].imshow(image)
    axes[0].set_title("all three")
    for number, name in enumerate(("red", "green", "blue")):
        shown = axes[number + 1].imshow(image[..., number], cmap="gray", vmin=0, vmax=255)
        axes[number + 1].set_title(f"{name} channel")
    for axis in axes:
        axis.set(xlabel="column", xticks=[0, 15, 31], yticks=[0, 15, 31])
    axes[0].set_ylabel("row")
    figure.colorbar(shown, ax=axes, label="pixel value", ticks=[0, 64, 128, 192, 255], shrink=0.8)
    figure.suptitle(title(caption))
    return figure


def pixel_histogram(counts):
    """Draw how often each pixel value occurs in the red, green and blue channel.

    Args:
        counts: integers, shape (3, 256): how many pixels of the channel have the value 0, 1, ... 255.

    Returns:
        The Axes.
    """
    _, axis = plt.subplots(figsize=(9, 3.5))
    styles = (("red", VERMILLION, "--"), ("green", GREEN, ":"), ("blue", BLUE, "-"))
    for channel, (name, colour, style) in zip(counts, styles, strict=True):
        axis.plot(100 * channel / channel.sum(), style, color=colour, label=f"{name} channel")
    axis.set(xlabel="pixel value", ylabel="share of the pixels (%)", xticks=[0, 64, 128, 192, 255], ylim=(0, None))
    axis.set_title(title("How often each pixel value occurs"))
    axis.legend(frameon=False)
    return axis


def label_histograms(batches, heading):
    """Draw how many images of each class several batches hold, one panel a batch.

    Args:
        batches: dict from a caption to the labels of a batch, integers 0 to 9.
        heading: title of the figure.

    Returns:
        The Figure.
    """
    figure, axes = plt.subplots(1, len(batches), figsize=(3.6 * len(batches), 3.6), sharey=True, squeeze=False)
    for axis, (caption, labels) in zip(axes.flat, batches.items(), strict=True):
        axis.bar(CLASS_NAMES, np.bincount(labels, minlength=len(CLASS_NAMES)), color=BLUE)
        axis.set_title(caption, fontsize=11)
        axis.tick_params(axis="x", rotation=90)
    axes[0, 0].set_ylabel("images in the batch")
    figure.suptitle(title(heading))
    return figure


def filter_responses(image, maps, heading):
    """Show an image beside what filters make of it, all maps in one scale with zero in its middle.

    Args:
        image: uint8, shape (height, width, 3).
        maps: dict from a caption to a float array, shape (rows, columns), of any size.
        heading: title of the figure.

    Returns:
        The Figure.
    """
    figure, axes = plt.subplots(1, len(maps) + 1, figsize=(2.7 * (len(maps) + 1), 3.6))
    largest = max(np.abs(values).max() for values in maps.values())
    for axis, (caption, values) in zip(axes, {"the image": image, **maps}.items(), strict=True):
        shown = axis.imshow(values, cmap="cividis", vmin=-largest, vmax=largest)
        axis.set_title(caption, fontsize=10)
        axis.set(xlabel="column", xticks=[0, values.shape[1] - 1], yticks=[0, values.shape[0] - 1])
        if values.ndim == 2:
            figure.colorbar(shown, ax=axis, orientation="horizontal", shrink=0.9, label="output of the filter")
    axes[0].set_ylabel("row")
    figure.suptitle(title(heading))
    return figure


def learning_curves(history, heading="Learning curves", best_epoch=None):
    """Draw loss and accuracy of training (solid) and validation (dashed) for every epoch.

    Args:
        history: dict of lists of one number an epoch: "loss", "accuracy", "val_loss", "val_accuracy", as
            `model.fit(...).history` holds them.
        heading: title of the figure.
        best_epoch: number of an epoch, from 1 on, to mark by a dotted line; None for no line.

    Returns:
        The Figure.
    """
    figure, axes = plt.subplots(1, 2, figsize=(10, 4))
    for axis, key, label in zip(axes, ("loss", "accuracy"), ("loss (cross-entropy)", "accuracy"), strict=True):
        _draw_course(axis, history, key)
        if best_epoch is not None:
            axis.axvline(best_epoch, color=GREY, linestyle=":", label="best epoch")
        axis.set_ylabel(label)
        axis.legend(frameon=False)
    figure.suptitle(title(heading))
    return figure


def compare_curves(histories, heading, key="accuracy"):
    """Draw one quantity of several trainings side by side on one scale: training (solid) and validation (dashed).

    Args:
        histories: dict from the name of a training to its history, as for `learning_curves`.
        heading: title of the figure.
        key: "accuracy" or "loss".

    Returns:
        The Figure.
    """
    figure, axes = plt.subplots(1, len(histories), figsize=(5 * len(histories), 4), sharey=True, squeeze=False)
    for axis, (name, history) in zip(axes.flat, histories.items(), strict=True):
        _draw_course(axis, history, key)
        axis.set_ylabel(key)
        axis.set_title(name, fontsize=11)
        axis.legend(frameon=False)
    figure.suptitle(title(heading))
    return figure


def _draw_course(axis, history, key):
    """Draw a quantity over the epochs: training (solid, round marks) and validation (dashed, square marks)."""
    epochs = range(1, len(history[key]) + 1)
    axis.plot(epochs, history[key], "o-", color=BLUE, markersize=4, label="training")
    axis.plot(epochs, history["val_" + key], "s--", color=VERMILLION, markersize=4, label="validation")
    axis.set_xlabel("epoch")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3)


def bars(table, heading):
    """Draw the columns of a table as panels of horizontal bars, one bar a row, with its number at the end.

    It shows no images, so the stand-in is not marked: the numbers may come from records of real images.

    Args:
        table: DataFrame of positive numbers; its index names the bars, its columns the axes.
        heading: title of the figure.

    Returns:
        The Figure.
    """
    size = (9 if len(table.columns) == 1 else 2 + 3 * len(table.columns), 1.3 + 0.4 * len(table))
    figure, axes = plt.subplots(1, len(table.columns), figsize=size, sharey=True, squeeze=False)
    for axis, column in zip(axes.flat, table.columns, strict=True):
        drawn = axis.barh(table.index, table[column], color=BLUE)
        axis.bar_label(drawn, [_short(number) for number in table[column]], padding=3, fontsize=9)
        axis.margins(x=0.2)
        axis.xaxis.set_major_locator(plt.MaxNLocator(4))
        axis.xaxis.set_major_formatter(lambda place, _: f"{place:,g}")
        axis.set_xlabel(column)
    axes[0, 0].invert_yaxis()
    figure.suptitle(heading)
    return figure


def _short(number):
    return f"{number:,.0f}" if number >= 10 else f"{number:.1f}" if number >= 1 else f"{number:.2f}"


def ranges(table, heading):
    """Draw the mean of several trainings as a dot, on a line from the lowest to the highest; one row a setting.

    The stand-in is not marked: the numbers come from records, which say what their images were.

    Args:
        table: DataFrame with the columns "validation, mean (%)", "lowest (%)" and "highest (%)"; its index names the
            rows.
        heading: title of the figure.

    Returns:
        The Figure.
    """
    figure, axis = plt.subplots(figsize=(9, 1.2 + 0.4 * len(table)))
    axis.hlines(table.index, table["lowest (%)"], table["highest (%)"], color=GREY, linewidth=2)
    means = table["validation, mean (%)"]
    axis.plot(means, table.index, "o", color=BLUE, markersize=7)
    for row, mean in enumerate(means):
        axis.annotate(f"{mean:.1f}", (mean, row), (0, 7), textcoords="offset points", ha="center", fontsize=9)
    axis.set(xlabel="validation accuracy (%)", ylabel="trained with", ylim=(len(table) - 0.4, -0.8))
    axis.grid(axis="x", alpha=0.3)
    figure.suptitle(heading)
    return figure


def correlations(matrices, heading):
    """Show matrices of correlations side by side, all in one scale from -1 to 1.

    Args:
        matrices: dict from a caption to a float array, shape (n, n), values -1 to 1.
        heading: title of the figure.

    Returns:
        The Figure.
    """
    figure, axes = plt.subplots(1, len(matrices), figsize=(4 * len(matrices) + 1, 4), squeeze=False)
    for axis, (caption, matrix) in zip(axes.flat, matrices.items(), strict=True):
        shown = axis.imshow(matrix, cmap="cividis", vmin=-1, vmax=1)
        ticks = range(0, len(matrix), max(1, len(matrix) // 4))
        axis.set(xlabel="number in the patch", xticks=ticks, yticks=ticks)
        axis.set_title(caption, fontsize=11)
    axes[0, 0].set_ylabel("number")
    figure.colorbar(shown, ax=axes, label="correlation", ticks=[-1, -0.5, 0, 0.5, 1])
    figure.suptitle(title(heading))
    return figure


def prediction(image, probabilities, label, axes=None):
    """Show an image beside the probabilities of the ten classes: blue where the answer is right, vermillion where not.

    Args:
        image: uint8, shape (32, 32, 3).
        probabilities: shape (10,), values 0 to 1.
        label: the true class, 0 to 9.
        axes: two Axes to draw on; None for a new figure.

    Returns:
        The Figure.
    """
    if axes is None:
        _, axes = plt.subplots(1, 2, figsize=(8, 3.2), width_ratios=(1, 2))
    picture, bars = axes
    answer = int(np.argmax(probabilities))
    verdict, colour = ("right", BLUE) if answer == label else ("wrong", VERMILLION)
    picture.imshow(image)
    picture.set_title(f"{CLASS_NAMES[answer]} {probabilities[answer]:.0%}: {verdict}", color=colour, fontsize=10)
    picture.set(xticks=[], yticks=[], xlabel=f"truth: {CLASS_NAMES[label]}")
    colours = [GREY] * len(CLASS_NAMES)
    colours[answer] = colour
    bars.barh(CLASS_NAMES, probabilities, color=colours)
    bars.invert_yaxis()
    bars.set(xlim=(0, 1), xticks=[0, 0.5, 1])
    if bars.get_subplotspec().is_last_row():
        bars.set_xlabel("probability")
    figure = picture.figure
    figure.suptitle(title("What the model answers"))
    return figure


def prediction_grid(images, probabilities, labels, rows=5, columns=3):
    """Show `prediction` for the first rows × columns images.

    Args:
        images: uint8, shape (n, 32, 32, 3), n at least rows × columns.
        probabilities: shape (n, 10), values 0 to 1.
        labels: shape (n,), values 0 to 9.
        rows: rows of the grid.
        columns: images in a row.

    Returns:
        The Figure.
    """
    figure, axes = plt.subplots(
        rows, 2 * columns, figsize=(3.7 * columns, 2.1 * rows + 0.5), width_ratios=(1.3, 1) * columns
    )
    for number, pair in enumerate(np.reshape(axes, (rows * columns, 2))):
        prediction(images[number], probabilities[number], int(labels[number]), pair)
        pair[1].tick_params(labelsize=8)
    return figure


def throughput(rates, heading):
    """Draw how many images a second a training gets through with batches of different sizes.

    It shows no images, so the stand-in is not marked: how fast a device is does not depend on what they show.

    Args:
        rates: Series of images a second; its index holds the batch sizes, in rising order.
        heading: title of the figure.

    Returns:
        The Axes.
    """
    _, axis = plt.subplots(figsize=(8, 4))
    axis.plot(rates.index, rates, "o-", color=BLUE)
    axis.set_xscale("log", base=2)
    axis.set_xticks(rates.index, [f"{size:,}" for size in rates.index])
    axis.minorticks_off()
    axis.yaxis.set_major_formatter(lambda place, _: f"{place:,.0f}")
    axis.set(xlabel="images in a global batch", ylabel="images a second", ylim=(0, 1.1 * rates.max()))
    axis.grid(alpha=0.3)
    axis.set_title(heading)
    return axis
