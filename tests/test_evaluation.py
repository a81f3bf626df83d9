"""Every figure agrees with scikit-learn, SciPy, a hand-worked case or a known distribution; bad input is named."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import softmax as scipy_softmax
from sklearn.metrics import classification_report, log_loss, precision_recall_fscore_support, top_k_accuracy_score

from utils import evaluation
from utils.data import CLASS_NAMES

# What article 004 prints for its model: the confusion matrix, then precision, recall and F1 of each class.
ARTICLE_MATRIX = np.array(
    [
        [879, 4, 31, 12, 4, 4, 3, 6, 44, 13],
        [9, 934, 2, 2, 1, 1, 2, 1, 18, 30],
        [48, 7, 763, 53, 43, 33, 26, 16, 8, 3],
        [19, 6, 49, 731, 33, 80, 33, 23, 20, 6],
        [18, 3, 55, 54, 796, 18, 17, 33, 6, 0],
        [9, 1, 27, 153, 25, 747, 7, 23, 4, 4],
        [11, 3, 30, 50, 19, 16, 846, 3, 17, 5],
        [10, 1, 25, 49, 22, 26, 1, 855, 6, 5],
        [37, 10, 7, 5, 2, 1, 2, 0, 926, 10],
        [21, 40, 5, 16, 1, 1, 0, 0, 29, 887],
    ]
)
ARTICLE_TABLE = """
    0.83 0.88 0.85   0.93 0.93 0.93   0.77 0.76 0.77   0.65 0.73 0.69   0.84 0.80 0.82
    0.81 0.75 0.78   0.90 0.85 0.87   0.89 0.85 0.87   0.86 0.93 0.89   0.92 0.89 0.90
