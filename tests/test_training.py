"""Schedules, whitened starts, averaged answers and run records do what their docstrings say."""

import json

import keras
import numpy as np
import pytest

from utils import training
from utils.networks import build_model


def test_triangular_rises_from_its_start_to_its_peak_and_falls_to_its_end():
    schedule = training.Triangular(peak=2.0, steps=100, peak_at=0.25, start=0.2, end=0.1)
    rates = np.array([float(schedule(step)) for step in range(101)])
    assert rates[[0, 25, 100]] == pytest.approx([0.4, 2.0, 0.2], rel=1e-5)
    assert (np.diff(rates[:26]) > 0).all() and (np.diff(rates[25:]) < 0).all()
    np.testing.assert_allclose(np.diff(rates, n=2)[:23], 0, atol=1e-5)


def test_triangular_survives_saving_and_refuses_what_makes_no_triangle(tmp_path):
    schedule = training.Triangular(peak=2.0, steps=100)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(training.ShiftSGD(schedule), "mse")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").optimizer
    assert float(loaded._learning_rate(40)) == float(schedule(40))
    with pytest.raises(ValueError, match="0 < peak_at < 1; found 100, 0"):
        training.Triangular(peak=2.0, steps=100, peak_at=0)


def test_a_whitened_layer_is_frozen_and_gives_uncorrelated_outputs_and_their_negatives():
    noise = np.random.default_rng(0).normal(128, 50, size=(500, 8, 8, 3))
    alike = np.kron(noise, np.ones((4, 4, 1)))  # neighbouring pixels are alike, as in photographs
    images = (alike + np.random.default_rng(1).normal(0, 16, alike.shape)).clip(0, 255).astype(np.uint8)
    network = build_model("fast_cnn")
    training.whiten(network, images)
    layer = network.get_layer("whitening")
    assert layer.trainable_weights == []
    outputs = np.asarray(layer(network.get_layer("standardising")(images)), np.float32).reshape(-1, 24)
    np.testing.assert_allclose(np.cov(outputs[:, :12], rowvar=False), np.eye(12), atol=0.02)
    np.testing.assert_allclose(outputs[:, 12:], -outputs[:, :12], atol=1e-5)


@pytest.mark.parametrize(
    "name, gradient, decay, moved",
    [("kernel", 1.0, None, 0.01), ("beta", 1.0, None, 0.08), ("kernel", 0.0, 0.5, 0.005), ("beta", 0.0, 0.5, 0.0)],
)
def test_shift_sgd_learns_shifts_faster_and_decays_everything_else(name, gradient, decay, moved):
    variable = keras.Variable(np.ones(3, np.float32), name=name)
    optimizer = training.ShiftSGD(0.01, shift_factor=8.0, weight_decay=decay)
    optimizer.apply([keras.ops.full((3,), gradient)], [variable])
    np.testing.assert_allclose(1 - np.asarray(variable), moved, rtol=1e-3)


def test_views_are_the_weighted_mean_of_shifted_and_mirrored_predictions():
    keras.utils.set_random_seed(0)
    model = build_model("three_conv_small")
    pixels = np.random.default_rng(2).integers(0, 256, (20, 32, 32, 3), np.uint8)
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    shifted = [pixels, padded[:, :-2, :-2], padded[:, 2:, 2:]]
    logits = [[model.predict(v[:, :, ::d], verbose=0) for d in (1, -1)] for v in shifted]
    both = np.mean(logits, axis=1)
    expected = {1: logits[0][0], 2: both[0], 6: both[0] / 2 + both[1] / 4 + both[2] / 4}
    for views, mean in expected.items():
        np.testing.assert_allclose(training.predict_views(model, pixels, views), mean, atol=1e-5)
    with pytest.raises(ValueError, match="expected views of 1, 2 or 6; found 3"):
        training.predict_views(model, pixels, views=3)


def test_the_records_of_all_seeds_are_found_in_order_and_a_missing_one_names_those_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "RUNS", tmp_path)
    for name, seed in (("trial", 10), ("trial", 2), ("trial-longer", 3)):
        (tmp_path / f"{name}-seed{seed}.json").write_text(json.dumps({"seed": seed}))
    for copy in ("trial-seed2 (1)", "trial-seed02", "trial-seed٢", "trial-seed2-seed5"):
        (tmp_path / f"{copy}.json").write_text("a copy that a browser or a slip left")
    assert [record["seed"] for record in training.load_runs("trial")] == [2, 10]
    assert training.load_run("trial-longer-seed3") == {"seed": 3}
    for copy in tmp_path.glob("*seed[!1-9]*"):
        copy.unlink()
    known = "trial-longer-seed3, trial-seed10, trial-seed2"
    with pytest.raises(FileNotFoundError, match=f"no record 'other-seed0' in models/runs; there are: {known}"):
        training.load_runs("other")
    (tmp_path / "trial-seed10.json").write_text('{"seed": 1')
    with pytest.raises(ValueError, match="expected a record in .*-seed10.json, found a damaged file: train it anew"):
        training.load_runs("trial")
