"""Outliers are pictures of their own, made of the batch, and labelled as all classes alike."""

import numpy as np
import pytest
import tensorflow as tf

from models.train import KINDS, blend, jumble, leaves, magnify, with_outliers

SEED = tf.constant([3, 4])


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def labels():
    return np.eye(10, dtype=np.float32)[np.arange(64) % 10]


def make(kind, images, seed=SEED):
    return kind(tf.constant(images), tf.constant(images[::-1]), seed).numpy()


def test_the_first_images_become_outliers_and_the_others_stay(images, labels):
    made, unsure = with_outliers(tf.constant(images), tf.constant(labels), SEED, share=0.25)
    assert made.shape == images.shape and made.dtype == np.uint8
    assert (made[:16].numpy() != images[:16]).any(axis=(1, 2, 3)).all()
    assert (made[16:].numpy() == images[16:]).all()
    np.testing.assert_allclose(unsure[:16], 0.1)
    assert (unsure[16:].numpy() == labels[16:]).all()


def test_all_kinds_occur(images, labels):
    batch, one_hot = np.repeat(images, 8, axis=0), np.repeat(labels, 8, axis=0)
    made = with_outliers(tf.constant(batch), tf.constant(one_hot), SEED, share=0.5)[0].numpy()[:256]
    others = tf.constant(batch[256:])
    for number, kind in enumerate(KINDS):
        alike = kind(tf.constant(batch[:256]), others, SEED + [number, 1]).numpy() == made
        assert 0.15 < alike.all(axis=(1, 2, 3)).mean() < 0.35  # a quarter of 256: a standard deviation of 0.027


def test_integer_labels_are_refused(images):
    with pytest.raises(ValueError, match=r"expected one-hot labels of shape \(batch, classes\); found shape \(64,\)"):
        with_outliers(tf.constant(images), tf.zeros(64, tf.int32), SEED)


@pytest.mark.parametrize("kind", [jumble, magnify, leaves], ids=lambda kind: kind.__name__)
def test_the_seed_decides(kind, images):
    assert (make(kind, images) == make(kind, images, tf.constant([3, 4]))).all()
    assert (make(kind, images) != make(kind, images, tf.constant([5, 6]))).any()


def test_a_blend_is_the_mean_of_both_the_second_upside_down():
    top = np.zeros((1, 32, 32, 3), np.uint8)
    top[:, :16] = 200
    mean = blend(tf.constant(top), tf.constant(top), SEED).numpy()
    assert (mean == 100).all()


def test_a_jumble_holds_sixteen_different_tiles_of_both_images():
    values = np.arange(32, dtype=np.uint8).reshape(2, 1, 4, 4, 1).repeat(3, axis=-1)
    first, second = values.repeat(8, axis=2).repeat(8, axis=3)
    tiles = jumble(tf.constant(first), tf.constant(second), SEED).numpy()[0, ::8, ::8, 0]
    assert len(np.unique(tiles)) == 16 and tiles.max() >= 16 > tiles.min()
    assert (tiles.ravel() != np.sort(tiles.ravel())).any()


def test_magnified_are_a_fifth_to_two_fifths_of_the_width():
    ramp = np.broadcast_to(np.arange(0, 256, 8, dtype=np.uint8)[:, np.newaxis], (50, 32, 32, 3))
    enlarged = make(magnify, ramp).astype(int)
    spans = enlarged[:, 0, -1, 0] - enlarged[:, 0, 0, 0]
    assert 0.18 * 248 < spans.min() < spans.max() < 0.42 * 248


def test_leaves_cover_most_of_an_image_but_not_all(images):
    white = np.full_like(images, 255)
    covered = leaves(tf.constant(white), tf.constant(images), SEED).numpy() != 255
    assert 0.5 < covered.any(axis=-1).mean() < 0.98
