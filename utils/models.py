"""The networks of the series, built by name: pixels 0 to 255 in, ten logits out."""

import keras
from keras import layers

CIFAR_SHAPE = (32, 32, 3)
CLASSES = 10


def build_model(name):
    """Build one of the series' networks with fresh weights.

    Args:
        name: one of `MODEL_NAMES`.

    Returns:
        An uncompiled `keras.Sequential`: images (batch, 32, 32, 3), uint8 or float32 with values 0 to 255, to logits
        (batch, 10).

    Raises:
        ValueError: if no network has that name.
    """
    if name not in BUILDERS:
        raise ValueError(f"build_model: expected one of {', '.join(MODEL_NAMES)}; found {name!r}.")
    return BUILDERS[name]()


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


def three_conv_small():
    """161,130 parameters; notebook 02 builds it layer by layer. Source: "ML and AI Blogs", issue 9, 2025."""
    return _sequential(
        "three_conv_small",
        _conv(32), layers.MaxPooling2D(), _conv(32), layers.MaxPooling2D(), _conv(64), layers.MaxPooling2D(),
        layers.Dropout(0.2), layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dense(CLASSES),
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


def _sequential(name, *stack):
    return keras.Sequential([keras.Input(CIFAR_SHAPE), keras.layers.Rescaling(1 / 255), *stack], name=name)


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
    )
}
MODEL_NAMES = tuple(BUILDERS)
