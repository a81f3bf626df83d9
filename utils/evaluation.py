"""What scikit-learn and SciPy lack: shares with intervals, calibration, and a score by which to say 'I do not know'."""

import numpy as np
from scipy import special, stats


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


def energy(logits):
    """The score of Liu et al. 2020 (arXiv 2010.03759): low where some class fits, high where none does."""
    logits = np.asarray(logits, float)
    if not np.isfinite(logits).all() or are_probabilities(logits):
        found = "probabilities" if np.isfinite(logits).all() else "NaN or infinite values"
        raise ValueError(f"energy: expected finite logits; found {found}; give the output before softmax.")
    return -special.logsumexp(logits, axis=1)


def are_probabilities(rows):
    """Whether nothing is below 0 and every row sums to one, as far as 16-bit numbers do (within 0.01)."""
    return len(rows) > 0 and (rows >= 0).all() and np.allclose(rows.sum(axis=1), 1, rtol=0, atol=0.01)
