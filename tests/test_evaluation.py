"""Every figure agrees with scikit-learn, SciPy, a hand-worked case or a known distribution; bad input is named."""

import numpy as np
import pytest
from scipy.special import softmax

from utils import evaluation


@pytest.fixture(scope="module")
def sample():
    """`(labels, logits)` of 20,000 images whose labels are drawn with the very probabilities of their logits."""
    generator = np.random.default_rng(0)
    logits = 1.5 * generator.normal(size=(20_000, 10))
    cumulated = softmax(logits, axis=1).cumsum(axis=1)
    return (cumulated < generator.random((len(logits), 1))).sum(axis=1).clip(max=9), logits


def test_a_share_is_written_with_the_interval_of_wilson():
    z, share, count = 1.959964, 0.9, 50  # the formula of 1927, by hand
    middle, half = share + z**2 / 2 / count, z * np.sqrt(share * (1 - share) / count + (z / 2 / count) ** 2)
    ends = [(middle - half) / (1 + z**2 / count), (middle + half) / (1 + z**2 / count)]
    assert evaluation.wilson(45, 50) == pytest.approx(ends, abs=1e-6)
    assert evaluation.with_interval(45, 50) == "90.0% (78.6% to 95.7%)"
    assert evaluation.with_interval(np.int64(45), np.int64(50), digits=0) == "90% (79% to 96%)"
    assert evaluation.with_interval(0, 0) == "0.0% (0.0% to 100.0%)"


def test_a_confidence_on_a_border_belongs_to_the_lower_bin():
    probabilities = [[0.5, 0.25, 0.25], [0.6, 0.2, 0.2], [0.1, 0.2, 0.7], [1, 0, 0]]
    error = evaluation.calibration_error([0, 1, 2, 0], probabilities, bins=4)
    assert error == pytest.approx((1 * 0.5 + 2 * 0.15 + 1 * 0) / 4)


@pytest.mark.parametrize("bins", range(1, 21))
@pytest.mark.parametrize("count", [1, 2, 8])
def test_the_calibration_error_is_the_mean_gap_of_the_bins(count, bins):
    generator = np.random.default_rng([count, bins])
    labels, logits = generator.integers(0, 10, count), generator.integers(-2, 3, (count, 10))
    logits[0] = 0  # ten equal shares: a confidence on a border of ten and of twenty bins
    probabilities = softmax(logits, axis=1)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    gaps = []
    for number in range(bins):
        inside = (confidence > number / bins) & (confidence <= (number + 1) / bins)
        gaps.append(abs(right[inside].sum() - confidence[inside].sum()) / len(labels))
    assert evaluation.calibration_error(labels, probabilities, bins) == pytest.approx(sum(gaps))


def test_it_is_small_where_labels_are_drawn_with_the_very_probabilities_and_large_for_twice_the_logits(sample):
    labels, logits = sample
    error = evaluation.calibration_error(labels, softmax(logits, axis=1))
    assert error == evaluation.calibration_error(labels[:, np.newaxis], softmax(logits, axis=1)) < 0.015
    assert evaluation.calibration_error(labels, softmax(2 * logits, axis=1)) > 0.15


def test_energy_is_the_negative_logarithm_of_the_summed_exponentials():
    logits = np.array([[0.0, 0.0], [1.0, 2.0]])
    expected = -np.log(np.exp(logits).sum(axis=1))
    np.testing.assert_allclose(evaluation.energy(logits), expected)
    np.testing.assert_allclose(evaluation.energy(logits.astype(np.float16) + 500), expected - 500)
    assert evaluation.energy(logits[:0]).shape == (0,)


LABELS = np.array([0, 1, 2])
LOGITS = np.array([[3.0, -1.0, 0.0], [0.0, 2.0, 1.0], [1.0, 0.0, 4.0]])
PROBABILITIES = softmax(LOGITS, axis=1)
WITH_NAN = np.where(LOGITS == 4, np.nan, LOGITS)
WITH_INFINITY = np.where(LOGITS == 4, -np.inf, LOGITS)


@pytest.mark.parametrize(
    "function, arguments, message",
    [
        ("calibration_error", (LABELS, LOGITS), r"found -1 to 4; give it softmax\(logits, axis=1\)"),
        ("calibration_error", (LABELS, 100 * PROBABILITIES), "rows with the sum 1; found"),
        ("calibration_error", (LABELS, WITH_NAN), "expected probabilities"),
        ("energy", (PROBABILITIES.astype(np.float16),), "found probabilities; give the output before softmax"),
        ("energy", (WITH_INFINITY,), "expected finite logits; found NaN or infinite values"),
    ],
)
def test_bad_input_is_named_in_one_sentence(function, arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        getattr(evaluation, function)(*arguments)
    assert str(caught.value).startswith(f"{function}: expected ") and "\n" not in str(caught.value)
