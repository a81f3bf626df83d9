"""The figures of the series: data in, Axes or Figure out, never shown here.

Blue means right or training, vermillion wrong or validation, and a word or a line style always says the same. Colours:
Wong 2011, "Points of view: Color blindness", Nature Methods 8, 441; vermillion and green darkened for text on white,
green so far that it differs from grey for people who see no green.
"""

from contextlib import contextmanager

import matplotlib.pyplot as plt
import numpy as np

from utils.data import CLASS_NAMES

BLUE, VERMILLION, GREEN, GREY = "#0072B2", "#BF5300", "#00523C", "#6B6B6B"
WIDTH = 8.3  # inches: with the border that Jupyter adds 841 pixels, which fit in JupyterLab beside its open side bar
SMALL = 10  # points, of numbers and captions where space is short: as large as the text of a notebook
SPLIT_STYLES = {
    "training": {"color": BLUE},
    "validation": {"color": VERMILLION, "hatch": "///"},
    "test": {"color": GREEN, "hatch": "..."},
}


@contextmanager
def unmarked():
    """A context for figures that show no images of this run: the stand-in's mark stays away."""
    hooks = plt.rcParams["figure.hooks"]  # not rc_context, which would also undo what a first figure sets in a notebook
    plt.rcParams["figure.hooks"] = []
    try:
        yield
    finally:
        plt.rcParams["figure.hooks"] = hooks


