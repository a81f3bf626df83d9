"""make_dataset shuffles everything, keeps pairs together, repeats itself for a seed, and copies no images."""

import numpy as np
import pytest
import tensorflow as tf

from utils.pipelines import flip, make_dataset


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
    assert images.dtype == tf.uint8 and images.shape == (128, 32, 32, 3)
    assert labels.dtype == tf.int32
    assert row_numbers(make_dataset(*arrays, 128)).tolist() == list(range(300))


def test_every_epoch_holds_every_image_once_in_a_new_order_with_its_own_label(arrays):
    dataset = make_dataset(*arrays, 64, training=True, seed=1)
    first, second = row_numbers(dataset), row_numbers(dataset)
    assert sorted(first) == sorted(second) == list(range(300))
    assert first.tolist() != second.tolist()
    for images, labels in dataset:
        rows = images.numpy()[:, 0, 0, 0].astype(int) + 256 * images.numpy()[:, 0, 0, 1].astype(int)
        assert (rows % 10 == labels.numpy()).all()


def test_the_shuffle_reaches_everywhere(arrays):
    """With a buffer smaller than the data, a late image could never come first; here every row does in time."""
    dataset = make_dataset(*arrays, 1, training=True, seed=2)
    firsts = [
        int(images[0, 0, 0, 0]) + 256 * int(images[0, 0, 0, 1]) for _ in range(60) for images, _ in dataset.take(1)
    ]
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
    images, labels = arrays

    def graph_bytes(dataset):
        return len(dataset._as_serialized_graph().numpy())

    assert graph_bytes(tf.data.Dataset.from_tensor_slices(images)) > images.nbytes
    assert graph_bytes(make_dataset(images, labels, 100, training=True, seed=1)) < images.nbytes / 10


@pytest.mark.parametrize(
    "images, labels, batch_size, message",
    [
        (np.zeros((3, 32, 32, 3), np.uint8), np.zeros(2, int), 2, "expected as many labels as images; found 3 and 2"),
        (np.zeros((0, 32, 32, 3), np.uint8), np.zeros(0, int), 2, "found 0 and 0"),
        (np.zeros((3, 32, 32, 3), np.uint8), np.zeros(3, int), 0, "expected a batch_size of 1 or more; found 0"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(images, labels, batch_size, message):
    with pytest.raises(ValueError, match=message):
        make_dataset(images, labels, batch_size)


def test_the_end_of_an_epoch_does_not_wait_for_the_tuning_of_the_pipeline():
    batches = make_dataset(np.zeros((8, 4, 4, 3), np.uint8), np.zeros(8, int), 4, training=True, augment=flip, seed=1)
    assert batches.options().autotune.enabled is False
