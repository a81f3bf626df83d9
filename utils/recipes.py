"""How every quoted network was trained: `python -m utils.training NAME` trains one again. Imports TensorFlow."""

from dataclasses import replace
from functools import partial

from keras import optimizers

from utils.models import load_published
from utils.outliers import with_outliers
from utils.pipelines import affine, compose, crop, cutout, flip, jitter, sometimes
from utils.training import Recipe, ShiftSGD, Triangular, whiten


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
