"""The networks of the series, built by name: pixels 0 to 255 in, ten logits out."""

import hashlib
import json
import os
import re
from pathlib import Path

import h5py
import keras
import numpy as np
from keras import layers, ops

from utils.download import cache_folder

CIFAR_SHAPE = (32, 32, 3)
CLASSES = 10
MOST_BYTES = 500_000_000  # of weights; the largest network of the series has 34 MB
_OPTIONS = (  # with which a kept network can be built again, as JSON
    r'\{("(widths": \[\d{1,3}(, \d{1,3}){0,3}\]|depth": [1-4]|(residual|identity|stock|normalised)": (true|false)'
    r'|activation": "(relu|silu|gelu)"|dropout": 0(\.\d{1,3})?)(, (?=")|(?=\})))*\}'
)
PUBLISHED = Path(__file__).resolve().parents[1] / "models" / "published.weights.h5"
# Of the 45,000 training images of CIFAR-10, red, green and blue; notebook 01 computes them.
PIXEL_MEAN, PIXEL_DEVIATION = (125.2, 122.9, 113.9), (62.5, 61.9, 66.5)


def build_model(name, **options):
    """Build a network of `MODEL_NAMES`, uncompiled and with fresh weights; the options are those of its function below.

    It takes images (batch, 32, 32, 3), uint8 or float32 with values 0 to 255, and returns logits (batch, 10).
    """
    if name not in BUILDERS:
        raise ValueError(f"build_model: expected one of {', '.join(MODEL_NAMES)}; found {name!r}.")
    return BUILDERS[name](**options)


def two_block_dropout():
    """2,168,362 parameters. Source: "How can I classify images using a TensorFlow CIFAR-10 model?", 2025."""
    return _sequential(
        "two_block_dropout",
        _conv(32), _conv(32), layers.MaxPooling2D(), layers.Dropout(0.25),
        _conv(64), _conv(64), layers.MaxPooling2D(), layers.Dropout(0.25),
        layers.Flatten(), layers.Dense(512, activation="relu"), layers.Dropout(0.5), layers.Dense(CLASSES),
    )  # fmt: skip


def single_conv_wide_dense():
    """8,400,906 parameters. Source: "CIFAR-10 Image Classification with TensorFlow", 2024."""
    return _sequential(
        "single_conv_wide_dense",
        _conv(32), layers.BatchNormalization(), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dense(1024, activation="relu"), layers.Dropout(0.2), layers.Dense(CLASSES),
    )  # fmt: skip


def three_conv_small(dropout=0.2, normalised=False):  # in the article, nothing is normalised
    """161,130 parameters; notebook 02 builds it layer by layer. Source: "ML and AI Blogs", issue 9, 2025."""
    stack = []
    for filters in (32, 32, 64):
        between = [layers.BatchNormalization()] if normalised else []
        stack += [_conv(filters), *between, layers.MaxPooling2D()]
    stack += [layers.Dropout(dropout), layers.Flatten(), layers.Dense(128, activation="relu")]
    return _sequential("three_conv_small", *stack, layers.Dense(CLASSES))


def three_conv_baseline():
    """319,178 parameters. Source: "How to Implement Image Classification in TensorFlow", the baseline there."""
    return _sequential(
        "three_conv_baseline",
        _conv(32), layers.MaxPooling2D(), _conv(64), layers.MaxPooling2D(), _conv(64),
        layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(CLASSES),
    )  # fmt: skip


def three_block_dropout():
    """552,874 parameters. Source: "How to Implement Image Classification in TensorFlow", the improved model there."""
    return _sequential(
        "three_block_dropout",
        *_two_normalised(32), layers.Dropout(0.2), *_two_normalised(64), layers.Dropout(0.3),
        *_two_normalised(128), layers.Dropout(0.4), layers.Flatten(), layers.Dense(128, activation="relu"),
        layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(CLASSES),
    )  # fmt: skip


def three_block_dense1024():
    """2,397,226 parameters. Source: the first post of "Deep Learning for Computer Vision (DL4CV)"."""
    return _sequential(
        "three_block_dense1024",
        *_two_normalised(32), *_two_normalised(64), *_two_normalised(128), layers.Flatten(), layers.Dropout(0.2),
        layers.Dense(1024, activation="relu"), layers.Dropout(0.2), layers.Dense(CLASSES),
    )  # fmt: skip


