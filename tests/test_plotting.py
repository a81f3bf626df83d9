"""Figures say what they show in words as well as colours, and own up to the stand-in."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from tests.tools import form

matplotlib.use("Agg")

from matplotlib import pyplot as plt  # noqa: E402

from utils import plotting  # noqa: E402
from utils.data import CLASS_NAMES, STAND_IN  # noqa: E402


@pytest.fixture(autouse=True)
def clean_figures():
    plotting.use_style()
    yield
    plotting.mark_source("CIFAR-10, official archive")
    plt.close("all")


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (15, 32, 32, 3), np.uint8)


@pytest.fixture
def probabilities():
    return np.random.default_rng(1).dirichlet(np.ones(10), 15)


HISTORY = {"loss": [2.0, 1.5], "accuracy": [0.3, 0.4], "val_loss": [1.9, 1.6], "val_accuracy": [0.35, 0.38]}
COSTS = pd.DataFrame({"seconds": [2.5, 1234.0], "parameters": [1.0, 3.0]}, index=["small", "large"])
RATES = pd.Series([900.0, 3_100.0, 3_000.0], index=[32, 128, 1_024])
RANGES = pd.DataFrame(
    {"validation, mean (%)": [70.0, 72.5, 71.0], "lowest (%)": [69.0, 72.0, 71.0], "highest (%)": [71.5, 73.0, 71.0]},
    index=["none", "dropout", "all of them"],
)
MATRIX = pd.DataFrame(np.arange(100).reshape(10, 10), CLASS_NAMES, CLASS_NAMES)
CURVES = {name: (np.array([0.5, 0.75, 1.0]), np.array([1.0, 0.5, 0.0]), 0.8) for name in CLASS_NAMES}
BINS = pd.DataFrame(
    {"from": [0, 0.5], "to": [0.5, 1], "confidence": [np.nan, 0.8], "accuracy": [np.nan, 0.6], "images": [0, 5]}
)
ACCURACIES = pd.DataFrame({"model": 90.0, "low": 88.0, "high": 92.0, "people": 95.0}, CLASS_NAMES)
BORDER = 10  # pixels that Jupyter adds on each side
PHOTO = np.random.default_rng(2).integers(0, 256, (40, 60, 3), np.uint8)
ANSWER = pd.Series([0.25, 0.7, 0.05], index=["cup", "house", "tree"])


def every_figure(images, probabilities):
    labels = np.arange(15) % 10
    yield plotting.image_grid(images, [CLASS_NAMES[label] for label in labels], heading="Fifteen images")
    yield plotting.class_counts({"training": labels, "validation": labels, "test": labels}).figure
    yield plotting.channels(images[0], "One image")
    yield plotting.pixel_histogram(np.ones((3, 256), int)).figure
    yield plotting.label_histograms({"first batch": labels, "second batch": labels}, "Two batches")
    yield plotting.filter_responses(images[0], {"a map": images[0, ..., 0] / 255}, "One filter")
    yield plotting.learning_curves(HISTORY)
    yield plotting.compare_curves({"one": HISTORY, "another": HISTORY}, "Two trainings")
    yield plotting.correlations({"one": np.eye(12), "another": -np.eye(12)}, "Two matrices")
    yield plotting.prediction(images[0], probabilities[0], 3)
    yield plotting.prediction_grid(images, probabilities, labels)
    yield plotting.heat_map(MATRIX, "Counts", "images").figure
    yield plotting.interval_histogram([0.4, 0.5, 0.6], 0.4, 0.6, "Three means", "mean").figure
    yield plotting.precision_recall(CURVES, "Ten classes")
    yield plotting.reliability_diagram({"before": BINS, "after": BINS}, "Two temperatures")
    yield plotting.class_accuracies(ACCURACIES, "Model and people").figure
    yield plotting.feature_maps({"one layer": np.zeros((4, 4, 3)), "another": np.zeros((2, 2, 3))}, "Two layers")
    yield plotting.scores({"familiar": np.arange(5.0), "strange": np.zeros(2)}, 1.0, "score", "Scores").figure


def figures_of_records():
    yield plotting.bars(COSTS, "Costs")
    yield plotting.ranges(RANGES, "Three settings")
    yield plotting.photo_answer(PHOTO, PHOTO[:32, :32], ANSWER, "A photo")
    yield plotting.occlusion(PHOTO[:32, :32], np.eye(32) - 0.5, "What hiding does")
    yield plotting.throughput(RATES, "Three batch sizes").figure


def heading(figure):
    return figure.get_suptitle() or figure.axes[0].get_title()


def test_only_the_stand_in_is_marked_and_it_is_marked_in_every_figure(images, probabilities):
    for figure in every_figure(images, probabilities):
        assert heading(figure) and STAND_IN not in heading(figure)
        plt.close(figure)
    plotting.mark_source(STAND_IN)
    for figure in every_figure(images, probabilities):
        assert STAND_IN in heading(figure)
    for figure in figures_of_records():
        assert heading(figure) and STAND_IN not in heading(figure)


def test_every_chart_names_its_axes_and_fits_on_its_canvas_and_in_jupyterlab(images, probabilities):
    for figure in (*every_figure(images, probabilities), *figures_of_records()):
        figure.canvas.draw()
        for axis in figure.axes:
            if axis.has_data() and axis.lines:
                assert axis.get_xlabel() and axis.get_ylabel()
        width, height = figure.canvas.get_width_height()
        inside = figure.get_tightbbox().transformed(figure.dpi_scale_trans)
        assert inside.width + 2 * BORDER <= form.WIDEST_FIGURE
        assert inside.x0 >= -2 and inside.y0 >= -2 and inside.x1 <= width + 2 and inside.y1 <= height + 2


def test_a_grid_shows_every_image_with_its_caption(images):
    figure = plotting.image_grid(images[:7], [f"number {n}" for n in range(7)], columns=3, heading="Seven")
    shown = [axis for axis in figure.axes if axis.images]
    assert len(shown) == 7
    for number, axis in enumerate(shown):
        assert axis.get_title() == f"number {number}"
        assert (axis.images[0].get_array() == images[number]).all()


def test_class_counts_draws_the_counts():
    labels = np.array([0, 0, 0, 9])
    axis = plotting.class_counts({"training": labels, "test": labels[:1]})
    heights = [[bar.get_height() for bar in bars] for bars in axis.containers]
    assert heights == [[3, 0, 0, 0, 0, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]]


def test_pixel_histogram_draws_each_channel_as_a_share_of_its_own_pixels():
    counts = np.zeros((3, 256), int)
    counts[0, 7], counts[1, 8], counts[2, 9:11] = 30, 20, 5
    lines = plotting.pixel_histogram(counts).lines
    assert [line.get_ydata()[value] for line, value in zip(lines, (7, 8, 9), strict=True)] == [100, 100, 50]
    assert len({line.get_linestyle() for line in lines}) == 3


def test_label_histograms_draw_the_counts_of_each_batch():
    figure = plotting.label_histograms({"one": np.array([0, 0, 9]), "two": np.array([1])}, "Two batches")
    heights = {axis.get_title(): [bar.get_height() for bar in axis.patches] for axis in figure.axes}
    assert heights == {"one": [2, 0, 0, 0, 0, 0, 0, 0, 0, 1], "two": [0, 1, 0, 0, 0, 0, 0, 0, 0, 0]}


def test_learning_curves_tell_training_from_validation_without_colour():
    figure = plotting.learning_curves(HISTORY)
    for axis in figure.axes:
        training, validation = axis.lines
        assert training.get_linestyle() != validation.get_linestyle()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training", "validation"]
    assert list(validation.get_ydata()) == HISTORY["val_accuracy"]


def test_learning_curves_mark_the_best_epoch_where_it_is_named():
    figure = plotting.learning_curves(HISTORY, best_epoch=2)
    assert figure.legends[0].get_texts()[-1].get_text() == "best epoch"
    for axis in figure.axes:
        assert list(axis.lines[-1].get_xdata()) == [2, 2]


def test_compared_trainings_share_one_scale_and_tell_training_from_validation_without_colour():
    higher = {key: [2 * value for value in values] for key, values in HISTORY.items()}
    axes = plotting.compare_curves({"one": HISTORY, "another": higher}, "Two trainings").axes
    assert [axis.get_title() for axis in axes] == ["one", "another"]
    assert axes[0].get_ylim() == axes[1].get_ylim()
    for axis, history in zip(axes, (HISTORY, higher), strict=True):
        training, validation = axis.lines
        assert training.get_linestyle() != validation.get_linestyle()
        assert list(training.get_ydata()) == history["accuracy"]
        assert list(validation.get_ydata()) == history["val_accuracy"]


def test_bars_are_as_long_as_the_numbers_of_the_table_and_say_them():
    figure = plotting.bars(COSTS, "Costs")
    lengths = {axis.get_xlabel(): [bar.get_width() for bar in axis.patches] for axis in figure.axes}
    assert lengths == COSTS.to_dict("list")
    assert [text.get_text() for text in figure.axes[0].texts] == ["2.5", "1,234"]


def test_ranges_reach_from_the_lowest_to_the_highest_around_the_mean():
    axis = plotting.ranges(RANGES, "Three settings").axes[0]
    reach = [tuple(segment[:, 0]) for segment in axis.collections[0].get_segments()]
    assert reach == [(69.0, 71.5), (72.0, 73.0), (71.0, 71.0)]
    assert list(axis.lines[0].get_xdata()) == [70.0, 72.5, 71.0]
    assert [text.get_text() for text in axis.get_yticklabels()] == list(RANGES.index)
    assert axis.get_ylim()[0] > axis.get_ylim()[1]  # the first row on top


def test_throughput_draws_each_rate_over_its_batch_size_from_zero_on():
    axis = plotting.throughput(RATES, "Three batch sizes")
    assert dict(zip(axis.lines[0].get_xdata(), axis.lines[0].get_ydata(), strict=True)) == RATES.to_dict()
    assert [text.get_text() for text in axis.get_xticklabels()] == ["32", "128", "1,024"]
    assert axis.get_ylim()[0] == 0 and "images" in axis.get_xlabel()


def test_correlations_share_one_scale_from_minus_one_to_one():
    figure = plotting.correlations({"weak": np.eye(12) / 2, "strong": np.eye(12)}, "Two matrices")
    assert [axis.images[0].get_clim() for axis in figure.axes[:2]] == [(-1, 1), (-1, 1)]


def test_filter_responses_share_one_scale_around_zero(images):
    maps = {"small": np.array([[0.0, 0.5]]), "large": np.array([[-2.0, 1.0]])}
    figure = plotting.filter_responses(images[0], maps, "Two filters")
    assert [axis.images[0].get_clim() for axis in figure.axes[1:3]] == [(-2, 2), (-2, 2)]


def test_a_heat_map_writes_every_number_and_can_leave_the_diagonal_out_of_its_scale():
    for mistakes_only, largest in ((False, 99), (True, 98)):
        axis = plotting.heat_map(MATRIX, "Counts", "images", mistakes_only=mistakes_only)
        assert sorted(int(text.get_text()) for text in axis.texts) == list(range(100))
        assert axis.collections[0].get_clim() == (0, largest)
        assert [text.get_text() for text in axis.get_yticklabels()] == list(CLASS_NAMES)
    places = {text.get_position(): text.get_text() for text in axis.texts}
    assert places[(0.5, 1.5)] == "10"  # row 1, column 0
    assert places[(3.5, 3.5)] == "33"


def test_an_interval_is_drawn_where_it_ends():
    axis = plotting.interval_histogram([0.4, 0.5, 0.6], 0.41, 0.59, "Three means", "mean")
    assert [line.get_xdata()[0] for line in axis.lines] == [0.41, 0.59]
    assert sum(bar.get_height() for bar in axis.patches) == 3


def test_precision_stands_over_recall_in_a_panel_for_each_class():
    axes = plotting.precision_recall({**CURVES, "an eleventh": CURVES["cat"]}, "Eleven classes").axes
    drawn = [axis for axis in axes if axis.lines]
    assert [axis.get_title() for axis in drawn] == [f"{name}\naverage 0.80" for name in (*CLASS_NAMES, "an eleventh")]
    precision, recall, _ = CURVES["cat"]
    assert (drawn[3].lines[0].get_xdata() == recall).all() and (drawn[3].lines[0].get_ydata() == precision).all()


def test_a_reliability_diagram_draws_accuracy_and_number_of_each_bin():
    figure = plotting.reliability_diagram({"before": BINS, "after": BINS}, "Two temperatures")
    upper, lower = figure.axes[0], figure.axes[2]
    assert [upper.get_title(), figure.axes[1].get_title()] == ["before", "after"]
    bar = upper.patches[1]
    assert (bar.get_x(), bar.get_width(), bar.get_height()) == (0.5, 0.5, 0.6)
    assert [bar.get_height() for bar in lower.patches] == [0, 5]


def test_model_and_people_differ_by_a_mark_and_by_colour():
    model, people = plotting.class_accuracies(ACCURACIES, "Model and people").lines
    assert model.get_marker() != people.get_marker() and model.get_color() != people.get_color()
    assert list(model.get_xdata()) == [90] * 10 and list(people.get_xdata()) == [95] * 10


def test_feature_maps_stand_in_a_row_for_each_layer():
    maps = {"one layer": np.random.default_rng(0).random((4, 4, 3)), "another": np.ones((2, 2, 3))}
    axes = plotting.feature_maps(maps, "Two layers").axes
    assert [axis.get_ylabel() for axis in axes] == ["one layer", "", "", "another", "", ""]
    assert (axes[1].images[0].get_array() == maps["one layer"][..., 1]).all()


@pytest.mark.parametrize("label, verdict, colour", [(3, "right", plotting.BLUE), (5, "wrong", plotting.VERMILLION)])
def test_right_and_wrong_differ_by_a_word_and_by_colour(images, label, verdict, colour):
    probabilities = np.full(10, 0.01)
    probabilities[3] = 0.91
    picture, bars = plotting.prediction(images[0], probabilities, label).axes
    assert picture.get_title("left") == f"cat 91%: {verdict}"
    assert picture.get_xlabel() == f"truth: {CLASS_NAMES[label]}"
    assert matplotlib.colors.same_color(bars.patches[3].get_facecolor(), colour)
    assert [bar.get_width() for bar in bars.patches] == pytest.approx(probabilities)


def test_a_photo_stands_beside_its_small_form_and_its_answer():
    left, middle, right = plotting.photo_answer(PHOTO, PHOTO[:32, :32], ANSWER, "A photo").axes
    assert (left.get_xlabel(), middle.get_xlabel()) == ("60 × 40 pixels", "32 × 32 pixels")
    assert right.get_title() == "answer: house"
    assert [bar.get_width() for bar in right.patches] == [0.25, 0.7, 0.05]
    assert [label.get_text() for label in right.texts] == ["25%", "70%", "5%"]
    assert len({bar.get_facecolor() for bar in right.patches}) == 2


def test_scores_tell_rejected_pictures_by_their_mark_and_keep_far_ones_in_sight():
    groups = {"familiar": np.array([0.0, 1.0, 2.0]), "strange": np.array([0.5, 100.0])}
    axis = plotting.scores(groups, 1.0, "score", "Scores")
    drawn = {}
    for line in axis.lines:
        drawn.setdefault(line.get_marker(), []).extend(line.get_xdata())
    assert sorted(drawn["o"]) == [1, 2, 3] and sorted(drawn["x"]) == [0, 0.5]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["familiar", "strange"]
    assert [entry.get_text() for entry in axis.figure.legends[0].get_texts()] == ["kept", "rejected", "threshold"]


def test_an_occlusion_map_has_zero_in_the_middle_of_its_scale():
    changes = np.zeros((32, 32))
    changes[3, 4] = -2
    axis = plotting.occlusion(PHOTO[:32, :32], changes, "Hidden").axes[1]
    shown = axis.images[-1]
    assert shown.get_clim() == (-2, 2) and (shown.get_array() == changes).all()
    plotting.occlusion(PHOTO[:32, :32], np.zeros((32, 32)), "Nothing changes")
