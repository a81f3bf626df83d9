"""From arrays to shuffled, augmented batches, on the host and without copying the images."""

import math
import os

import numpy as np
import tensorflow as tf

from utils.data import CLASS_NAMES

_PARALLEL = os.cpu_count() or 1


def make_dataset(
    images, labels, batch_size, *, training=False, augment=None, one_hot=False, seed=None, drop_remainder=False
):
    """Turn arrays into batches: shuffle every epoch, gather, augment whole batches, prefetch.

    What is shuffled are the row numbers, all of them and anew in every epoch, so every order is equally likely and the
    images stay where they are: the graph looks each batch up in the array instead of holding a copy of it.

    Args:
        images: array, shape (n, height, width, channels), uint8 or float32 with values 0 to 255.
        labels: integer array, shape (n,), values 0 to 9.
        batch_size: images in a batch; the last one may be smaller.
        training: whether to shuffle. Without it the order of the arrays is kept.
        augment: None, or a function `(images, labels, seed) -> (images, labels)` on whole batches, for example `flip`.
        one_hot: whether labels become float32 rows of shape (batch, 10), which `mixup` and label smoothing need.
        seed: int for the same shuffles and augmentations at every run of the program; None for new ones.
        drop_remainder: whether to leave out a last batch that is not full, as TPUs need.

    Returns:
        A `tf.data.Dataset` of `(images, labels)`: shape (batch, height, width, channels), dtype as given unless
        `augment` changes it; labels (batch,) int32, or (batch, 10) float32 where `one_hot`.

    Raises:
        ValueError: if `images` and `labels` differ in length, are empty, or `batch_size` is not positive.
    """
    if len(images) != len(labels) or not len(images):
        raise ValueError(f"make_dataset: expected as many labels as images; found {len(images)} and {len(labels)}.")
    if batch_size < 1:
        raise ValueError(f"make_dataset: expected a batch_size of 1 or more; found {batch_size}.")
    labels = np.asarray(labels, np.int32)
    if one_hot:
        labels = np.eye(len(CLASS_NAMES), dtype=np.float32)[labels]

    def gather(rows):
        batch = tf.numpy_function(lambda chosen: images[chosen], [rows], images.dtype, stateful=False)
        return tf.ensure_shape(batch, (rows.shape[0], *images.shape[1:])), tf.gather(labels, rows)

    rows = tf.data.Dataset.range(len(images))
    if training:
        rows = rows.shuffle(len(images), seed=seed)
    batches = rows.batch(batch_size, drop_remainder=drop_remainder).map(gather, num_parallel_calls=_PARALLEL)
    if augment is not None:
        seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
        batches = tf.data.Dataset.zip(batches, seeds).map(
            lambda batch, number: augment(*batch, tf.bitcast(number, tf.int32)[:, 0]),
            num_parallel_calls=_PARALLEL,
        )
    # tf.data's own tuning can hold up the end of an epoch: TensorFlow 2.21 was seen to wait there for the next round of
    # tuning, and as the time between two rounds doubles, an epoch could take up to twice as long.
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(2).with_options(options)


def flip(images, labels, seed):
    """Mirror every image left to right with probability one half.

    Args:
        images: uint8 or float32 tensor, shape (batch, height, width, channels).
        labels: passed through unchanged.
        seed: int32 tensor of shape (2,), for `tf.random.stateless_*`.

    Returns:
        `(images, labels)`, shape and dtype as given.

    Source: Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional Neural Networks", section 4.1.
    """
    height, width = images.shape[1:3]
    mirrored = tf.random.stateless_uniform((tf.shape(images)[0], 1), seed) < 0.5
    columns = tf.where(mirrored, tf.range(width - 1, -1, -1), tf.range(width))
    return _pick_pixels(images, tf.range(height)[tf.newaxis], columns), labels


