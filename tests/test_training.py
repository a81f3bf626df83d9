"""Schedules, starts, averaged answers and run records do what their docstrings say."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from models import train
from models.train import RECIPES
from tests.fake_cifar10 import fake_folder
from utils import machine, networks, training
from utils.data import STAND_IN, Cifar10
from utils.networks import build_model


def test_triangular_rises_from_its_start_to_its_peak_and_falls_to_its_end():
    schedule = training.Triangular(peak=2.0, steps=100, peak_at=0.25, start=0.2, end=0.1)
    rates = np.array([float(schedule(step)) for step in range(101)])
    assert rates[[0, 25, 100]] == pytest.approx([0.4, 2.0, 0.2], rel=1e-5)
    assert (np.diff(rates[:26]) > 0).all() and (np.diff(rates[25:]) < 0).all()
    np.testing.assert_allclose(np.diff(rates, n=2)[:23], 0, atol=1e-5)


def test_triangular_survives_saving_and_refuses_what_makes_no_triangle():
    schedule = training.Triangular(peak=2.0, steps=100)
    assert float(training.Triangular(**schedule.get_config())(40)) == float(schedule(40))
    with pytest.raises(ValueError, match="0 < peak_at < 1; found 100 and 0"):
        training.Triangular(peak=2.0, steps=100, peak_at=0)


def test_warmup_cosine_rises_then_falls_to_nothing():
    schedule = training.warmup_cosine(peak=3.0, steps=200, warmup=0.1)
    rates = np.array([float(schedule(step)) for step in range(201)])
    assert rates[0] == 0 and rates[20] == pytest.approx(3.0) and rates[200] == pytest.approx(0, abs=1e-5)
    assert rates.argmax() == 20


@pytest.fixture(scope="module")
def images():
    """Smooth random images: neighbouring pixels are alike, as in photographs."""
    noise = np.random.default_rng(0).normal(size=(500, 8, 8, 3))
    return np.kron(noise, np.ones((4, 4, 1))) + 0.1 * np.random.default_rng(1).normal(size=(500, 32, 32, 3))


def test_whitened_outputs_are_uncorrelated_and_of_equal_variance(images):
    kernel = training.whitening_kernel(images, smallest=0)
    assert kernel.shape == (2, 2, 3, 24) and kernel.dtype == np.float32
    assert (kernel[..., 12:] == -kernel[..., :12]).all()
    outputs = np.asarray(keras.ops.conv(images.astype(np.float32), kernel[..., :12], padding="valid")).reshape(-1, 12)
    np.testing.assert_allclose(np.cov(outputs, rowvar=False), np.eye(12), atol=0.01)


@pytest.mark.parametrize("inputs, outputs", [(3, 8), (8, 8), (8, 3)])
def test_identity_start_passes_the_first_channels_on(inputs, outputs):
    start = networks.IdentityStart(1)
    layer = keras.layers.Conv2D(outputs, 3, padding="same", use_bias=False, kernel_initializer=start)
    pixels = np.random.default_rng(0).normal(size=(2, 6, 6, inputs)).astype(np.float32)
    out = np.asarray(layer(pixels))
    shared = min(inputs, outputs)
    np.testing.assert_allclose(out[..., :shared], pixels[..., :shared], rtol=1e-5)
    if outputs > inputs:
        assert np.abs(out[..., inputs:]).mean() > 0.05


def test_identity_start_depends_on_its_seed_only():
    first, again, other = (np.asarray(networks.IdentityStart(seed)((3, 3, 3, 8))) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return build_model("three_conv_small")


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(2).integers(0, 256, (20, 32, 32, 3), np.uint8)


def test_one_view_is_the_plain_prediction_and_two_views_ignore_mirroring(model, pixels):
    np.testing.assert_allclose(
        training.predict_views(model, pixels, views=1), model.predict(pixels, verbose=0), atol=1e-5
    )
    both = training.predict_views(model, pixels, views=2)
    np.testing.assert_allclose(both, training.predict_views(model, pixels[:, :, ::-1], views=2), atol=1e-5)
    assert np.abs(both - training.predict_views(model, pixels, views=1)).max() > 1e-4


def test_six_views_are_the_weighted_mean_of_shifted_and_mirrored_predictions(model, pixels):
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    shifted = [padded[:, 1:-1, 1:-1], padded[:, :-2, :-2], padded[:, 2:, 2:]]
    logits = [[model.predict(v[:, :, ::d], verbose=0) for d in (1, -1)] for v in shifted]
    expected = sum(weight * sum(pair) / 2 for weight, pair in zip((0.5, 0.25, 0.25), logits, strict=True))
    np.testing.assert_allclose(training.predict_views(model, pixels, views=6), expected, atol=1e-5)


def test_an_unknown_number_of_views_is_refused(model, pixels):
    with pytest.raises(ValueError, match="expected views of 1, 2 or 6; found 3"):
        training.predict_views(model, pixels, views=3)


def test_a_run_record_is_read_back_and_names_hardware_versions_and_facts(model, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "RUNS", tmp_path / "runs")
    history = {"loss": [2.0, 1.0], "val_accuracy": [0.25, np.float32(0.5)]}
    path = train.save_run("trial", model, history, seed=3, data_source="synthetic stand-in, not CIFAR-10")
    record = training.load_run("trial")
    assert record == json.loads(path.read_text(encoding="utf-8"))
    assert (record["network"], record["parameters"], record["epochs"]) == ("three_conv_small", 161_130, 2)
    assert record["history"] == {"loss": [2.0, 1.0], "val_accuracy": [0.25, 0.5]}
    assert record["seed"] == 3 and "stand-in" in record["data_source"]
    assert "cores" in record["hardware"] and record["versions"]["keras"] == keras.__version__
    assert [file.name for file in path.parent.iterdir()] == ["trial.json"]


def test_a_missing_record_names_those_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "RUNS", tmp_path)
    (tmp_path / "known.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="no record 'lost' in models/runs; there are: known"):
        training.load_run("lost")


def test_the_records_of_all_seeds_are_found_in_order(model, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "RUNS", tmp_path)
    for name, seed in (("trial", 10), ("trial", 2), ("trial-longer", 3)):
        train.save_run(f"{name}-seed{seed}", model, {"loss": [1.0]}, seed=seed)
    assert [record["seed"] for record in training.load_runs("trial")] == [2, 10]
    with pytest.raises(FileNotFoundError, match="no record 'other-seed0' in models/runs"):
        training.load_runs("other")


def random_data(source):
    generator = np.random.default_rng(4)
    splits = {}
    for split, count in (("train", 1_000), ("validation", 5_000), ("test", 10_000)):
        splits |= {f"x_{split}": generator.integers(0, 256, (count, 32, 32, 3), np.uint8)}
        splits |= {f"y_{split}": np.arange(count, dtype=np.int32) % 10}
    return Cifar10(**splits, source=source)


def run_in(folder, data, monkeypatch):
    """Let `train.run` take these images, and keep its records and checkpoints in this folder."""
    monkeypatch.setattr(training, "RUNS", folder / "runs")
    monkeypatch.setattr(train, "load_cifar10", lambda: data)
    monkeypatch.setenv("TUTORIAL_CACHE", str(folder / "cache"))


@pytest.mark.parametrize("source, name", [("CIFAR-10, a copy", "trial"), (STAND_IN, "trial-stand-in")])
def test_a_run_keeps_its_logits_and_calls_the_stand_in_by_its_name(source, name, tmp_path, monkeypatch):
    data = random_data(source)
    run_in(tmp_path, data, monkeypatch)
    recipe = replace(RECIPES["three_conv_small"], epochs=1, images=500, views=2)
    record = train.run("trial", recipe, seed=3, test=True, verbose=0)
    assert (record["name"], record["images"], record["data_source"]) == (f"{name}-seed3", 500, source)
    logits = np.load(tmp_path / "runs" / f"{name}-seed3.npz")
    for split, labels in (("validation", data.y_validation), ("test", data.y_test)):
        assert (logits[f"{split}_labels"] == labels).all()
        assert logits[split].dtype == np.float16 and logits[split].shape == (len(labels), 10)
        right = float(np.mean(logits[split].argmax(axis=1) == labels))
        assert record[f"{split}_accuracy"]["2"] == pytest.approx(right, abs=0.002)
    assert set(record["test_accuracy"]) == {"1", "2"}
    assert not list((tmp_path / "cache" / "training").iterdir())


def test_a_run_without_the_test_set_does_not_read_it(tmp_path, monkeypatch):
    data = replace(random_data("CIFAR-10, a copy"), x_test=None)
    run_in(tmp_path, data, monkeypatch)
    monkeypatch.setattr(train, "subset", lambda whole, profile: whole)
    record = train.run("trial", replace(RECIPES["three_conv_small"], epochs=1), verbose=0)
    assert "test_accuracy" not in record


def test_an_untimed_run_keeps_no_seconds(tmp_path, monkeypatch):
    run_in(tmp_path, random_data("CIFAR-10, a copy"), monkeypatch)
    recipe = replace(RECIPES["three_conv_small"], epochs=1, images=500)
    timed, untimed = (train.run(name, recipe, timed=name == "timed", verbose=0) for name in ("timed", "untimed"))
    assert timed["seconds"] == pytest.approx(sum(timed["history"]["seconds"]), abs=0.1)
    assert "seconds" not in untimed and "seconds" not in untimed["history"]


def test_a_published_run_is_measured_as_it_is_loaded(tmp_path, monkeypatch):
    run_in(tmp_path, random_data("CIFAR-10, a copy"), monkeypatch)
    monkeypatch.setattr(networks, "PUBLISHED", tmp_path / "published.weights.h5")
    options = {"widths": (8, 8, 8), "depth": 3}
    recipe = replace(RECIPES["fast_cnn"], epochs=1, images=500, batch_size=50, options=options)
    record = train.run("published", recipe, test=True, publish=True, verbose=0)
    published = networks.load_published()
    images = random_data("CIFAR-10, a copy").x_test
    stored = np.load(tmp_path / "runs" / "published-seed0.npz")["test"]
    np.testing.assert_allclose(training.predict_views(published, images), stored, rtol=1e-2, atol=1e-3)
    assert min(record["same_class_as_in_full_precision"].values()) > 0.9
    assert record["precision"] == machine.fastest_precision()


@pytest.mark.parametrize("network, source", [("fast_cnn", STAND_IN), ("three_conv_small", "CIFAR-10, a copy")])
def test_another_network_and_one_trained_on_the_stand_in_are_not_published(network, source, tmp_path, monkeypatch):
    run_in(tmp_path, random_data(source), monkeypatch)
    monkeypatch.setattr(networks, "PUBLISHED", tmp_path / "published.weights.h5")
    with pytest.raises(ValueError, match=f"expected a fast_cnn on CIFAR-10 to publish; found {network} on {source}"):
        train.run("published", RECIPES[network], publish=True)
    assert not list(tmp_path.iterdir())


def learn(recipe, epochs, checkpoints=None):
    """Train on a few random images, whose labels cannot be learned beyond learning by heart."""
    numbers = np.random.default_rng(5)
    images = numbers.integers(0, 256, (300, 32, 32, 3), np.uint8)
    classes = numbers.integers(0, 10, 300).astype(np.int32)
    parts = images[:200], classes[:200], images[200:], classes[200:], None, None
    return train.train(recipe, Cifar10(*parts, source="random pixels"), epochs, checkpoints=checkpoints, verbose=0)


def test_patience_stops_the_training_and_takes_the_weights_of_the_best_epoch(tmp_path):
    recipe = replace(RECIPES["three_conv_small"], batch_size=20, patience=2)
    model, history = learn(recipe, 30, tmp_path)
    best = int(np.argmin(history["val_loss"]))
    assert len(history["val_loss"]) == best + 1 + 2 < 30
    newest = build_model("three_conv_small")
    newest.load_weights(tmp_path / f"epoch{best + 3:03}.weights.h5")
    assert any((a != b).any() for a, b in zip(model.get_weights(), newest.get_weights(), strict=True))
    kept = build_model("three_conv_small")
    kept.load_weights(tmp_path / f"epoch{best + 1:03}.weights.h5")
    assert all((a == b).all() for a, b in zip(model.get_weights(), kept.get_weights(), strict=True))
    assert learn(recipe, 30, tmp_path)[1] == history


def test_averaged_weights_are_the_mean_of_the_last_epochs_and_their_normalisation_is_measured_again(tmp_path):
    recipe = replace(RECIPES["fast_cnn"], batch_size=20, averaged=2, options={"widths": (8, 8, 8)}, precision="float32")
    model, history = learn(recipe, 3, tmp_path)
    stored = []
    for epoch in (2, 3):
        stored.append(build_model("fast_cnn", widths=(8, 8, 8)))
        stored[-1].load_weights(tmp_path / f"epoch{epoch:03}.weights.h5")
    for averaged, second, third in zip(model.weights, *(one.weights for one in stored), strict=True):
        mean = (keras.ops.convert_to_numpy(second) + keras.ops.convert_to_numpy(third)) / 2
        same = np.allclose(averaged, mean, atol=1e-6)
        assert same != averaged.name.startswith("moving")
    assert learn(recipe, 3, tmp_path)[1] == history


def test_a_kept_share_of_the_first_weights_ends_up_in_the_last():
    recipe = replace(RECIPES["three_conv_small"], batch_size=20, patience=None, kept=0.75)
    start = train.build(recipe, np.zeros((200, 32, 32, 3), np.uint8), 2, 0).get_weights()
    trained, mixed = learn(replace(recipe, kept=0.0), 2)[0], learn(recipe, 2)[0]
    for old, new, ours in zip(start, trained.get_weights(), mixed.get_weights(), strict=True):
        np.testing.assert_allclose(ours, 0.75 * old + 0.25 * new, atol=1e-3)


def test_without_batch_normalisation_no_batch_is_needed_to_measure_it_again():
    train._measure_again(build_model("three_conv_small"), batches=None)


def test_augmentation_begins_with_the_epoch_the_recipe_names():
    def all_black(images, labels, seed):
        return images * 0, labels

    plain = replace(RECIPES["three_conv_small"], batch_size=20, patience=None)
    black = replace(plain, augment=all_black, augment_from=2)
    expected, history = (learn(recipe, 3)[1]["loss"] for recipe in (plain, black))
    np.testing.assert_allclose(history[:2], expected[:2], rtol=1e-3)
    assert abs(history[2] - expected[2]) > 1e-3


def test_the_precision_named_as_fastest_trains(pixels):
    precision = machine.fastest_precision()
    assert precision in ("mixed_bfloat16", "float32")
    layer = keras.layers.Dense(4, dtype=precision)
    assert np.isfinite(np.asarray(layer(np.ones((2, 3))), np.float32)).all()


TRAIN = """
import sys
import keras, numpy as np
from models import train
from utils.data import Cifar10
from utils.pipelines import flip

