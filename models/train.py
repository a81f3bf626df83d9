"""How every quoted network was trained, and the one command that trains one again: `python models/train.py NAME`.

From top to bottom: recipes, training, its checkpoints, its record, the published network, the command line. A training
that was killed goes on where it stopped; its record goes to `models/runs`.
"""

import argparse
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # less of TensorFlow's own log
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as `utils.machine.start` has it
import h5py
import keras
import numpy as np
import tensorflow as tf
from filelock import FileLock, Timeout
from keras import optimizers
from PIL import Image, ImageFilter
from scipy.special import softmax
from sklearn.isotonic import IsotonicRegression

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from utils import networks, pipelines, training
from utils.data import digest, load_cifar10, subset
from utils.download import cache_folder
from utils.machine import PROFILES, describe_processor, fastest_precision, find_accelerator
from utils.networks import build_model, count_flops, load_published, save_weights
from utils.pipelines import affine, compose, crop, cutout, flip, jitter, make_dataset
from utils.training import ShiftSGD, Triangular, load_run, predict_views, whiten


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: all that its result depends on besides the images and the seed."""

    network: str  # a name of utils.networks.MODEL_NAMES
    epochs: int  # how often every training image is seen, without further endings
    batch_size: int  # a last batch that is not full is left out
    optimizer: Callable  # from the number of all training steps to a Keras optimizer
    augment: dict = field(default_factory=dict)  # augmentations as in utils.pipelines, each by the epochs before it
    label_smoothing: float = 0.0  # share of the label that is spread evenly over all classes
    precision: str = "float32"  # dtype policy of Keras, or "fastest" for what `fastest_precision` says
    prepare: Callable | None = None  # function of the new model and the training images that gives it its start
    views: int = 1  # test-time views with which the result is quoted: 1, 2 or 6
    options: dict = field(default_factory=dict)  # what `build_model` gets besides the name
    images: int = 45_000  # how many training images are used, the same number of every class
    patience: int | None = None  # epochs without a lower validation loss after which to stop, with the best weights
    endings: int = 1  # how often the last epochs are trained, from the same weights: the mean of the ends is kept
    ending_epochs: int = 0  # how many these are; not with patience (Wortsman et al. 2022, arXiv 2203.05482)


# Pictures of none of the classes, made of two arrays of images, uint8 (batch, height, width, channels), and a seed.


def blend(images, others, seed):
    """Lay two images over each other, the second upside down."""
    return tf.cast((tf.cast(images, tf.int32) + tf.cast(others[:, ::-1], tf.int32)) // 2, tf.uint8)


def jumble(images, others, seed):
    """Cut two images into tiles and put sixteen of these thirty-two together at random."""
    batch, (height, width, channels) = tf.shape(images)[0], images.shape[1:]
    both = tf.cast(tf.stack([images, others], axis=1), tf.float32)  # transposing integers fills TensorFlow's log
    both = tf.reshape(both, (batch, 2, 4, height // 4, 4, width // 4, channels))
    tiles = tf.reshape(tf.transpose(both, (0, 1, 2, 4, 3, 5, 6)), (batch, 32, height // 4, width // 4, channels))
    order = tf.argsort(tf.random.stateless_uniform((batch, 32), seed))[:, :16]
    grid = tf.reshape(tf.gather(tiles, order, batch_dims=1), (batch, 4, 4, height // 4, width // 4, channels))
    return tf.cast(tf.reshape(tf.transpose(grid, (0, 1, 3, 2, 4, 5)), (batch, height, width, channels)), tf.uint8)


def _enlarge(images, tall, wide, place):
    """Enlarge a part of each image, as `tall` and `wide` as these parts of it, until it fills the picture."""
    top, left = place[0] * (1 - tall), place[1] * (1 - wide)
    boxes = tf.stack([top, left, top + tall, left + wide], axis=1)
    enlarged = tf.image.crop_and_resize(images, boxes, tf.range(tf.shape(images)[0]), images.shape[1:3])
    return tf.cast(tf.round(enlarged), images.dtype)


def magnify(images, others, seed):
    """Enlarge a small part of each image, a fifth to two fifths as wide, until it fills the picture."""
    amounts = tf.random.stateless_uniform((3, tf.shape(images)[0]), seed)
    size = 0.2 + 0.2 * amounts[0]
    return _enlarge(images, size, size, amounts[1:])


def leaves(images, others, seed, count=12):
    """Cover each image with ellipses of one colour or cut from the second image, as fallen leaves lie.

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