def fast_cnn(widths=(64, 256, 256), depth=2, identity=True, residual=False, activation="relu", stock=False):
    """1,973,944 parameters as it stands: the series' own network, made to learn much in few epochs.

    Each block of `depth` convolutions pools after its first one; if `residual`, its output is added again at the end.
    `utils.training.whiten` sets the very first convolution, the others start as the `identity`; `stock`: Keras' layers.
    Source: Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498 (GELU there, ReLU here).
    """
    normalisation = layers.BatchNormalization if stock else FusedBatchNormalization
    start = IdentityStart if identity else keras.initializers.GlorotUniform
    mean, deviation = np.array(PIXEL_MEAN), np.array(PIXEL_DEVIATION)
    factors, offsets = (1 / deviation).tolist(), (-mean / deviation).tolist()
    pixels = keras.Input(CIFAR_SHAPE)
    features = layers.Rescaling(factors, offsets, dtype="float32", name="standardising")(pixels)
    features = layers.Activation(activation)(layers.Conv2D(24, 2, name="whitening")(features))
    for filters in widths:
        first = None
        for number in range(depth):
            options = {"padding": "same", "use_bias": False, "kernel_initializer": start()}
            features = layers.Conv2D(filters, 3, **options)(features)
            if number == 0:
                features = layers.MaxPooling2D()(features)
            features = normalisation(scale=False, momentum=0.6)(features)
            if residual and 0 < number == depth - 1:
                features = layers.Add()([features, first])
            features = layers.Activation(activation)(features)
            first = first if number else features
    features = layers.Flatten()(layers.MaxPooling2D(3)(features))
    logits = layers.Dense(CLASSES, use_bias=False, dtype="float32")(features)
    return keras.Model(pixels, layers.Rescaling(1 / 9, dtype="float32")(logits), name="fast_cnn")


@keras.saving.register_keras_serializable("tutorial")
class FusedBatchNormalization(layers.BatchNormalization):
    """Keras' `BatchNormalization(scale=False)` by TensorFlow's fused kernel, which on a CPU saves much of a step."""

    def __init__(self, **options):
        super().__init__(**{**options, "scale": False})

    def call(self, inputs, training=None, mask=None):
        if keras.backend.backend() != "tensorflow":
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        normalise = tf.compat.v1.nn.fused_batch_norm
        ones, shift = tf.ones_like(self.moving_mean), tf.cast(self.beta, "float32")
        if not (training and self.trainable):
            mean, variance = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
            return normalise(inputs, ones, shift, mean, variance, self.epsilon, is_training=False)[0]
        outputs, mean, variance = normalise(inputs, ones, shift, epsilon=self.epsilon)
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), "float32")
        biased = variance * (1 - 1 / count)  # the kernel divides by count - 1, Keras by count
        for moving, current in ((self.moving_mean, mean), (self.moving_variance, biased)):
            moving.assign(moving * self.momentum + current * (1 - self.momentum))
        return outputs


