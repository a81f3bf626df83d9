"""The networks of the series, built by name: pixels 0 to 255 in, ten logits out."""

import json
import os
from pathlib import Path

import h5py
import keras
import numpy as np
from keras import layers, ops

from utils.download import cache_folder

CIFAR_SHAPE = (32, 32, 3)
CLASSES = 10
PUBLISHED = Path(__file__).resolve().parents[1] / "models" / "published.weights.h5"
# Of the 45,000 training images of CIFAR-10, red, green and blue; notebook 01 computes them.
PIXEL_MEAN = (125.2, 122.9, 113.9)
PIXEL_DEVIATION = (62.5, 61.9, 66.5)


def build_model(name, **options):
    """Build one of the series' networks with fresh weights.

    Args:
        name: one of `MODEL_NAMES`.
        **options: what the function of that name takes, for a network that differs from the published one.

    Returns:
        An uncompiled `keras.Model`: images (batch, 32, 32, 3), uint8 or float32 with values 0 to 255, to logits
        (batch, 10).

    Raises:
        ValueError: if no network has that name.
    """
    if name not in BUILDERS:
        raise ValueError(f"build_model: expected one of {', '.join(MODEL_NAMES)}; found {name!r}.")
    return BUILDERS[name](**options)


def count_flops(model):
    """Floating-point operations for one image on its way through the convolutions and dense layers of a network.

    A multiplication and an addition count as two. Everything else is left out, since it is a few per cent of the whole;
    a training step costs about three times as much, forwards once and backwards twice.

    Args:
        model: a `keras.Model` of `Conv2D` and `Dense` layers and others without weights of that size.

    Returns:
        The number, an int.
    """
    flops = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.Dense):
            places = layer.output.shape[1:-1]  # of a convolution: rows and columns
            flops += 2 * int(np.prod(layer.kernel.shape)) * int(np.prod(places))
    return flops


def save_own(model, source, **options):
    """Keep a network that the reader trained, for later notebooks; one that was kept before is replaced.

    Args:
        model: a network made by `build_model`.
        source: what it was trained on, `data.source`.
        **options: what `build_model` got besides the name.

    Returns:
        Path of the weights, with name, options and source inside.
    """
    return save_weights(_own_weights(), model, source, options)


def load_own(source):
    """Build the network that `save_own` kept, with its weights.

    Args:
        source: what it must have been trained on, `data.source`.

    Returns:
        An uncompiled `keras.Model`, as of `build_model`.

    Raises:
        FileNotFoundError: if none was kept.
        ValueError: if it was trained on other images.
    """
    path = _own_weights()
    if not path.exists():
        raise FileNotFoundError(f"load_own: expected a network of your own in {path}; found none: run notebook 03.")
    model, trained_on = _load(path)
    if trained_on != source:
        raise ValueError(
            f"load_own: expected a network trained on {source!r}; found one trained on {trained_on!r}: run "
            "notebook 03 again with the images you have now."
        )
    return model


def load_published():
    """Build the network that comes with this series, with its weights; `models/README.md` says how good it is.

    Returns:
        An uncompiled `keras.Model` of layers of Keras alone: images (batch, 32, 32, 3), uint8 or float32 with
        values 0 to 255, to logits (batch, 10).

    Raises:
        FileNotFoundError: if the weights are not there.
    """
    if not PUBLISHED.exists():
        raise FileNotFoundError(
            f"load_published: expected the network's weights in {PUBLISHED}; found none: download the repository "
            "again, or train them as models/README.md says."
        )
    return _load(PUBLISHED)[0]


def _own_weights():
    return cache_folder() / "own.weights.h5"