# Augmentations as in utils.pipelines.


def partly(images, labels, seed, augmentation, share):
    """Let an augmentation that keeps the labels change the last images of a shuffled batch, a `share` from 0 to 1."""
    count = tf.cast(tf.cast(tf.shape(images)[0], tf.float32) * (1 - share), tf.int32)
    changed, _ = augmentation(images[count:], labels, seed)
    return tf.concat([images[:count], changed], axis=0), labels


def resized_crop(images, labels, seed, least=0.4):
    """Enlarge a part of each image to its whole size: `least` to 1 of its area, in proportions of 3:4 to 4:3.

    Source: Szegedy et al. 2014, "Going Deeper with Convolutions", section 6.
    """
    amounts = tf.random.stateless_uniform((4, tf.shape(images)[0]), seed)
    area, stretch = least + (1 - least) * amounts[0], (4 / 3) ** (amounts[1] - 0.5)
    tall, wide = tf.minimum(tf.sqrt(area) * stretch, 1), tf.minimum(tf.sqrt(area) / stretch, 1)
    return _enlarge(images, tall, wide, amounts[2:]), labels


def mirror_in_turn(images, labels, seed, turn):
    """Mirror the same half of all images in every even turn, and the other half in every odd one.

    Source: Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", section 3.6; the half is that whose pixels
    have an even sum, so it has to come before other augmentations.
    """
    odd = tf.reduce_sum(tf.cast(images, tf.int32), axis=(1, 2, 3), keepdims=True) % 2
    return tf.where(odd == turn % 2, images[:, :, ::-1], images), labels


def augmix(images, labels, seed):
    """Mix each image with three versions of itself that are turned, shifted, zoomed and lit by chance.

    Source: Hendrycks et al. 2020, "AugMix: A Simple Data Processing Method to Improve Robustness and Uncertainty",
    without the changes to few tones.
    """
    parts = tf.random.stateless_gamma((3, tf.shape(images)[0], 1, 1, 1), seed, 1.0)
    parts *= tf.random.stateless_uniform(tf.shape(parts)[1:], seed + [0, 4]) / tf.reduce_sum(parts, axis=0)
    mixed = (1 - tf.reduce_sum(parts, axis=0)) * tf.cast(images, tf.float32)
    for number in range(3):
        changed, _ = compose(affine, jitter)(images, labels, seed + [0, number + 1])
        mixed += parts[number] * tf.cast(changed, tf.float32)
    return tf.cast(tf.round(mixed), images.dtype), labels


def cutmix(images, labels, seed, share=0.5):
    """Paste a part of another image into a `share` of the images, and mix their one-hot labels by its area.

    Source: Yun et al. 2019, "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features".
    """
    if labels.shape.rank != 2:
        raise ValueError(f"cutmix: expected one-hot labels, (batch, classes); found shape {labels.shape}.")
    batch, (height, width) = tf.shape(images)[0], images.shape[1:3]
    area, down, along, chance = tf.unstack(tf.random.stateless_uniform((4, batch, 1), seed))
    half = tf.where(chance < share, tf.sqrt(area) / 2, 0.0)

    def covered(length, centre):
        return tf.abs((tf.range(length, dtype=tf.float32) + 0.5) / length - centre) < half

    pasted = covered(height, down)[:, :, tf.newaxis] & covered(width, along)[:, tf.newaxis]
    part = tf.reduce_mean(tf.cast(pasted, labels.dtype), axis=(1, 2))[:, tf.newaxis]
    images = tf.where(pasted[..., tf.newaxis], tf.roll(images, 1, axis=0), images)
    return images, labels + part * (tf.roll(labels, 1, axis=0) - labels)


def with_unknowns(images, labels, seed, share=0.125):
    """Turn the first images of a shuffled batch into pictures of none of the classes, labelled as all classes alike.

    An augmentation of uint8 images, height and width divisible by 4, with one-hot labels; all kinds are equally likely.
    In Keras' training accuracy, such a picture counts as one of class 0.
    """
    if labels.shape.rank != 2:
        raise ValueError(f"with_unknowns: expected one-hot labels, (batch, classes); found shape {labels.shape}.")
    batch = tf.shape(images)[0]
    count = tf.cast(tf.cast(batch, tf.float32) * share, tf.int32)
    chosen, others = images[:count], images[batch - count :]
    made = tf.stack([kind(chosen, others, seed + [number, 1]) for number, kind in enumerate(KINDS)])
    kinds = tf.random.stateless_uniform((count,), seed, 0, len(KINDS), tf.int32)
    picked = tf.gather_nd(made, tf.stack([kinds, tf.range(count)], axis=1))
    unsure = tf.fill((count, labels.shape[1]), 1 / labels.shape[1])
    return tf.concat([picked, images[count:]], axis=0), tf.concat([unsure, labels[count:]], axis=0)


