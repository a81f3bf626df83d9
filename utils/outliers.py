"""Pictures of none of the ten classes, made of training images, on which a network learns to be unsure of all ten.

Source of the idea, with collected instead of made pictures: Hendrycks et al. 2019, "Deep Anomaly Detection with Outlier
Exposure", arXiv 1812.04606.
"""

import tensorflow as tf


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
