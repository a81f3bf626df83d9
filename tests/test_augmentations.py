"""Every augmentation keeps shape and range, repeats itself for a seed, and has the statistics its docstring names."""

import numpy as np
import pytest
import tensorflow as tf

from utils.pipelines import affine, compose, crop, cutout, flip, jitter, make_dataset, mixup, sometimes

SEED = tf.constant([3, 4])
PIXEL_CHANGES = {"affine": affine, "flip": flip, "crop": crop, "cutout": cutout, "jitter": jitter}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (2_000, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def labels():
    return np.arange(2_000, dtype=np.int32) % 10


@pytest.mark.parametrize("name", PIXEL_CHANGES)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_shape_dtype_range_and_labels_are_kept(name, dtype, images, labels):
    changed, same_labels = PIXEL_CHANGES[name](tf.constant(images.astype(dtype)), tf.constant(labels), SEED)
    assert changed.shape == images.shape and changed.dtype == dtype
    assert changed.numpy().min() >= 0 and changed.numpy().max() <= 255
    assert (same_labels.numpy() == labels).all()


@pytest.mark.parametrize("name", PIXEL_CHANGES)
def test_the_seed_decides(name, images, labels):
    def run(seed):
        return PIXEL_CHANGES[name](tf.constant(images[:100]), labels[:100], tf.constant(seed))[0].numpy()

    assert (run([1, 2]) == run([1, 2])).all()
    assert (run([1, 2]) != run([1, 3])).any()


@pytest.mark.parametrize("name", PIXEL_CHANGES)
def test_each_image_of_a_batch_is_changed_by_itself(name):
    image = np.random.default_rng(1).integers(0, 256, (1, 32, 32, 3), np.uint8)
    changed, _ = PIXEL_CHANGES[name](tf.constant(np.repeat(image, 64, axis=0)), tf.zeros(64, tf.int32), SEED)
    assert len(np.unique(changed.numpy().reshape(64, -1), axis=0)) > 1


def test_flip_mirrors_half_of_the_images_and_leaves_the_others(images, labels):
    flipped = flip(tf.constant(images), labels, SEED)[0].numpy()
    mirrored = (flipped == images[:, :, ::-1]).all(axis=(1, 2, 3))
    untouched = (flipped == images).all(axis=(1, 2, 3))
    assert (mirrored ^ untouched).all()
    assert 0.45 < mirrored.mean() < 0.55  # 2,000 fair coins: a standard deviation of 0.011


@pytest.fixture(scope="module")
def dots():
    """500 black images, each with one soft bright dot, eight pixels to the right of the middle."""
    rows, columns = np.mgrid[:32, :32] - 15.5
    dot = 255 * np.exp(-(rows**2 + (columns - 8) ** 2) / 4)
    return tf.constant(np.repeat(dot[np.newaxis, ..., np.newaxis], 500, axis=0), tf.float32)


def centres(images):
    """Where the light is, in pixels from the middle: an array of rows and one of columns."""
    light, (rows, columns) = images.numpy()[..., 0], np.mgrid[:32, :32] - 15.5
    return tuple((light * axis).sum(axis=(1, 2)) / light.sum(axis=(1, 2)) for axis in (rows, columns))


def test_affine_turns_about_the_middle_up_to_its_largest_angle(dots):
    rows, columns = centres(affine(dots, None, SEED, rotation=30, shift=0, zoom=0)[0])
    np.testing.assert_allclose(np.hypot(rows, columns), 8, atol=0.1)
    angles = np.degrees(np.arctan2(rows, columns))
    assert 28 < angles.max() < 30.5 and -30.5 < angles.min() < -28
    assert abs(angles.std() - 30 / 3**0.5) < 2  # the deviation of a uniform distribution


def test_affine_shifts_both_ways_and_zooms_each_direction_by_itself(dots):
    rows, columns = centres(affine(dots, None, SEED, rotation=0, shift=0.1, zoom=0)[0])
    for moved in (rows, columns - 8):
        assert 3 < moved.max() < 3.3 and -3.3 < moved.min() < -3
    rows, columns = centres(affine(dots, None, SEED, rotation=0, shift=0, zoom=0.2)[0])
    np.testing.assert_allclose(rows, 0, atol=0.01)
    assert columns.max() == pytest.approx(8 / 0.8, abs=0.15) and columns.min() == pytest.approx(8 / 1.2, abs=0.15)


def test_affine_repeats_the_border_and_keeps_a_plain_image_as_it_is(images):
    assert (affine(tf.constant(images), None, SEED, rotation=0, shift=0, zoom=0)[0].numpy() == images).all()
    plain = tf.fill((100, 32, 32, 3), tf.constant(201, tf.uint8))
    assert (affine(plain, None, SEED)[0].numpy() == 201).all()


def test_crop_offsets_are_uniform_and_the_border_is_mirrored(images, labels):
    padding = 2
    cropped = crop(tf.constant(images), labels, SEED, padding=padding)[0].numpy()
    padded = np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)), mode="reflect")
    counts = np.zeros((5, 5), int)
    for row in range(5):
        for column in range(5):
            window = padded[:, row : row + 32, column : column + 32]
            counts[row, column] = (cropped == window).all(axis=(1, 2, 3)).sum()
    assert counts.sum() == len(images)
    assert counts.min() > 45 and counts.max() < 120  # 80 expected, a standard deviation of 8.8