# Optimizers, from the number of all training steps.


def _adam(steps):
    return optimizers.Adam(0.001)


def _decayed_adam(steps):
    return optimizers.AdamW(0.001, weight_decay=0.1)


_SGD = {"momentum": 0.85, "nesterov": True, "weight_decay": 0.005}


def _constant(steps):
    return optimizers.SGD(0.2, **_SGD)


def _scheduled(steps):
    return optimizers.SGD(Triangular(0.8, steps), **_SGD)


def _fast(steps, **averaging):
    return ShiftSGD(Triangular(0.8, steps), **_SGD, **averaging)


class KernelMuon(optimizers.Muon):
    """Muon for the kernels of convolutions too, each laid out as a matrix with a column for each filter.

    Sixteen bits are enough for its iteration. Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers".
    """

    def _should_use_adamw(self, variable):
        return len(variable.shape) < 2

    def _muon_update_step(self, gradient, variable, lr, m):
        self.assign_add(m, gradient + m * (self.momentum - 1))
        matrix = keras.ops.reshape(gradient + self.momentum * m, (-1, variable.shape[-1]))
        matrix = keras.ops.cast(matrix, keras.DTypePolicy(fastest_precision()).compute_dtype)
        update = keras.ops.cast(self.zeropower_via_newtonschulz5(matrix, self.ns_steps), variable.dtype)
        self.assign_sub(variable, keras.ops.reshape(self.lr_adjust(lr * update), variable.shape))


def _muon(steps, peak):
    return KernelMuon(Triangular(peak, steps), momentum=0.9, weight_decay=0.1, adam_weight_decay=0.0)


_LIT = partial(jitter, brightness=0.1, contrast=0.1)
_HOLED = partial(cutout, size=12)
_ZOOMED = partial(partly, augmentation=partial(affine, rotation=10.0, shift=0.0, zoom=0.15), share=0.3)
_WEAK = flip, partial(crop, padding=2)
_HARDLY = compose(*_WEAK)

RECIPES = {}
RECIPES["fast_cnn"] = Recipe(
    network="fast_cnn",
    epochs=16,
    batch_size=512,
    optimizer=_fast,
    augment={0: _HARDLY},
    label_smoothing=0.2,
    precision="fastest",
    prepare=whiten,
    views=6,
)
# For a classroom: a quarter of the work for an image, so that a minute is enough for ten epochs of 12,000 images.
_NARROW = {"widths": (32, 128, 128)}
RECIPES["fast_cnn_narrow"] = replace(RECIPES["fast_cnn"], epochs=10, batch_size=256, images=12_000, options=_NARROW)
# The network that comes with the series: more filters, fewest in the first block, where each costs most; a third
# convolution and a shortcut in each block; SiLU. It sees every image often, so images are mixed, lest it learn them by
# heart; some are pictures of none of the classes, to be unsure of; size and light change, since photos differ in these
# more than CIFAR-10. The end is for images that are hardly changed (He et al. 2019, "Data Augmentation Revisited",
# arXiv 1909.09148). There are three versions of the last ten epochs, the first with holes in the place of mixing,
# strangers, zoom and light: the mean of ends that differ is better than each.
_MIXED = compose(with_unknowns, flip, crop, _ZOOMED, _LIT, cutmix)
RECIPES["published"] = replace(
    RECIPES["fast_cnn"],
    epochs=64,
    endings=3,
    ending_epochs=10,
    label_smoothing=0.1,
    augment={0: _MIXED, 54: compose(flip, crop, _HOLED), 60: _HARDLY, 64: _MIXED, 70: _HARDLY, 74: _MIXED, 80: _HARDLY},
    options={"widths": (64, 256, 384), "depth": 3, "residual": True, "activation": "silu"},
)
# The articles' networks with the settings of their articles. The source of each stands with its network.
_SHIFTED = compose(flip, partial(affine, rotation=0.0, zoom=0.0))
for recipe in (
    Recipe("two_block_dropout", epochs=10, batch_size=32, optimizer=_adam),
    Recipe("single_conv_wide_dense", epochs=7, batch_size=32, optimizer=_adam, augment={5: _SHIFTED}),
    Recipe("three_conv_small", epochs=50, batch_size=256, optimizer=_adam, patience=3),
    Recipe("three_conv_baseline", epochs=20, batch_size=64, optimizer=_adam),
    Recipe("three_block_dropout", epochs=50, batch_size=64, optimizer=_adam, augment={0: compose(flip, affine)}),
    Recipe("three_block_dense1024", epochs=20, batch_size=32, optimizer=_adam),
):
    RECIPES[recipe.network] = recipe