@keras.saving.register_keras_serializable("tutorial")
class IdentityStart(keras.initializers.Initializer):
    """Start as the identity: the first filters pass their channel on, the others are random.

    Source: Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", section 3.3, arXiv 2404.00498.
    """

    def __init__(self, seed=None):
        self.seed = seed
        self._random = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform", seed=seed)

    def __call__(self, shape, dtype=None):
        height, width, inputs, outputs = shape
        passed_on = np.zeros(shape, np.float32)
        passed_on[height // 2, width // 2] = np.eye(inputs, outputs)
        drawn = self._random(shape, dtype)
        return ops.where(np.arange(outputs) >= inputs, drawn, ops.cast(passed_on, drawn.dtype))

    def get_config(self):
        return {"seed": self.seed}


def _sequential(name, *stack):
    return keras.Sequential([keras.Input(CIFAR_SHAPE), layers.Rescaling(1 / 255), *stack], name=name)


def _conv(filters):
    return layers.Conv2D(filters, 3, padding="same", activation="relu")


def _two_normalised(filters):
    pair = [_conv(filters), layers.BatchNormalization(), _conv(filters), layers.BatchNormalization()]
    return [*pair, layers.MaxPooling2D()]


BUILDERS = {network.__name__: network for network in (
    two_block_dropout, single_conv_wide_dense, three_conv_small, three_conv_baseline, three_block_dropout,
    three_block_dense1024, fast_cnn,
)}  # fmt: skip
MODEL_NAMES = tuple(BUILDERS)


def count_flops(model):
    """Floating-point operations for one image: two for each weight of convolutions and dense layers at each place."""
    counted = [layer for layer in model.layers if isinstance(layer, layers.Conv2D | layers.Dense)]
    return sum(int(2 * np.prod(layer.kernel.shape) * np.prod(layer.output.shape[1:-1])) for layer in counted)


def load_published(path=None):
    """The network of models/README.md, or at `path`; `classify` uses its `calibration` and its `judge`."""
    return _load(Path(path or PUBLISHED), "download the repository again, or train them as models/README.md says")[0]


def middle_maps(model):
    """The mean of each feature map after the activations of the middle one of three blocks, (batch, maps), symbolic."""
    means = [ops.mean(layer.output, axis=(1, 2)) for layer in model.layers if isinstance(layer, layers.Activation)]
    return ops.concatenate(means[len(means) // 3 + 1 : -(len(means) // 3)], axis=1)  # the first is before the blocks


def with_familiarity(model, maps, energy, distance):
    """The model with one output more, how familiar: minus the energy, less a third of the distance by `middle_maps`.

    All in units of a deviation from a mean: maps over training images, minus the energy and the distance over others.
    Sources: Liu et al. 2020, arXiv 2010.03759 (energy); Lee et al. 2018, arXiv 1807.03888 (inner layers).
    """
    near = (ops.logsumexp(model.output, axis=1, keepdims=True) - energy[0]) / energy[1]
    away = (middle_maps(model) - np.float32(maps[0])) / np.float32(maps[1])
    far = (ops.sqrt(ops.sum(away**2, axis=1, keepdims=True)) - distance[0]) / distance[1]
    return keras.Model(model.input, ops.concatenate([model.output, near - far / 3], axis=1))


def save_own(model, source, **options):
    """Keep a network that the reader trained on `source` and that `build_model` made with these options."""
    save_weights(cache_folder() / "own.weights.h5", model, source, options)


def load_own(source):
    """The network that `save_own` kept; refused if its images came from elsewhere than `source`."""
    model, trained_on = _load(cache_folder() / "own.weights.h5", "run notebook 03")
    if trained_on != source:
        raise ValueError(f"load_own: expected one trained on {source!r}; found {trained_on!r}: run notebook 03.")
    return model


def save_weights(path, model, source, options):
    """Write the weights with what is needed to build their network; the file appears whole or not at all."""
    if not re.fullmatch(_OPTIONS, stored := json.dumps(options)):
        raise ValueError(f"save_weights: expected up to four widths below 1,000, depth up to 4; found {stored}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"unfinished-{path.name}")
    model.save_weights(unfinished)
    seal(unfinished, network=model.name, options=stored, source=source)
    os.replace(unfinished, path)


def seal(path, **facts):
    """Write into a file of weights these facts and a checksum of all that is in it."""
    with h5py.File(path, "a") as file:
        file.attrs.update(facts)
        file.attrs["sha256"] = _checksum(file)


def _checksum(file):
    facts, items = sorted(fact for fact in file.attrs.items() if fact[0] != "sha256"), []
    checksum = hashlib.sha256(repr(facts).encode())
    file.visititems(lambda *item: items.append(item))
    if (size := sum(getattr(item, "nbytes", 0) for _, item in items)) > MOST_BYTES:
        raise ValueError(f"expected at most {MOST_BYTES / 1e6:.0f} MB of weights, found {size:,} bytes; use fewer.")
    for name, item in items:
        checksum.update(item[()].tobytes() if hasattr(item, "shape") else name.encode())
    return checksum.hexdigest()


def _load(path, advice):
    """The network of a file that `save_weights` wrote, and what it was trained on."""
    if not path.exists():
        raise FileNotFoundError(f"Expected the weights of a network in {path}; found none: {advice}.")
    try:
        with h5py.File(path) as file:
            kept, checksum = dict(file.attrs), _checksum(file)
        if kept["sha256"] != checksum or not re.fullmatch(_OPTIONS, kept["options"]):
            raise ValueError("another checksum or unknown options")
        model = build_model(kept["network"], **json.loads(kept["options"]))
        model.load_weights(path)
        model.calibration = json.loads(kept.get("calibration", "{}"))
        model.judge = with_familiarity(model, **json.loads(kept["familiarity"])) if "familiarity" in kept else None
        return model, str(kept["source"])
    except Exception as error:  # a damaged file can raise anything
        raise ValueError(f"Expected the weights of a network in {path}; found a damaged file: {advice}.") from error