def test_cutout_covers_a_square_whose_centre_is_anywhere(labels):
    white = tf.fill((2_000, 32, 32, 3), tf.constant(255, tf.uint8))
    covered = (cutout(white, labels, SEED, size=8)[0].numpy() == 128).all(axis=3)
    areas = covered.sum(axis=(1, 2))
    assert areas.max() == 64 and areas.min() >= 16
    assert covered.any(axis=0).all()
    inside = areas == 64
    assert (covered[inside].any(axis=2).sum(axis=1) == 8).all() and (covered[inside].any(axis=1).sum(axis=1) == 8).all()


def test_jitter_moves_brightness_and_contrast_by_their_shares(labels):
    grey = tf.fill((2_000, 32, 32, 3), 128.0)
    shifts = jitter(grey, labels, SEED, brightness=0.2, contrast=0)[0].numpy()[:, 0, 0, 0] - 128
    assert np.abs(shifts).max() <= 51 and shifts.min() < -45 and shifts.max() > 45 and abs(shifts.mean()) < 2
    halves = np.full((2_000, 32, 32, 3), 100, np.float32)
    halves[:, :16] = 150
    spread = np.ptp(jitter(tf.constant(halves), labels, SEED, brightness=0, contrast=0.2)[0].numpy(), axis=(1, 2, 3))
    assert spread.min() >= 40 and spread.max() <= 60 and abs(spread.mean() - 50) < 1


def test_mixup_blends_pixels_and_labels_by_the_same_share(labels):
    one_hot = tf.one_hot(labels, 10)
    own_number = tf.ones((1, 32, 32, 3)) * tf.cast(labels, tf.float32)[:, tf.newaxis, tf.newaxis, tf.newaxis]
    mixed, mixed_labels = mixup(own_number, one_hot, SEED, alpha=1.0)
    assert mixed.dtype == tf.float32
    np.testing.assert_allclose(mixed_labels.numpy().sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(mixed[:, 0, 0, 0], mixed_labels.numpy() @ np.arange(10), atol=1e-4)
    shares = mixed_labels.numpy()[np.arange(2_000), labels]
    assert 0.4 < shares[shares < 0.999].mean() < 0.6  # Beta(1, 1) is uniform
    _, purer_labels = mixup(own_number, one_hot, SEED, alpha=0.1)
    assert purer_labels.numpy().max(axis=1).mean() > mixed_labels.numpy().max(axis=1).mean() + 0.1


def test_compose_applies_all_in_order_and_gives_each_its_own_seed(images, labels):
    both = compose(flip, crop)(tf.constant(images), labels, SEED)[0].numpy()
    by_hand = crop(flip(tf.constant(images), labels, SEED)[0], labels, SEED + [1, 0])[0].numpy()
    assert (both == by_hand).all()
    assert (compose()(tf.constant(images), labels, SEED)[0].numpy() == images).all()


def test_sometimes_changes_the_share_of_images_it_was_asked_for_and_those_fully(images, labels):
    def inverted(images, labels, seed):
        return 255 - images, labels

    changed = sometimes(inverted, share=0.3)(tf.constant(images), labels, SEED)[0].numpy()
    is_inverted = (changed == 255 - images).all(axis=(1, 2, 3))
    assert (changed[~is_inverted] == images[~is_inverted]).all()
    assert is_inverted.mean() == pytest.approx(0.3, abs=0.05)


def test_augmentations_run_inside_a_pipeline_with_a_smaller_last_batch(images, labels):
    chain = compose(flip, crop, cutout, jitter, mixup)
    dataset = make_dataset(images, labels, 300, one_hot=True, seed=1, augment=chain)
    assert [len(batch) for batch, _ in dataset] == [300] * 6 + [200]


def test_bad_input_is_refused_in_one_sentence(images, labels):
    with pytest.raises(ValueError, match="expected a padding from 0 to 31; found 32"):
        crop(tf.constant(images), labels, SEED, padding=32)
    with pytest.raises(ValueError, match=r"expected one-hot labels of shape \(batch, classes\); found shape \(2000,\)"):
        mixup(tf.constant(images), tf.constant(labels), SEED)