# A ladder to fast_cnn_narrow: each row keeps the ideas of the rows before it and adds one.
recipe = replace(
    RECIPES["fast_cnn_narrow"],
    optimizer=_constant,
    prepare=None,
    label_smoothing=0.0,
    options={**_NARROW, "identity": False},
)
for name, change in {
    "ideas-0-start": {},
    "ideas-1-schedule": {"optimizer": _scheduled},
    "ideas-2-smoothing": {"label_smoothing": 0.2},
    "ideas-3-whitening": {"prepare": whiten},
    "ideas-4-identity": {"options": _NARROW},
    "ideas-5-shifts": {"optimizer": _fast},
    "ideas-6-averaging": {"optimizer": partial(_fast, use_ema=True, ema_momentum=0.9)},
}.items():
    recipe = RECIPES[name] = replace(recipe, **change)
# Trials of equal work: one change each to fast_cnn in its narrow form, on all images.
trial = replace(RECIPES["fast_cnn"], epochs=8, options=_NARROW)
for name, change in {
    "start": {},
    "fewer-early": {"options": {"widths": (16, 128, 128)}, "epochs": 11},
    "more-early": {"options": {"widths": (64, 96, 96)}, "epochs": 6},
    "more-late": {"options": {"widths": (32, 128, 256)}, "epochs": 6},
    "deeper": {"options": {"widths": (16, 128, 128), "depth": 3}},
    "shortcuts": {"options": {"widths": (16, 128, 128), "depth": 3, "residual": True}},
    "silu": {"options": {**_NARROW, "activation": "silu"}},
    "gelu": {"options": {**_NARROW, "activation": "gelu"}},
    "smoothing-0": {"label_smoothing": 0.0},
    "smoothing-0.1": {"label_smoothing": 0.1},
    "turns": {
        "augment": {turn: compose(partial(mirror_in_turn, turn=turn), partial(crop, padding=2)) for turn in range(8)}
    },
    "resized": {"augment": {0: compose(flip, partial(partly, augmentation=resized_crop, share=0.5))}},
    "augmix": {"augment": {0: compose(*_WEAK, partial(partly, augmentation=augmix, share=0.5))}},
    "cutmix": {"augment": {0: compose(*_WEAK, cutmix)}},
    "strangers": {"augment": {0: compose(with_unknowns, *_WEAK)}},
    "strong-then-weak": {"augment": {0: compose(flip, crop, _LIT, _HOLED), 5: _HARDLY}},
    "endings": {"epochs": 6, "endings": 2, "ending_epochs": 2},
    "muon-0.02": {"optimizer": partial(_muon, peak=0.02)},
    "muon-0.005": {"optimizer": partial(_muon, peak=0.005)},
}.items():
    RECIPES[f"trial-{name}"] = replace(trial, **change)
# One change each to a small network without any regulariser, on few images, where overfitting comes soon.
plain = Recipe("three_conv_small", epochs=25, batch_size=64, optimizer=_adam, options={"dropout": 0.0}, images=6_000)
for name, change in {
    "regulariser-none": {},
    "regulariser-dropout": {"options": {"dropout": 0.5}},
    "regulariser-normalisation": {"options": {"dropout": 0.0, "normalised": True}},
    "regulariser-decay": {"optimizer": _decayed_adam},
    "regulariser-smoothing": {"label_smoothing": 0.1},
    "regulariser-augmentation": {"augment": {0: compose(flip, crop)}},
}.items():
    RECIPES[name] = replace(plain, **change)
RECIPES["regulariser-all"] = replace(
    plain,
    options={"dropout": 0.5, "normalised": True},
    optimizer=_decayed_adam,
    label_smoothing=0.1,
    augment={0: compose(flip, crop)},
)


