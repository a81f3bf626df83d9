"""What scikit-learn and SciPy lack: calibration error, temperature, paired comparison, and a score to say no by.

Labels come first. All numbers are shares from 0 to 1, not percentages.
"""

import numpy as np
from scipy import optimize, special, stats


def calibration_error(labels, probabilities, bins=15):
    """Expected calibration error: by how much confidence and accuracy differ, averaged over all images.

    It depends on the number of bins, of equal width between 0 and 1, and is a little above 0 even for perfect
    probabilities, shape (n, 10): compare only figures from the same bins and about as many images.

    Source: Naeini et al. 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning"; Guo et al. 2017,
    "On Calibration of Modern Neural Networks" (arXiv 1706.04599), equation 3.
    """
    probabilities = np.asarray(probabilities, float)
    if not are_probabilities(probabilities):
        raise ValueError(
            "calibration_error: expected probabilities, none below 0 and every row with the sum 1; found values down "
            f"to {probabilities.min():.3g} and sums up to {probabilities.sum(axis=1).max():.3g}; give it "
            "scipy.special.softmax(logits, axis=1)."
        )
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == np.ravel(labels)
    numbers = np.digitize(confidence, np.linspace(0, 1, bins + 1), right=True)
    gaps = np.bincount(numbers, weights=right - confidence)  # in each bin: right answers less those to be expected
    return np.abs(gaps).sum() / len(right)


def fit_temperature(labels, logits):
    """Find the temperature at which the softmax of logits / temperature gives the true classes the highest likelihood.

    Fit it on validation images, logits of shape (n, 10). It is above 1 for a model that is too sure of itself; a value
    near 0.05 or 20 means that there is no best one, as for a model that is always right or no better than chance.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks" (arXiv 1706.04599), section 4.2.
    """
    logits, labels = _check_logits("fit_temperature", logits), np.ravel(labels)

    def loss(log_temperature):
        log_probabilities = special.log_softmax(logits / np.exp(log_temperature), axis=1)
        return -log_probabilities[np.arange(len(logits)), labels].mean()

    return float(np.exp(optimize.minimize_scalar(loss, bounds=np.log([0.05, 20]), method="bounded").x))


def mcnemar(first_right, second_right):
    """p-value of McNemar's exact test: how often two equally good models would differ at least this much.

    Only the images that one of the two models names right count, each as the toss of a coin. Both arguments are bool,
    `predictions == labels`, of the same images in the same order.

    Source: McNemar 1947, "Note on the sampling error of the difference between correlated proportions or percentages".
    """
    first, second = np.asarray(first_right), np.asarray(second_right)
    if first.dtype != bool or second.dtype != bool:
        found = f"{first.dtype} and {second.dtype}"
        raise ValueError(f"mcnemar: expected true or false for every image; found {found}; give predictions == labels.")
    only_first, only_second = np.sum(first & ~second), np.sum(~first & second)
    tosses = only_first + only_second
    return stats.binomtest(only_first, tosses).pvalue if tosses else 1.0


def energy(logits):
    """The score of Liu et al. 2020 (arXiv 2010.03759), shape (n,): low where some class fits, high where none does."""
    return -special.logsumexp(_check_logits("energy", logits), axis=1)


def rejection_threshold(scores, keep=0.95):
    """The highest threshold at or above which a given share of familiar images lies; one of their scores.

    Scores, one for every validation image, are higher for what looks familiar: the highest probability, or
    `-energy(logits)`. Liu et al. 2020 call the share of strange images that pass the threshold for 0.95 FPR95.
    """
    scores = np.asarray(scores, float)
    if scores.ndim != 1 or not scores.size or not np.isfinite(scores).all():
        found = f"shape {scores.shape} with {np.sum(~np.isfinite(scores)):,} NaN or infinite values"
        raise ValueError(f"rejection_threshold: expected one finite score an image; found {found}; leave such out.")
    return float(-np.quantile(-scores, keep, method="inverted_cdf"))


def are_probabilities(rows):
    """Whether nothing is below 0 and every row sums to one, as far as 16-bit numbers do (within 0.01)."""
    return (rows >= 0).all() and np.allclose(rows.sum(axis=1), 1, rtol=0, atol=0.01)


def _check_logits(caller, logits):
    logits = np.asarray(logits, float)
    finite = np.isfinite(logits).all()
    if not finite or are_probabilities(logits):
        found = "probabilities" if finite else "NaN or infinite values"
        raise ValueError(f"{caller}: expected finite logits; found {found}; give the model's output before softmax.")
    return logits