def _panels(count, columns, height, width=WIDTH):
    """Return a Figure, `width` inches wide, with `count` Axes in rows of `columns`, each row `height` inches high."""
    rows = -(-count // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(width, rows * height + 0.5), squeeze=False)
    for axis in axes.flat[count:]:
        axis.remove()
    return figure, list(axes.flat[:count])


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
    figure, axes = _panels(len(images), columns, height=size + 0.3, width=columns * size)
    for axis, image, caption in zip(axes, images, captions, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set(visible=True, color=GREY, linewidth=0.5)  # a white image would look like none
        axis.set_title(caption, fontsize=11)
    figure.suptitle(heading)
    return figure


def class_counts(splits):
    """Draw how many images each class has in each split.

    Args:
        splits: dict from the name of a split ("training", "validation", "test") to its labels, integers 0 to 9.

    Returns:
        The Axes.
    """
    _, axis = plt.subplots(figsize=(WIDTH, 4))
    width = 0.8 / len(splits)
    for number, (name, labels) in enumerate(splits.items()):
        places = np.arange(len(CLASS_NAMES)) + (number - (len(splits) - 1) / 2) * width
        counts = np.bincount(labels, minlength=len(CLASS_NAMES))
        axis.bar(places, counts, width, label=name, edgecolor="white", linewidth=0, **SPLIT_STYLES[name])
    axis.set_xticks(range(len(CLASS_NAMES)), CLASS_NAMES, rotation=30, ha="right")
    axis.set(ylabel="images", title="Images of each class in each split")
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
    figure, axes = plt.subplots(1, 4, figsize=(WIDTH, 2.7), sharey=True)
    axes[0].imshow(image)
    axes[0].set_title("all three")
    for number, name in enumerate(("red", "green", "blue")):
        shown = axes[number + 1].imshow(image[..., number], cmap="gray", vmin=0, vmax=255)
        axes[number + 1].set_title(f"{name} channel")
    for axis in axes:
        axis.set(xlabel="column", xticks=[0, 15, 31], yticks=[0, 15, 31])
    axes[0].set_ylabel("row")
    figure.colorbar(shown, ax=axes, label="pixel value", ticks=[0, 64, 128, 192, 255], shrink=0.8)
    figure.suptitle(caption)
    return figure


def pixel_histogram(counts):
    """Draw how often each pixel value occurs in the red, green and blue channel.

    Args:
        counts: integers, shape (3, 256): how many pixels of the channel have the value 0, 1, ... 255.

    Returns:
        The Axes.
    """
    _, axis = plt.subplots(figsize=(WIDTH, 3.8))
    styles = (("red", VERMILLION, "--"), ("green", GREEN, ":"), ("blue", BLUE, "-"))
    for channel, (name, colour, style) in zip(counts, styles, strict=True):
        axis.plot(100 * channel / channel.sum(), style, color=colour, label=f"{name} channel")
    axis.set(xlabel="pixel value", ylabel="share of the pixels (%)", xticks=[0, 64, 128, 192, 255], ylim=(0, None))
    axis.set_title("How often each pixel value occurs")
    axis.figure.legend(ncols=3, loc="outside lower center", frameon=False)
    return axis


def label_histograms(batches, heading):
    """Draw how many images of each class several batches hold, one panel a batch.

    Args:
        batches: dict from a caption to the labels of a batch, integers 0 to 9.
        heading: title of the figure.

    Returns:
        The Figure.
    """
    figure, axes = plt.subplots(1, len(batches), figsize=(WIDTH, 3.8), sharey=True, squeeze=False)
    for axis, (caption, labels) in zip(axes.flat, batches.items(), strict=True):
        axis.bar(CLASS_NAMES, np.bincount(labels, minlength=len(CLASS_NAMES)), color=BLUE)
        axis.set_title(caption)
        axis.tick_params(axis="x", rotation=90)
    axes[0, 0].set_ylabel("images in the batch")
    figure.suptitle(heading)
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
    figure, axes = _panels(len(maps) + 1, columns=min(3, len(maps) + 1), height=3)
    largest = max(np.abs(values).max() for values in maps.values())
    for axis, (caption, values) in zip(axes, {"the image": image, **maps}.items(), strict=True):
        shown = axis.imshow(values, cmap="cividis", vmin=-largest, vmax=largest)
        axis.set_title(caption)
        axis.set(xlabel="column", ylabel="row", xticks=[0, values.shape[1] - 1], yticks=[0, values.shape[0] - 1])
    bar = {"location": "bottom", "shrink": 0.6, "aspect": 30, "ticks": plt.MaxNLocator(5)}
    figure.colorbar(shown, ax=axes, label="output of the filter", **bar)
    figure.suptitle(heading)
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
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 4))
    for axis, key, label in zip(axes, ("loss", "accuracy"), ("loss (cross-entropy)", "accuracy"), strict=True):
        _draw_course(axis, history, key)
        if best_epoch is not None:
            axis.axvline(best_epoch, color=GREY, linestyle=":", label="best epoch")
        axis.set_ylabel(label)
    figure.legend(*axis.get_legend_handles_labels(), ncols=3, loc="outside lower center", frameon=False)
    figure.suptitle(heading)
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
    figure, axes = plt.subplots(1, len(histories), figsize=(WIDTH, 4), sharey=True, squeeze=False)
    for axis, (name, history) in zip(axes.flat, histories.items(), strict=True):
        _draw_course(axis, history, key)
        axis.set_ylabel(key)
        axis.set_title(name)
    figure.legend(*axis.get_legend_handles_labels(), ncols=2, loc="outside lower center", frameon=False)
    figure.suptitle(heading)
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
    size = (WIDTH, 1.3 + 0.4 * len(table))
    figure, axes = plt.subplots(1, len(table.columns), figsize=size, sharey=True, squeeze=False)
    for axis, column in zip(axes.flat, table.columns, strict=True):
        drawn = axis.barh(table.index, table[column], color=BLUE)
        axis.bar_label(drawn, [_short(number) for number in table[column]], padding=3, fontsize=SMALL)
        axis.margins(x=0.3)
        axis.xaxis.set_major_locator(plt.MaxNLocator(3))
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
    figure, axis = plt.subplots(figsize=(WIDTH, 1.2 + 0.4 * len(table)))
    axis.hlines(table.index, table["lowest (%)"], table["highest (%)"], color=GREY, linewidth=2)
    means = table["validation, mean (%)"]
    axis.plot(means, table.index, "o", color=BLUE, markersize=7)
    for row, mean in enumerate(means):
        axis.annotate(f"{mean:.1f}", (mean, row), (0, 7), textcoords="offset points", ha="center", fontsize=SMALL)
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
    figure, axes = plt.subplots(1, len(matrices), figsize=(WIDTH, 3.9), squeeze=False)
    for axis, (caption, matrix) in zip(axes.flat, matrices.items(), strict=True):
        shown = axis.imshow(matrix, cmap="cividis", vmin=-1, vmax=1)
        ticks = range(0, len(matrix), max(1, len(matrix) // 4))
        axis.set(xlabel="number in the patch", xticks=ticks, yticks=ticks)
        axis.set_title(caption)
    axes[0, 0].set_ylabel("number")
    figure.colorbar(shown, ax=axes, label="correlation", ticks=[-1, -0.5, 0, 0.5, 1])
    figure.suptitle(heading)
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
        _, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.2), width_ratios=(1, 2))
    picture, bars = axes
    answer = int(np.argmax(probabilities))
    verdict, colour = ("right", BLUE) if answer == label else ("wrong", VERMILLION)
    picture.imshow(image)
    picture.set_title(f"{CLASS_NAMES[answer]} {probabilities[answer]:.0%}: {verdict}", color=colour, loc="left")
    picture.set(xticks=[], yticks=[], anchor="N")
    picture.set_xlabel(f"truth: {CLASS_NAMES[label]}", loc="left")
    colours = [GREY] * len(CLASS_NAMES)
    colours[answer] = colour
    bars.barh(CLASS_NAMES, probabilities, color=colours)
    bars.invert_yaxis()
    bars.set(xlim=(0, 1), xticks=[0, 0.5, 1])
    if bars.get_subplotspec().is_last_row():
        bars.set_xlabel("probability")
    figure = picture.figure
    figure.suptitle("What the model answers")
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
    size = (WIDTH, 2.2 * rows + 0.5)
    figure, axes = plt.subplots(rows, 2 * columns, figsize=size, width_ratios=(1.6, 1) * columns)
    for number, pair in enumerate(np.reshape(axes, (rows * columns, 2))):
        prediction(images[number], probabilities[number], int(labels[number]), pair)
        pair[0].xaxis.label.set_fontsize(SMALL)
        pair[1].tick_params(labelsize=SMALL)
    return figure


