"""Training in little time: schedules, good starts, averaged answers, and records of what was run.

`python -m utils.training NAME` trains a recipe of `utils.recipes` and writes its record; `--help` says how.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
from keras import ops

from utils.cache import cache_folder, digest
from utils.data import load_cifar10, subset
from utils.models import build_model, count_flops, load_published, save_published
from utils.profiles import PROFILES, describe_processor, processor_flags

RUNS = Path(__file__).resolve().parents[1] / "models" / "runs"


class Triangular(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises in a straight line to its peak and falls in another one.

    Args:
        peak: the highest learning rate.
        steps: number of training steps (batches) in all.
        peak_at: where the peak lies, as a part of all steps, between 0 and 1.
        start: the first learning rate, as a part of the peak.
        end: the last learning rate, as a part of the peak.

    Source: Smith and Topin 2018, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates".
    """

    def __init__(self, peak, steps, peak_at=0.25, start=0.2, end=0.02):
        if steps < 1 or not 0 < peak_at < 1:
            raise ValueError(f"Triangular: expected steps >= 1 and 0 < peak_at < 1; found {steps} and {peak_at}.")
        self.peak, self.steps, self.peak_at, self.start, self.end = peak, steps, peak_at, start, end

    def __call__(self, step):
        done = ops.cast(step, "float32") / self.steps
        rising = self.start + (1 - self.start) * done / self.peak_at
        falling = 1 - (1 - self.end) * (done - self.peak_at) / (1 - self.peak_at)
        return self.peak * ops.maximum(ops.minimum(rising, falling), self.end)

    def get_config(self):
        return {name: getattr(self, name) for name in ("peak", "steps", "peak_at", "start", "end")}


def warmup_cosine(peak, steps, warmup=0.1):
    """Keras' own schedule of a straight rise followed by half a cosine wave down to zero.

    Args:
        peak: the highest learning rate.
        steps: number of training steps (batches) in all.
        warmup: the rising part of all steps, between 0 and 1.

    Source: Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts"; Goyal et al. 2017,
    "Accurate, Large Minibatch SGD" (warm-up).
    """
    rising = max(1, round(steps * warmup))
    return keras.optimizers.schedules.CosineDecay(0.0, max(1, steps - rising), warmup_target=peak, warmup_steps=rising)


def whitening_kernel(images, size=2, smallest=5e-4):
    """A first convolution whose outputs are uncorrelated and of equal variance on natural patches.

    Each filter is an eigenvector of the patches' covariance, divided by the square root of its eigenvalue; its negative
    follows, since the activation after it cuts off one side.

    Args:
        images: float array of normalised images, shape (n, height, width, 3); some thousands are enough.
        size: height and width of the filters in pixels.
        smallest: added to every eigenvalue, so that noise is not blown up.

    Returns:
        float32 array of shape (size, size, 3, 2 * 3 * size ** 2).

    Source: Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", section 3.2, arXiv 2404.00498.
    """
    windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, size * size * 3)
    eigenvalues, eigenvectors = np.linalg.eigh(np.cov(patches, rowvar=False))
    filters = (eigenvectors / np.sqrt(eigenvalues + smallest)).reshape(size, size, 3, -1)
    return np.concatenate([filters, -filters], axis=-1).astype(np.float32)


def whiten(model, images, count=5_000):
    """Set the layer "whitening" of a model to `whitening_kernel` of the images that reach it, and freeze it.

    Args:
        model: a network with layers called "standardising" and "whitening", as `fast_cnn`.
        images: uint8 training images, shape (n, height, width, 3); the first `count` are used.
        count: number of images.
    """
    layer = model.get_layer("whitening")
    standardised = np.asarray(model.get_layer("standardising")(np.asarray(images[:count])), np.float32)
    kernel = whitening_kernel(standardised, size=layer.kernel_size[0])
    layer.set_weights([kernel, np.zeros(kernel.shape[-1], np.float32)])
    layer.trainable = False


@keras.saving.register_keras_serializable("tutorial")
class ShiftSGD(keras.optimizers.SGD):
    """SGD that learns the shifts of batch normalisation faster than everything else, and does not decay them.

    Args:
        shift_factor: how many times as high their learning rate is.
        **options: as for `keras.optimizers.SGD`.

    Source: Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", section 3.4, arXiv 2404.00498.
    """

    def __init__(self, learning_rate, shift_factor=64.0, **options):
        super().__init__(learning_rate, **options)
        self.shift_factor = shift_factor
        self.exclude_from_weight_decay(var_names=["beta"])

    def update_step(self, gradient, variable, learning_rate):
        name = self._trainable_variables[self._get_variable_index(variable)].name
        super().update_step(gradient, variable, learning_rate * (self.shift_factor if name == "beta" else 1))

    def get_config(self):
        return {**super().get_config(), "shift_factor": self.shift_factor}


