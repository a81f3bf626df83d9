"""The benchmarks: every measurement in its smallest form, what is saved, and what is said of the results."""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace

import keras
import numpy as np
import pytest

from tests import fake_cifar10, tiny
from tests.benchmarks import bench, report, rows, sides
from tests.tools import sync
from utils.networks import build_model

ALL_SIDES = [f"{row.name}_{side}" for row in rows.ROWS for side in (("ours", "theirs") if row.peer else ("ours",))]
# Measured in a process of its own below; or the same code as another; or (suite) `make test` itself.
ELSEWHERE = {"load_ours", "load_theirs", "time_to_80_ours", "first_answer_ours", "lesson_ours", "suite_ours"}
PLACE = {"machine": "a machine", "data": "some images", "date": "2026-01-02", "command": "make bench"}


@pytest.fixture(scope="module", autouse=True)
def few_images(tmp_path_factory):
    """Images without pictures, cached in a folder of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIFAR10_DIR", str(fake_cifar10.fake_folder()))
        patch.setenv("TUTORIAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def test_a_quick_run_measures_both_sides_in_processes_of_their_own_and_saves_nothing(capsys):
    kept = sync.PROJECT / "tests/benchmarks/results.json"
    before = kept.read_bytes()
    bench.main(["--quick", "--only", "load"])
    said = capsys.readouterr().out
    assert "load, ours, 1 of 1: " in said and "load, theirs, 1 of 1: " in said
    assert "| load | " in said and "were not saved" in said
    assert kept.read_bytes() == before


def test_a_row_is_passed_over_if_it_cannot_run_and_not_saved_if_the_machine_did_other_work(monkeypatch, tmp_path):
    (load,) = (row for row in rows.ROWS if row.name == "load")

    def measure(side, *_):
        if side.startswith("broken"):
            raise subprocess.CalledProcessError(1, side)
        time.sleep(0.2)
        return {"value": 1.0, "facts": {}, **PLACE}

    monkeypatch.setattr(bench, "measure", measure)
    monkeypatch.setattr(bench, "ROWS", (replace(load, name="broken"), replace(load, repeats=2)))
    monkeypatch.setattr(bench.psutil, "cpu_count", lambda: 1)
    monkeypatch.setattr(sync, "PROJECT", tmp_path)
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:  # counts as a child when it has ended
        reasons = r"broken \(exit status 1\), load \(other work took \d+% of the cores\)"
        with pytest.raises(SystemExit, match=rf"^Could not run, for the reasons above: {reasons}\.$"):
            bench.main([])
        busy.kill()
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:.*affine_transform:DeprecationWarning")
@pytest.mark.parametrize("side", [side for side in ALL_SIDES if side not in ELSEWHERE])
def test_a_measurement_gives_a_positive_value_and_facts_that_json_can_hold(side, tmp_path):
    run = argparse.Namespace(quick=True, folder=tmp_path, started=time.time())
    answer = json.loads(json.dumps(getattr(sides, side)(run)))
    assert answer["value"] > 0
    assert all(isinstance(value, int | float) for value in answer["facts"].values())
    assert ("reached" in answer) == side.startswith("time_to_")


def test_the_network_of_articles_that_divide_pixels_is_the_one_of_the_series_but_for_rescaling_and_softmax():
    keras.utils.set_random_seed(1)
    ours = build_model("three_block_dense1024")
    theirs = sides.article_network("three_block_dense1024")
    assert theirs.count_params() == 2_397_226
    theirs.set_weights(ours.get_weights())
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    np.testing.assert_allclose(theirs(pixels / 255.0), keras.ops.softmax(ours(pixels)), atol=1e-5)


def test_operations_of_a_step_leave_out_the_gradients_that_a_frozen_first_layer_spares():
    model = build_model("fast_cnn")
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)]
    forwards = [2 * layer.kernel.shape.num_elements() * int(np.prod(layer.output.shape[1:-1])) for layer in layers]
    assert sides.step_flops(model) == forwards[0] + 2 * forwards[1] + 3 * sum(forwards[2:])


def test_training_ends_with_the_epoch_that_reaches_the_target(monkeypatch):
    monkeypatch.setitem(rows.TARGETS, "time_to_70", 0.0)
    run = argparse.Namespace(quick=False, started=time.time() - 100)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, activation="softmax")])
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = np.zeros((4, 1)), np.zeros(4)
    answer = sides.fit_until(model, "time_to_70", run, time.time(), 5, x=x, y=y, validation_data=(x, y))
    assert answer["reached"] and answer["facts"]["epochs"] == 1
    assert answer["value"] < 90 < answer["facts"]["seconds from the start of the process"]


def side(*values, reached=True):
    return {"values": list(values), "facts": {"best validation accuracy, %": 69.94}, "reached": reached}


def result(ours, theirs=None):
    """What a row is saved as."""
    return PLACE | {"n": len(ours["values"]), "ours": ours, "theirs": theirs}


@pytest.mark.parametrize(
    ("name", "ours", "theirs", "ratio", "verdict"),
    [
        ("load", side(0.1, 0.2, 0.3), side(9, 10, 30), "50.0", "met"),
        ("load", side(0.2), side(9.9), "49.5", "missed"),
        ("augment", side(2_000.0), side(100.0), "20.0", "met"),
        ("augment", side(100.0), side(2_000.0), "0.05", "missed"),
        ("time_to_80", side(100.0), side(500.0, reached=False), "over 5.00", "met"),
        ("time_to_80", side(101.0), side(500.0, reached=False), "over 4.95", "missed"),
        ("time_to_70", side(10.0, reached=False), side(1_000.0), "–", "missed"),
        ("suite", side(8.0), None, "–", "met"),
        ("suite", side(8.1), None, "–", "missed"),
    ],
)
def test_a_ratio_says_how_many_times_better_ours_is(name, ours, theirs, ratio, verdict):
    cells = report.table({name: result(ours, theirs)}).splitlines()[-1].split(" | ")
    assert (cells[5], cells[7]) == (ratio, verdict)
    assert ours["reached"] or cells[4] == "not reached in 10.0 s (best 69.9%)"


def test_a_saved_row_replaces_only_itself_and_is_shown_on_both_pages(tmp_path):
    root = tiny.project(tmp_path, tiny.notebook())
    page = root / "tests/benchmarks/RESULTS.md"
    assert not page.exists()
    first, suite, load = result(side(1.0), side(3.0)), result(side(4.0)), result(side(1.0), side(77.0))
    for name, row in (("load", first), ("suite", suite), ("load", load)):
        bench.save(root, name, row)
    saved = json.loads((root / "tests/benchmarks/results.json").read_text(encoding="utf-8"))
    assert saved == {"load": load, "suite": suite}
    for path in (root / "README.md", page):
        text = path.read_text(encoding="utf-8")
        assert text.count("77.0 s") == 1 and text.count("4.00 min") == 1 and "3.00 s" not in text
        assert "a machine; images: some images." in text
    assert sync.findings(root) == []
    tiny.write(page, "all is well")
    assert [line.split(":")[0] for line in sync.findings(root)] == ["tests/benchmarks/RESULTS.md"]


@pytest.mark.parametrize(
    ("value", "shown"), [(0.00123, "0.00123"), (9.994, "9.99"), (9.996, "10.0"), (99.96, "100"), (12345.6, "12,346")]
)
def test_numbers_have_three_digits(value, shown):
    assert report.number(value) == shown


def test_minutes_are_summed_by_notebook(tmp_path):
    cases = [("notebooks.01_data_exploration.ipynb", 30), ("notebooks.01_data_exploration.ipynb", 60), ("tests.a", 6)]
    xml = "".join(f'<testcase classname="{place}" name="x" time="{seconds}"/>' for place, seconds in cases)
    tiny.write(tmp_path / "report.xml", f"<testsuites><testsuite>{xml}</testsuite></testsuites>")
    minutes = sides.minutes_by_file(tmp_path / "report.xml")
    assert minutes == {"min in 01_data_exploration": 1.5, "min in other tests": 0.1}


@pytest.mark.parametrize(
    ("arguments", "images", "sentence"),
    [
        ([], "", "Expected CIFAR10_DIR to name .*, found it unset: set it"),
        (["--only", "lod"], "", "ONLY=lod: expected one of time_to_70, .*load"),
        (["--quick", "--only", "load"], "none", "Nothing was measured, for the reason above"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_sentence(arguments, images, sentence, monkeypatch, capfd):
    monkeypatch.setenv("CIFAR10_DIR", images)
    with pytest.raises(SystemExit, match=f"^{sentence}[^\n]*$"):
        bench.main(arguments)
    said = capfd.readouterr().err
    assert not images or "machine could not run: ValueError: CIFAR10_DIR=none: expected" in said
