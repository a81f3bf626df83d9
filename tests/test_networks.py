"""The networks have the articles' parameter counts, take pixels 0 to 255 and return logits."""

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from models.train import save_published
from utils import networks
from utils.networks import MODEL_NAMES, FusedBatchNormalization, IdentityStart, build_model, count_flops

PARAMETERS = {
    "two_block_dropout": 2_168_362,
    "single_conv_wide_dense": 8_400_906,
    "three_conv_small": 161_130,
    "three_conv_baseline": 319_178,
    "three_block_dropout": 552_874,
    "three_block_dense1024": 2_397_226,
    "fast_cnn": 1_973_944,
}
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)


def trained(**options):
    """A `fast_cnn` after one step, so that no weight is what it was at the start."""
    model = build_model("fast_cnn", **options)
    model.compile("adam", "mse")
    model.train_on_batch(PIXELS, np.zeros((4, 10)))
    return model


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_parameters_and_outputs(name):
    model = build_model(name)
    assert (model.name, model.count_params()) == (name, PARAMETERS[name])
    logits = np.asarray(model(PIXELS))
    assert logits.shape == (4, 10) and np.isfinite(logits).all()
    assert not np.allclose(logits.sum(axis=1), 1), "probabilities instead of logits"
    assert np.abs(logits).max() < 20, "pixels were not rescaled"


def test_every_network_is_listed_and_an_unknown_name_is_refused_with_the_list():
    with pytest.raises(ValueError, match=f"expected one of {', '.join(PARAMETERS)}; found 'resnet'"):
        build_model("resnet")


def test_flops_are_those_counted_by_hand():
    convolutions = 32 * 32 * 27 * 32 + 16 * 16 * 288 * 32 + 8 * 8 * 288 * 64
    dense = 4 * 4 * 64 * 128 + 128 * 10
    assert count_flops(build_model("three_conv_small")) == 2 * (convolutions + dense)


def test_options_change_the_network():
    assert build_model("three_conv_small", normalised=True).count_params() == 161_130 + 4 * (32 + 32 + 64)
    assert build_model("fast_cnn", widths=(8, 16, 16)).count_params() < 12_000
    first, second = (build_model("fast_cnn", identity=False).get_weights()[2] for _ in range(2))
    assert (first != second).mean() > 0.99, "random starts differ everywhere, identities in few places"


def test_familiarity_falls_with_the_energy_and_with_the_distance_of_the_middle_maps_and_leaves_the_logits():
    model = build_model("fast_cnn", widths=(4, 6, 8), depth=3)
    maps = keras.Model(model.input, networks.middle_maps(model))(PIXELS).numpy()
    assert maps.shape == (len(PIXELS), 3 * 6)
    mean, deviation = np.arange(18.0), np.linspace(1, 2, 18)
    judge = networks.with_familiarity(model, [mean, deviation], energy=[2.2, 0.01], distance=[20, 5])
    logits = model(PIXELS).numpy()
    minus_energy, distance = np.log(np.exp(logits).sum(axis=1)), np.sqrt((((maps - mean) / deviation) ** 2).sum(axis=1))
    expected = (minus_energy - 2.2) / 0.01 - (distance - 20) / 5 / 3
    np.testing.assert_allclose(judge(PIXELS), np.column_stack([logits, expected]), rtol=1e-3, atol=1e-3)


def test_a_network_of_ones_own_is_kept_with_its_options_and_replaced_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setenv("TUTORIAL_CACHE", str(tmp_path / "new"))
    with pytest.raises(FileNotFoundError, match="found none: run notebook 03"):
        networks.load_own("some pixels")
    for widths in ((4, 8, 8), (4, 6, 8)):
        own = trained(widths=widths)
        networks.save_own(own, "some pixels", widths=widths)
        np.testing.assert_allclose(networks.load_own("some pixels")(PIXELS), own(PIXELS), atol=1e-5)
    with pytest.raises(ValueError, match='expected up to four widths below 1,000, .*; found {"widths": .4, 8, 80000.}'):
        networks.save_own(own, "some pixels", widths=(4, 8, 80000))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["own.weights.h5"]
    with pytest.raises(ValueError, match="expected one trained on 'others'; found 'some pixels': run notebook 03"):
        networks.load_own("others")


def flipped_bit(file):
    name = "layers/dense/vars/0"
    file[name][0, 0] = np.nextafter(file[name][0, 0], 1)


def sealed(file, **facts):
    path = file.filename
    file.close()
    networks.seal(path, **facts)