def build(recipe, images, seed):
    """Build and compile the network of a recipe, ready for uint8 images with one-hot labels."""
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
        optimizer=recipe.optimizer(recipe.epochs * (len(images) // recipe.batch_size)),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=recipe.label_smoothing),
        metrics=["accuracy"],
    )
    return model


def train(recipe, data, *, seed=0, checkpoints=None, verbose=2):
    """Train a recipe on a `Cifar10`, watched on its validation images; returns the model and its history.

    Every epoch draws its order, augmentations and dropout from the seed and its own number, every further ending as the
    next seed would: a training that was killed and goes on from the folder `checkpoints` ends with the same weights as
    an unbroken one, up to rounding. The history holds one number an epoch, those of further endings after the others,
    under "loss", "accuracy", "val_loss", "val_accuracy" and "seconds".
    """
    if recipe.epochs <= (least := recipe.ending_epochs):
        raise Refused(f"train: expected more than {least} epochs, which an ending has; found {recipe.epochs}.")
    with nullcontext(checkpoints) if checkpoints else TemporaryDirectory() as folder:
        folder = Path(folder)
        model = build(recipe, data.x_train, seed)
        try:
            history = _resume(model, folder, recipe)
        except Exception as error:  # whatever a damaged file makes json, h5py and Keras raise
            print(f"The state in {folder} cannot be read, so the training begins anew: {error!r:.200}")
            model, history = build(recipe, data.x_train, seed), {}
        validation = make_dataset(data.x_validation, data.y_validation, 500, one_hot=True)
        for ending, epoch in _plan(recipe)[len(history.get("loss", ())) :]:
            if recipe.patience and history and len(history["loss"]) - _best_epoch(history) >= recipe.patience:
                break
            if ending and epoch == recipe.epochs - recipe.ending_epochs:
                model.load_weights(_weights_path(folder, epoch))
            _train_epoch(model, recipe, data, validation, history, epoch, seed + ending, verbose)
            _keep(model, history, folder, recipe)
        if recipe.patience is not None:
            model.load_weights(_weights_path(folder, _best_epoch(history)))
        if recipe.endings > 1:
            _average(model, [_weights_path(folder, end) for end in _ends(recipe)])
            batches = make_dataset(data.x_train, data.y_train, recipe.batch_size, training=True, seed=seed)
            _measure_again(model, batches.take(80))
    return model, history


def _plan(recipe):
    """All epochs in their order, each as the number of its ending and its place in the schedule, both from 0."""
    again = range(recipe.epochs - recipe.ending_epochs, recipe.epochs)
    return [(0, epoch) for epoch in range(recipe.epochs)] + list(product(range(1, recipe.endings), again))


def _ends(recipe):
    """After how many epochs an ending is over."""
    return [recipe.epochs + number * recipe.ending_epochs for number in range(recipe.endings)]


def _train_epoch(model, recipe, data, validation, history, epoch, seed, verbose):
    seed = 1_000 * seed + epoch
    done = len(history.get("loss", ()))
    augment = recipe.augment.get(max((first for first in recipe.augment if first <= done), default=None))
    usual = {"training": True, "one_hot": True, "drop_remainder": True}
    batches = make_dataset(data.x_train, data.y_train, recipe.batch_size, augment=augment, seed=seed, **usual)
    for layer in model.layers:
        if hasattr(layer, "seed_generator"):  # dropout
            layer.seed_generator.state.assign([seed, 0])
    only_this_one = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: setattr(model, "stop_training", True))
    settings = {"initial_epoch": epoch, "epochs": recipe.epochs, "shuffle": False, "verbose": verbose}
    start = time.perf_counter()
    fitted = model.fit(batches, validation_data=validation, callbacks=[only_this_one], **settings)
    for key, values in {**fitted.history, "seconds": [time.perf_counter() - start]}.items():
        history.setdefault(key, []).extend(values)


def _best_epoch(history):
    """The epoch with the lowest validation loss, counted from 1."""
    return 1 + int(np.argmin(np.nan_to_num(history["val_loss"], nan=np.inf)))


def _average(model, paths):
    """Give the model the mean of stored weights."""
    stored = []
    for path in paths:
        model.load_weights(path)
        stored.append(model.get_weights())
    model.set_weights([np.mean(arrays, axis=0) for arrays in zip(*stored, strict=True)])


def _measure_again(model, batches):
    """Measure what batch normalisation subtracts and divides by: those of averaged weights are no average of theirs."""
    measured = [variable for variable in model.non_trainable_variables if variable.name.startswith("moving_")]
    values = []
    for images, _ in batches:
        model(images, training=True)
        values.append([keras.ops.convert_to_numpy(variable) for variable in measured])
    for variable, series in zip(measured, zip(*values, strict=True), strict=True):
        variable.assign(np.mean(series, axis=0))


