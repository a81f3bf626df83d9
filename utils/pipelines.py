"""From arrays to shuffled, augmented batches, on the host and without copying the images."""

import numpy as np
import tensorflow as tf

from utils.data import CLASS_NAMES


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
    batches = rows.batch(batch_size, drop_remainder=drop_remainder).map(gather, num_parallel_calls=tf.data.AUTOTUNE)
    if augment is not None:
        seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
        batches = tf.data.Dataset.zip(batches, seeds).map(
            lambda batch, number: augment(*batch, tf.bitcast(number, tf.int32)[:, 0]),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
    return batches.prefetch(tf.data.AUTOTUNE)
