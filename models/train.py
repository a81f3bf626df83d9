"""How every quoted network was trained, and the one command that trains one again: `python models/train.py NAME`.

`--help` lists the recipes. A training that was killed goes on where it stopped; its record goes to `models/runs`."""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import keras
import numpy as np
import tensorflow as tf
from keras import ops, optimizers

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from utils import networks, training
from utils.data import digest, load_cifar10, subset
from utils.download import cache_folder
from utils.machine import PROFILES, describe_processor, fastest_precision
from utils.networks import build_model, count_flops, load_published, save_weights
from utils.pipelines import affine, compose, crop, cutout, flip, jitter, make_dataset, sometimes
from utils.training import (
    ShiftSGD,
    Triangular,
    load_run,
    patchworks,
    predict_every_view,
    predict_views,
    whiten,
)


def with_outliers(images, labels, seed, share=0.125):
    """Turn the first images of every batch into pictures of none of the classes, labelled as all classes alike.

    The batches must be shuffled, so that every image is first now and then. An outlier is of each kind below equally
    often.

    Args:
        images: uint8 tensor, shape (batch, height, width, channels), height and width divisible by 4.
        labels: float32 tensor of probabilities, shape (batch, classes): `make_dataset(..., one_hot=True)`.
        seed: int32 tensor of shape (2,), for `tf.random.stateless_*`.
        share: the part of the batch, 0 to 1, that becomes outliers.

    Returns:
        `(images, labels)`, shapes and dtypes as given.

    Raises:
        ValueError: if labels are not one-hot.
    """
    if labels.shape.rank != 2:
        raise ValueError(
            f"with_outliers: expected one-hot labels of shape (batch, classes); found shape {labels.shape}."
        )
    batch = tf.shape(images)[0]
    count = tf.cast(tf.cast(batch, tf.float32) * share, tf.int32)
    chosen, others = images[:count], images[batch - count :]
    made = tf.stack([kind(chosen, others, seed + [number, 1]) for number, kind in enumerate(KINDS)])
    kinds = tf.random.stateless_uniform((count,), seed, 0, len(KINDS), tf.int32)
    picked = tf.gather_nd(made, tf.stack([kinds, tf.range(count)], axis=1))
    unsure = tf.fill((count, labels.shape[1]), 1 / labels.shape[1])
    return tf.concat([picked, images[count:]], axis=0), tf.concat([unsure, labels[count:]], axis=0)


