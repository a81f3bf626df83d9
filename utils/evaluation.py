"""How good a model is, and how sure that is: counts, intervals, calibration, comparison, and a threshold to say no.

Labels come first in every function. All numbers are shares from 0 to 1, not percentages. Imports no TensorFlow.
What scikit-learn does in one call, as a report or a precision-recall curve, is not repeated here.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize, special, stats
from sklearn.metrics import confusion_matrix

from utils.data import CLASS_NAMES

# People on the 10,000 test images, 511,000 judgements. Source: Peterson et al. 2019, "Human uncertainty makes
# classification more robust" (CIFAR-10H), computed from the released counts.
HUMAN_ACCURACY = dict(
    zip(CLASS_NAMES, (0.952, 0.972, 0.948, 0.915, 0.905, 0.950, 0.962, 0.979, 0.973, 0.968), strict=True)
)
HUMAN_MEAN_ACCURACY = 0.952
HUMAN_MAJORITY_ACCURACY = 0.9921
# (truth, prediction): share of the judgements of the true class. The seven most frequent.
HUMAN_CONFUSIONS = {
    ("deer", "horse"): 0.0431,
    ("cat", "dog"): 0.0424,
    ("dog", "cat"): 0.0342,
    ("truck", "automobile"): 0.0239,
    ("automobile", "truck"): 0.0222,
    ("deer", "dog"): 0.0204,
    ("airplane", "ship"): 0.0201,
}
# Source: Northcutt et al. 2021, "Pervasive Label Errors in Test Sets Destabilize Machine Learning Benchmarks".
WRONG_TEST_LABELS = 54
# Test images with a duplicate among the training images. Source: Barz and Denzler 2020, "Do We Train on Test Data?
# Purging CIFAR of Near-Duplicates" (ciFAIR).
DUPLICATED_TEST_SHARE = 0.033


def softmax(logits, temperature=1.0):
    """Turn logits into probabilities, row by row, in double precision.

    Stored logits are often float16, in which probabilities would not sum to one.

    Args:
        logits: float array, shape (n, k).
        temperature: above 0; higher than 1 makes every answer less sure, and never changes which class is first.

    Returns:
        float64 array, shape (n, k), values 0 to 1, each row with the sum 1.

    Raises:
        ValueError: if `logits` has another shape or is not finite, or `temperature` is not above 0.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2 (the temperature).
    """
    return special.softmax(_scale("softmax", logits, temperature), axis=1)


def top_k_right(labels, scores, k=1):
    """Say for every image whether its class is among the k highest scores; the mean is the top-k accuracy.

    Of equal scores the first counts as higher, as in `argmax`.

    Args:
        labels: integer array, shape (n,), values 0 to 9.
        scores: logits or probabilities, shape (n, 10).
        k: how many guesses count, 1 to 10.

    Returns:
        bool array, shape (n,).

    Raises:
        ValueError: if the arrays do not fit together or are not finite, or `k` is not from 1 to 10.
    """
    labels, scores = _check_pair("top_k_right", labels, "logits or probabilities", scores)
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"top_k_right: expected k from 1 to {scores.shape[1]}; found {k}.")
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return (best == labels[:, np.newaxis]).any(axis=1)


def worst_mistakes(labels, probabilities, count=15):
    """Find the images that a model named wrong with the highest confidence.

    Args:
        labels: integer array, shape (n,), values 0 to 9.
        probabilities: float array, shape (n, 10), rows with the sum 1.
        count: the most to return.

    Returns:
        integer array of positions, the most confident first; fewer than `count` where there are fewer mistakes.

    Raises:
        ValueError: if the arrays do not fit together or are no probabilities.
    """
    labels, probabilities = _check_probabilities("worst_mistakes", labels, probabilities)
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:count]


def bootstrap_interval(values, level=0.95, seed=0, resamples=2_000):
    """Percentile interval of a mean: how far it would move had other images of the same kind been drawn.

    With right or wrong per image the mean is an accuracy; with the difference of two models' right or wrong on the
    same images it is how much better one is. Where all values are equal, the interval has no width and says too much.

    Args:
        values: one number or bool an image, shape (n,), n at least 2.
        level: share of such intervals that hold the true mean, between 0 and 1.
        seed: fixes the draws.
        resamples: how often n values are drawn, with replacement.

    Returns:
        `(low, high)`, two floats.

    Raises:
        ValueError: if `values` has another shape or is not finite, or `level` is not between 0 and 1.

    Source: Efron 1979, "Bootstrap Methods: Another Look at the Jackknife".
    """
    values = _check_numbers("bootstrap_interval", values, least=2)
    if not 0 < level < 1:
        raise ValueError(f"bootstrap_interval: expected a level between 0 and 1, as 0.95; found {level}.")
    drawn = stats.bootstrap(
        (values,), np.mean, n_resamples=resamples, batch=100, confidence_level=level, method="percentile", rng=seed
    )
    low, high = drawn.confidence_interval
    return float(low), float(high)


def confusion(labels, predictions, names=CLASS_NAMES):
    """Count how often each class was answered with each class.

    Args:
        labels: the true classes, integer array, shape (n,), values 0 to 9.
        predictions: the answers, likewise: `logits.argmax(axis=1)`.
        names: the names of the classes; their number is the size of the matrix, also where a class does not occur.

    Returns:
        DataFrame of counts: one row a true class, one column an answer.

    Raises:
        ValueError: if lengths differ, or something is no class.
    """
    labels = _check_classes("confusion", "labels", labels, len(names))
    predictions = _check_classes("confusion", "predictions", predictions, len(names))
    _check_lengths("confusion", labels, "predictions", predictions)
    counts = confusion_matrix(labels, predictions, labels=range(len(names)))
    return pd.DataFrame(counts, pd.Index(names, name="truth"), pd.Index(names, name="prediction"))


def class_table(matrix):
    """Count right and wrong answers of each class, and take precision, recall and F1 from them.

    Where nothing is there to divide by, a share is 0: precision of a class never answered, recall of one that does not
    occur, F1 of one with neither.

    Args:
        matrix: what `confusion` returns, or a ready array of counts, shape (10, 10), one row a true class.

    Returns:
        DataFrame, one row a class: TP, FP, FN, TN, precision, recall, F1 (shares 0 to 1) and support (images).

    Raises:
        ValueError: if `matrix` is not square or holds anything but counts.
    """
    matrix = _check_matrix("class_table", matrix)
    counts = matrix.to_numpy()
    right = counts.diagonal()
    wrongly_named = counts.sum(axis=0) - right
    missed = counts.sum(axis=1) - right
    return pd.DataFrame(
        {
            "TP": right,
            "FP": wrongly_named,
            "FN": missed,
            "TN": counts.sum() - right - wrongly_named - missed,
            "precision": _divide(right, right + wrongly_named),
            "recall": _divide(right, right + missed),
            "F1": _divide(2 * right, 2 * right + wrongly_named + missed),
            "support": right + missed,
        },
        index=matrix.index.rename("class"),
    )


def averages(table):
    """Average precision, recall and F1 over the classes in three ways.

    They differ where classes differ in size. On the same number of images of every class, "weighted" equals "macro".
    The three micro figures all equal the accuracy, wherever each image has one class and gets one answer.

    Args:
        table: what `class_table` returns, whole.

    Returns:
        DataFrame with the columns precision, recall and F1 and the rows "macro" (every class counts the same), "micro"
        (every image counts the same: the counts are added up first) and "weighted" (every class counts as often as it
        has images).
    """
    shares, support = table[["precision", "recall", "F1"]], table["support"]
    right, wrongly_named, missed = table[["TP", "FP", "FN"]].sum()
    micro = _divide(
        [right, right, 2 * right], [right + wrongly_named, right + missed, 2 * right + wrongly_named + missed]
    )
    weighted = _divide(shares.mul(support, axis=0).sum(), np.full(3, support.sum()))
    return pd.DataFrame(np.stack([shares.mean(), micro, weighted]), ["macro", "micro", "weighted"], shares.columns)


def most_confused(matrix, count=10):
    """List the pairs of classes that are mistaken for one another most often.

    Args:
        matrix: what `confusion` returns, or a ready array of counts, shape (10, 10), one row a true class.
        count: the most rows to return; pairs that do not occur are left out.

    Returns:
        DataFrame, the most frequent pair first: truth, prediction, images, and share, the part of all images of the
        true class (0 to 1). Pairs as frequent as each other stand in the order of the classes.

    Raises:
        ValueError: if `matrix` is not square or holds anything but counts.
    """
    matrix = _check_matrix("most_confused", matrix)
    counts = matrix.to_numpy()
    truth, prediction = np.nonzero(counts * ~np.eye(len(counts), dtype=bool))
    images = counts[truth, prediction]
    pairs = pd.DataFrame(
        {
            "truth": matrix.index[truth],
            "prediction": matrix.columns[prediction],
            "images": images,
            "share": images / counts.sum(axis=1)[truth],
        }
    )
    return pairs.sort_values("images", ascending=False, kind="stable", ignore_index=True).head(count)


def reliability(labels, probabilities, bins=15):
    """Sort answers by confidence, the highest probability of an image, and count how many are right in each bin.

    Args:
        labels: integer array, shape (n,), values 0 to 9.
        probabilities: float array, shape (n, 10), rows with the sum 1.
        bins: number of bins of equal width between 0 and 1.

    Returns:
        DataFrame, one row a bin: "from" (not in the bin) and "to" (in it), confidence and accuracy (means; NaN where
        the bin is empty), and images.

    Raises:
        ValueError: if the arrays do not fit together or are no probabilities, or `bins` is below 1.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2.
    """
    labels, probabilities = _check_probabilities("reliability", labels, probabilities)
    if bins < 1:
        raise ValueError(f"reliability: expected at least 1 bin; found {bins}.")
    edges = np.linspace(0, 1, bins + 1)
    confidence = probabilities.max(axis=1).clip(max=1)
    answers = pd.DataFrame({"confidence": confidence, "accuracy": probabilities.argmax(axis=1) == labels})
    grouped = answers.astype(float).groupby(pd.cut(confidence, edges, labels=False))
    table = grouped.mean().assign(images=grouped.size()).reindex(range(bins))
    table["images"] = table["images"].fillna(0).astype(int)
    table.insert(0, "from", edges[:-1])
    table.insert(1, "to", edges[1:])
    return table


def calibration_error(labels, probabilities, bins=15):
    """Expected calibration error: by how much confidence and accuracy differ, averaged over all images.

    It depends on the number of bins and is a little above 0 even for perfect probabilities, so compare only figures
    from the same bins and about as many images.

    Args:
        labels: integer array, shape (n,), values 0 to 9.
        probabilities: float array, shape (n, 10), rows with the sum 1.
        bins: number of bins, as for `reliability`.

    Returns:
        A float, 0 to 1.

    Raises:
        ValueError: as `reliability`.

    Source: Naeini et al. 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning"; Guo et al. 2017, "On
    Calibration of Modern Neural Networks", equation 3.
    """
    table = reliability(labels, probabilities, bins)
    gaps = (table["accuracy"] - table["confidence"]).abs()
    return float((gaps * table["images"]).sum() / table["images"].sum())


def fit_temperature(labels, logits):
    """Find the temperature at which `softmax` gives the true classes the highest likelihood.

    Fit it on validation images: on training images every model looks better calibrated than it is, and a figure on
    test images they have been fitted to says nothing.

    Args:
        labels: integer array, shape (n,), values 0 to 9.
        logits: float array, shape (n, 10), of the same images.

    Returns:
        A float from 0.05 to 20: above 1 for a model that is too sure of itself. A value near either end means that
        there is no best one, as for a model that is always right or no better than chance.

    Raises:
        ValueError: if the arrays do not fit together, are not finite, or `logits` are probabilities.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2.
    """
    labels, logits = _check_pair("fit_temperature", labels, "logits", logits)
    _refuse_probabilities("fit_temperature", logits)
    true_logits = logits[np.arange(len(labels)), labels]

    def negative_log_likelihood(log_temperature):
        temperature = np.exp(log_temperature)
        return np.mean(special.logsumexp(logits / temperature, axis=1) - true_logits / temperature)

    bounds = np.log([0.05, 20])
    return float(np.exp(optimize.minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded").x))


class McNemar(NamedTuple):
    """What `mcnemar` returns.

    Attributes:
        table: DataFrame of counts, shape (2, 2): rows the first model, columns the second, right before wrong.
        p_value: how often two equally good models would differ at least this much.
    """

    table: pd.DataFrame
    p_value: float


def mcnemar(first_right, second_right):
    """Compare two models on the same images by those that only one of them names right: McNemar's exact test.

    Args:
        first_right: bool array, shape (n,): whether the first model is right, as `top_k_right` returns it.
        second_right: the same of the second model, for the same images in the same order.

    Returns:
        A `McNemar` with `table` and `p_value`, the latter 1 where the models are right on the same images.

    Raises:
        ValueError: if lengths differ, or something is neither true nor false.

    Source: McNemar 1947, "Note on the sampling error of the difference between correlated proportions or percentages";
    Dietterich 1998, "Approximate Statistical Tests for Comparing Supervised Classification Learning Algorithms".
    """
    first, second = (_check_right("mcnemar", values) for values in (first_right, second_right))
    if len(first) != len(second):
        raise ValueError(f"mcnemar: expected both models on the same images; found {len(first)} and {len(second)}.")
    counts = confusion_matrix(first, second, labels=[True, False])
    table = pd.DataFrame(counts, ["first right", "first wrong"], ["second right", "second wrong"])
    only_first, only_second = counts[0, 1], counts[1, 0]
    differing = only_first + only_second
    return McNemar(table, float(stats.binomtest(only_first, differing).pvalue) if differing else 1.0)


def energy(logits, temperature=1.0):
    """Energy of every image: low where some class fits, high where none does.

    Args:
        logits: float array, shape (n, k).
        temperature: above 0; the source uses 1.

    Returns:
        float64 array, shape (n,): the negative logarithm of the sum of exponentials, times the temperature.

    Raises:
        ValueError: if `logits` has another shape, is not finite or holds probabilities, or `temperature` is not above
            0.

    Source: Liu et al. 2020, "Energy-based Out-of-distribution Detection".
    """
    scaled = _scale("energy", logits, temperature)
    _refuse_probabilities("energy", np.asarray(logits, np.float64))
    return -temperature * special.logsumexp(scaled, axis=1)


def rejection_threshold(scores, keep=0.95):
    """Choose the highest threshold that keeps a given share of known images.

    An image is kept, that is answered, where its score is at or above the threshold.

    Args:
        scores: one number for every validation image, shape (n,), higher for what looks known: the highest probability,
            or `-energy(logits)`.
        keep: share of these images that must be kept, above 0 and at most 1.

    Returns:
        The threshold, a float: one of the scores.

    Raises:
        ValueError: if `scores` has another shape or is not finite, or `keep` is out of its range.

    Source: Liu et al. 2020, "Energy-based Out-of-distribution Detection", which calls the share of strange images that
    pass the threshold for 0.95 FPR95.
    """
    scores = _check_numbers("rejection_threshold", scores, least=1)
    if not 0 < keep <= 1:
        raise ValueError(f"rejection_threshold: expected keep above 0 and at most 1, as 0.95; found {keep}.")
    return float(-np.quantile(-scores, keep, method="inverted_cdf"))


def _divide(above, below):
    """Quotient of two arrays, 0 where the lower one is 0."""
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _describe(array):
    """Shape of an array, and how many of its numbers are not finite."""
    bad = int(np.count_nonzero(~np.isfinite(array)))
    return f"shape {array.shape}" + (f" with {bad:,} NaN or infinite values" if bad else "")


def _scale(caller, logits, temperature):
    if not temperature > 0 or not np.isfinite(temperature):
        raise ValueError(f"{caller}: expected a temperature above 0; found {temperature}.")
    return _check_rows(caller, "logits", logits) / temperature


def _check_numbers(caller, numbers, least):
    numbers = np.asarray(numbers, np.float64)
    if numbers.ndim != 1 or len(numbers) < least or not np.isfinite(numbers).all():
        raise ValueError(
            f"{caller}: expected one finite number an image, shape (n,), n at least {least}; found "
            f"{_describe(numbers)}; leave out images without one."
        )
    return numbers


def _check_rows(caller, name, rows):
    rows = np.asarray(rows, np.float64)
    if rows.ndim != 2 or not rows.size or not np.isfinite(rows).all():
        raise ValueError(
            f"{caller}: expected finite {name} of shape (n, classes), n at least 1; found {_describe(rows)}; "
            "give it what the model returns for a batch, one row an image."
        )
    return rows


def _check_classes(caller, name, values, classes):
    values = np.asarray(values)
    if values.ndim != 1 or not len(values) or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(
            f"{caller}: expected {name} as integers of shape (n,), n at least 1; found {values.dtype} of shape "
            f"{values.shape}; argmax(axis=1) makes them from logits or one-hot rows, ravel() from shape (n, 1)."
        )
    if values.min() < 0 or values.max() >= classes:
        raise ValueError(
            f"{caller}: expected {name} from 0 to {classes - 1}; found {values.min()} to {values.max()}; "
            "use positions in the list of classes."
        )
    return values


def _check_lengths(caller, labels, name, other):
    if len(labels) != len(other):
        raise ValueError(
            f"{caller}: expected labels and {name} of the same images; found {len(labels):,} and {len(other):,}."
        )


def _check_pair(caller, labels, name, rows):
    rows = _check_rows(caller, name, rows)
    labels = _check_classes(caller, "labels", labels, rows.shape[1])
    _check_lengths(caller, labels, name, rows)
    return labels, rows


def are_probabilities(rows):
    """Say whether no number is below 0 and every row sums to one, as far as 16-bit numbers do (within 0.01).

    Args:
        rows: float array, shape (n, k).
    """
    return (rows >= 0).all() and np.allclose(rows.sum(axis=1), 1, rtol=0, atol=0.01)


def _check_probabilities(caller, labels, probabilities):
    labels, probabilities = _check_pair(caller, labels, "probabilities", probabilities)
    if not are_probabilities(probabilities):
        sums = probabilities.sum(axis=1)
        raise ValueError(
            f"{caller}: expected probabilities, none below 0 and every row with the sum 1; found values down to "
            f"{probabilities.min():.3g} and sums from {sums.min():.3g} to {sums.max():.3g}; give it softmax(logits)."
        )
    return labels, probabilities


def _refuse_probabilities(caller, logits):
    if are_probabilities(logits):
        raise ValueError(
            f"{caller}: expected logits; found probabilities, every row with the sum 1; give it the output of the "
            "model before softmax."
        )


def _check_matrix(caller, matrix):
    counts = np.asarray(matrix)
    square = counts.ndim == 2 and counts.shape[0] == counts.shape[1]
    if not square or not np.issubdtype(counts.dtype, np.integer) or (counts < 0).any():
        raise ValueError(
            f"{caller}: expected a square matrix of counts, one row a true class; found {counts.dtype} of shape "
            f"{counts.shape}; give it confusion(labels, predictions), not shares."
        )
    if isinstance(matrix, pd.DataFrame):
        return matrix.astype(np.int64)
    names = CLASS_NAMES if len(counts) == len(CLASS_NAMES) else range(len(counts))
    return pd.DataFrame(counts, names, names, dtype=np.int64)


def _check_right(caller, values):
    values = np.asarray(values)
    if values.ndim != 1 or not len(values) or not np.isin(values, (0, 1)).all():
        raise ValueError(
            f"{caller}: expected true or false for every image, shape (n,); found {values.dtype} of shape "
            f"{values.shape}; give it predictions == labels."
        )
    return values.astype(bool)
