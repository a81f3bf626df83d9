"""Figures say what they show in words as well as colours, own up to the stand-in, and refuse what they cannot show."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt

from tests.tools import form
from utils import plotting
from utils.data import CLASS_NAMES

matplotlib.use("Agg")

STYLE = Path(plotting.__file__).with_name("tutorial.mplstyle")
MARKED = {"figure.hooks": ["utils.data:mark_as_stand_in"]}
BORDER = 10  # pixels that Jupyter adds on each side
HISTORY = {"loss": [2.0, 1.5], "accuracy": [0.3, 0.4], "val_loss": [1.9, 1.6], "val_accuracy": [0.35, 0.38]}
IMAGES = np.random.default_rng(0).integers(0, 256, (15, 32, 32, 3), np.uint8)
IMAGE = IMAGES[0]
PROBABILITIES = np.random.default_rng(1).dirichlet(np.ones(10), 15)
LABELS = np.arange(15) % 10
UNSURE = [0.1] * 10


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context({"figure.max_open_warning": 0}):
        plt.style.use(STYLE)
        yield
    plt.close("all")


def every_figure():
    yield plotting.image_grid(IMAGES, [CLASS_NAMES[label] for label in LABELS], heading="Fifteen images")
    yield plotting.image_grid(IMAGES[:12], list("abcdefghijkl"), columns=12, heading="Twelve filters", size=0.69)
    yield plotting.learning_curves(HISTORY, best_epoch=1)
    yield plotting.prediction_grid(IMAGES, PROBABILITIES, LABELS, rows=1, columns=1)
    yield plotting.prediction_grid(IMAGES, PROBABILITIES, LABELS)


def one_prediction(probabilities, label):
    return plotting.prediction_grid([IMAGE], [probabilities], [label], rows=1, columns=1)


def mark(figure):
    return figure.get_supylabel().replace("\n", " ")


def test_only_the_stand_in_is_marked_and_it_is_marked_in_every_figure_that_shows_images_of_the_run():
    assert {mark(figure) for figure in every_figure()} == {""}
    with plt.rc_context(MARKED):
        assert {mark(figure) for figure in every_figure()} == {"synthetic stand-in, not CIFAR-10"}
        with plotting.unmarked():
            assert mark(plt.figure()) == ""
        assert mark(plt.figure())


def test_the_mark_covers_nothing():
    with plt.rc_context(MARKED):
        for figure in every_figure():
            figure.canvas.draw()
            red = next(text for text in figure.texts if text.get_bbox_patch()).get_bbox_patch().get_window_extent()
            assert red.x0 >= 0 and red.y0 >= 0 and red.y1 <= figure.bbox.height
            assert not any(red.overlaps(axis.get_tightbbox()) for axis in figure.axes), figure.get_suptitle()


@pytest.mark.parametrize("hooks", [{}, MARKED], ids=["plain", "marked"])
def test_every_figure_has_a_title_names_its_axes_and_fits_on_its_canvas_and_in_jupyterlab(hooks):
    with plt.rc_context(hooks):
        figures = [*every_figure()]
    for figure in figures:
        figure.canvas.draw()
        assert figure.get_suptitle() or figure.axes[0].get_title()
        assert all(axis.get_xlabel() and axis.get_ylabel() for axis in figure.axes if axis.lines)
        width, height = figure.canvas.get_width_height()
        inside = figure.get_tightbbox().transformed(figure.dpi_scale_trans)
        assert inside.width + 2 * BORDER <= form.WIDEST_FIGURE
        assert inside.x0 >= -2 and inside.y0 >= -2 and inside.x1 <= width + 2 and inside.y1 <= height + 2


def test_a_grid_shows_every_image_with_its_caption():
    axes = plotting.image_grid(IMAGES[:7], list("abcdefg"), columns=3, heading="Seven").axes
    assert [axis.get_title() for axis in axes] == list("abcdefg")
    assert all((axis.images[0].get_array() == image).all() for axis, image in zip(axes, IMAGES[:7], strict=True))


def test_learning_curves_tell_training_from_validation_without_colour_and_mark_the_best_epoch():
    figure = plotting.learning_curves(HISTORY, best_epoch=2)
    for axis, key in zip(figure.axes, ("loss", "accuracy"), strict=True):
        training, validation, best = axis.lines
        assert training.get_linestyle() != validation.get_linestyle()
        assert list(training.get_ydata()) == HISTORY[key] and list(validation.get_ydata()) == HISTORY[f"val_{key}"]
        assert list(best.get_xdata()) == [2, 2]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training", "validation", "best epoch"]
    assert [len(axis.lines) for axis in plotting.learning_curves(HISTORY).axes] == [2, 2]


@pytest.mark.parametrize("label, verdict, colour", [(3, "right", plotting.BLUE), (5, "wrong", plotting.VERMILLION)])
def test_right_and_wrong_differ_by_a_word_and_by_colour(label, verdict, colour):
    probabilities = np.full(10, 0.01)
    probabilities[3] = 0.91
    picture, bars = one_prediction(probabilities, label).axes
    assert picture.get_title("left") == f"cat 91%: {verdict}"
    assert picture.get_xlabel() == f"truth: {CLASS_NAMES[label]}"
    assert matplotlib.colors.same_color(bars.patches[3].get_facecolor(), colour)
    assert [bar.get_width() for bar in bars.patches] == pytest.approx(probabilities)


@pytest.mark.parametrize("still, drawn", [("start", [3]), ("ends", [1, 5, 3])])
def test_sliders_that_cannot_be_moved_draw_once_or_at_their_ends(still, drawn, monkeypatch):
    monkeypatch.setenv("TUTORIAL_STILL", still)
    calls = []
    plotting.sliders(lambda number=3: calls.append(number), number=[1, 3, 5])
    assert calls == drawn


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda: plotting.image_grid(IMAGES[:3], ["a", "b"]), "3 images, 2 captions"),
        (lambda: plotting.image_grid([], []), "0 images, 0 captions"),
        (lambda: plotting.image_grid(IMAGES[:1] / 255, ["a"]), r"uint8 .* found float64 \(32, 32, 3\)"),
        (lambda: plotting.image_grid([IMAGES], ["a"]), r"found uint8 \(15, 32, 32, 3\)"),
        (lambda: plotting.learning_curves({"loss": [1.0]}), "no accuracy, val_loss, val_accuracy"),
        (lambda: plotting.learning_curves(HISTORY, best_epoch=0), "best_epoch=0: .* 2 epochs, counted from 1"),
        (lambda: one_prediction(np.linspace(-3, 5, 10), 3), "from 0 to 1, found .* -3 to 5; .*softmax"),
        (lambda: one_prediction(UNSURE[:9], 3), r"expected 10 probabilities .* found shape \(9,\)"),
        (lambda: one_prediction([np.nan] * 10, 3), "nan to nan"),
        (lambda: one_prediction(UNSURE, 10), "label 10"),
        (lambda: one_prediction(UNSURE, -1), "label -1: .* from 0 to 9"),
        (lambda: plotting.prediction_grid(IMAGES, PROBABILITIES[:14], LABELS), "found 15, 14 and 15"),
        (lambda: plotting.prediction_grid(IMAGES, PROBABILITIES, LABELS, rows=6), "6 × 3 images"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_sentence(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