def numbers(n):
    return np.random.default_rng(n).integers(0, 256, (n, 32, 32, 3), np.uint8), np.arange(n, dtype=np.int32) % 10

data = Cifar10(*numbers(400), *numbers(100), *numbers(10), source="random pixels")
momentum = lambda steps: keras.optimizers.SGD(0.05, momentum=0.9)
recipe = train.Recipe("three_conv_small", 4, 50, momentum, augment=flip)
model, history = train.train(recipe, data, 4, seed=1, checkpoints=sys.argv[1])
print("DONE", history["loss"])
model.save_weights(sys.argv[2])
"""


def start_training(checkpoints, weights):
    command = [sys.executable, "-u", "-c", TRAIN, str(checkpoints), str(weights)]
    return subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True)


def test_a_training_killed_in_mid_epoch_ends_with_the_weights_of_an_unbroken_one(tmp_path):
    broken = start_training(tmp_path / "broken", tmp_path / "broken.weights.h5")
    for line in broken.stdout:
        if line.startswith("Epoch 3/"):
            os.kill(broken.pid, signal.SIGKILL)
    assert broken.wait() == -signal.SIGKILL
    kept = json.loads((tmp_path / "broken" / "history.json").read_text())
    assert 1 <= len(kept["loss"]) < 4

    outputs = []
    for name in ("broken", "whole"):
        process = start_training(tmp_path / name, tmp_path / f"{name}.weights.h5")
        outputs.append(process.communicate()[0])
        assert process.returncode == 0
    assert outputs[0].count("val_loss") == 4 - len(kept["loss"]) and outputs[1].count("val_loss") == 4

    resumed, whole = build_model("three_conv_small"), build_model("three_conv_small")
    resumed.load_weights(tmp_path / "broken.weights.h5")
    whole.load_weights(tmp_path / "whole.weights.h5")
    for first, second in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)
    assert len(list((tmp_path / "broken").glob("*.weights.h5"))) <= 2  # the newest and the best


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the code, so that the command writes its records there."""
    folder = tmp_path_factory.mktemp("project")
    root = Path(__file__).parents[1]
    shutil.copytree(root / "utils", folder / "utils")
    (folder / "models").mkdir()
    shutil.copy(root / "models" / "train.py", folder / "models")
    return folder