def crop(images, labels, seed, padding=4):
    """Shift every image by its own random offset, mirroring the border.

    Args:
        images: uint8 or float32 tensor, shape (batch, height, width, channels).
        labels: passed through unchanged.
        seed: int32 tensor of shape (2,), for `tf.random.stateless_*`.
        padding: largest shift in pixels, in both directions.

    Returns:
        `(images, labels)`, shape and dtype as given.

    Raises:
        ValueError: if `padding` is negative or not smaller than the image.

    Source: He et al. 2015, "Deep Residual Learning for Image Recognition", section 4.2 (zeros there, mirrored here).
    """
    height, width = images.shape[1:3]
    if not 0 <= padding < min(height, width):
        raise ValueError(f"crop: expected a padding from 0 to {min(height, width) - 1}; found {padding}.")
    offsets = tf.random.stateless_uniform((tf.shape(images)[0], 2), seed, -padding, padding + 1, tf.int32)
    rows = _mirror_at_border(tf.range(height) + offsets[:, :1], height)
    columns = _mirror_at_border(tf.range(width) + offsets[:, 1:], width)
    return _pick_pixels(images, rows, columns), labels


def affine(images, labels, seed, rotation=15.0, shift=0.1, zoom=0.1):
    """Turn, shift and zoom every image by its own random amounts; what comes in from outside repeats the border.

    Args:
        images: uint8 or float32 tensor, shape (batch, height, width, channels).
        labels: passed through unchanged.
        seed: int32 tensor of shape (2,), for `tf.random.stateless_*`.
        rotation: largest angle in degrees, to either side.
        shift: largest shift in both directions, as a part of height and width.
        zoom: largest change of size, as a part of it, in height and width independently.

    Returns:
        `(images, labels)`, shape and dtype as given; pixels between four others are their weighted mean.

    Source: Simard et al. 2003, "Best Practices for Convolutional Neural Networks Applied to Visual Document Analysis".
    """
    batch, (height, width) = tf.shape(images)[0], images.shape[1:3]
    amounts = tf.random.stateless_uniform((5, batch), seed, -1, 1)
    angle = amounts[0] * (rotation * math.pi / 180)
    scale_y, scale_x = 1 + zoom * amounts[1], 1 + zoom * amounts[2]
    centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
    # The kernel asks for each pixel of the result where in the image it comes from: x' = a x + b y + c.
    a, b = tf.cos(angle) * scale_x, -tf.sin(angle) * scale_y
    d, e = tf.sin(angle) * scale_x, tf.cos(angle) * scale_y
    c = centre_x - a * centre_x - b * centre_y + shift * width * amounts[3]
    f = centre_y - d * centre_x - e * centre_y + shift * height * amounts[4]
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=tf.stack([a, b, c, d, e, f, tf.zeros(batch), tf.zeros(batch)], axis=1),
        output_shape=(height, width),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
    moved = tf.round(moved) if images.dtype.is_integer else moved
    return tf.cast(tf.ensure_shape(moved, images.shape), images.dtype), labels


def cutout(images, labels, seed, size=8):
    """Paint a grey square over every image, at its own random place; it may reach over the border.

    Args:
        images: uint8 or float32 tensor with values 0 to 255, shape (batch, height, width, channels).
        labels: passed through unchanged.
        seed: int32 tensor of shape (2,), for `tf.random.stateless_*`.
        size: side of the square in pixels.

    Returns:
        `(images, labels)`, shape and dtype as given; the square has the value 128.

    Source: DeVries and Taylor 2017, "Improved Regularization of Convolutional Neural Networks with Cutout".
    """
    batch, (height, width) = tf.shape(images)[0], images.shape[1:3]
    place = tf.random.stateless_uniform((batch, 2), seed)

    def covered(length, centre):
        first = tf.cast(centre * length, tf.int32) - size // 2
        return (tf.range(length) >= first) & (tf.range(length) < first + size)

    square = covered(height, place[:, :1])[:, :, tf.newaxis] & covered(width, place[:, 1:])[:, tf.newaxis]
    return tf.where(square[..., tf.newaxis], tf.cast(128, images.dtype), images), labels