def predict_averaged(model, images, views=6, batch_size=500):
    """Average the logits of several views of every image: test-time augmentation.

    Args:
        model: a network of `utils.models`, pixels 0 to 255 to logits.
        images: uint8 array, shape (n, height, width, 3), values 0 to 255.
        views: 1 for the image itself; 2 to add its mirror image; 6 to add both shifted by one pixel towards either
            corner, at half the weight.
        batch_size: images in a batch.

    Returns:
        float32 array of logits, shape (n, 10).

    Raises:
        ValueError: if `views` is not 1, 2 or 6.

    Source: Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", section 3.5, arXiv 2404.00498.
    """
    if views not in (1, 2, 6):
        raise ValueError(f"predict_averaged: expected views of 1, 2 or 6; found {views}.")
    return _predict_views(model, images, views, batch_size)[views]


def _predict_views(model, images, most, batch_size=500):
    """The logits for every number of views up to the most; no view is predicted twice."""

    def predict(pixels):
        return model.predict(pixels, batch_size=batch_size, verbose=0)

    def both_sides(pixels):
        return predict(pixels) + predict(pixels[:, :, ::-1])

    averaged = {1: predict(images)}
    if most >= 2:
        averaged[2] = (averaged[1] + predict(images[:, :, ::-1])) / 2
    if most >= 6:
        padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
        averaged[6] = averaged[2] / 2 + (both_sides(padded[:, :-2, :-2]) + both_sides(padded[:, 2:, 2:])) / 8
    return averaged


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: all that its result depends on besides the images and the seed.

    `utils.recipes` holds those of the series.

    Attributes:
        network: a name of `utils.models.MODEL_NAMES`.
        epochs: how often every training image is seen, unless a caller wants another number.
        batch_size: images in a batch; a last batch that is not full is left out.
        optimizer: function from the number of all training steps to a Keras optimizer.
        augment: None, or an augmentation of `utils.pipelines`.
        augment_from: the epoch, counted from 0, with which the augmentation begins.
        label_smoothing: share of the label that is spread evenly over all classes, 0 to 1.
        precision: dtype policy of Keras, or "fastest" for what `fastest_precision` says.
        prepare: None, or a function of the new model and the training images, for a start that depends on the images
            or on the published network.
        views: test-time views with which the result is quoted: 1, 2 or 6.
        options: what `build_model` gets besides the name.
        images: how many of the training images are used, the same number of every class.
        patience: None, or after how many epochs without a lower validation loss the training stops; it then ends with
            the weights of the best epoch.
        averaged: how many of the last epochs lend their weights, as they stand at each one's end, to the network, which
            gets their mean (Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima", arXiv 1803.05407). What
            batch normalisation subtracts and divides by is then measured again.
        kept: the share, 0 to 1, of the weights that the training started from in the weights it ends with.
    """

    network: str
    epochs: int
    batch_size: int
    optimizer: Callable
    augment: Callable | None = None
    augment_from: int = 0
    label_smoothing: float = 0.0
    precision: str = "float32"
    prepare: Callable | None = None
    views: int = 1
    options: dict = field(default_factory=dict)
    images: int = 45_000
    patience: int | None = None
    averaged: int = 1
    kept: float = 0.0


def build(recipe, images, epochs, seed):
    """Build and compile the network of a recipe, ready to train.

    Args:
        recipe: a `Recipe`.
        images: uint8 training images, shape (n, 32, 32, 3).
        epochs: number of epochs in all, which sets the length of the learning rate's schedule.
        seed: int that fixes the random start.

    Returns:
        The compiled model; its labels are one-hot.
    """
    keras.utils.set_random_seed(seed)
    usual = keras.config.dtype_policy()
    keras.config.set_dtype_policy(fastest_precision() if recipe.precision == "fastest" else recipe.precision)
    try:
        model = build_model(recipe.network, **recipe.options)
    finally:
        keras.config.set_dtype_policy(usual)
    if recipe.prepare:
        recipe.prepare(model, images)
    model.compile(
        optimizer=recipe.optimizer(epochs * (len(images) // recipe.batch_size)),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=recipe.label_smoothing),
        metrics=["accuracy"],
    )
    return model


def train(recipe, data, epochs, *, seed=0, checkpoints=None, verbose=2):
    """Train a recipe, watched on the validation images, and go on where a killed training stopped.

    Every epoch draws its order, augmentations and dropout from the seed and its own number, so a training that was
    stopped and resumed ends with the same weights as one that was not, up to rounding.

    Args:
        recipe: a `Recipe`.
        data: a `utils.data.Cifar10`; the test images are not touched.
        epochs: number of epochs in all.
        seed: int that fixes start, order, augmentation and dropout.
        checkpoints: folder to keep the state after every epoch in, and to resume from; None for neither.
        verbose: as in `model.fit`.

    Returns:
        `(model, history)`: the trained model, and a dict of one list an epoch: "loss", "accuracy", "val_loss",
        "val_accuracy" and "seconds".
    """
    with nullcontext(checkpoints) if checkpoints else TemporaryDirectory() as folder:
        return _train(recipe, data, epochs, seed, Path(folder), verbose)


def _train(recipe, data, epochs, seed, folder, verbose):
    from utils.pipelines import make_dataset

    model = build(recipe, data.x_train, epochs, seed)
    first_weights = model.get_weights()
    history = _resume(model, folder)
    one_epoch = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: setattr(model, "stop_training", True))
    validation = make_dataset(data.x_validation, data.y_validation, 500, one_hot=True)
    while not _finished(history, epochs, recipe.patience):
        epoch = len(history.get("loss", ()))
        epoch_seed = 1_000 * seed + epoch
        batches = make_dataset(
            data.x_train,
            data.y_train,
            recipe.batch_size,
            training=True,
            augment=recipe.augment if epoch >= recipe.augment_from else None,
            one_hot=True,
            seed=epoch_seed,
            drop_remainder=True,
        )
        _reseed_dropout(model, epoch_seed)
        start = time.perf_counter()
        fitted = model.fit(
            batches,
            validation_data=validation,
            initial_epoch=epoch,
            epochs=epochs,
            callbacks=[one_epoch],
            shuffle=False,
            verbose=verbose,
        )
        for key, values in {**fitted.history, "seconds": [time.perf_counter() - start]}.items():
            history.setdefault(key, []).extend(values)
        _keep(model, history, folder, recipe.averaged)
    if recipe.patience is not None:
        model.load_weights(_weights_path(folder, _best_epoch(history)))
    if recipe.averaged > 1 or recipe.kept:
        last = [_weights_path(folder, epoch) for epoch in range(epochs, 0, -1)[: recipe.averaged]]
        _average(model, last, first_weights, recipe.kept)
        _measure_again(model, make_dataset(data.x_train, data.y_train, recipe.batch_size, training=True, seed=seed))
    return model, history


def _average(model, paths, first_weights, kept):
    """Give the model the mean of stored weights, with a share of those that it started from."""
    stored = []
    for path in paths:
        model.load_weights(path)
        stored.append(model.get_weights())
    means = [np.mean(arrays, axis=0) for arrays in zip(*stored, strict=True)]
    model.set_weights([kept * old + (1 - kept) * new for old, new in zip(first_weights, means, strict=True)])


def _measure_again(model, batches, count=80):
    """Measure what batch normalisation subtracts and divides by: those of averaged weights are no average of theirs."""
    normalisations = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not normalisations:
        return
    measured = [variable for layer in normalisations for variable in (layer.moving_mean, layer.moving_variance)]
    history = []
    for images, _ in batches.take(count):
        model(images, training=True)
        history.append([ops.convert_to_numpy(variable) for variable in measured])
    for variable, values in zip(measured, zip(*history, strict=True), strict=True):
        variable.assign(np.mean(values, axis=0))


def _finished(history, epochs, patience):
    done = len(history.get("loss", ()))
    return done >= epochs or (done > 0 and patience is not None and done - _best_epoch(history) >= patience)


def _best_epoch(history):
    """The epoch with the lowest validation loss, counted from 1."""
    return 1 + int(np.argmin(history["val_loss"]))


def _reseed_dropout(model, seed):
    for layer in model.layers:
        if hasattr(layer, "seed_generator"):
            layer.seed_generator.state.assign([seed, 0])


def _resume(model, folder):
    """Load the newest state in `folder` into the model and its optimizer; returns the history so far."""
    if not (folder / "history.json").exists():
        return {}
    history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    model.optimizer.build(model.trainable_variables)
    model.load_weights(_weights_path(folder, len(history["loss"])))
    return history


def _keep(model, history, folder, last):
    """Write weights, then the history that points to them, then remove all weights but the last and the best."""
    folder.mkdir(parents=True, exist_ok=True)
    done = len(history["loss"])
    model.save_weights(_weights_path(folder, done))
    _write_json(folder / "history.json", history)
    needed = {_best_epoch(history), *range(done - last + 1, done + 1)}
    for older in set(folder.glob("*.weights.h5")) - {_weights_path(folder, epoch) for epoch in needed}:
        older.unlink()


def _weights_path(folder, epoch):
    return folder / f"epoch{epoch:03}.weights.h5"


def _write_json(path, content):
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(unfinished, path)


def save_run(name, model, history, **facts):
    """Write the record of a training to `models/runs/NAME.json`.

    Args:
        name: name of the run; a file of that name is replaced.
        model: the trained network.
        history: dict of lists, one number an epoch, as `model.fit(...).history` holds them.
        **facts: what else belongs to the result and JSON can hold: validation_accuracy, test_accuracy, seconds,
            data_source, profile, seed, command ...

    Returns:
        The Path written.
    """
    record = {
        "name": name,
        "network": model.name,
        "parameters": model.count_params(),
        "flops": count_flops(model),
        "epochs": len(history["loss"]),
        **facts,
        "hardware": describe_processor(),
        "versions": {module.__name__: module.__version__ for module in (_backend(), keras, np)},
        "date": time.strftime("%Y-%m-%d"),
        "history": {key: [round(float(value), 5) for value in values] for key, values in history.items()},
    }
    RUNS.mkdir(parents=True, exist_ok=True)
    path = RUNS / f"{name}.json"
    _write_json(path, record)
    return path


def load_run(name):
    """Read the record of a training.

    Args:
        name: name of a run in `models/runs/`.

    Returns:
        The record as a dict.

    Raises:
        FileNotFoundError: if there is no such record; the message lists those there are.
    """
    path = RUNS / f"{name}.json"
    if not path.exists():
        known = ", ".join(sorted(run.stem for run in RUNS.glob("*.json"))) or "none"
        raise FileNotFoundError(f"load_run: no record {name!r} in models/runs; there are: {known}.")
    return json.loads(path.read_text(encoding="utf-8"))


def load_runs(name):
    """Read the records of one recipe, trained with several seeds.

    Args:
        name: name of the recipe, as in `utils.recipes.RECIPES`.

    Returns:
        A list of records, at least one, in the order of the seeds.

    Raises:
        FileNotFoundError: if there is none; the message lists the records there are.
    """
    seeds = sorted(int(path.stem.rpartition("seed")[2]) for path in RUNS.glob(f"{name}-seed*.json"))
    return [load_run(f"{name}-seed{seed}") for seed in seeds or [0]]


def patchworks(count=20):
    """Pictures of random colours in squares, the same on every machine and under every version of every library.

    A network's answers to them say nothing, but show whether it is the same network elsewhere.

    Args:
        count: number of pictures.

    Returns:
        uint8 array, shape (count, 32, 32, 3), values 0 to 255.
    """
    colours = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), np.uint8)
    return colours.repeat(8, axis=1).repeat(8, axis=2)


def fastest_precision():
    """The dtype policy of Keras that trains fastest here: "mixed_bfloat16" where the CPU has it, else "float32"."""
    return "mixed_bfloat16" if {"amx_bf16", "avx512_bf16"} & set(processor_flags()) else "float32"


def _backend():
    return import_module(keras.backend.backend())


def run(name, recipe, *, seed=0, test=False, publish=False, timed=True, command=None, verbose=2):
    """Train a recipe on all its images, measure it, and write its record; what a killed run had done is kept.

    Args:
        name: name of the record, without the seed; trained on the stand-in, it is called so.
        recipe: a `Recipe`.
        seed: int, as for `train`.
        test: whether to predict the test images too, once, at the end. The logits of validation and test images,
            float16 arrays of shape (n, 10), then stand beside the record, in `NAME-seedS.npz`, with their labels and
            the logits of `patchworks`, float32.
        publish: whether the network becomes the one that `load_published` gives; it is measured as that gives it.
        timed: whether the record keeps the seconds; not where the machine did other work meanwhile.
        command: what the record says about how it was made.
        verbose: as in `model.fit`.

    Returns:
        The record as a dict.

    Raises:
        ValueError: if another network than a `fast_cnn`, or one trained on the stand-in, would be published.
    """
    whole = load_cifar10()
    if publish and (whole.is_stand_in or recipe.network != "fast_cnn"):
        raise ValueError(f"run: expected a fast_cnn on CIFAR-10 to publish; found {recipe.network} on {whole.source}.")
    data = subset(whole, replace(PROFILES["full"], train=recipe.images))
    splits = {"validation": (data.x_validation, data.y_validation)}
    if test:
        splits["test"] = (data.x_test, data.y_test)
    record_name = f"{name}{'-stand-in' if whole.is_stand_in else ''}-seed{seed}"
    checkpoints = cache_folder() / "training" / f"{record_name}-{digest((whole.source, recipe.images, recipe.epochs))}"
    if checkpoints.exists():
        print(f"Going on where an earlier run stopped; to begin anew, delete {checkpoints}.")
    model, history = train(recipe, data, recipe.epochs, seed=seed, checkpoints=checkpoints, verbose=verbose)
    seconds = history.pop("seconds")
    facts = {"precision": model.dtype_policy.name}
    if timed:
        history["seconds"] = seconds
        facts["seconds"] = round(sum(seconds), 1)
    if recipe.patience is not None:
        facts["best_epoch"] = _best_epoch(history)
    if publish:
        exact = save_published(model, whole.source, **recipe.options)
        model = load_published()
    logits = {split: _predict_views(model, images, recipe.views) for split, (images, _) in splits.items()}
    if publish:
        facts["same_class_as_in_full_precision"] = {
            split: _agreement(logits[split][1], predict_averaged(exact, images, views=1))
            for split, (images, _) in splits.items()
        }
    path = save_run(
        record_name,
        model,
        history,
        **{f"{split}_accuracy": _accuracies(logits[split], labels) for split, (_, labels) in splits.items()},
        **facts,
        images=recipe.images,
        batch_size=recipe.batch_size,
        seed=seed,
        data_source=whole.source,
        profile="full" if recipe.images == PROFILES["full"].train else f"{recipe.images:,} training images",
        command=command,
    )
    if test:
        best = {split: views[recipe.views].astype(np.float16) for split, views in logits.items()}
        labels = {f"{split}_labels": labels.astype(np.uint8) for split, (_, labels) in splits.items()}
        known = {"patchworks": predict_averaged(model, patchworks(), views=1)}
        np.savez_compressed(path.with_suffix(".npz"), **best, **labels, **known)
    shutil.rmtree(checkpoints)
    return load_run(record_name)


def _agreement(first, second):
    """The share of images for which two arrays of logits name the same class."""
    return float(np.mean(first.argmax(axis=1) == second.argmax(axis=1)))


def _accuracies(logits, labels):
    return {str(views): round(float(np.mean(rows.argmax(axis=1) == labels)), 5) for views, rows in logits.items()}


def main():
    """The command line."""
    from utils.recipes import RECIPES

    parser = argparse.ArgumentParser(prog="python -m utils.training", description=run.__doc__.split("\n")[0])
    parser.add_argument("recipe", choices=RECIPES, metavar="NAME", help=f"one of {', '.join(RECIPES)}")
    parser.add_argument("--seed", type=int, default=0, help="fixes start, order, augmentation and dropout")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's own number")
    parser.add_argument("--images", type=int, help="training images, a multiple of ten, instead of the recipe's own")
    parser.add_argument("--test", action="store_true", help="measure on the test images too, once, and keep the logits")
    parser.add_argument("--publish", action="store_true", help="make it the network that `load_published` gives")
    parser.add_argument("--untimed", action="store_true", help="the machine is shared: keep no seconds in the record")
    parser.add_argument("--record", help="name of the record, instead of the recipe's")
    wanted = parser.parse_args()
    changed = {key: getattr(wanted, key) for key in ("epochs", "images") if getattr(wanted, key)}
    record = run(
        wanted.record or wanted.recipe,
        replace(RECIPES[wanted.recipe], **changed),
        seed=wanted.seed,
        test=wanted.test,
        publish=wanted.publish,
        timed=not wanted.untimed,
        command=" ".join([parser.prog, *sys.argv[1:]]),
        verbose=1 if sys.stdout.isatty() else 2,
    )
    for split in ("validation", "test"):
        for views, accuracy in record.get(f"{split}_accuracy", {}).items():
            print(f"{split} accuracy {accuracy:.2%} with {views} test-time view{'s' if views != '1' else ''}")
    if "seconds" in record:
        print(f"{record['seconds'] / 60:.1f} minutes of training")
    print(f"record models/runs/{record['name']}.json")


if __name__ == "__main__":
    from utils import training  # this module under its own name, as `utils.recipes` imports it

    training.main()