def _keep(model, history, folder, recipe):
    """Write weights, then the history that points to them, then remove all weights that are not needed any more."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_weights(_weights_path(folder, len(history["loss"])))
    _write_json(folder / "history.json", history)
    for older in set(folder.glob("*.weights.h5")) - set(_needed(history, folder, recipe)):
        older.unlink()


def _resume(model, folder, recipe):
    """Load the newest state in `folder` into the model and its optimizer; returns the history so far."""
    if not (folder / "history.json").exists():
        return {}
    history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    model.optimizer.build(model.trainable_variables)
    for path in _needed(history, folder, recipe):  # the newest comes last; the others are read to see that they can be
        model.load_weights(path)
    print(f"Going on where an earlier run stopped; to begin anew, delete {folder}.")
    return history


def _needed(history, folder, recipe):
    """Files of the best epoch, if it counts, where endings begin and end, and the newest, which comes last."""
    done = len(history["loss"])
    marks = {recipe.epochs - recipe.ending_epochs, *_ends(recipe), done}
    marks |= set() if recipe.patience is None else {_best_epoch(history)}
    return [_weights_path(folder, epoch) for epoch in sorted(marks) if epoch <= done]


def _weights_path(folder, done):
    return folder / f"epoch{done:03}.weights.h5"


def _write_json(path, content):
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(unfinished, path)


class Refused(ValueError):
    """A training that must not begin; the message says why."""


def run(name, recipe, *, seed=0, test=False, publish=False, timed=True, command=None, verbose=2):
    """Train a recipe on all its images, measure it, and write its record; what a killed run had done is kept.

    The record, which is returned, is called `name` and the seed; on the stand-in it says so. `test` predicts the test
    images too, once, and stores logits beside the record: of validation and test images, float16 (n, 10), with labels,
    and of `patchworks`. `publish` makes the network that of `load_published`, measures it as that gives it, and
    stores beside its weights how often each confidence is right on validation images, and what `learn_familiarity`
    found; with the logits, how familiar each image is.
    """
    whole = load_cifar10()
    if publish and (whole.is_stand_in or recipe.network != "fast_cnn"):
        raise Refused(f"run: expected a fast_cnn on CIFAR-10 to publish; found {recipe.network} on {whole.source}.")
    data = subset(whole, replace(PROFILES["full"], train=recipe.images))
    record_name = f"{name}{'-stand-in' if whole.is_stand_in else ''}-seed{seed}"
    folder = _checkpoints(record_name, recipe, whole.source)
    with _only_here(folder):
        model, history = train(recipe, data, seed=seed, checkpoints=folder, verbose=verbose)
        splits = {"validation": (data.x_validation, data.y_validation)}
        if test:
            splits["test"] = (data.x_test, data.y_test)
        precision = model.dtype_policy.name
        if publish:
            new = networks.PUBLISHED.with_name("new.weights.h5")  # takes its place when all is measured
            exact = save_published(new, model, whole.source, **recipe.options)
            networks.seal(new, familiarity=json.dumps(learn_familiarity(load_published(new), data)))
            model = load_published(new)
        numbers = [views for views in (1, 2, 6) if views <= recipe.views]
        facts, logits = {}, {}
        for split, (images, labels) in splits.items():
            answers = {views: predict_views(model.judge if publish else model, images, views) for views in numbers}
            by_views = {views: rows[:, :10] for views, rows in answers.items()}
            facts[f"{split}_accuracy"] = {views: _share(rows, labels) for views, rows in by_views.items()}
            logits |= {split: by_views[recipe.views].astype(np.float16), f"{split}_labels": labels.astype(np.uint8)}
            if publish:
                logits[f"{split}_familiarity"] = answers[recipe.views][:, 10]
                same = _share(predict_views(exact, images, views=1), by_views[1].argmax(axis=1))
                facts.setdefault("same_class_as_in_full_precision", {})[split] = same
                if split == "validation":
                    points = {views: calibration_points(rows, labels) for views, rows in by_views.items()}
                    networks.seal(new, calibration=json.dumps(points))
        logits_of_harder = predict_views(model, harder(data.x_validation), recipe.views)
        facts["harder_validation_accuracy"] = {recipe.views: _share(logits_of_harder, data.y_validation)}
        seconds = history["seconds"] if timed else history.pop("seconds")
        record = {
            "name": record_name,
            "network": model.name,
            "parameters": model.count_params(),
            "flops": count_flops(model),
            "epochs": len(history["loss"]),
            **facts,
            "precision": precision,
            **({"seconds": round(sum(seconds), 1)} if timed else {}),
            **({"best_epoch": _best_epoch(history)} if recipe.patience is not None else {}),
            "images": recipe.images,
            "batch_size": recipe.batch_size,
            "seed": seed,
            "data_source": whole.source,
            "profile": "full" if recipe.images == PROFILES["full"].train else f"{recipe.images:,} training images",
            "command": command,
            "hardware": ", ".join(filter(None, (find_accelerator(), describe_processor()))),
            "versions": _versions(),
            "date": time.strftime("%Y-%m-%d"),
            "history": {key: [round(value, 5) for value in values] for key, values in history.items()},
        }
        training.RUNS.mkdir(parents=True, exist_ok=True)
        logits_path = training.RUNS / f"{record_name}.npz"
        logits_path.unlink(missing_ok=True)  # of another network
        if test:
            logits["patchworks"] = predict_views(model, patchworks(), views=1)
            np.savez_compressed(logits_path, **logits)
        _write_json(training.RUNS / f"{record_name}.json", record)
        if publish:
            os.replace(new, networks.PUBLISHED)
    shutil.rmtree(folder)
    return load_run(record_name)


def _share(logits, classes):
    return round(float(np.mean(logits.argmax(axis=1) == classes)), 5)


def _versions():
    return {name: sys.modules[name].__version__ for name in (keras.backend.backend(), "keras", "numpy")}


def _checkpoints(record_name, recipe, source):
    """The folder of a training's state, named by all that its result depends on: recipe, images, code, versions."""
    files = [__file__, *(module.__file__ for module in (networks, pipelines, training))]
    described = re.sub(" at 0x[0-9a-fA-F]+", "", repr(recipe))  # functions by their names, at whatever address
    state = repr([described, source, fastest_precision(), _versions(), *(Path(file).read_bytes() for file in files)])
    return cache_folder() / "training" / f"{record_name}-{digest(state)}"


