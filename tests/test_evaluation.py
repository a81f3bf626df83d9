"""Every figure agrees with scikit-learn, SciPy, a hand-worked case or a known distribution; bad input is named."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import binomtest
from sklearn.metrics import log_loss

from utils import evaluation

repeatable = settings(max_examples=40, deadline=None, derandomize=True)
few_logits = st.lists(st.lists(st.integers(-2, 2), min_size=10, max_size=10), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def sample():
    """`(labels, logits)` of 20,000 images whose labels are drawn with the very probabilities of their logits."""
    generator = np.random.default_rng(0)
    logits = 1.5 * generator.normal(size=(20_000, 10))
    cumulated = softmax(logits, axis=1).cumsum(axis=1)
    return (cumulated < generator.random((len(logits), 1))).sum(axis=1).clip(max=9), logits


def test_it_imports_neither_tensorflow_nor_keras():
    code = "import sys, utils.evaluation; print(sorted({'tensorflow', 'keras', 'jax'} & set(sys.modules)))"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout == "[]\n" and finished.stderr == ""


def test_a_confidence_on_a_border_belongs_to_the_lower_bin():
    probabilities = [[0.5, 0.25, 0.25], [0.6, 0.2, 0.2], [0.1, 0.2, 0.7], [1, 0, 0]]
    error = evaluation.calibration_error([0, 1, 2, 0], probabilities, bins=4)
    assert error == pytest.approx((1 * 0.5 + 2 * 0.15 + 1 * 0) / 4)


@repeatable
@given(few_logits, st.integers(1, 20), st.data())
def test_the_calibration_error_is_the_mean_gap_of_the_bins(logits, bins, data):
    labels = np.array(data.draw(st.lists(st.integers(0, 9), min_size=len(logits), max_size=len(logits))))
    probabilities = softmax(np.array(logits, float), axis=1)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    gaps = []
    for number in range(bins):
        inside = (confidence > number / bins) & (confidence <= (number + 1) / bins)
        gaps.append(abs(right[inside].sum() - confidence[inside].sum()) / len(labels))
    assert evaluation.calibration_error(labels, probabilities, bins) == pytest.approx(sum(gaps))


def test_true_probabilities_are_calibrated_and_doubled_logits_are_not(sample):
    labels, logits = sample
    assert evaluation.calibration_error(labels, softmax(logits, axis=1)) < 0.015
    assert evaluation.calibration_error(labels, softmax(2 * logits, axis=1)) > 0.15


@pytest.mark.parametrize("factor", [0.5, 1, 2])
def test_the_temperature_of_scaled_logits_is_recovered_and_restores_calibration(sample, factor):
    labels, logits = sample
    temperature = evaluation.fit_temperature(labels, factor * logits)
    assert temperature == pytest.approx(factor, rel=0.03)
    assert evaluation.calibration_error(labels, softmax(factor * logits / temperature, axis=1)) < 0.015


def test_no_temperature_near_the_fitted_one_has_a_higher_likelihood(sample):
    labels, logits = sample[0][:300], 3 * sample[1][:300]
    best = evaluation.fit_temperature(labels, logits)
    losses = [log_loss(labels, softmax(logits / (best * near), axis=1), labels=range(10)) for near in (0.97, 1, 1.03)]
    assert min(losses) == losses[1]


def test_a_model_that_is_always_right_or_always_wrong_gets_a_temperature_near_the_end_of_the_range():
    logits = np.array([[2.0, 0.0], [0.0, 2.0]])
    assert evaluation.fit_temperature([0, 1], logits) < 0.1
    assert evaluation.fit_temperature([1, 0], logits) > 19


def test_half_precision_and_labels_of_shape_n_1_change_nothing(sample):
    labels, logits = sample[0][:500], sample[1][:500].astype(np.float16)
    exact, column = logits.astype(float), labels[:, np.newaxis]
    assert evaluation.fit_temperature(column, logits) == evaluation.fit_temperature(labels, exact)
    probabilities = softmax(exact, axis=1)
    assert evaluation.calibration_error(column, probabilities) == evaluation.calibration_error(labels, probabilities)
    np.testing.assert_array_equal(evaluation.energy(logits), evaluation.energy(exact))


def test_mcnemar_agrees_with_the_hand_worked_case():
    first = np.array([1] * 4 + [1] * 1 + [0] * 5 + [0] * 2, bool)
    second = np.array([1] * 4 + [0] * 1 + [1] * 5 + [0] * 2, bool)
    p_value = evaluation.mcnemar(first, second)
    assert p_value == pytest.approx(2 * (1 + 6) / 2**6) == binomtest(1, 6).pvalue
    assert evaluation.mcnemar(second, first) == p_value


def test_mcnemar_counts_only_images_on_which_the_models_differ():
    right, wrong, same = np.ones(9, bool), np.zeros(9, bool), np.ones(1_000, bool)
    assert evaluation.mcnemar(right, right) == 1
    assert evaluation.mcnemar(right, wrong) == pytest.approx(2 / 2**9)
    assert evaluation.mcnemar(np.append(right, same), np.append(wrong, same)) == pytest.approx(2 / 2**9)


def test_equally_good_models_rarely_look_different():
    generator = np.random.default_rng(2)
    p_values = np.array([evaluation.mcnemar(*(generator.random((2, 400)) < 0.9)) for _ in range(300)])
    assert np.mean(p_values < 0.05) < 0.06 and np.mean(p_values < 0.5) > 0.2


def test_energy_is_the_negative_logarithm_of_the_summed_exponentials():
    logits = np.array([[0.0, 0.0], [1.0, 2.0]])
    expected = -np.log(np.exp(logits).sum(axis=1))
    np.testing.assert_allclose(evaluation.energy(logits), expected)
    np.testing.assert_allclose(evaluation.energy(logits.astype(np.float16) + 500), expected - 500)


@repeatable
@given(st.lists(st.one_of(st.floats(-1e3, 1e3), st.integers(0, 3)), min_size=1, max_size=60), st.floats(0.01, 1))
@example([float(n) for n in range(100)], 0.95)
@example([float(n) for n in range(100)], 0.07)
@example([1.0] * 7, 0.5)
def test_the_threshold_is_the_highest_that_keeps_enough(scores, keep):
    scores = np.array(scores, float)
    threshold = evaluation.rejection_threshold(scores, keep)
    assert threshold in scores and np.mean(scores >= threshold) >= keep - 1e-9
    assert np.mean(scores > threshold) < keep + 1e-9


def test_a_threshold_from_validation_keeps_that_share_of_other_known_images():
    generator = np.random.default_rng(3)
    threshold = evaluation.rejection_threshold(generator.normal(size=5_000))
    assert np.mean(generator.normal(size=10_000) >= threshold) == pytest.approx(0.95, abs=0.01)
    assert np.mean(generator.normal(-3, size=10_000) >= threshold) < 0.15


LABELS = np.array([0, 1, 2])
LOGITS = np.array([[3.0, -1.0, 0.0], [0.0, 2.0, 1.0], [1.0, 0.0, 4.0]])
PROBABILITIES = softmax(LOGITS, axis=1)


@pytest.mark.parametrize(
    "function, arguments, message",
    [
        ("calibration_error", (LABELS, LOGITS), r"values down to -1 and .* give it scipy\.special\.softmax"),
        ("calibration_error", (LABELS, 100 * PROBABILITIES), "every row with the sum 1; found .* sums up to 100"),
        ("fit_temperature", (LABELS, PROBABILITIES), "expected finite logits; found probabilities"),
        ("energy", (PROBABILITIES.astype(np.float16),), "found probabilities; give the model's output before softmax"),
        ("mcnemar", (LABELS, LABELS), "true or false for every image; found int64.*give predictions == labels"),
        ("rejection_threshold", ([],), r"one finite score an image; found shape \(0,\)"),
        ("rejection_threshold", (PROBABILITIES,), r"one finite score an image; found shape \(3, 3\)"),
    ],
)
def test_bad_input_is_named_in_one_sentence(function, arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        getattr(evaluation, function)(*arguments)
    text = str(caught.value)
    assert text.startswith(f"{function}: expected ") and "; found " in text and text.endswith(".") and "\n" not in text


def test_what_belongs_to_other_images_or_to_no_share_is_refused():
    for function, rows in ((evaluation.calibration_error, PROBABILITIES), (evaluation.fit_temperature, LOGITS)):
        with pytest.raises((ValueError, IndexError), match="broadcast"):
            function(LABELS[:2], rows)
    with pytest.raises(ValueError, match="broadcast"):
        evaluation.mcnemar(LABELS == 1, LABELS[:2] == 1)
    with pytest.raises(ValueError, match="Quantiles must be in the range"):
        evaluation.rejection_threshold(LABELS, 95)


@repeatable
@given(st.integers(0, 2), st.integers(0, 2), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_a_single_nan_or_infinity_is_refused_everywhere(row, column, bad):
    broken = LOGITS.copy()
    broken[row, column] = bad
    for function, arguments in ((evaluation.energy, ()), (evaluation.fit_temperature, (LABELS,))):
        with pytest.raises(ValueError, match="expected finite logits; found NaN or infinite values"):
            function(*arguments, broken)
    with pytest.raises(ValueError, match="expected probabilities"):
        evaluation.calibration_error(LABELS, broken)
    with pytest.raises(ValueError, match="with 1 NaN or infinite values"):
        evaluation.rejection_threshold(broken[row])
    with pytest.raises(ValueError, match="true or false"):
        evaluation.mcnemar(broken[row], LABELS)
