"""What the notebooks train with: a schedule, a good start, an optimizer, averaged answers, records of what was run."""

import json
from functools import partial
from pathlib import Path

import keras
import numpy as np
from keras import ops

RUNS = Path(__file__).resolve().parents[1] / "models" / "runs"
# Jordan 2024 below is "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498.


@keras.saving.register_keras_serializable("tutorial")
class Triangular(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises in a straight line to its peak and falls in another one, step by step.

    The peak lies at the part `peak_at` of all steps, between 0 and 1; `start` and `end` are parts of the peak.
    Source: Smith and Topin 2018, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates".
    """

    def __init__(self, peak, steps, peak_at=0.25, start=0.2, end=0.02):
        if steps < 1 or not 0 < peak_at < 1:
            raise ValueError(f"Triangular: expected steps >= 1, 0 < peak_at < 1; found {steps}, {peak_at}.")
        self.peak, self.steps, self.peak_at, self.start, self.end = peak, steps, peak_at, start, end

    def __call__(self, step):
        done = ops.cast(step, "float32") / self.steps
        rising = self.start + (1 - self.start) * done / self.peak_at
        falling = 1 - (1 - self.end) * (done - self.peak_at) / (1 - self.peak_at)
        return self.peak * ops.maximum(ops.minimum(rising, falling), self.end)

    def get_config(self):
        return {name: getattr(self, name) for name in ("peak", "steps", "peak_at", "start", "end")}


def whitening_kernel(images, size=2, smallest=5e-4):
    """A first convolution whose outputs are uncorrelated and of equal variance on normalised patches.

    Each filter is an eigenvector of the patches' covariance, divided by the root of its eigenvalue (and `smallest`, so
    that noise is not blown up); its negative follows, since an activation cuts off one side.
    Source: Jordan 2024, section 3.2.
    """
    windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, size * size * 3)
    eigenvalues, eigenvectors = np.linalg.eigh(np.cov(patches, rowvar=False))
    filters = (eigenvectors / np.sqrt(eigenvalues + smallest)).reshape(size, size, 3, -1)
    return np.concatenate([filters, -filters], axis=-1).astype(np.float32)


def whiten(model, images, count=5_000):
    """Set the first convolution of a `fast_cnn` to `whitening_kernel` of some images, and freeze it."""
    layer = model.get_layer("whitening")
    standardised = np.asarray(model.get_layer("standardising")(np.asarray(images[:count])), np.float32)
    kernel = whitening_kernel(standardised, size=layer.kernel_size[0])
    layer.set_weights([kernel, np.zeros(kernel.shape[-1], np.float32)])
    layer.trainable = False


@keras.saving.register_keras_serializable("tutorial")
class ShiftSGD(keras.optimizers.SGD):
    """SGD that learns shifts `shift_factor` times as fast and does not decay them. Factor: Jordan 2024, section 3.4."""

    def __init__(self, learning_rate, shift_factor=64.0, **options):
        super().__init__(learning_rate, **options)
        self.shift_factor = shift_factor
        self.exclude_from_weight_decay(var_names=["beta"])

    def update_step(self, gradient, variable, learning_rate):
        name = self._trainable_variables[self._get_variable_index(variable)].name
        factor = self.shift_factor if name == "beta" else 1
        super().update_step(gradient, variable, learning_rate * factor)

    def get_config(self):
        return {**super().get_config(), "shift_factor": self.shift_factor}


def predict_views(model, images, views=6, batch_size=500):
    """Average the logits of several views of every image: test-time augmentation.

    Images are uint8 (n, height, width, 3). One view is the image itself; two add its mirror image; six add both shifted
    by one pixel towards either corner, at half the weight.
    Source: Jordan 2024, section 3.5.
    """
    if views not in (1, 2, 6):
        raise ValueError(f"predict_views: expected views of 1, 2 or 6; found {views}.")
    predict = partial(model.predict, batch_size=batch_size, verbose=0)

    def both_sides(pixels):
        return (predict(pixels) + predict(pixels[:, :, ::-1])) / 2

    if views < 6:
        return predict(images) if views == 1 else both_sides(images)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    return both_sides(images) / 2 + (both_sides(padded[:, :-2, :-2]) + both_sides(padded[:, 2:, 2:])) / 4


def load_run(name):
    """Read the record of a training from `models/runs/` as a dict."""
    path = RUNS / f"{name}.json"
    if not path.exists():
        known = ", ".join(sorted(run.stem for run in RUNS.glob("*.json"))) or "none"
        raise FileNotFoundError(f"load_run: no record {name!r} in models/runs; there are: {known}.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"load_run: expected a record in {path}, found a damaged file: train it anew.") from error


def load_runs(name):
    """Read the records of one recipe of `models/train.py`, at least one, in the order of their seeds."""
    endings = (path.stem.removeprefix(f"{name}-seed") for path in RUNS.glob(f"{name}-seed*.json"))
    seeds = sorted(int(seed) for seed in endings if seed.isdecimal() and seed == str(int(seed)))  # copies have others
    return [load_run(f"{name}-seed{seed}") for seed in seeds or [0]]