def heat_map(matrix, heading, label, digits=0, mistakes_only=False):
    """Draw a confusion matrix, every number in its cell.

    Args:
        matrix: square DataFrame, one row a true class, one column an answer: counts, or shares in per cent.
        heading: title of the figure.
        label: what the numbers are, with their unit.
        digits: digits after the point.
        mistakes_only: whether the diagonal stays without colour, so that the scale is that of the mistakes.

    Returns:
        The Axes.
    """
    import seaborn

    _, axis = plt.subplots(figsize=(WIDTH, 7))
    diagonal = np.eye(len(matrix), dtype=bool)
    seaborn.heatmap(
        matrix, mask=diagonal & mistakes_only, annot=True, fmt=f".{digits}f", annot_kws={"fontsize": SMALL},
        cmap="Blues", vmin=0, linewidths=0.5, cbar_kws={"label": label}, ax=axis,
    )  # fmt: skip
    cells = axis.collections[0]
    for text in axis.texts:
        column, row = (int(place) for place in text.get_position())
        text.set_color(_readable_on(cells.cmap(cells.norm(matrix.iat[row, column]))))
    axis.set_facecolor("#EEEEEE")
    if mistakes_only:
        middle = {"ha": "center", "va": "center", "fontsize": SMALL, "color": GREY}
        for place, value in enumerate(np.diagonal(matrix)):
            axis.text(place + 0.5, place + 0.5, f"{value:.{digits}f}", **middle)
    axis.set(xlabel="what the model answers", ylabel="what it is", title=heading)
    axis.tick_params(length=0)
    axis.tick_params(axis="y", rotation=0)
    plt.setp(axis.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
    return axis


def _readable_on(background):
    """Black or white, whichever has the higher contrast on a colour.

    Source: Web Content Accessibility Guidelines 2.1, relative luminance; at 0.179 both have a contrast of 4.58 to 1.
    """
    channels = np.asarray(background[:3])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return "white" if linear @ (0.2126, 0.7152, 0.0722) < 0.179 else "black"


def interval_histogram(values, low, high, heading, label):
    """Draw how often each value came out, and the bounds of the interval that was taken from them.

    Args:
        values: numbers, shape (n,).
        low: lower bound.
        high: upper bound.
        heading: title of the figure.
        label: what the values are, with their unit.

    Returns:
        The Axes.
    """
    _, axis = plt.subplots(figsize=(WIDTH, 3.2))
    axis.hist(values, bins=30, color=BLUE, alpha=0.8)
    for bound in (low, high):
        axis.axvline(bound, color=VERMILLION, linestyle="--", label="bounds of the interval" if bound is low else None)
    axis.set(xlabel=label, ylabel="how often", title=heading)
    axis.figure.legend(loc="outside lower center", frameon=False)
    return axis


def precision_recall(curves, heading, columns=5):
    """Draw precision against recall, one panel a class.

    Args:
        curves: dict from the name of a class to `(precision, recall, average)`: two arrays of the same length, as
            `sklearn.metrics.precision_recall_curve` returns them first, and the average precision, 0 to 1.
        heading: title of the figure.
        columns: panels in a row.

    Returns:
        The Figure.
    """
    figure, axes = _panels(len(curves), min(columns, len(curves)), height=2.4)
    for axis, (name, (precision, recall, average)) in zip(axes, curves.items(), strict=True):
        axis.step(recall, precision, where="post", color=BLUE)
        axis.fill_between(recall, precision, step="post", color=BLUE, alpha=0.15)
        axis.set_title(f"{name}\naverage {average:.2f}", fontsize=11)
        axis.set(xlim=(0, 1.02), ylim=(0, 1.05), xticks=[0, 1], yticks=[0, 1], xlabel="recall", ylabel="precision")
        axis.grid(alpha=0.3)
    figure.suptitle(heading)
    return figure


def reliability_diagram(tables, heading):
    """Draw how many answers of each confidence are right, and below how many answers have that confidence.

    Args:
        tables: dict from a caption to what `utils.evaluation.reliability` returns.
        heading: title of the figure.

    Returns:
        The Figure.
    """
    figure, axes = plt.subplots(
        2, len(tables), figsize=(WIDTH, 6), height_ratios=(3, 1), sharex=True, sharey="row",
        squeeze=False,
    )  # fmt: skip
    for (upper, lower), (caption, table) in zip(axes.T, tables.items(), strict=True):
        widths = table["to"] - table["from"]
        upper.bar(table["from"], table["accuracy"], widths, align="edge", color=BLUE, edgecolor="white", alpha=0.8)
        upper.plot([0, 1], [0, 1], "--", color=VERMILLION, label="as often right as it says")
        upper.set(xlabel="confidence", ylabel="share right", xlim=(0, 1), ylim=(0, 1))
        upper.set_title(caption)
        lower.bar(table["from"], table["images"], widths, align="edge", color=GREY, edgecolor="white")
        lower.set(xlabel="confidence", ylabel="images")
    figure.legend(*upper.get_legend_handles_labels(), loc="outside lower center", frameon=False)
    figure.suptitle(heading)
    return figure


def class_accuracies(table, heading):
    """Draw a model's accuracy on each class as a dot with its interval, and that of people as a square.

    Args:
        table: DataFrame of percentages, one row a class: "model", "low", "high" and "people".
        heading: title of the figure.

    Returns:
        The Axes.
    """
    _, axis = plt.subplots(figsize=(WIDTH, 5))
    places = np.arange(len(table))
    axis.hlines(places - 0.12, table["low"], table["high"], color=BLUE, linewidth=2)
    axis.plot(table["model"], places - 0.12, "o", color=BLUE, label="model, with its 95% interval")
    axis.plot(table["people"], places + 0.12, "s", color=VERMILLION, label="people, one judgement")
    axis.set_yticks(places, table.index)
    axis.invert_yaxis()
    axis.set(xlabel="right (%)", ylabel="class", title=heading)
    axis.grid(axis="x", alpha=0.3)
    axis.figure.legend(ncols=2, loc="outside lower center", frameon=False)
    return axis


def feature_maps(maps, heading):
    """Show feature maps of one image, one row a layer, each map in its own scale from dark (least) to bright (most).

    Args:
        maps: dict from the caption of a row to a float array, shape (rows, columns, maps), the same number of maps in
            each.
        heading: title of the figure.

    Returns:
        The Figure.
    """
    count = next(iter(maps.values())).shape[-1]
    figure, axes = plt.subplots(len(maps), count, figsize=(WIDTH, 1.15 * len(maps) + 0.5), squeeze=False)
    for row, (caption, values) in zip(axes, maps.items(), strict=True):
        for number, axis in enumerate(row):
            axis.imshow(values[..., number], cmap="cividis")
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(caption, fontsize=SMALL)
    figure.suptitle(heading)
    return figure


def photo_answer(photo, pixels, probabilities, heading):
    """Show a photo, the pixels that the model gets of it, and the probabilities of the classes.

    The stand-in is not marked: the picture is the reader's own.

    Args:
        photo: PIL image or uint8 array, shape (height, width, 3).
        pixels: uint8, shape (32, 32, 3).
        probabilities: Series of values 0 to 1; its index names the classes.
        heading: title of the figure.

    Returns:
        The Figure.
    """
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(WIDTH, 3.2), width_ratios=(1.3, 1, 1.2))
    for axis, image, caption in ((left, np.asarray(photo), "the photo"), (middle, pixels, "what the model gets")):
        axis.imshow(image)
        axis.set_title(caption)
        axis.set(xticks=[], yticks=[], xlabel=f"{image.shape[1]} × {image.shape[0]} pixels")
    answer = probabilities.idxmax()
    colours = [BLUE if name == answer else GREY for name in probabilities.index]
    drawn = right.barh(probabilities.index, probabilities, color=colours)
    right.bar_label(drawn, [f"{share:.0%}" for share in probabilities], padding=3, fontsize=SMALL)
    right.invert_yaxis()
    right.set(xlim=(0, 1.25), xticks=[0, 0.5, 1], xlabel="probability")
    right.set_title(f"answer: {answer}", color=BLUE)
    figure.suptitle(heading)
    return figure


