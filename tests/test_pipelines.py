"""Batches hold each image once, and in training in a new order; augmentations change whole batches as they say."""

import numpy as np
import pytest
import tensorflow as tf

from utils.pipelines import affine, compose, crop, cutout, flip, jitter, make_dataset, mixup

SEED = tf.constant([3, 4])
PIXEL_CHANGES = pytest.mark.parametrize("change", [affine, flip, crop, cutout, jitter], ids=lambda f: f.__name__)


@pytest.fixture
def arrays():
    """300 images whose every pixel and whose label tell their row number."""
    rows = np.arange(300)
    images = np.zeros((300, 32, 32, 3), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = rows % 256, rows // 256
    return images, rows % 10


def row_numbers(dataset):
    images = np.concatenate([images.numpy() for images, _ in dataset])
    return images[:, 0, 0, 0].astype(int) + 256 * images[:, 0, 0, 1].astype(int)


def test_without_training_the_order_is_kept_and_batches_have_the_documented_shapes(arrays):
    batches = list(make_dataset(*arrays, 128))
    assert [len(labels) for _, labels in batches] == [128, 128, 44]
    images, labels = batches[0]
    assert (images.dtype, images.shape, labels.dtype) == (tf.uint8, (128, 32, 32, 3), tf.int32)
    assert row_numbers(batches).tolist() == list(range(300))


def test_every_epoch_holds_every_image_once_in_a_new_order_with_its_own_label(arrays):
    dataset = make_dataset(*arrays, 64, training=True, seed=1)
    first, second = row_numbers(dataset), row_numbers(dataset)
    assert sorted(first) == sorted(second) == list(range(300))
    assert first.tolist() != second.tolist()
    for batch in dataset:
        assert (row_numbers([batch]) % 10 == batch[1].numpy()).all()


def test_the_shuffle_reaches_everywhere(arrays):
    """With a buffer smaller than the data, a late image could never come first; here every row does in time."""
    dataset = make_dataset(*arrays, 1, training=True, seed=2)
    firsts = [int(row_numbers(dataset.take(1))[0]) for _ in range(60)]
    assert max(firsts) >= 270 and min(firsts) < 30


def test_a_seed_repeats_shuffles_and_augmentations_of_two_epochs_and_another_seed_does_not(arrays):
    def noise(images, labels, seed):
        return images + tf.cast(tf.random.stateless_uniform(tf.shape(images), seed, 0, 9, tf.int32), tf.uint8), labels

    def two_epochs(seed):
        dataset = make_dataset(*arrays, 100, training=True, augment=noise, seed=seed)
        return np.stack([np.concatenate([images.numpy() for images, _ in dataset]) for _ in range(2)])

    again, other = two_epochs(5), two_epochs(6)
    assert (two_epochs(5) == again).all()
    assert (again != other).any()


def test_augmentation_draws_anew_for_every_batch_and_every_epoch(arrays):
    def show_seed(images, labels, seed):
        return images, tf.broadcast_to(seed[:1], tf.shape(labels))

    dataset = make_dataset(*arrays, 100, augment=show_seed, seed=3)
    seeds = [int(labels[0]) for _ in range(2) for _, labels in dataset]
    assert len(set(seeds)) == 6


def test_one_hot_labels_and_the_dropped_remainder(arrays):
    batches = list(make_dataset(*arrays, 128, one_hot=True, drop_remainder=True))
    assert len(batches) == 2
    assert batches[0][1].shape == (128, 10) and batches[0][1].dtype == tf.float32
    assert (np.argmax(batches[0][1], axis=1) == arrays[1][:128]).all()


def test_the_images_are_not_copied_into_the_graph(arrays):
    """from_tensor_slices puts the array into the graph as a constant; make_dataset's graph stays small."""

    def graph_bytes(dataset):
        return len(dataset._as_serialized_graph().numpy())

    assert graph_bytes(tf.data.Dataset.from_tensor_slices(arrays[0])) > arrays[0].nbytes
    assert graph_bytes(make_dataset(*arrays, 100, training=True, seed=1)) < arrays[0].nbytes / 10


@pytest.mark.parametrize(
    "count, labels, batch_size, message",
    [
        (3, 2, 2, "expected as many labels as images; found 3 and 2"),
        (0, 0, 2, "found 0 and 0"),
        (3, 3, 0, "expected a batch_size of 1 or more; found 0"),
    ],
)
def test_arrays_that_make_no_batches_are_refused_in_one_sentence(count, labels, batch_size, message):
    with pytest.raises(ValueError, match=message):
        make_dataset(np.zeros((count, 32, 32, 3), np.uint8), np.zeros(labels, int), batch_size)


def test_the_end_of_an_epoch_does_not_wait_for_the_tuning_of_the_pipeline(arrays):
    batches = make_dataset(*arrays, 4, training=True, augment=flip, seed=1)
    assert batches.options().autotune.enabled is False


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (2_000, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def labels():
    return np.arange(2_000, dtype=np.int32) % 10


def pixels(change, images, seed=SEED, **settings):
    """What an augmentation makes of images alone."""
    return change(tf.constant(images), None, tf.constant(seed), **settings)[0].numpy()


@PIXEL_CHANGES
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_shape_dtype_range_and_labels_are_kept(change, dtype, images, labels):
    changed, same_labels = change(tf.constant(images.astype(dtype)), tf.constant(labels), SEED)
    assert changed.shape == images.shape and changed.dtype == dtype
    assert changed.numpy().min() >= 0 and changed.numpy().max() <= 255
    assert (same_labels.numpy() == labels).all()


@PIXEL_CHANGES
def test_the_seed_decides_and_each_image_of_a_batch_is_changed_by_itself(change, images):
    first, again, other = (pixels(change, images[:100], seed) for seed in ([1, 2], [1, 2], [1, 3]))
    assert (first == again).all() and (first != other).any()
    copies = pixels(change, np.repeat(images[:1], 64, axis=0))
    assert len(np.unique(copies.reshape(64, -1), axis=0)) > 1


def test_flip_mirrors_half_of_the_images_and_leaves_the_others(images):
    flipped = pixels(flip, images)
    mirrored = (flipped == images[:, :, ::-1]).all(axis=(1, 2, 3))
    untouched = (flipped == images).all(axis=(1, 2, 3))
    assert (mirrored ^ untouched).all()
    assert 0.45 < mirrored.mean() < 0.55  # 2,000 fair coins: a standard deviation of 0.011


@pytest.fixture(scope="module")
def dots():
    """500 black images, each with one soft bright dot, eight pixels to the right of the middle."""
    rows, columns = np.mgrid[:32, :32] - 15.5
    dot = 255 * np.exp(-(rows**2 + (columns - 8) ** 2) / 4)
    return np.repeat(dot[np.newaxis, ..., np.newaxis], 500, axis=0).astype(np.float32)


def centres(images):
    """Where the light is, in pixels from the middle: an array of rows and one of columns."""
    light, (rows, columns) = images[..., 0], np.mgrid[:32, :32] - 15.5
    return tuple((light * axis).sum(axis=(1, 2)) / light.sum(axis=(1, 2)) for axis in (rows, columns))


def test_affine_turns_about_the_middle_up_to_its_largest_angle(dots):
    rows, columns = centres(pixels(affine, dots, rotation=30, shift=0, zoom=0))
    np.testing.assert_allclose(np.hypot(rows, columns), 8, atol=0.1)
    angles = np.degrees(np.arctan2(rows, columns))
    assert 28 < angles.max() < 30.5 and -30.5 < angles.min() < -28
    assert abs(angles.std() - 30 / 3**0.5) < 2  # the deviation of a uniform distribution


def test_affine_shifts_both_ways_and_zooms_each_direction_by_itself(dots):
    rows, columns = centres(pixels(affine, dots, rotation=0, shift=0.1, zoom=0))
    for moved in (rows, columns - 8):
        assert 3 < moved.max() < 3.3 and -3.3 < moved.min() < -3
    rows, columns = centres(pixels(affine, dots, rotation=0, shift=0, zoom=0.2))
    np.testing.assert_allclose(rows, 0, atol=0.01)
    assert columns.max() == pytest.approx(8 / 0.8, abs=0.15) and columns.min() == pytest.approx(8 / 1.2, abs=0.15)


def test_affine_repeats_the_border_and_keeps_a_plain_image_as_it_is(images):
    assert (pixels(affine, images, rotation=0, shift=0, zoom=0) == images).all()
    assert (pixels(affine, np.full((100, 32, 32, 3), 201, np.uint8)) == 201).all()


def test_crop_offsets_are_uniform_and_the_border_is_mirrored(images):
    cropped = pixels(crop, images, padding=2)
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    windows = [padded[:, row : row + 32, column : column + 32] for row in range(5) for column in range(5)]
    counts = [(cropped == window).all(axis=(1, 2, 3)).sum() for window in windows]
    assert sum(counts) == len(images)
    assert min(counts) > 45 and max(counts) < 120  # 80 expected, a standard deviation of 8.8


def test_cutout_covers_a_square_whose_centre_is_anywhere():
    covered = (pixels(cutout, np.full((2_000, 32, 32, 3), 255, np.uint8), size=8) == 128).all(axis=3)
    areas = covered.sum(axis=(1, 2))
    assert areas.max() == 64 and areas.min() >= 16
    assert covered.any(axis=0).all()
    whole = covered[areas == 64]
    assert (whole.any(axis=2).sum(axis=1) == 8).all() and (whole.any(axis=1).sum(axis=1) == 8).all()


def test_jitter_moves_brightness_and_contrast_by_their_shares():
    grey = np.full((2_000, 32, 32, 3), 128, np.float32)
    shifts = pixels(jitter, grey, brightness=0.2, contrast=0)[:, 0, 0, 0] - 128
    assert np.abs(shifts).max() <= 51 and shifts.min() < -45 and shifts.max() > 45 and abs(shifts.mean()) < 2
    halves = np.full((2_000, 32, 32, 3), 100, np.float32)
    halves[:, :16] = 150
    spread = np.ptp(pixels(jitter, halves, brightness=0, contrast=0.2), axis=(1, 2, 3))
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


def test_compose_applies_all_in_order_and_gives_each_its_own_seed(images):
    by_hand = pixels(crop, pixels(flip, images), SEED + [1, 0])
    assert (pixels(compose(flip, crop), images) == by_hand).all()
    assert (pixels(compose(), images) == images).all()


def test_augmentations_run_inside_a_pipeline_with_a_smaller_last_batch(images, labels):
    chain = compose(flip, crop, cutout, jitter, mixup)
    dataset = make_dataset(images, labels, 300, one_hot=True, seed=1, augment=chain)
    assert [len(batch) for batch, _ in dataset] == [300] * 6 + [200]


def test_bad_input_is_refused_in_one_sentence(images, labels):
    with pytest.raises(ValueError, match="expected a padding from 0 to 31; found 32"):
        crop(tf.constant(images), labels, SEED, padding=32)
    with pytest.raises(ValueError, match=r"expected one-hot labels of shape \(batch, classes\); found shape \(2000,\)"):
        mixup(tf.constant(images), tf.constant(labels), SEED)