def blend(images, others, seed):
    """Lay two images over each other, the second upside down.

    Args:
        images: uint8 tensor, shape (batch, height, width, channels).
        others: uint8 tensor of the same shape.
        seed: not used here.

    Returns:
        uint8 tensor of the same shape.
    """
    return tf.cast((tf.cast(images, tf.int32) + tf.cast(others[:, ::-1], tf.int32)) // 2, tf.uint8)


def jumble(images, others, seed):
    """Cut two images into tiles and put sixteen of these thirty-two together at random.

    Args:
        images: uint8 tensor, shape (batch, height, width, channels), height and width divisible by 4.
        others: uint8 tensor of the same shape.
        seed: int32 tensor of shape (2,), for `tf.random.stateless_*`.

    Returns:
        uint8 tensor of the same shape.
    """
    batch, (height, width, channels) = tf.shape(images)[0], images.shape[1:]
    both = tf.cast(tf.stack([images, others], axis=1), tf.float32)  # transposing integers fills TensorFlow's log
    both = tf.reshape(both, (batch, 2, 4, height // 4, 4, width // 4, channels))
    tiles = tf.reshape(tf.transpose(both, (0, 1, 2, 4, 3, 5, 6)), (batch, 32, height // 4, width // 4, channels))
    order = tf.argsort(tf.random.stateless_uniform((batch, 32), seed))[:, :16]
    grid = tf.reshape(tf.gather(tiles, order, batch_dims=1), (batch, 4, 4, height // 4, width // 4, channels))
    return tf.cast(tf.reshape(tf.transpose(grid, (0, 1, 3, 2, 4, 5)), (batch, height, width, channels)), tf.uint8)


def magnify(images, others, seed):
    """Enlarge a small part of each image, a fifth to two fifths as wide, until it fills the picture.

    Args:
        images: uint8 tensor, shape (batch, height, width, channels).
        others: not used here.
        seed: int32 tensor of shape (2,), for `tf.random.stateless_*`.

    Returns:
        uint8 tensor of the same shape.
    """
    amounts = tf.random.stateless_uniform((3, tf.shape(images)[0]), seed)
    size = 0.2 + 0.2 * amounts[0]
    top, left = amounts[1] * (1 - size), amounts[2] * (1 - size)
    boxes = tf.stack([top, left, top + size, left + size], axis=1)
    enlarged = tf.image.crop_and_resize(images, boxes, tf.range(tf.shape(images)[0]), images.shape[1:3])
    return tf.cast(tf.round(enlarged), tf.uint8)


def leaves(images, others, seed, count=12):
    """Cover each image with ellipses: some of one colour, the others cut from the second image, as fallen leaves lie.

    Args:
        images: uint8 tensor, shape (batch, height, width, channels).
        others: uint8 tensor of the same shape.
        seed: int32 tensor of shape (2,), for `tf.random.stateless_*`.
        count: number of ellipses.

    Returns:
        uint8 tensor of the same shape.

    Source of dead leaves as training images: Baradad et al. 2021, "Learning to See by Looking at Noise".
    """
    batch, (height, width, channels) = tf.shape(images)[0], images.shape[1:]
    amounts = tf.random.stateless_uniform((count, 6, batch, 1, 1), seed)
    colours = tf.random.stateless_uniform((count, batch, 1, 1, channels), seed, 0, 256, tf.int32)
    y, x = tf.range(height, dtype=tf.float32)[:, tf.newaxis] / height, tf.range(width, dtype=tf.float32) / width
    for leaf in range(count):
        down, along, long, short, angle, kind = tf.unstack(amounts[leaf])
        cosine, sine = tf.cos(3.1416 * angle), tf.sin(3.1416 * angle)
        across, upright = (x - along) * cosine + (y - down) * sine, (y - down) * cosine - (x - along) * sine
        inside = (across / (0.12 + 0.4 * long)) ** 2 + (upright / (0.08 + 0.25 * short)) ** 2 < 1
        plain = tf.broadcast_to(tf.cast(colours[leaf], tf.uint8), tf.shape(images))
        filling = tf.where(kind[..., tf.newaxis] < 0.5, plain, tf.roll(others, leaf * 3, axis=1))
        images = tf.where(inside[..., tf.newaxis], filling, images)
    return images


KINDS = (blend, jumble, magnify, leaves)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: all that its result depends on besides the images and the seed.

    `RECIPES` holds those of the series.

    Attributes:
        network: a name of `utils.networks.MODEL_NAMES`.
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


def _adam(steps):
    return optimizers.Adam(0.001)


def _decayed_adam(steps):
    return optimizers.AdamW(0.001, weight_decay=0.1)


_MOMENTUM = {"momentum": 0.85, "nesterov": True, "weight_decay": 0.005}


def _constant(steps):
    return optimizers.SGD(0.2, **_MOMENTUM)


def _scheduled(steps):
    return optimizers.SGD(Triangular(0.8, steps), **_MOMENTUM)


def _fast(steps):
    return ShiftSGD(Triangular(0.8, steps), **_MOMENTUM)


def _long(steps, peak=0.8, **schedule):
    return ShiftSGD(Triangular(peak, steps, **schedule), **_MOMENTUM | {"weight_decay": 0.004})


def _long_again(steps, peak, end):
    return _long(steps, peak, peak_at=0.05, start=0.3, end=end)


def _averaged(steps):
    return ShiftSGD(Triangular(0.8, steps), **_MOMENTUM, use_ema=True, ema_momentum=0.9)


FAST_CNN = Recipe(
    network="fast_cnn",
    epochs=16,
    batch_size=512,
    optimizer=_fast,
    augment=compose(flip, partial(crop, padding=2)),
    label_smoothing=0.2,
    precision="fastest",
    prepare=whiten,
    views=6,
)
_LIT = partial(jitter, brightness=0.1, contrast=0.1)
_HOLED = partial(cutout, size=12)
# The network that comes with the series, its first part: more filters, one convolution more in each block, and images
# changed in more ways, so that it can learn for longer; changes of light, since photos differ in it more than CIFAR-10.
PUBLISHED_FIRST = replace(
    FAST_CNN,
    epochs=45,
    optimizer=_long,
    augment=compose(flip, crop, _LIT, _HOLED),
    options={"widths": (128, 320, 320), "depth": 3, "residual": True, "activation": "silu"},
)


def _go_on(model, images):
    model.set_weights(load_published().get_weights())
    model.get_layer("whitening").trainable = False


# Its second and third part go on from what is published: pictures of none of the classes, on which it learns to be
# unsure, and a rate that stays high, while the weights of many epochs are averaged, and these with those at the start.
_ZOOMED = sometimes(partial(affine, rotation=10.0, shift=0.0, zoom=0.15), 0.3)
PUBLISHED_SECOND = replace(
    PUBLISHED_FIRST,
    epochs=24,
    averaged=16,
    kept=0.5,
    optimizer=partial(_long_again, peak=0.3, end=0.3),
    prepare=_go_on,
    augment=compose(with_outliers, flip, crop, _ZOOMED, _LIT, _HOLED),
)
# Its last two parts: pictures of the classes alone, changed less and less, and a rate that falls.
# Source: He et al. 2019, "Data Augmentation Revisited", arXiv 1909.09148, which ends on images that are hardly changed.
PUBLISHED_FOURTH = replace(
    PUBLISHED_SECOND,
    epochs=13,
    averaged=1,
    optimizer=partial(_long_again, peak=0.25, end=0.01),
    augment=compose(flip, crop, _HOLED),
)
PUBLISHED = replace(
    PUBLISHED_FOURTH,
    epochs=4,
    optimizer=partial(_long_again, peak=0.1, end=0.05),
    augment=compose(flip, crop),
)
_NARROW = {"widths": (32, 128, 128)}
# For a classroom: a quarter of the work for an image, so that a minute is enough for ten epochs of 12,000 images.
FAST_CNN_NARROW = replace(FAST_CNN, epochs=10, batch_size=256, images=12_000, options=_NARROW)
_SHIFTED = compose(flip, partial(affine, rotation=0.0, zoom=0.0))
# The articles' networks with the settings of their articles. The source of each stands with its network.
_ARTICLES = (
    Recipe("two_block_dropout", epochs=10, batch_size=32, optimizer=_adam),
    Recipe("single_conv_wide_dense", epochs=7, batch_size=32, optimizer=_adam, augment=_SHIFTED, augment_from=5),
    Recipe("three_conv_small", epochs=50, batch_size=256, optimizer=_adam, patience=3),
    Recipe("three_conv_baseline", epochs=20, batch_size=64, optimizer=_adam),
    Recipe("three_block_dropout", epochs=50, batch_size=64, optimizer=_adam, augment=compose(flip, affine)),
    Recipe("three_block_dense1024", epochs=20, batch_size=32, optimizer=_adam),
)
# A ladder to fast_cnn_narrow: each row keeps the ideas of the rows before it and adds one.
_IDEAS = {
    "ideas-0-start": {
        "optimizer": _constant,
        "prepare": None,
        "label_smoothing": 0.0,
        "options": {**_NARROW, "identity": False},
    },
    "ideas-1-schedule": {"optimizer": _scheduled},
    "ideas-2-smoothing": {"label_smoothing": FAST_CNN.label_smoothing},
    "ideas-3-whitening": {"prepare": whiten},
    "ideas-4-identity": {"options": _NARROW},
    "ideas-5-shifts": {"optimizer": _fast},
    "ideas-6-averaging": {"optimizer": _averaged},
}


def _ladder(first, steps):
    recipes, recipe = {}, first
    for name, change in steps.items():
        recipe = recipes[name] = replace(recipe, **change)
    return recipes


# One change each to a small network without any regulariser, on few images, where overfitting comes soon.
_UNREGULARISED = Recipe(
    "three_conv_small", epochs=25, batch_size=64, optimizer=_adam, options={"dropout": 0.0}, images=6_000
)
_AUGMENTED = compose(flip, crop)
_REGULARISERS = {
    "regulariser-none": {},
    "regulariser-dropout": {"options": {"dropout": 0.5}},
    "regulariser-normalisation": {"options": {"dropout": 0.0, "normalised": True}},
    "regulariser-decay": {"optimizer": _decayed_adam},
    "regulariser-smoothing": {"label_smoothing": 0.1},
    "regulariser-augmentation": {"augment": _AUGMENTED},
    "regulariser-all": {
        "options": {"dropout": 0.5, "normalised": True},
        "optimizer": _decayed_adam,
        "label_smoothing": 0.1,
        "augment": _AUGMENTED,
    },
}
RECIPES = {
    "fast_cnn": FAST_CNN,
    "fast_cnn_narrow": FAST_CNN_NARROW,
    "published-first": PUBLISHED_FIRST,
    "published-second": PUBLISHED_SECOND,
    "published-third": PUBLISHED_SECOND,
    "published-fourth": PUBLISHED_FOURTH,
    "published": PUBLISHED,
    **{recipe.network: recipe for recipe in _ARTICLES},
    **_ladder(FAST_CNN_NARROW, _IDEAS),
    **{name: replace(_UNREGULARISED, **change) for name, change in _REGULARISERS.items()},
}


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
    training.RUNS.mkdir(parents=True, exist_ok=True)
    path = training.RUNS / f"{name}.json"
    _write_json(path, record)
    return path


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
    logits = {split: predict_every_view(model, images, recipe.views) for split, (images, _) in splits.items()}
    if publish:
        facts["same_class_as_in_full_precision"] = {
            split: _agreement(logits[split][1], predict_views(exact, images, views=1))
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
        known = {"patchworks": predict_views(model, patchworks(), views=1)}
        np.savez_compressed(path.with_suffix(".npz"), **best, **labels, **known)
    shutil.rmtree(checkpoints)
    return load_run(record_name)


def _agreement(first, second):
    """The share of images for which two arrays of logits name the same class."""
    return float(np.mean(first.argmax(axis=1) == second.argmax(axis=1)))


def _accuracies(logits, labels):
    return {str(views): round(float(np.mean(rows.argmax(axis=1) == labels)), 5) for views, rows in logits.items()}


def save_published(model, source, **options):
    """Store a trained `fast_cnn` as the published network: layers of Keras alone, large arrays in half precision.

    Args:
        model: the network, trained in whatever precision.
        source: what it was trained on, `data.source`.
        **options: what `build_model` got besides the name.

    Returns:
        The same network with layers of Keras alone and all digits, to compare what is stored with.
    """
    options["stock"] = True
    exact = build_model(model.name, **options)
    exact.set_weights(model.get_weights())
    save_weights(networks.PUBLISHED, exact, source, options)
    _halve(networks.PUBLISHED)
    return exact


def _halve(path):
    """Rewrite a file of weights, kernels in half precision and compressed; shifts, means and variances stay."""
    contents = {}

    def read(name, item):
        contents[name] = item[()] if isinstance(item, h5py.Dataset) else None

    with h5py.File(path) as file:
        facts = dict(file.attrs)
        file.visititems(read)
    halved = path.with_name(f"halved-{path.name}")
    with h5py.File(halved, "w") as file:
        file.attrs.update(facts)
        for name, array in contents.items():
            if array is None:
                file.create_group(name)
            elif array.ndim > 1:
                half = array.astype(np.float16)
                file.create_dataset(name, data=half, compression="gzip", compression_opts=9, shuffle=True)
            else:
                file[name] = array
    os.replace(halved, path)


def main():
    """The command line."""
    parser = argparse.ArgumentParser(prog="python models/train.py", description=run.__doc__.split("\n")[0])
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
    main()
