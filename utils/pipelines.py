"""From arrays to shuffled, augmented batches, on the host and without copying the images.

An augmentation is a function `(images, labels, seed) -> (images, labels)` of a whole batch: images of shape
(batch, height, width, channels), uint8 or float32 with values 0 to 255; a seed of shape (2,), int32, for
`tf.random.stateless_*`. Each image is changed by its own random amounts; shapes, dtypes and labels stay, except where
`mixup` blends them.
"""

import os
from functools import partial

import numpy as np
import tensorflow as tf

from utils.data import CLASS_NAMES


def make_dataset(images, labels, batch_size, *, training=False, augment=None, one_hot=False, seed=None,
                 drop_remainder=False):  # fmt: skip
    """Turn arrays into batches: shuffle row numbers (in training), gather, augment, prefetch.

    Images, (n, height, width, channels), uint8 or float32 with values 0 to 255, stay where they are; labels, (n,), are
    integers, which `one_hot` turns into float32 rows; a seed brings the same shuffles and augmentations at every run.
    """
    if not len(images) == len(labels) > 0 or batch_size < 1:
        found = f"{len(images)} images, {len(labels)} labels, batch_size={batch_size}"
        raise ValueError(f"make_dataset: expected labels for all images and a batch_size; found {found}.")
    labels = np.eye(len(CLASS_NAMES), dtype=np.float32)[labels] if one_hot else np.asarray(labels, np.int32)

    def gather(rows):
        batch = tf.numpy_function(lambda chosen: images[chosen], [rows], images.dtype, stateful=False)
        return tf.ensure_shape(batch, (rows.shape[0], *images.shape[1:])), tf.gather(labels, rows)

    cores = os.cpu_count() or 1
    rows = tf.data.Dataset.range(len(images))
    if training:
        rows = rows.shuffle(len(images), seed=seed)
    batches = rows.batch(batch_size, drop_remainder=drop_remainder).map(gather, cores)
    if augment is not None:
        seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
        seeds = seeds.map(lambda numbers: tf.bitcast(numbers, tf.int32)[:, 0])
        batches = tf.data.Dataset.zip(batches, seeds).map(lambda batch, pair: augment(*batch, pair), cores)
    options = tf.data.Options()
    options.autotune.enabled = False  # in TensorFlow 2.21 the end of an epoch waits for its next round
    return batches.prefetch(2).with_options(options)


def flip(images, labels, seed):
    """Mirror every image left to right with probability one half.

    Source: Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional Neural Networks", section 4.1.
    """
    height, width = images.shape[1:3]
    mirrored = tf.random.stateless_uniform((tf.shape(images)[0], 1), seed) < 0.5
    columns = tf.where(mirrored, tf.range(width - 1, -1, -1), tf.range(width))
    return pick_pixels(images, tf.range(height)[tf.newaxis], columns), labels


def crop(images, labels, seed, padding=4):
    """Shift every image by up to `padding` pixels in both directions, mirroring the border.

    Source: He et al. 2015, "Deep Residual Learning for Image Recognition", section 4.2 (zeros there, mirrored here).
    """
    height, width = images.shape[1:3]
    if not 0 <= padding < min(height, width):
        raise ValueError(f"crop: expected a padding from 0 to {min(height, width) - 1}; found {padding}.")
    offsets = tf.random.stateless_uniform((tf.shape(images)[0], 2), seed, -padding, padding + 1, tf.int32)
    rows = mirror_at_border(tf.range(height) + offsets[:, :1], height)
    columns = mirror_at_border(tf.range(width) + offsets[:, 1:], width)
    return pick_pixels(images, rows, columns), labels


def pick_pixels(images, rows, columns):
    """Take pixel (rows[b, i], columns[b, j]) of each image b: one gather over the whole batch."""
    batch, (height, width, channels) = tf.shape(images)[0], images.shape[1:]
    first = tf.range(batch)[:, tf.newaxis, tf.newaxis] * (height * width)
    picked = first + rows[:, :, tf.newaxis] * width + columns[:, tf.newaxis]
    return tf.gather(tf.reshape(images, (-1, channels)), picked)