@contextmanager
def _only_here(folder):
    """Keep a second training of the same record out of its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=0):
            yield
    except Timeout:
        raise Refused("run: expected no other training of this record at this time; found one: wait for it.") from None


def save_published(path, model, source, **options):
    """Store a trained `fast_cnn` as the published network is: layers of Keras alone, large arrays in half precision.

    Returns the same network with layers of Keras alone and all digits, to compare what is stored with.
    """
    options["stock"] = True
    exact = build_model(model.name, **options)
    exact.set_weights(model.get_weights())
    save_weights(path, exact, source, options)
    _halve(path)
    return exact


def learn_familiarity(model, data, count=6_000):
    """Means and deviations for `with_familiarity`: of maps by `count` training images, else by validation images."""
    size = keras.ops.logsumexp(model.output, axis=1, keepdims=True)  # minus the energy
    look = keras.Model(model.input, keras.ops.concatenate([size, networks.middle_maps(model)], axis=1))
    seen, new = (predict_views(look, part, views=1) for part in (data.x_train[:count], data.x_validation))
    mean, deviation = seen[:, 1:].mean(axis=0), seen[:, 1:].std(axis=0) + 1e-6  # a map may be the same everywhere
    measured = {"energy": new[:, 0], "distance": np.linalg.norm((new[:, 1:] - mean) / deviation, axis=1)}
    facts = {"maps": [mean, deviation]} | {name: [values.mean(), values.std()] for name, values in measured.items()}
    return {name: np.round(np.float64(pair), 7).tolist() for name, pair in facts.items()}


def calibration_points(logits, labels):
    """Confidences and the shares of right answers that belong to them, by isotonic regression, as two lists.

    Source: Zadrozny and Elkan 2002, "Transforming Classifier Scores into Accurate Multiclass Probability Estimates".
    """
    confidence, right = softmax(logits, axis=1).max(axis=1), logits.argmax(axis=1) == labels
    fitted = IsotonicRegression().fit(confidence, right)
    return [np.round(values, 4).tolist() for values in (fitted.X_thresholds_, fitted.y_thresholds_)]


def _halve(path):
    """Rewrite a file of weights, kernels in half precision and compressed; shifts, means and variances stay."""
    halved = path.with_name(f"halved-{path.name}")
    with h5py.File(path) as whole, h5py.File(halved, "w") as file:
        file.attrs.update(whole.attrs)

        def copy(name, item):
            if isinstance(item, h5py.Group):
                file.create_group(name)
            elif item.ndim == 1:
                file[name] = item[()]
            else:
                file.create_dataset(name, data=item[()].astype(np.float16), compression=9, shuffle=True)

        whole.visititems(copy)
    networks.seal(halved)
    os.replace(halved, path)


def harder(images):
    """Change images, uint8 (n, 32, 32, 3), as photos differ from CIFAR-10's, always by the same random amounts.

    Each is made smaller, in other proportions and off the centre, on a ground of its mean colour; then it is blurred,
    gets a colour cast, and is stored as JPEG.
    """
    chance, changed = np.random.default_rng(0), []
    for image in images:
        height, width = chance.integers(20, 33, 2).tolist()
        place = chance.integers(0, 33 - width), chance.integers(0, 33 - height)
        photo = Image.new("RGB", (32, 32), tuple(image.mean(axis=(0, 1)).astype(int)))
        photo.paste(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS), place)
        photo = photo.filter(ImageFilter.GaussianBlur(chance.uniform(0, 0.6)))
        tinted = Image.fromarray(np.uint8(np.clip(photo * chance.uniform(0.85, 1.15, 3), 0, 255)))
        tinted.save(stored := BytesIO(), "JPEG", quality=int(chance.integers(50, 96)))
        changed.append(np.array(Image.open(stored)))
    return np.array(changed)


def patchworks(count=20):
    """Random colours in squares, uint8 (count, 32, 32, 3), the same everywhere: do two networks answer them alike?"""
    colours = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), np.uint8)
    return colours.repeat(8, axis=1).repeat(8, axis=2)


def main():
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python models/train.py",
        description=run.__doc__.split("\n")[0],
        epilog="NAME is one of:\n"
        + "\n".join(
            f"  {name:27} {recipe.network}, {len(_plan(recipe))} epochs of {recipe.images:,} images"
            for name, recipe in RECIPES.items()
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", choices=RECIPES, metavar="NAME", help="what to train; the list stands below")
    parser.add_argument("--seed", type=int, default=0, help="fixes start, order, augmentation and dropout")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's own; augmentations begin when they did")
    parser.add_argument("--images", type=int, help="training images, instead of the recipe's own number")
    parser.add_argument("--test", action="store_true", help="measure on the test images too, once, and keep the logits")
    parser.add_argument("--publish", action="store_true", help="make it the network that `load_published` gives")
    parser.add_argument("--untimed", action="store_true", help="the machine is shared: keep no seconds in the record")
    parser.add_argument("--record", help="name of the record, instead of the recipe's")
    wanted = parser.parse_args()
    changed = {key: getattr(wanted, key) for key in ("epochs", "images") if getattr(wanted, key) is not None}
    recipe, name = replace(RECIPES[wanted.recipe], **changed), wanted.recipe if wanted.record is None else wanted.record
    least, most = recipe.batch_size, PROFILES["full"].train
    for option, holds, expected in (
        ("seed", 0 <= wanted.seed <= 1_000_000, "0 to 1000000"),
        ("epochs", recipe.epochs > recipe.ending_epochs, f"{recipe.ending_epochs + 1} or more"),
        ("images", recipe.images % 10 == 0 and least <= recipe.images <= most, f"a multiple of 10, {least} to {most}"),
        ("record", re.fullmatch(r"[\w.-]+", name), "letters, digits, points and dashes"),
    ):
        if not holds:
            parser.error(f"argument --{option}: expected {expected}; found {getattr(wanted, option)!r}")
    try:
        record = run(
            name,
            recipe,
            seed=wanted.seed,
            test=wanted.test,
            publish=wanted.publish,
            timed=not wanted.untimed,
            command=" ".join([parser.prog, *sys.argv[1:]]),
            verbose=1 if sys.stdout.isatty() else 2,
        )
    except Refused as refusal:
        parser.error(str(refusal))
    except KeyboardInterrupt:
        sys.exit("\nStopped. The same command goes on after the last finished epoch.")
    for split in ("validation", "test"):
        for views, accuracy in record.get(f"{split}_accuracy", {}).items():
            print(f"{split} accuracy {accuracy:.2%} with {views} test-time view{'s' if views != '1' else ''}")
    if "seconds" in record:
        print(f"{record['seconds'] / 60:.1f} minutes of training")
    print(f"record models/runs/{record['name']}.json")


if __name__ == "__main__":
    main()