def save_weights(path, model, source, options):
    """Write the weights with what is needed to build their network; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"unfinished-{path.name}")
    model.save_weights(unfinished)
    with h5py.File(unfinished, "a") as file:
        file.attrs.update(network=model.name, options=json.dumps(options), source=source)
    os.replace(unfinished, path)
    return path


def _load(path):
    """The network of a file that `save_weights` wrote, and what it was trained on."""
    with h5py.File(path) as file:
        kept = dict(file.attrs)
    model = build_model(kept["network"], **json.loads(kept["options"]))
    model.load_weights(path)
    return model, kept["source"]


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


def three_conv_small(dropout=0.2, normalised=False):
    """161,130 parameters; notebook 02 builds it layer by layer. Source: "ML and AI Blogs", issue 9, 2025.

    Args:
        dropout: share of the features that each training step leaves out, 0 to 1.
        normalised: whether batch normalisation follows each convolution (not in the article).
    """
    stack = []
    for filters in (32, 32, 64):
        stack += [_conv(filters), *([layers.BatchNormalization()] if normalised else []), layers.MaxPooling2D()]
    return _sequential(
        "three_conv_small", *stack,
        layers.Dropout(dropout), layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dense(CLASSES),
    )  # fmt: skip


def three_conv_baseline():
    """319,178 parameters. Source: "How to Implement Image Classification in TensorFlow", the baseline there."""
    return _sequential(
        "three_conv_baseline",
        _conv(32), layers.MaxPooling2D(), _conv(64), layers.MaxPooling2D(), _conv(64),
        layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(CLASSES),
    )  # fmt: skip


def three_block_dropout():
    """552,874 parameters. Source: "How to Implement Image Classification in TensorFlow", the improved model there."""
    stack = []
    for filters, rate in ((32, 0.2), (64, 0.3), (128, 0.4)):
        stack += [*_two_normalised(filters), layers.MaxPooling2D(), layers.Dropout(rate)]
    return _sequential(
        "three_block_dropout", *stack, layers.Flatten(), layers.Dense(128, activation="relu"),
        layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(CLASSES),
    )  # fmt: skip


def three_block_dense1024():
    """2,397,226 parameters. Source: the first post of "Deep Learning for Computer Vision (DL4CV)"."""
    stack = []
    for filters in (32, 64, 128):
        stack += [*_two_normalised(filters), layers.MaxPooling2D()]
    return _sequential(
        "three_block_dense1024", *stack, layers.Flatten(), layers.Dropout(0.2),
        layers.Dense(1024, activation="relu"), layers.Dropout(0.2), layers.Dense(CLASSES),
    )  # fmt: skip


def fast_cnn(widths=(64, 256, 256), depth=2, identity=True, residual=False, activation="relu", stock=False):
    """1,973,944 parameters: the series' own network, made to learn much in few epochs.

    Each of three blocks pools right after its first convolution, so most of the work is done on small maps. The first
    convolution is meant to be whitened and frozen (`utils.training.whiten`), the others start as the identity.

    Args:
        widths: number of filters in each of the three blocks.
        depth: number of convolutions in each block.
        identity: whether the convolutions start as the identity; otherwise at random, as Keras does it.
        residual: whether what a block's first convolution gives is added again at the block's end.
        activation: name of Keras' function after every normalisation.
        stock: whether batch normalisation is Keras' own layer instead of the faster `FusedBatchNormalization`.

    Source: Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498 (GELU there, ReLU here).
    """
    normalise = layers.BatchNormalization if stock else FusedBatchNormalization
    start = IdentityStart if identity else keras.initializers.GlorotUniform

    def convolve(features, filters):
        return layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer=start())(features)

    def finish(features, added=None):
        features = normalise(scale=False, momentum=0.6)(features)
        if added is not None:
            features = layers.Add()([features, added])
        return layers.Activation(activation)(features)

    mean, deviation = np.array(PIXEL_MEAN), np.array(PIXEL_DEVIATION)
    pixels = keras.Input(CIFAR_SHAPE)
    standardise = layers.Rescaling(
        (1 / deviation).tolist(), (-mean / deviation).tolist(), dtype="float32", name="standardising"
    )
    features = layers.Activation(activation)(layers.Conv2D(24, 2, name="whitening")(standardise(pixels)))
    for filters in widths:
        features = passed_on = finish(layers.MaxPooling2D()(convolve(features, filters)))
        for number in range(2, depth + 1):
            features = finish(convolve(features, filters), passed_on if residual and number == depth else None)
    features = layers.Flatten()(layers.MaxPooling2D(3)(features))
    logits = layers.Dense(CLASSES, use_bias=False, dtype="float32")(features)
    return keras.Model(pixels, layers.Rescaling(1 / 9, dtype="float32")(logits), name="fast_cnn")


@keras.saving.register_keras_serializable("tutorial")
class FusedBatchNormalization(layers.BatchNormalization):
    """Keras' batch normalisation without a scale, computed by TensorFlow's fused kernel.

    Variables and results are those of `keras.layers.BatchNormalization(scale=False)`, so weights pass between the two.
    Why: Keras composes the layer from several operations, which on a CPU cost a large part of a training step. On
    another backend than TensorFlow this is Keras' own layer.
    """

    def __init__(self, **options):
        super().__init__(**{**options, "scale": False})

    def call(self, inputs, training=None, mask=None):
        if keras.backend.backend() != "tensorflow":
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        ones, shift = tf.ones_like(self.moving_mean), tf.cast(self.beta, "float32")
        if not training:
            mean, variance = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
            fused = tf.compat.v1.nn.fused_batch_norm
            return fused(inputs, ones, shift, mean, variance, self.epsilon, is_training=False)[0]
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(inputs, ones, shift, epsilon=self.epsilon)
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), "float32")
        biased = variance * (1 - 1 / count)  # the kernel divides by count - 1, Keras by count
        for moving, current in ((self.moving_mean, mean), (self.moving_variance, biased)):
            moving.assign(moving * self.momentum + current * (1 - self.momentum))
        return outputs


@keras.saving.register_keras_serializable("tutorial")
class IdentityStart(keras.initializers.Initializer):
    """Start a convolution as the identity: its first filters pass their input channel on, the others are random.

    Args:
        seed: int, or None for another draw each time.

    Source: Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", section 3.3, arXiv 2404.00498.
    """

    def __init__(self, seed=None):
        self.seed = seed
        self._random = keras.initializers.VarianceScaling(1 / 3, mode="fan_in", distribution="uniform", seed=seed)

    def __call__(self, shape, dtype=None):
        height, width, inputs, outputs = shape
        passed_on = np.zeros(shape, np.float32)
        channels = np.arange(min(inputs, outputs))
        passed_on[height // 2, width // 2, channels, channels] = 1
        drawn = self._random(shape, dtype)
        is_random = np.arange(outputs) >= inputs
        return ops.where(is_random, drawn, ops.cast(passed_on, drawn.dtype))

    def get_config(self):
        return {"seed": self.seed}


def _sequential(name, *stack):
    return keras.Sequential([keras.Input(CIFAR_SHAPE), layers.Rescaling(1 / 255), *stack], name=name)


def _conv(filters):
    return layers.Conv2D(filters, 3, padding="same", activation="relu")


def _two_normalised(filters):
    return [_conv(filters), layers.BatchNormalization(), _conv(filters), layers.BatchNormalization()]


BUILDERS = {
    builder.__name__: builder
    for builder in (
        two_block_dropout,
        single_conv_wide_dense,
        three_conv_small,
        three_conv_baseline,
        three_block_dropout,
        three_block_dense1024,
        fast_cnn,
    )
}
MODEL_NAMES = tuple(BUILDERS)