def mirror_at_border(positions, length):
    """Reflect positions that lie outside of 0 to length - 1 back inside."""
    return length - 1 - tf.abs(length - 1 - tf.abs(positions))


def affine(images, labels, seed, rotation=15.0, shift=0.1, zoom=0.1):
    """Turn by up to `rotation` degrees, shift and zoom by up to parts of height and width; outside, the border repeats.

    Source: Simard et al. 2003, "Best Practices for Convolutional Neural Networks Applied to Visual Document Analysis".
    """
    batch, (height, width) = tf.shape(images)[0], images.shape[1:3]
    amounts = tf.random.stateless_uniform((5, batch), seed, -1, 1)
    angle = amounts[0] * (rotation * np.pi / 180)
    scale_y, scale_x = 1 + zoom * amounts[1], 1 + zoom * amounts[2]
    centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
    # The kernel asks for each pixel of the result where in the image it comes from: x' = a x + b y + c.
    a, b = tf.cos(angle) * scale_x, -tf.sin(angle) * scale_y
    d, e = tf.sin(angle) * scale_x, tf.cos(angle) * scale_y
    c = centre_x - a * centre_x - b * centre_y + shift * width * amounts[3]
    f = centre_y - d * centre_x - e * centre_y + shift * height * amounts[4]
    numbers = tf.stack([a, b, c, d, e, f, tf.zeros(batch), tf.zeros(batch)], axis=1)
    settings = {"output_shape": (height, width), "interpolation": "BILINEAR", "fill_mode": "NEAREST", "fill_value": 0.0}
    moved = tf.raw_ops.ImageProjectiveTransformV3(images=tf.cast(images, tf.float32), transforms=numbers, **settings)
    moved = tf.round(moved) if images.dtype.is_integer else moved
    return tf.cast(tf.ensure_shape(moved, images.shape), images.dtype), labels


def cutout(images, labels, seed, size=8):
    """Paint a grey square, `size` pixels wide, at a random place, where it may reach over the border.

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
    """Change brightness by up to a part of 255, contrast by a part of a pixel's distance to the mean.

    Source: Howard 2013, "Some Improvements on Deep Convolutional Neural Network Based Image Classification", section 2.
    """
    amounts = tf.random.stateless_uniform((2, tf.shape(images)[0], 1, 1, 1), seed, -1, 1)
    pixels = tf.cast(images, tf.float32)
    mean = tf.reduce_mean(pixels, axis=(1, 2, 3), keepdims=True)
    changed = mean + (pixels - mean) * (1 + contrast * amounts[0]) + 255 * brightness * amounts[1]
    return tf.cast(tf.round(tf.clip_by_value(changed, 0, 255)), images.dtype), labels


def mixup(images, labels, seed, alpha=0.2):
    """Blend each image and its one-hot label with another of the batch, in shares of Beta(alpha, alpha).

    Source: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization".
    """
    if labels.shape.rank != 2:
        raise ValueError(f"mixup: expected one-hot labels, (batch, classes); found shape {labels.shape}.")
    batch = tf.shape(images)[0]
    gammas = tf.random.stateless_gamma((2, batch), seed, alpha)
    share = tf.math.divide_no_nan(gammas[0], gammas[0] + gammas[1])
    partner = tf.random.experimental.stateless_shuffle(tf.range(batch), seed + 1)
    pixels, image_share = tf.cast(images, tf.float32), share[:, tf.newaxis, tf.newaxis, tf.newaxis]
    mixed = pixels + image_share * (tf.gather(pixels, partner) - pixels)
    return mixed, labels + share[:, tf.newaxis] * (tf.gather(labels, partner) - labels)


def compose(*augmentations):
    """Chain augmentations from left to right, each with a seed of its own."""
    return partial(_one_after_another, augmentations)


def _one_after_another(augmentations, images, labels, seed):
    for number, augmentation in enumerate(augmentations):
        images, labels = augmentation(images, labels, seed + [number, 0])
    return images, labels