@pytest.mark.parametrize(
    "damage",
    [
        flipped_bit,
        lambda file: sealed(file, options='{"widths": [4, 8, 8], "activation": "__import__"}'),
        lambda file: sealed(file, options='{"widths": [4, 8, 80000]}'),
        lambda file: sealed(file, network="another"),
        lambda file: sealed(file, calibration="{"),
        lambda file: file.attrs.update(calibration="{}"),
        lambda file: file.attrs.pop("sha256"),
    ],
    ids=["bit", "option", "size", "network", "calibration", "unsealed", "no-checksum"],
)
def test_damaged_weights_are_refused_in_a_sentence(damage, tmp_path, monkeypatch):
    monkeypatch.setenv("TUTORIAL_CACHE", str(tmp_path))
    networks.save_own(build_model("fast_cnn", widths=(4, 8, 8)), "some pixels", widths=(4, 8, 8))
    with h5py.File(tmp_path / "own.weights.h5", "a") as file:
        damage(file)
    with pytest.raises(ValueError, match="^Expected the weights .*; found a damaged file: run notebook 03"):
        networks.load_own("some pixels")


def test_weights_that_only_say_how_many_they_are_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setenv("TUTORIAL_CACHE", str(tmp_path))
    with h5py.File(tmp_path / "own.weights.h5", "w") as file:
        file.create_dataset("layers/dense/vars/0", (1 << 45,), "u1", chunks=(1_000,))
        file.attrs.update(network="fast_cnn", options="{}", source="some pixels", sha256="")
    with pytest.raises(ValueError, match="^Expected the weights .*; found a damaged file: run notebook 03") as caught:
        networks.load_own("some pixels")
    assert "at most 500 MB" in str(caught.value.__cause__)


def test_the_published_network_has_layers_of_keras_alone_and_half_the_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "PUBLISHED", tmp_path / "models" / "published.weights.h5")
    with pytest.raises(FileNotFoundError, match="found none: download the repository again, or train them"):
        networks.load_published()
    model = trained(widths=(64, 64, 64), depth=3)
    exact = save_published(networks.PUBLISHED, model, "some pixels", widths=(64, 64, 64), depth=3)
    published = networks.load_published()
    np.testing.assert_allclose(exact(PIXELS), model(PIXELS), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(published(PIXELS), exact(PIXELS), rtol=1e-2, atol=1e-3)
    assert all(type(layer).__module__.startswith("keras.") for layer in published.layers)
    assert networks.PUBLISHED.stat().st_size < 2.5 * published.count_params()


def test_fused_batch_normalisation_equals_that_of_keras_in_training_gradients_and_prediction():
    fused, usual = FusedBatchNormalization(momentum=0.6), keras.layers.BatchNormalization(momentum=0.6, scale=False)
    batches = tf.constant(np.random.default_rng(0).normal(2, 3, (3, 8, 6, 6, 5)), tf.float32)

    def outputs_and_gradients(layer, batch):
        with tf.GradientTape() as tape:
            tape.watch(batch)
            outputs = layer(batch, training=True)
            loss = tf.reduce_sum(outputs**3)
        return outputs, *tape.gradient(loss, [batch, layer.beta.value])

    for batch in batches:
        (one, *gradients), (two, *expected) = (outputs_and_gradients(layer, batch) for layer in (fused, usual))
        np.testing.assert_allclose(one, two, atol=1e-5)
        for first, second in zip(gradients, expected, strict=True):
            np.testing.assert_allclose(first, second, atol=1e-3, rtol=1e-3)
    for first, second in zip(fused.get_weights(), usual.get_weights(), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-4)
    np.testing.assert_allclose(fused(batches[0], training=False), usual(batches[0], training=False), atol=1e-4)
    fused.trainable = usual.trainable = False  # as in a frozen network, whose means then stay
    np.testing.assert_allclose(fused(batches[1], training=True), usual(batches[1], training=True), atol=1e-4)
    for first, second in zip(fused.get_weights(), usual.get_weights(), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-4)


@pytest.mark.parametrize("inputs, outputs", [(3, 8), (8, 8), (8, 3)])
def test_identity_start_passes_the_first_channels_on_and_draws_the_others_from_its_seed(inputs, outputs):
    pixels = np.random.default_rng(0).normal(size=(2, 6, 6, inputs)).astype(np.float32)
    first, again, other = (
        np.asarray(keras.layers.Conv2D(outputs, 3, padding="same", kernel_initializer=IdentityStart(seed))(pixels))
        for seed in (1, 1, 2)
    )
    shared = min(inputs, outputs)
    np.testing.assert_allclose(first[..., :shared], pixels[..., :shared], rtol=1e-5)
    assert (first == again).all() and (first[..., shared:] != other[..., shared:]).all()
    assert outputs <= inputs or np.abs(first[..., inputs:]).mean() > 0.05