def scores(groups, threshold, label, heading):
    """Draw the scores of groups of pictures, one row a group and one dot a picture, with the threshold as a line.

    Pictures below the threshold, which are rejected, are vermillion crosses. So that no far group squeezes the others
    together, the axis ends half the width of the first group beyond it; what lies farther is drawn at its end.

    Args:
        groups: dict from a name to float scores, shape (n,); the familiar pictures first.
        threshold: pictures of a lower score are rejected.
        label: what the score is.
        heading: title of the figure.

    Returns:
        The Axes.
    """
    _, axis = plt.subplots(figsize=(WIDTH, 1.4 + 0.55 * len(groups)))
    kept = {"marker": "o", "color": BLUE, "markersize": 3.5, "alpha": 0.5, "label": "kept"}
    rejected = {"marker": "x", "color": VERMILLION, "markersize": 4, "label": "rejected"}
    random = np.random.default_rng(0)
    familiar = np.asarray(next(iter(groups.values())))
    low, high = familiar.min() - np.ptp(familiar) / 2, familiar.max() + np.ptp(familiar) / 2
    for row, values in enumerate(map(np.asarray, groups.values())):
        places = row + random.uniform(-0.28, 0.28, len(values))
        for chosen, style in ((values >= threshold, kept), (values < threshold, rejected)):
            axis.plot(values[chosen].clip(low, high), places[chosen], linestyle="", **style)
            style["label"] = None  # one entry of each kind in the legend is enough
    axis.axvline(threshold, color=GREY, linestyle="--", label="threshold")
    axis.set_yticks(range(len(groups)), groups)
    axis.set(xlabel=label, ylabel="pictures", ylim=(len(groups) - 0.4, -0.6))
    axis.set_title(heading)
    axis.figure.legend(ncols=3, loc="outside lower center", frameon=False)
    return axis


