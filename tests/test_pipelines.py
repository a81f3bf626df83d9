"""Batches hold each image once, and in training in a new order; augmentations change whole batches as they say."""

import numpy as np
import pytest
import tensorflow as tf

from utils.pipelines import affine, compose, crop, cutout, flip, jitter, make_dataset, mixup

SEED = tf.constant([3, 4])
IMAGES = np.random.default_rng(0).integers(0, 256, (2_000, 32, 32, 3), np.uint8)
LABELS = np.arange(2_000, dtype=np.int32) % 10


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
    assert row_numbers(batches).tolist() == list(range(300))
    images, labels = batches[0]
    assert (images.dtype, images.shape, labels.dtype) == (tf.uint8, (128, 32, 32, 3), tf.int32)
    one_hot = [labels for _, labels in make_dataset(*arrays, 128, one_hot=True, drop_remainder=True)]
    assert (len(one_hot), one_hot[0].dtype) == (2, tf.float32)
    assert (one_hot[0].numpy() == np.eye(10)[labels]).all()


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


def test_a_seed_repeats_orders_and_augmentations_which_differ_from_batch_to_batch_and_epoch_to_epoch(arrays):
    def show_seed(images, labels, seed):
        return images, tf.broadcast_to(seed[:1], tf.shape(labels))

    def two_epochs(seed):
        dataset = make_dataset(*arrays, 100, training=True, augment=show_seed, seed=seed)
        batches = [batch for _ in range(2) for batch in dataset]
        return row_numbers(batches).tolist(), [int(seeds[0]) for _, seeds in batches]

    (rows, seeds), (other_rows, other_seeds) = two_epochs(5), two_epochs(6)
    assert two_epochs(5) == (rows, seeds) and rows != other_rows
    assert len({*seeds, *other_seeds}) == 12


def test_the_images_are_not_copied_into_the_graph(arrays):
    """from_tensor_slices puts the array into the graph as a constant; make_dataset's graph stays small."""

    def graph_bytes(dataset):
        return len(dataset._as_serialized_graph().numpy())

    assert graph_bytes(tf.data.Dataset.from_tensor_slices(arrays[0])) > arrays[0].nbytes
    assert graph_bytes(make_dataset(*arrays, 100, training=True, seed=1)) < arrays[0].nbytes / 10


def test_the_end_of_an_epoch_does_not_wait_for_the_tuning_of_the_pipeline(arrays):
    assert make_dataset(*arrays, 4, training=True).options().autotune.enabled is False


def pixels(change, images=IMAGES, seed=SEED, **settings):
    """What an augmentation makes of images alone."""
    return change(tf.constant(images), None, tf.constant(seed), **settings)[0].numpy()


@pytest.mark.parametrize("change", [affine, flip, crop, cutout, jitter], ids=lambda change: change.__name__)
def test_each_image_is_changed_by_its_own_amounts_which_the_seed_decides_and_keeps_shape_dtype_and_label(change):
    for dtype in (np.uint8, np.float32):
        changed, labels = change(tf.constant(IMAGES.astype(dtype)), tf.constant(LABELS), SEED)
        assert changed.shape == IMAGES.shape and changed.dtype == dtype
        assert changed.numpy().min() >= 0 and changed.numpy().max() <= 255
        assert (labels.numpy() == LABELS).all()
    first, again, other = (pixels(change, IMAGES[:100], seed) for seed in ([1, 2], [1, 2], [1, 3]))
    assert (first == again).all() and (first != other).any()
    copies = pixels(change, np.repeat(IMAGES[:1], 64, axis=0))
    assert len(np.unique(copies.reshape(64, -1), axis=0)) > 1


def test_flip_mirrors_half_of_the_images_and_leaves_the_others():
    flipped = pixels(flip)
    mirrored = (flipped == IMAGES[:, :, ::-1]).all(axis=(1, 2, 3))
    untouched = (flipped == IMAGES).all(axis=(1, 2, 3))
    assert (mirrored ^ untouched).all()
    assert 0.45 < mirrored.mean() < 0.55  # 2,000 fair coins: a standard deviation of 0.011


def moved_dots(**settings):
    """Row and column, from the middle, to which `affine` moves each of 500 dots eight pixels to the right of it."""
    rows, columns = np.mgrid[:32, :32] - 15.5
    dot = 255 * np.exp(-(rows**2 + (columns - 8) ** 2) / 4)
    images = np.repeat(dot[np.newaxis, ..., np.newaxis], 500, axis=0).astype(np.float32)
    light = pixels(affine, images, **{"rotation": 0, "shift": 0, "zoom": 0} | settings)[..., 0]
    return tuple((light * axis).sum(axis=(1, 2)) / light.sum(axis=(1, 2)) for axis in (rows, columns))


def test_affine_turns_about_the_middle_up_to_its_largest_angle():
    rows, columns = moved_dots(rotation=30)
    np.testing.assert_allclose(np.hypot(rows, columns), 8, atol=0.1)
    angles = np.degrees(np.arctan2(rows, columns))
    assert 28 < angles.max() < 30.5 and -30.5 < angles.min() < -28
    assert abs(angles.std() - 30 / 3**0.5) < 2  # the deviation of a uniform distribution


