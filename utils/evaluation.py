"""What scikit-learn and SciPy lack: shares with intervals, calibration, and a score by which to say 'I do not know'."""

import numpy as np
from scipy import optimize, special, stats


def wilson(hits, count):
    """The 95% interval of the share hits / count by Wilson 1927; from 0 to 1 where nothing is counted."""
    return stats.binomtest(int(hits), int(count)).proportion_ci(method="wilson") if count else (0, 1)


def with_interval(hits, count, digits=1):
    """Write the share hits / count and, in brackets, its interval by `wilson`."""
    low, high = wilson(hits, count)
    return f"{hits / max(count, 1):.{digits}%} ({low:.{digits}%} to {high:.{digits}%})"


def calibration_error(labels, probabilities, bins=15):
    """Expected calibration error: by how much confidence and accuracy differ, averaged over all images.

    Even for perfect probabilities, (n, 10), it is above 0: compare only figures from as many bins and images.

    Source: Naeini et al. 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning"; Guo et al. 2017,
    "On Calibration of Modern Neural Networks" (arXiv 1706.04599), equation 3.
    """
    probabilities = np.asarray(probabilities, float)
    if not are_probabilities(probabilities):
        found = f"{probabilities.min():.3g} to {probabilities.max():.3g}; give it softmax(logits, axis=1)"
        raise ValueError(f"calibration_error: expected probabilities, rows with the sum 1; found {found}.")
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == np.ravel(labels)
    numbers = np.digitize(confidence, np.linspace(0, 1, bins + 1), right=True)
    gaps = np.bincount(numbers, weights=right - confidence)  # in each bin: right less expected
    return np.abs(gaps).sum() / len(right)


def fit_temperature(labels, logits):
    """Find the temperature at which the softmax of logits / temperature gives the true classes the highest likelihood.

    Fit it on validation images, logits of shape (n, 10). It is above 1 for a model that is too sure of itself, and near
    0.05 or 20 where there is no best one.
    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks" (arXiv 1706.04599), section 4.2.
    """
    logits, labels = check_logits("fit_temperature", logits), np.ravel(labels)

    def loss(log_temperature):
        log_probabilities = special.log_softmax(logits / np.exp(log_temperature), axis=1)
        return -log_probabilities[np.arange(len(logits)), labels].mean()

    return float(np.exp(optimize.minimize_scalar(loss, bounds=np.log([0.05, 20]), method="bounded").x))


def energy(logits):
    """The score of Liu et al. 2020 (arXiv 2010.03759): low where some class fits, high where none does."""
    return -special.logsumexp(check_logits("energy", logits), axis=1)


def are_probabilities(rows):
    """Whether nothing is below 0 and every row sums to one, as far as 16-bit numbers do (within 0.01)."""
    return len(rows) > 0 and (rows >= 0).all() and np.allclose(rows.sum(axis=1), 1, rtol=0, atol=0.01)


def check_logits(caller, logits):
    logits = np.asarray(logits, float)
    finite = np.isfinite(logits).all()
    if not finite or are_probabilities(logits):
        found = "probabilities" if finite else "NaN or infinite values"
        raise ValueError(f"{caller}: expected finite logits; found {found}; give the model's output before softmax.")
    return logits