def start_command(project, *arguments):
    command = [sys.executable, "-u", "models/train.py", *arguments]
    environment = os.environ | {"CIFAR10_DIR": str(fake_folder()), "TUTORIAL_CACHE": str(project / "cache")}
    return subprocess.Popen(
        command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_the_command_goes_on_after_a_kill_and_writes_the_record_of_an_unbroken_run(project):
    arguments = ["three_conv_small", "--images", "2000", "--epochs", "3", "--seed", "1"]
    killed = start_command(project, *arguments)
    for line in killed.stdout:
        if line.startswith("Epoch 3/"):
            killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL and not (project / "models" / "runs").exists()

    outputs = []
    for extra in ((), ("--record", "whole")):
        process = start_command(project, *arguments, *extra)
        outputs.append(process.communicate()[0])
        assert process.returncode == 0, outputs[-1]
    assert "Going on where an earlier run stopped" in outputs[0] and "Epoch 1/3" not in outputs[0]
    assert "Going on" not in outputs[1] and "record models/runs/whole-seed1.json" in outputs[1]
    resumed, whole = (
        json.loads((project / "models" / "runs" / f"{name}-seed1.json").read_text())
        for name in ("three_conv_small", "whole")
    )
    np.testing.assert_allclose(resumed["history"]["loss"], whole["history"]["loss"], atol=2e-5)
    assert (whole["images"], whole["epochs"]) == (2_000, 3)
    assert whole["command"] == f"python models/train.py {' '.join(arguments)} --record whole"


def test_the_command_names_the_recipes_there_are(project):
    process = start_command(project, "resnet")
    assert "invalid choice: 'resnet' (choose from" in process.communicate()[0] and process.returncode == 2


def test_whiten_makes_the_outputs_of_the_first_layers_uncorrelated_and_freezes_them(pixels):
    network = build_model("fast_cnn")
    training.whiten(network, pixels)
    layer = network.get_layer("whitening")
    assert layer.trainable_weights == []
    outputs = np.asarray(layer(network.get_layer("standardising")(pixels)), np.float32)[..., :12].reshape(-1, 12)
    np.testing.assert_allclose(np.cov(outputs, rowvar=False), np.eye(12), atol=0.02)


def test_shift_sgd_learns_shifts_faster_and_decays_everything_else():
    def step(optimizer, name, gradient):
        variable = keras.Variable(np.ones(3, np.float32), name=name)
        optimizer.apply([keras.ops.full((3,), gradient)], [variable])
        return 1 - np.asarray(variable)

    def make(**options):
        return training.ShiftSGD(0.01, shift_factor=8.0, **options)

    np.testing.assert_allclose(step(make(), "kernel", 1.0), 0.01, rtol=1e-4)
    np.testing.assert_allclose(step(make(), "beta", 1.0), 0.08, rtol=1e-4)
    np.testing.assert_allclose(step(make(weight_decay=0.5), "kernel", 0.0), 0.005, rtol=1e-3)
    np.testing.assert_allclose(step(make(weight_decay=0.5), "beta", 0.0), 0)


def test_the_fast_recipe_builds_a_network_that_trains_with_its_own_settings(pixels):
    recipe = RECIPES["fast_cnn"]
    network = train.build(recipe, np.repeat(pixels, 26, axis=0), epochs=1, seed=0)
    assert network.count_params() == 1_973_944
    assert network.optimizer.learning_rate is not None
    labels = keras.utils.to_categorical(np.arange(20) % 10, 10)
    losses = [network.train_on_batch(pixels, labels)[0] for _ in range(2)]
    assert np.isfinite(losses).all()