def occlusion(image, changes, heading):
    """Show an image beside what hiding each part of it does to an answer.

    The stand-in is not marked: the picture is the reader's own.

    Args:
        image: uint8, shape (height, width, 3).
        changes: float array, shape (rows, columns): the change at places spread evenly over the image.
        heading: title of the figure.

    Returns:
        The Figure.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.9))
    height, width = image.shape[:2]
    largest = max(np.abs(changes).max(), 1e-6)
    left.imshow(image)
    left.set_title("what the model gets")
    right.imshow(image.mean(axis=-1), cmap="gray", vmin=0, vmax=255)
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    shown = right.imshow(changes, cmap="PuOr", vmin=-largest, vmax=largest, alpha=0.65, extent=extent)
    right.set_title("where hiding it matters")
    figure.colorbar(shown, ax=right, label="change of the logit")
    for axis in (left, right):
        axis.set(xlabel="column", xticks=[0, width - 1], yticks=[0, height - 1])
    left.set_ylabel("row")
    figure.suptitle(heading)
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
    _, axis = plt.subplots(figsize=(WIDTH, 4))
    axis.plot(rates.index, rates, "o-", color=BLUE)
    axis.set_xscale("log", base=2)
    axis.set_xticks(rates.index, [f"{size:,}" for size in rates.index])
    axis.minorticks_off()
    axis.yaxis.set_major_formatter(lambda place, _: f"{place:,.0f}")
    axis.set(xlabel="images in a global batch", ylabel="images a second", ylim=(0, 1.1 * rates.max()))
    axis.grid(alpha=0.3)
    axis.set_title(heading)
    return axis
