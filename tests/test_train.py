"""Trainings follow their recipe, go on after a kill, and leave the record that the command line was asked for."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import train
from models.train import KINDS, RECIPES, blend, jumble, leaves, magnify, partly, with_unknowns
from tests.fake_cifar10 import fake_folder
from tests.limited_disk import HEEDS_CTRL_C
from utils import machine, networks, training
from utils.data import STAND_IN, Cifar10
from utils.networks import build_model

SEED = tf.constant([3, 4])
ROOT = Path(__file__).parents[1]
SMALL = replace(RECIPES["three_conv_small"], epochs=1, images=500)


def pixels_and_classes(count, seed=4):
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)
    return pixels, np.arange(count, dtype=np.int32) % 10


# Pictures of none of the classes

IMAGES = pixels_and_classes(512)[0]


def make(kind, images, others=IMAGES, seed=SEED):
    return kind(tf.constant(images), tf.constant(others[: len(images)]), seed).numpy()


def test_partly_changes_the_share_of_images_it_was_asked_for_the_last_ones_and_those_fully():
    mixed, _ = partly(tf.constant(IMAGES), None, SEED, lambda batch, *_: (255 - batch, None), share=0.25)
    assert (mixed.numpy()[:384] == IMAGES[:384]).all() and (mixed.numpy()[384:] == 255 - IMAGES[384:]).all()


def test_the_first_images_become_unknowns_of_all_kinds_and_the_others_stay():
    labels = np.eye(10, dtype=np.float32)[np.arange(512) % 10]
    changed = with_unknowns(tf.constant(IMAGES), tf.constant(labels), SEED, share=0.5)
    made, unsure = (tensor.numpy() for tensor in changed)
    assert made.shape == IMAGES.shape and made.dtype == np.uint8
    assert (made[256:] == IMAGES[256:]).all() and (unsure[256:] == labels[256:]).all()
    np.testing.assert_allclose(unsure[:256], 0.1)
    shares = []
    for number, kind in enumerate(KINDS):
        alike = make(kind, IMAGES[:256], IMAGES[256:], SEED + [number, 1]) == made[:256]
        shares.append(alike.all(axis=(1, 2, 3)).mean())
    assert 0.15 < min(shares) < max(shares) < 0.35  # a quarter of 256: a standard deviation of 0.027
    assert sum(shares) == 1
    with pytest.raises(ValueError, match=r"expected one-hot labels, \(batch, classes\); found shape \(512,\)"):
        with_unknowns(tf.constant(IMAGES), tf.zeros(512, tf.int32), SEED)


def test_a_blend_is_the_mean_of_both_the_second_upside_down():
    top = np.zeros((1, 32, 32, 3), np.uint8)
    top[:, :16] = 200
    assert (make(blend, top, top) == 100).all()


def test_a_jumble_holds_sixteen_different_tiles_of_both_images():
    values = np.arange(32, dtype=np.uint8).reshape(2, 1, 4, 4, 1).repeat(3, axis=-1)
    first, second = values.repeat(8, axis=2).repeat(8, axis=3)
    tiles = make(jumble, first, second)[0, ::8, ::8, 0]
    assert len(np.unique(tiles)) == 16 and tiles.max() >= 16 > tiles.min()
    assert (tiles.ravel() != np.sort(tiles.ravel())).any()


def test_magnified_are_a_fifth_to_two_fifths_of_the_width():
    ramp = np.broadcast_to(np.arange(0, 256, 8, dtype=np.uint8)[:, np.newaxis], (50, 32, 32, 3))
    enlarged = make(magnify, ramp).astype(int)
    spans = enlarged[:, 0, -1, 0] - enlarged[:, 0, 0, 0]
    assert 0.18 * 248 < spans.min() < spans.max() < 0.42 * 248


def test_leaves_cover_most_of_an_image_but_not_all():
    covered = make(leaves, np.full((64, 32, 32, 3), 255, np.uint8)) != 255
    assert 0.5 < covered.any(axis=-1).mean() < 0.98


def test_cutmix_pastes_the_image_before_into_half_of_them_and_mixes_labels_by_its_share_of_the_pixels():
    images = np.arange(200, dtype=np.uint8).repeat(32 * 32 * 3).reshape(200, 32, 32, 3)
    mixed, shares = (tensor.numpy() for tensor in train.cutmix(tf.constant(images), tf.eye(200), SEED, share=0.5))
    numbers = np.arange(200)
    own, pasted = ((mixed[..., 0] == ((numbers - back) % 200)[:, None, None]).mean(axis=(1, 2)) for back in (0, 1))
    np.testing.assert_allclose(own + pasted, 1)
    np.testing.assert_allclose(shares[numbers, numbers - 1], pasted, atol=1e-6)
    np.testing.assert_allclose(shares[numbers, numbers], own, atol=1e-6)
    chosen = pasted[pasted > 0]
    assert 0.35 < len(chosen) / 200 < 0.6 and abs(np.mean(pasted[:100] > 0) - np.mean(pasted[100:] > 0)) < 0.2
    assert chosen.max() > 0.6 and 0.25 < chosen.mean() < 0.5  # over the border, less than drawn


# What was tried


def test_resized_crops_are_two_fifths_to_all_of_an_image_in_its_proportions_or_a_third_off():
    steps = np.arange(0, 256, 8, dtype=np.uint8)
    ramps = np.stack([*np.meshgrid(steps, steps), np.zeros((32, 32), np.uint8)], axis=-1)
    cut, _ = train.resized_crop(tf.constant(ramps[np.newaxis].repeat(400, 0)), None, SEED)
    corners = cut.numpy()[:, [0, -1], [0, -1]].astype(int)
    wide, tall = (corners[:, 1] - corners[:, 0])[:, :2].T / 248
    assert 0.38 < (wide * tall).min() < 0.5 and 0.9 < (wide * tall).max() <= 1
    assert 0.73 < (wide / tall).min() < 0.85 and 1.2 < (wide / tall).max() < 1.37


def test_in_two_turns_every_image_is_mirrored_once():
    turns = [train.mirror_in_turn(tf.constant(IMAGES), None, SEED, turn=turn)[0].numpy() for turn in (0, 1)]
    mirrored = [(images == IMAGES[:, :, ::-1]).all(axis=(1, 2, 3)) for images in turns]
    assert (mirrored[0] != mirrored[1]).all() and 0.4 < mirrored[0].mean() < 0.6
    assert (turns[0][mirrored[1]] == IMAGES[mirrored[1]]).all()


def test_mixed_and_harder_images_are_changed_and_remain_images():
    plain = np.full((40, 32, 32, 3), 200, np.uint8)
    plain[:, 8:24, 8:24] = 50
    for changed in (train.augmix(tf.constant(plain), None, SEED)[0].numpy(), train.harder(plain)):
        assert changed.dtype == np.uint8 and changed.shape == plain.shape
        assert 5 < np.abs(changed.astype(int) - plain).mean() < 80
    np.testing.assert_array_equal(train.harder(plain), train.harder(plain))
    np.testing.assert_array_equal(*(train.augmix(tf.constant(IMAGES), None, SEED)[0] for _ in range(2)))


def test_muon_moves_a_kernel_equally_far_in_all_directions_and_shifts_as_adam():
    kernel, shift = keras.Variable(np.zeros((3, 3, 4, 8), np.float32)), keras.Variable(np.zeros(8, np.float32))
    gradient = np.random.default_rng(0).normal(size=(36, 8)) * [1, 2, 3, 4, 5, 6, 7, 8]
    gradients = [tf.constant(gradient.reshape(3, 3, 4, 8), tf.float32), tf.ones(8)]
    train.KernelMuon(0.1, weight_decay=None).apply(gradients, [kernel, shift])
    sizes = np.linalg.svd(kernel.numpy().reshape(36, 8), compute_uv=False)
    assert sizes.max() < 2 * sizes.min() < 2
    np.testing.assert_allclose(shift.numpy(), -0.1, rtol=1e-3)


# What a recipe says, the training does


def learn(recipe, checkpoints=None):
    """Train on a few random images, whose labels cannot be learned beyond learning by heart."""
    classes = np.random.default_rng(5).integers(0, 10, 300).astype(np.int32)
    parts = IMAGES[:200], classes[:200], IMAGES[200:300], classes[200:], None, None
    return train.train(recipe, Cifar10(*parts, source="random pixels"), checkpoints=checkpoints, verbose=0)


def stored(folder, epoch, network, **options):
    model = build_model(network, **options)
    model.load_weights(folder / f"epoch{epoch:03}.weights.h5")
    return model.get_weights()


def test_patience_stops_the_training_and_takes_the_weights_of_the_best_epoch(tmp_path):
    recipe = replace(SMALL, epochs=30, batch_size=20, patience=2)
    model, history = learn(recipe, tmp_path)
    best = int(np.argmin(history["val_loss"]))
    assert len(history["val_loss"]) == best + 1 + 2 < 30
    assert len(list(tmp_path.glob("*.weights.h5"))) == 2  # the newest and the best
    newest, kept = (stored(tmp_path, epoch, "three_conv_small") for epoch in (best + 3, best + 1))
    assert any((a != b).any() for a, b in zip(model.get_weights(), newest, strict=True))
    assert all((a == b).all() for a, b in zip(model.get_weights(), kept, strict=True))
    assert learn(recipe, tmp_path)[1] == history


def test_an_epoch_whose_loss_is_no_number_is_never_the_best():
    assert train._best_epoch({"val_loss": [1.2, 1.0, float("nan"), float("nan")]}) == 2


def test_endings_begin_with_the_same_weights_and_end_in_their_mean_with_its_normalisation_measured_again(tmp_path):
    options = {"widths": (8, 8, 8)}
    recipe = replace(RECIPES["fast_cnn"], augment={}, options=options, precision="float32")
    recipe = replace(recipe, epochs=3, endings=2, ending_epochs=2)
    loss = learn(replace(recipe, batch_size=200))[1]["loss"]  # in one step an epoch, their order makes no difference
    np.testing.assert_allclose(loss[3:], loss[1:3], rtol=1e-3)
    assert loss[2] < 0.98 * loss[1]
    model, history = learn(replace(recipe, batch_size=20), tmp_path)
    first, second = (stored(tmp_path, epoch, "fast_cnn", **options) for epoch in (3, 5))
    for mean, *both in zip(model.weights, first, second, strict=True):
        assert np.allclose(mean, np.mean(both, axis=0), atol=1e-6) != mean.name.startswith("moving")
    assert any((a != b).any() for a, b in zip(first, second, strict=True))
    assert learn(replace(recipe, batch_size=20), tmp_path)[1] == history
    with pytest.raises(ValueError, match="expected more than 2 epochs, which an ending has; found 2"):
        learn(replace(recipe, epochs=2))


def test_augmentation_begins_with_the_epoch_the_recipe_names():
    plain = replace(SMALL, epochs=2, endings=2, ending_epochs=1, batch_size=20, patience=None)
    black = replace(plain, augment={2: lambda images, labels, seed: (images * 0, labels)})
    expected, history = (learn(recipe)[1]["loss"] for recipe in (plain, black))
    np.testing.assert_allclose(history[:2], expected[:2], rtol=1e-3)
    assert abs(history[2] - expected[2]) > 1e-3


# The record

REAL = "CIFAR-10, a copy"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """`train.run` on few random images, whose records, checkpoints and published network stay in the test's folder."""
    monkeypatch.setitem(train.PROFILES, "full", replace(train.PROFILES["full"], validation=500, test=1_000))
    monkeypatch.setattr(training, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(networks, "PUBLISHED", tmp_path / "published.weights.h5")
    monkeypatch.setenv("TUTORIAL_CACHE", str(tmp_path / "cache"))

    def run(name, recipe, source=REAL, **options):
        monkeypatch.setattr(train, "load_cifar10", lambda: random_data(source))
        return train.run(name, recipe, **options)

    return run


def random_data(source=REAL):
    splits = (pixels_and_classes(count, seed) for seed, count in enumerate((1_000, 500, 1_000)))
    return Cifar10(*(array for split in splits for array in split), source=source)


def test_a_run_records_what_was_trained_and_keeps_its_logits(run, tmp_path):
    record = run("trial", replace(SMALL, views=2), seed=3, test=True, verbose=0)
    assert record == json.loads((tmp_path / "runs/trial-seed3.json").read_text())
    facts = {"name": "trial-seed3", "network": "three_conv_small", "parameters": 161_130, "epochs": 1, "images": 500}
    assert record.items() >= (facts | {"seed": 3, "data_source": REAL, "precision": "float32"}).items()
    assert "cores" in record["hardware"] and record["versions"]["keras"] == keras.__version__
    assert record["seconds"] == pytest.approx(sum(record["history"]["seconds"]), abs=0.1)
    data, logits = random_data(), np.load(tmp_path / "runs/trial-seed3.npz")
    for split, labels in (("validation", data.y_validation), ("test", data.y_test)):
        assert (logits[f"{split}_labels"] == labels).all()
        assert logits[split].dtype == np.float16 and logits[split].shape == (len(labels), 10)
        right = float(np.mean(logits[split].argmax(axis=1) == labels))
        assert record[f"{split}_accuracy"]["2"] == pytest.approx(right, abs=0.002)
    assert set(record["test_accuracy"]) == {"1", "2"}
    assert not list((tmp_path / "cache" / "training").iterdir())


def test_an_untimed_run_without_the_test_set_keeps_no_seconds_and_does_not_look_at_it(run, monkeypatch, tmp_path):
    """And one on the stand-in says so."""
    (tmp_path / "runs").mkdir()
    (older := tmp_path / "runs/trial-stand-in-seed0.npz").touch()  # of another network
    predict = Mock(wraps=train.predict_views)
    monkeypatch.setattr(train, "predict_views", predict)
    record = run("trial", SMALL, STAND_IN, timed=False, verbose=0)
    assert (record["name"], record["data_source"]) == ("trial-stand-in-seed0", STAND_IN)
    assert not {"test_accuracy", "seconds"} & (set(record) | set(record["history"]))
    assert [len(call.args[1]) for call in predict.call_args_list] == [500, 500]  # the validation images, and harder
    assert not older.exists()


def test_a_published_run_is_measured_as_it_is_loaded(run, tmp_path):
    options = {"widths": (8, 8, 8), "depth": 3}
    recipe = replace(RECIPES["fast_cnn"], epochs=1, images=500, batch_size=50, options=options)
    interrupt(run, recipe, "published", publish=True)
    assert not networks.PUBLISHED.exists()  # it is replaced when all is measured
    record = run("published", recipe, test=True, publish=True, verbose=0)
    assert [path.name for path in networks.PUBLISHED.parent.glob("*.h5")] == [networks.PUBLISHED.name]
    measured = training.predict_views(networks.load_published(), random_data().x_test)
    stored = np.load(tmp_path / "runs" / "published-seed0.npz")
    np.testing.assert_allclose(measured, stored["test"], rtol=1e-2, atol=1e-3)
    judged = training.predict_views(networks.load_published().judge, random_data().x_test)
    np.testing.assert_allclose(judged[:, :10], measured, atol=1e-5)
    np.testing.assert_allclose(judged[:, 10], stored["test_familiarity"], rtol=1e-4, atol=1e-4)
    assert min(record["same_class_as_in_full_precision"].values()) > 0.9
    assert record["precision"] == machine.fastest_precision()
    calibration = networks.load_published().calibration
    assert sorted(calibration) == ["1", "2", "6"]
    confidence, share = calibration["6"]
    assert confidence == sorted(confidence) and share == sorted(share) and 0 <= share[0] <= share[-1] <= 1


@pytest.mark.parametrize("network, source", [("fast_cnn", STAND_IN), ("three_conv_small", REAL)])
def test_another_network_and_one_trained_on_the_stand_in_are_not_published(network, source, run, tmp_path):
    with pytest.raises(ValueError, match=f"expected a fast_cnn on CIFAR-10 to publish; found {network} on {source}"):
        run("published", RECIPES[network], source, publish=True)
    assert not list(tmp_path.iterdir())


# Kills, damage and slips


def interrupt(run, recipe, name="trial", **options):
    """Leave the checkpoints of a run that was stopped before its record."""
    with pytest.MonkeyPatch.context() as context, pytest.raises(TypeError):
        context.setattr(train, "predict_views", None)
        run(name, recipe, verbose=0, **options)


def test_a_changed_recipe_never_goes_on_with_the_state_of_another(run, capsys):
    recipe = replace(SMALL, augment={0: train.compose(train.crop)})
    interrupt(run, recipe)
    for change in (
        {"optimizer": RECIPES["regulariser-decay"].optimizer},
        {"augment": {0: train.compose(partial(train.crop, padding=2))}},
        {},
    ):
        run("trial", replace(recipe, **change), verbose=2)
        output = capsys.readouterr().out
        goes_on = not change
        assert ("Going on where an earlier run stopped" in output, "val_loss" in output) == (goes_on, not goes_on)


@pytest.mark.parametrize("file", ["history.json", "epoch001.weights.h5"])
def test_a_damaged_state_is_named_and_the_training_begins_anew(file, run, tmp_path, capsys):
    interrupt(run, SMALL)
    (state,) = tmp_path.glob(f"cache/training/*/{file}")
    state.write_bytes(state.read_bytes()[: state.stat().st_size // 2])
    assert run("trial", SMALL, verbose=2)["epochs"] == 1
    output = capsys.readouterr().out
    assert "cannot be read, so the training begins anew" in output and "val_loss" in output


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the code, so that the command writes its records there."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("utils", "models"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("runs", "*.h5"))
    return folder


def start_command(project, *arguments):
    return subprocess.Popen(
        [sys.executable, "-u", "models/train.py", *arguments],
        cwd=project,
        env=os.environ | {"CIFAR10_DIR": str(fake_folder()), "TUTORIAL_CACHE": str(project / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **HEEDS_CTRL_C,
    )


def start_until(line_start, process):
    return next(line for line in process.stdout if line.startswith(line_start))


def test_the_command_goes_on_after_a_kill_and_ends_with_the_weights_and_the_record_of_an_unbroken_run(
    project, monkeypatch
):
    arguments = ["regulariser-all", "--images", "2000", "--epochs", "3", "--seed", "1", "--test", "--record", "mine"]
    killed = start_command(project, *arguments)
    start_until("Epoch 3/", killed)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL and not (project / "models" / "runs").exists()

    resumed = start_command(project, *arguments)
    output = resumed.communicate()[0]
    assert resumed.returncode == 0 and output.endswith("record models/runs/mine-seed1.json\n"), output
    assert "Going on where an earlier run stopped" in output and "Epoch 1/3" not in output
    record = json.loads((project / "models/runs/mine-seed1.json").read_text())
    assert (record["images"], record["epochs"]) == (2_000, 3)
    assert record["command"] == f"python models/train.py {' '.join(arguments)}"

    monkeypatch.setenv("CIFAR10_DIR", str(fake_folder()))
    monkeypatch.setenv("TUTORIAL_CACHE", str(project / "cache"))
    data = train.subset(train.load_cifar10(), replace(train.PROFILES["full"], train=2_000))
    whole, history = train.train(replace(RECIPES["regulariser-all"], images=2_000, epochs=3), data, seed=1, verbose=0)
    np.testing.assert_allclose(record["history"]["loss"], history["loss"], atol=2e-5)
    answers = train.predict_views(whole, train.patchworks(), views=1)
    np.testing.assert_allclose(np.load(project / "models/runs/mine-seed1.npz")["patchworks"], answers, atol=1e-4)


def test_a_second_training_of_the_same_record_is_refused_and_ctrl_c_ends_the_first_in_a_line(project):
    arguments = ["three_conv_baseline", "--images", "500", "--epochs", "1000"]
    first = start_command(project, *arguments)
    start_until("Epoch 2/", first)
    second = start_command(project, *arguments)
    assert "expected no other training of this record" in second.communicate()[0] and second.returncode == 2
    first.send_signal(signal.SIGINT)
    output = first.communicate()[0]
    assert output.endswith("The same command goes on after the last finished epoch.\n") and "Traceback" not in output


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ("resnet", "invalid choice: 'resnet' (choose from"),
        ("three_conv_small --epochs 0", "argument --epochs: expected 1 or more; found 0"),
        ("three_conv_small --seed -1", "argument --seed: expected 0 to 1000000; found -1"),
        ("three_conv_small --images 255", "argument --images: expected a multiple of 10, 256 to 45000; found 255"),
        ("three_conv_small --record a/b", "argument --record: expected letters, digits, points and dashes; found"),
    ],
)
def test_the_command_refuses_what_makes_no_training_before_any_work(arguments, sentence, monkeypatch, capsys):
    monkeypatch.setattr(train, "load_cifar10", None)
    monkeypatch.setattr(sys, "argv", ["models/train.py", *arguments.split()])
    with pytest.raises(SystemExit, match="2"):
        train.main()
    assert sentence in capsys.readouterr().err