def test_affine_shifts_both_ways_and_zooms_each_direction_by_itself():
    rows, columns = moved_dots(shift=0.1)
    for moved in (rows, columns - 8):
        assert 3 < moved.max() < 3.3 and -3.3 < moved.min() < -3
    rows, columns = moved_dots(zoom=0.2)
    np.testing.assert_allclose(rows, 0, atol=0.01)
    assert columns.max() == pytest.approx(8 / 0.8, abs=0.15) and columns.min() == pytest.approx(8 / 1.2, abs=0.15)


def test_affine_repeats_the_border_and_keeps_a_plain_image_as_it_is():
    assert (pixels(affine, rotation=0, shift=0, zoom=0) == IMAGES).all()
    assert (pixels(affine, np.full((100, 32, 32, 3), 201, np.uint8)) == 201).all()


def test_crop_offsets_are_uniform_and_the_border_is_mirrored():
    cropped = pixels(crop, padding=2)
    padded = np.pad(IMAGES, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    windows = [padded[:, row : row + 32, column : column + 32] for row in range(5) for column in range(5)]
    counts = [(cropped == window).all(axis=(1, 2, 3)).sum() for window in windows]
    assert sum(counts) == len(IMAGES)
    assert min(counts) > 45 and max(counts) < 120  # 80 expected, a standard deviation of 8.8


def test_cutout_covers_a_square_whose_centre_is_anywhere():
    covered = (pixels(cutout, np.full_like(IMAGES, 255), size=8) == 128).all(axis=3)
    areas = covered.sum(axis=(1, 2))
    assert areas.max() == 64 and areas.min() >= 16
    assert covered.any(axis=0).all()
    whole = covered[areas == 64]
    assert (whole.any(axis=2).sum(axis=1) == 8).all() and (whole.any(axis=1).sum(axis=1) == 8).all()


def test_jitter_moves_brightness_and_contrast_by_their_shares():
    halves = np.full(IMAGES.shape, 100, np.float32)
    halves[:, :16] = 150
    shifts = pixels(jitter, halves, brightness=0.2, contrast=0)[:, 0, 0, 0] - 150
    assert np.abs(shifts).max() <= 51 and shifts.min() < -45 and shifts.max() > 45 and abs(shifts.mean()) < 2
    spread = np.ptp(pixels(jitter, halves, brightness=0, contrast=0.2), axis=(1, 2, 3))
    assert spread.min() >= 40 and spread.max() <= 60 and abs(spread.mean() - 50) < 1


def test_mixup_blends_pixels_and_labels_by_the_same_share():
    one_hot = tf.one_hot(LABELS, 10)
    own_number = tf.ones((1, 32, 32, 3)) * tf.cast(LABELS, tf.float32)[:, tf.newaxis, tf.newaxis, tf.newaxis]
    mixed, mixed_labels = mixup(own_number, one_hot, SEED, alpha=1.0)
    assert mixed.dtype == tf.float32
    np.testing.assert_allclose(mixed_labels.numpy().sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(mixed[:, 0, 0, 0], mixed_labels.numpy() @ np.arange(10), atol=1e-4)
    shares = mixed_labels.numpy()[np.arange(2_000), LABELS]
    assert 0.4 < shares[shares < 0.999].mean() < 0.6  # Beta(1, 1) is uniform
    _, purer_labels = mixup(own_number, one_hot, SEED, alpha=0.1)
    assert purer_labels.numpy().max(axis=1).mean() > mixed_labels.numpy().max(axis=1).mean() + 0.1


def test_compose_applies_all_in_order_and_gives_each_its_own_seed():
    by_hand = pixels(crop, pixels(flip), SEED + [1, 0])
    assert (pixels(compose(flip, crop)) == by_hand).all()
    assert (pixels(compose()) == IMAGES).all()


def test_augmentations_run_inside_a_pipeline_with_a_smaller_last_batch():
    chain = compose(flip, crop, affine, cutout, jitter, mixup)
    dataset = make_dataset(IMAGES, LABELS, 300, one_hot=True, seed=1, augment=chain)
    assert [len(batch) for batch, _ in dataset] == [300] * 6 + [200]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: make_dataset(IMAGES[:3], LABELS[:2], 2), "labels for all images .* found 3 images, 2 labels"),
        (lambda: make_dataset(IMAGES[:0], LABELS[:0], 2), "found 0 images"),
        (lambda: make_dataset(IMAGES[:3], LABELS[:3], 0), "and a batch_size; found .* batch_size=0"),
        (lambda: crop(tf.constant(IMAGES), LABELS, SEED, padding=32), "expected a padding from 0 to 31; found 32"),
        (
            lambda: mixup(tf.constant(IMAGES), tf.constant(LABELS), SEED),
            r"expected one-hot labels, \(batch, classes\); found shape \(2000,\)",
        ),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