def jitter(images, labels, seed, brightness=0.2, contrast=0.2):
    """Change brightness and contrast of every image by its own random amount.

    Args:
        images: uint8 or float32 tensor with values 0 to 255, shape (batch, height, width, channels).
        labels: passed through unchanged.
        seed: int32 tensor of shape (2,), for `tf.random.stateless_*`.
        brightness: largest shift of all pixel values, as a part of 255.
        contrast: largest change of the distance to the image's mean, as a part of that distance.

    Returns:
        `(images, labels)`, shape and dtype as given, values cut off at 0 and 255.

    Source: Howard 2013, "Some Improvements on Deep Convolutional Neural Network Based Image Classification", section 2.
    """
    amounts = tf.random.stateless_uniform((2, tf.shape(images)[0], 1, 1, 1), seed, -1, 1)
    pixels = tf.cast(images, tf.float32)
    mean = tf.reduce_mean(pixels, axis=(1, 2, 3), keepdims=True)
    changed = mean + (pixels - mean) * (1 + contrast * amounts[0]) + 255 * brightness * amounts[1]
    return tf.cast(tf.round(tf.clip_by_value(changed, 0, 255)), images.dtype), labels


def mixup(images, labels, seed, alpha=0.2):
    """Blend every image, and its label, with another one of the same batch.

    Args:
        images: uint8 or float32 tensor with values 0 to 255, shape (batch, height, width, channels).
        labels: float32 tensor of probabilities, shape (batch, classes): `make_dataset(..., one_hot=True)`.
        seed: int32 tensor of shape (2,), for `tf.random.stateless_*`.
        alpha: the share of the other image follows a Beta(alpha, alpha) distribution, whose small values
            of alpha leave most images nearly pure.

    Returns:
        `(images, labels)`: images become float32, since a blend of two pixels is no whole number; each row of the
        labels still sums to one.

    Raises:
        ValueError: if labels are not one-hot.

    Source: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization".
    """
    if labels.shape.rank != 2:
        raise ValueError(f"mixup: expected one-hot labels of shape (batch, classes); found shape {labels.shape}.")
    batch = tf.shape(images)[0]
    gammas = tf.random.stateless_gamma((2, batch), seed, alpha)
    share = tf.math.divide_no_nan(gammas[0], gammas[0] + gammas[1])
    partner = tf.random.experimental.stateless_shuffle(tf.range(batch), seed + 1)
    pixels, image_share = tf.cast(images, tf.float32), share[:, tf.newaxis, tf.newaxis, tf.newaxis]
    mixed = pixels + image_share * (tf.gather(pixels, partner) - pixels)
    return mixed, labels + share[:, tf.newaxis] * (tf.gather(labels, partner) - labels)


def compose(*augmentations):
    """Chain augmentations, each with a seed of its own.

    Args:
        augmentations: functions `(images, labels, seed) -> (images, labels)`, applied from left to right.

    Returns:
        A function of the same form.
    """

    def apply(images, labels, seed):
        for number, augmentation in enumerate(augmentations):
            images, labels = augmentation(images, labels, seed + [number, 0])
        return images, labels

    return apply


def sometimes(augmentation, share):
    """Let an augmentation that keeps the labels change only some of the images.

    Args:
        augmentation: a function `(images, labels, seed) -> (images, labels)`.
        share: the probability, 0 to 1, with which an image is changed.

    Returns:
        A function of the same form.
    """

    def apply(images, labels, seed):
        changed, _ = augmentation(images, labels, seed)
        chosen = tf.random.stateless_uniform((tf.shape(images)[0], 1, 1, 1), seed + [0, 1]) < share
        return tf.where(chosen, changed, images), labels

    return apply


def _pick_pixels(images, rows, columns):
    """Take pixel (rows[b, i], columns[b, j]) of each image b: one gather over the whole batch."""
    batch, (height, width, channels) = tf.shape(images)[0], images.shape[1:]
    first = tf.range(batch)[:, tf.newaxis, tf.newaxis] * (height * width)
    picked = first + rows[:, :, tf.newaxis] * width + columns[:, tf.newaxis]
    return tf.gather(tf.reshape(images, (-1, channels)), picked)


def _mirror_at_border(positions, length):
    return length - 1 - tf.abs(length - 1 - tf.abs(positions))
