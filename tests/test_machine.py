"""The profile follows TUTORIAL_PROFILE, says so in one line, and refuses names that do not exist."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from utils.machine import (
    PROFILES,
    current_profile,
    describe_machine,
    describe_processor,
    native_log_discarded,
    processor_flags,
)

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["full", "class", "test"])
def test_the_variable_decides_and_one_line_says_which_why_and_how_to_change_it(name, monkeypatch, capsys):
    monkeypatch.setenv("TUTORIAL_PROFILE", name)
    assert current_profile() is PROFILES[name]
    printed = capsys.readouterr().out
    assert printed.startswith(f"Profile {name} (set by TUTORIAL_PROFILE)")
    assert printed.count("\n") == 1
    assert "To change it, set TUTORIAL_PROFILE" in printed


def test_without_the_variable_the_accelerator_decides(monkeypatch, capsys):
    import tensorflow as tf

    monkeypatch.delenv("TUTORIAL_PROFILE")
    has_accelerator = bool(tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("TPU"))
    assert current_profile().name == ("full" if has_accelerator else "class")
    assert "found" in capsys.readouterr().out


def test_an_unknown_name_is_refused_with_the_names_that_exist(monkeypatch):
    monkeypatch.setenv("TUTORIAL_PROFILE", "quick")
    with pytest.raises(ValueError, match="TUTORIAL_PROFILE=quick: expected one of full, class, test"):
        current_profile()


def test_the_full_profile_is_all_of_cifar10_and_every_size_divides_by_the_ten_classes():
    assert (PROFILES["full"].train, PROFILES["full"].validation, PROFILES["full"].test) == (45_000, 5_000, 10_000)
    for profile in PROFILES.values():
        assert all(size % 10 == 0 for size in (profile.train, profile.validation, profile.test))


def test_epochs_shrink_with_the_profile_but_never_to_none():
    assert PROFILES["full"].epochs(30) == 30
    assert PROFILES["full"].epochs(30) > PROFILES["class"].epochs(30) > PROFILES["test"].epochs(30) >= 1
    assert PROFILES["test"].epochs(1) == 1


def test_the_machine_is_described_in_one_line_with_versions():
    import keras

    line = describe_machine()
    assert "\n" not in line and f"keras {keras.__version__}" in line
    assert line.startswith(f"{describe_processor()}, ") and f"{os.cpu_count()} cores of " in line


def test_a_16_bit_unit_is_named_if_and_only_if_the_processor_has_one():
    has_one = bool({"amx_bf16", "avx512_bf16"} & set(processor_flags()))
    assert ("_bf16)" in describe_processor()) == has_one


def test_a_machine_without_tensorflow_is_told_what_to_do_in_one_sentence(tmp_path):
    """A real interpreter whose TensorFlow cannot be found, as on Colab's TPU runtime."""
    hide = (
        "import importlib.util as u, sys\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'tensorflow' else find(name, *rest)\n"
        "from utils.machine import describe_machine\n"
        "try: describe_machine()\n"
        "except RuntimeError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", hide], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("tensorflow is not installed here."), done.stderr
    assert "Change runtime type" in done.stdout


def test_what_native_code_logs_is_dropped_and_only_meanwhile(capfd):
    os.write(2, b"before ")
    with pytest.raises(KeyError), native_log_discarded():
        os.write(2, b"meanwhile ")
        raise KeyError
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"