"""
SHARES = ["precision", "recall", "F1"]

repeatable = settings(max_examples=40, deadline=None, derandomize=True)
classes = st.integers(0, 9)
answered = st.lists(st.tuples(classes, classes), min_size=1, max_size=40)
few_scores = st.lists(st.lists(st.integers(-2, 2), min_size=10, max_size=10), min_size=1, max_size=8)
finite = st.floats(-1e3, 1e3)


@pytest.fixture(scope="module")
def sample():
    """`(labels, logits)` of 20,000 images whose labels are drawn with the very probabilities of their logits."""
    generator = np.random.default_rng(0)
    logits = 1.5 * generator.normal(size=(20_000, 10))
    cumulated = scipy_softmax(logits, axis=1).cumsum(axis=1)
    return (cumulated < generator.random((len(logits), 1))).sum(axis=1).clip(max=9), logits


def test_it_imports_neither_tensorflow_nor_keras():
    code = "import sys, utils.evaluation; print(sorted({'tensorflow', 'keras', 'jax'} & set(sys.modules)))"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout == "[]\n" and finished.stderr == ""


def test_the_table_of_article_004_comes_out_of_its_matrix():
    table = evaluation.class_table(ARTICLE_MATRIX)
    printed = [f"{number:.2f}" for number in table[SHARES].to_numpy().flat]
    assert printed == ARTICLE_TABLE.split()
    assert list(table.index) == list(CLASS_NAMES) and (table["support"] == 1_000).all()
    assert table.loc["cat", ["TP", "FP", "FN", "TN"]].tolist() == [731, 394, 269, 8_606]
    means = evaluation.averages(table)
    assert means.loc["micro"].tolist() == pytest.approx([0.8364] * 3)
    assert {f"{number:.2f}" for number in means.to_numpy().flat} == {"0.84"}


@repeatable
@given(answered)
@example([(n, n) for n in range(10)])
@example([(n, (n + 1) % 10) for n in range(10)])
@example([(3, 3)] * 5)
@example([(3, 5)] * 5)
def test_the_table_and_its_averages_agree_with_scikit_learn(pairs):
    labels, predictions = np.array(pairs).T
    table = evaluation.class_table(evaluation.confusion(labels, predictions))
    options = {"labels": range(10), "zero_division": 0}
    expected = np.array(precision_recall_fscore_support(labels, predictions, **options))
    np.testing.assert_allclose(table[[*SHARES, "support"]].to_numpy().T, expected)
    means = evaluation.averages(table)
    for average in ("macro", "micro", "weighted"):
        expected = precision_recall_fscore_support(labels, predictions, average=average, **options)
        assert means.loc[average].tolist() == pytest.approx(expected[:3])
    assert (table[["TP", "FP", "FN", "TN"]].sum(axis=1) == len(labels)).all()


def test_the_table_agrees_with_the_classification_report(sample):
    labels, logits = sample
    table = evaluation.class_table(evaluation.confusion(labels, logits.argmax(axis=1)))
    report = classification_report(labels, logits.argmax(axis=1), target_names=CLASS_NAMES, output_dict=True)
    columns = ["precision", "recall", "f1-score", "support"]
    expected = pd.DataFrame(report).T
    np.testing.assert_allclose(table[[*SHARES, "support"]], expected.loc[list(CLASS_NAMES), columns])
    means = evaluation.averages(table)
    np.testing.assert_allclose(
        means.loc[["macro", "weighted"]], expected.loc[["macro avg", "weighted avg"], columns[:3]]
    )
    assert means.loc["micro"].tolist() == pytest.approx([report["accuracy"]] * 3)


def test_macro_and_weighted_averages_part_where_classes_differ_in_size():
    table = evaluation.class_table(np.array([[90, 0], [5, 5]]))
    means = evaluation.averages(table)["recall"]
    assert (means["macro"], means["micro"], means["weighted"]) == pytest.approx((0.75, 0.95, 0.95))


def test_confusion_has_a_row_for_every_class_and_names_them():
    matrix = evaluation.confusion([2, 2, 2, 0], [2, 2, 0, 0], names=("cat", "dog", "frog"))
    assert matrix.to_numpy().tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 2]]
    assert matrix.loc["frog", "cat"] == 1 and (matrix.index.name, matrix.columns.name) == ("truth", "prediction")
    assert list(evaluation.class_table(matrix).index) == ["cat", "dog", "frog"]


def test_the_most_confused_pairs_come_first_with_their_share_of_the_true_class():
    pairs = evaluation.most_confused(ARTICLE_MATRIX, count=3)
    assert pairs.to_numpy().tolist() == [
        ["dog", "cat", 153, 0.153],
        ["cat", "dog", 80, 0.08],
        ["deer", "bird", 55, 0.055],
    ]
    assert list(pairs) == ["truth", "prediction", "images", "share"]
    small = evaluation.most_confused(np.array([[1, 1, 0], [0, 0, 0], [1, 2, 1]]))
    assert small.to_numpy().tolist() == [[2, 1, 2, 0.5], [0, 1, 1, 0.5], [2, 0, 1, 0.25]]
    assert evaluation.most_confused(np.eye(3, dtype=int)).empty


@repeatable
@given(few_scores, st.integers(1, 10), st.data())
def test_top_k_counts_ties_as_argmax_does(scores, k, data):
    labels = np.array(data.draw(st.lists(classes, min_size=len(scores), max_size=len(scores))))
    right = evaluation.top_k_right(labels, scores, k)
    for label, row, found in zip(labels, scores, right, strict=True):
        guesses = sorted(range(10), key=lambda n: (-row[n], n))[:k]
        assert found == (label in guesses)
    assert (evaluation.top_k_right(labels, scores) == (np.argmax(scores, axis=1) == labels)).all()
    assert evaluation.top_k_right(labels, scores, 10).all()


@pytest.mark.parametrize("k", [1, 3])
def test_top_k_agrees_with_scikit_learn(sample, k):
    labels, logits = sample
    assert evaluation.top_k_right(labels, logits, k).mean() == top_k_accuracy_score(labels, logits, k=k)


def test_the_worst_mistakes_are_the_surest_wrong_answers():
    labels = np.array([0, 0, 1, 0, 1])
    probabilities = np.array([[0.4, 0.6], [1.0, 0.0], [0.9, 0.1], [0.3, 0.7], [0.6, 0.4]])
    assert evaluation.worst_mistakes(labels, probabilities).tolist() == [2, 3, 0, 4]
    assert evaluation.worst_mistakes(labels, probabilities, count=2).tolist() == [2, 3]
    assert evaluation.worst_mistakes(labels[:2], probabilities[1::-1], count=2).tolist() == [1]


def test_softmax_sums_to_one_in_every_row_even_from_half_precision(sample):
    logits = (5 * sample[1][:500]).astype(np.float16)
    probabilities = evaluation.softmax(logits, temperature=2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)
    exponentials = np.exp(logits.astype(np.float64) / 2)
    np.testing.assert_allclose(probabilities, exponentials / exponentials.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(evaluation.softmax([[1e4, 0.0]]), [[1, 0]])


def covered(level):
    """Share of 300 samples whose interval holds the true mean."""
    samples = np.random.default_rng(1).random((300, 150)) < 0.8
    intervals = [evaluation.bootstrap_interval(right, level, seed, 400) for seed, right in enumerate(samples)]
    return np.mean([low <= 0.8 <= high for low, high in intervals])


def test_intervals_hold_the_true_mean_about_as_often_as_they_say():
    assert 0.91 < covered(0.95) < 0.98
    assert 0.74 < covered(0.8) < 0.86


def test_the_interval_of_94_percent_on_10_000_images_is_half_a_point_each_way():
    right = np.arange(10_000) < 9_400
    low, high = evaluation.bootstrap_interval(right)
    assert (0.94 - low, high - 0.94) == pytest.approx((0.0047, 0.0047), abs=0.0004)
    assert (low, high) == evaluation.bootstrap_interval(right, seed=0) != evaluation.bootstrap_interval(right, seed=1)
    assert evaluation.bootstrap_interval(np.ones(50)) == (1, 1)


def test_reliability_puts_a_confidence_on_a_border_into_the_lower_bin():
    probabilities = [[0.5, 0.25, 0.25], [0.6, 0.2, 0.2], [0.1, 0.2, 0.7], [1, 0, 0]]
    table = evaluation.reliability([0, 1, 2, 0], probabilities, bins=4)
    assert table["images"].tolist() == [0, 1, 2, 1]
    assert table["from"].tolist() == [0, 0.25, 0.5, 0.75] and table["to"].tolist() == [0.25, 0.5, 0.75, 1]
    np.testing.assert_allclose(table["confidence"], [np.nan, 0.5, 0.65, 1])
    np.testing.assert_allclose(table["accuracy"], [np.nan, 1, 0.5, 1])
    error = evaluation.calibration_error([0, 1, 2, 0], probabilities, bins=4)
    assert error == pytest.approx((1 * 0.5 + 2 * 0.15 + 1 * 0) / 4)


@repeatable
@given(few_scores, st.integers(1, 20), st.data())
def test_the_calibration_error_is_the_mean_gap_of_the_bins(logits, bins, data):
    labels = np.array(data.draw(st.lists(classes, min_size=len(logits), max_size=len(logits))))
    probabilities = scipy_softmax(np.array(logits, np.float64), axis=1)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    gaps = []
    for number in range(bins):
        inside = (confidence > number / bins) & (confidence <= (number + 1) / bins)
        gaps.append(abs(right[inside].sum() - confidence[inside].sum()) / len(labels))
    assert evaluation.calibration_error(labels, probabilities, bins) == pytest.approx(sum(gaps))
    assert evaluation.reliability(labels, probabilities, bins)["images"].sum() == len(labels)


def test_true_probabilities_are_calibrated_and_doubled_logits_are_not(sample):
    labels, logits = sample
    assert evaluation.calibration_error(labels, scipy_softmax(logits, axis=1)) < 0.015
    assert evaluation.calibration_error(labels, scipy_softmax(2 * logits, axis=1)) > 0.15


def test_the_temperature_of_scaled_logits_is_recovered_and_restores_calibration(sample):
    labels, logits = sample
    for factor in (0.5, 1, 2):
        temperature = evaluation.fit_temperature(labels, factor * logits)
        assert temperature == pytest.approx(factor, rel=0.03)
        assert evaluation.calibration_error(labels, evaluation.softmax(factor * logits, temperature)) < 0.015


def test_no_temperature_near_the_fitted_one_has_a_higher_likelihood(sample):
    labels, logits = sample[0][:300], 3 * sample[1][:300]
    best = evaluation.fit_temperature(labels, logits)
    losses = [log_loss(labels, evaluation.softmax(logits, best * near), labels=range(10)) for near in (0.97, 1, 1.03)]
    assert min(losses) == losses[1]


def test_a_model_that_is_always_right_or_always_wrong_gets_a_temperature_near_the_end_of_the_range():
    logits = np.array([[2.0, 0.0], [0.0, 2.0]])
    assert evaluation.fit_temperature([0, 1], logits) < 0.1
    assert evaluation.fit_temperature([1, 0], logits) > 19


def test_mcnemar_agrees_with_the_hand_worked_case():
    first = np.array([1] * 4 + [1] * 1 + [0] * 5 + [0] * 2, bool)
    second = np.array([1] * 4 + [0] * 1 + [1] * 5 + [0] * 2, bool)
    table, p_value = evaluation.mcnemar(first, second)
    assert table.to_numpy().tolist() == [[4, 1], [5, 2]]
    assert table.loc["first right", "second wrong"] == 1
    assert p_value == pytest.approx(2 * (1 + 6) / 2**6)
    assert evaluation.mcnemar(second, first).p_value == p_value


def test_mcnemar_counts_only_images_on_which_the_models_differ():
    assert evaluation.mcnemar(np.ones(9), np.ones(9)).p_value == 1
    assert evaluation.mcnemar(np.ones(9), np.zeros(9)).p_value == pytest.approx(2 / 2**9)
    same = np.ones(1_000)
    joined = evaluation.mcnemar(np.append(np.ones(9), same), np.append(np.zeros(9), same))
    assert joined.p_value == pytest.approx(2 / 2**9)


def test_equally_good_models_rarely_look_different():
    generator = np.random.default_rng(2)
    p_values = [evaluation.mcnemar(*(generator.random((2, 400)) < 0.9)).p_value for _ in range(300)]
    assert np.mean(np.array(p_values) < 0.05) < 0.06 and np.mean(np.array(p_values) < 0.5) > 0.2


def test_energy_is_the_negative_logarithm_of_the_summed_exponentials():
    logits = np.array([[0.0, 0.0], [1.0, 2.0]])
    expected = -np.log(np.exp(logits).sum(axis=1))
    np.testing.assert_allclose(evaluation.energy(logits), expected)
    np.testing.assert_allclose(evaluation.energy(logits, 4), -4 * np.log(np.exp(logits / 4).sum(axis=1)))
    np.testing.assert_allclose(evaluation.energy(logits.astype(np.float16) + 500), expected - 500)


@repeatable
@given(st.lists(st.one_of(finite, st.integers(0, 3)), min_size=1, max_size=60), st.floats(0.01, 1))
@example([float(n) for n in range(100)], 0.95)
@example([float(n) for n in range(100)], 0.07)
@example([1.0] * 7, 0.5)
def test_the_threshold_is_the_highest_that_keeps_enough(scores, keep):
    scores = np.array(scores, np.float64)
    threshold = evaluation.rejection_threshold(scores, keep)
    assert threshold in scores and np.mean(scores >= threshold) >= keep - 1e-9
    assert np.mean(scores > threshold) < keep + 1e-9


def test_a_threshold_from_validation_keeps_that_share_of_other_known_images():
    generator = np.random.default_rng(3)
    threshold = evaluation.rejection_threshold(generator.normal(size=5_000))
    assert np.mean(generator.normal(size=10_000) >= threshold) == pytest.approx(0.95, abs=0.01)
    assert np.mean(generator.normal(-3, size=10_000) >= threshold) < 0.15


def test_the_human_figures_are_consistent_with_one_another():
    assert (evaluation.HUMAN_ACCURACY["deer"], evaluation.HUMAN_ACCURACY["horse"]) == (0.905, 0.979)
    assert np.mean(list(evaluation.HUMAN_ACCURACY.values())) == pytest.approx(evaluation.HUMAN_MEAN_ACCURACY, abs=5e-4)
    shares = list(evaluation.HUMAN_CONFUSIONS.values())
    assert shares == sorted(shares, reverse=True)
    for truth in CLASS_NAMES:
        listed = sum(share for (true, _), share in evaluation.HUMAN_CONFUSIONS.items() if true == truth)
        assert listed <= 1 - evaluation.HUMAN_ACCURACY[truth]


LABELS = np.array([0, 1, 2])
LOGITS = np.array([[3.0, -1.0, 0.0], [0.0, 2.0, 1.0], [1.0, 0.0, 4.0]])
PROBABILITIES = scipy_softmax(LOGITS, axis=1)


@pytest.mark.parametrize(
    "function, arguments, message",
    [
        ("reliability", (LABELS, LOGITS), r"values down to -1 and sums from 2 to 5; give it softmax\(logits\)"),
        ("worst_mistakes", (LABELS, 100 * PROBABILITIES), "every row with the sum 1; found .* sums from 100 to 100"),
        ("calibration_error", (LABELS[:2], PROBABILITIES), "of the same images; found 2 and 3"),
        ("calibration_error", (LABELS, PROBABILITIES, 0), "at least 1 bin; found 0"),
        ("fit_temperature", (LABELS, PROBABILITIES), "expected logits; found probabilities"),
        ("fit_temperature", (LOGITS, LABELS), r"shape \(n, classes\), n at least 1; found shape \(3,\)"),
        ("energy", (PROBABILITIES,), "the output of the model before softmax"),
        ("energy", (LOGITS[0],), r"found shape \(3,\); give it what the model returns for a batch"),
        ("energy", (LOGITS, 0), "expected a temperature above 0; found 0"),
        ("softmax", (LOGITS, -1.0), "expected a temperature above 0; found -1.0"),
        ("softmax", (np.empty((0, 10)),), r"n at least 1; found shape \(0, 10\)"),
        ("top_k_right", (LABELS[:, np.newaxis], LOGITS), r"found int64 of shape \(3, 1\).* ravel\(\) from shape"),
        ("top_k_right", (LABELS + 1, LOGITS), "labels from 0 to 2; found 1 to 3"),
        ("top_k_right", (LABELS, LOGITS, 4), "expected k from 1 to 3; found 4"),
        ("confusion", (LABELS, LOGITS), r"predictions as integers .* argmax\(axis=1\) makes them"),
        ("confusion", (LABELS, LABELS[:2]), "labels and predictions of the same images; found 3 and 2"),
        ("confusion", (LABELS, LABELS - 1), "predictions from 0 to 9; found -1 to 1"),
        ("confusion", ([], []), r"n at least 1; found float64 of shape \(0,\)"),
        ("class_table", (np.eye(3),), "a square matrix of counts.*found float64.*not shares"),
        ("class_table", (-np.eye(3, dtype=int),), "a square matrix of counts"),
        ("most_confused", (np.ones((2, 3), int),), r"a square matrix of counts.*found int64 of shape \(2, 3\)"),
        ("bootstrap_interval", ([1.0],), r"n at least 2; found shape \(1,\)"),
        ("bootstrap_interval", (LABELS, 95), "between 0 and 1, as 0.95; found 95"),
        ("mcnemar", ([True], [True, False]), "both models on the same images; found 1 and 2"),
        ("mcnemar", (LABELS, LABELS), "true or false for every image.*give it predictions == labels"),
        ("rejection_threshold", ([],), r"one finite number an image, .* n at least 1; found shape \(0,\)"),
        ("rejection_threshold", (LABELS, 95), "keep above 0 and at most 1, as 0.95; found 95"),
    ],
)
def test_bad_input_is_named_in_one_sentence(function, arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        getattr(evaluation, function)(*arguments)
    caller = "reliability" if function == "calibration_error" else function
    text = str(caught.value)
    assert text.startswith(f"{caller}: expected ") and "; found " in text and text.endswith(".") and "\n" not in text


@repeatable
@given(st.integers(0, 2), st.integers(0, 2), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_a_single_nan_or_infinity_is_refused_everywhere(row, column, bad):
    broken = LOGITS.copy()
    broken[row, column] = bad
    for function in ("softmax", "energy"):
        with pytest.raises(ValueError, match="finite logits .* with 1 NaN or infinite values"):
            getattr(evaluation, function)(broken)
    for function in ("top_k_right", "worst_mistakes", "reliability", "calibration_error", "fit_temperature"):
        with pytest.raises(ValueError, match="with 1 NaN or infinite values"):
            getattr(evaluation, function)(LABELS, broken)
    for function in ("bootstrap_interval", "rejection_threshold"):
        with pytest.raises(ValueError, match="with 1 NaN or infinite values"):
            getattr(evaluation, function)(broken[row])
    with pytest.raises(ValueError, match="true or false"):
        evaluation.mcnemar(broken[row], LABELS)
