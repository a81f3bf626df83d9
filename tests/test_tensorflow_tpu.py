"""The package tensorflow-tpu itself, on a machine without a TPU. Installs 2 GB twice, so only by `pytest -m slow`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from utils.machine import PACKAGES

ROOT = Path(__file__).parents[1]
NEEDED = ["psutil", "filelock", "pooch"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("libtpu", "reason"),
    [
        (PACKAGES[1], "this machine has none"),
        ("libtpu==0.0.43.2", "libtpu 0.0.43.2 lacks"),
        ("libtpu==0.0.45", "lacks"),
    ],
)
def test_connect_neither_aborts_nor_waits(tmp_path, libtpu, reason):
    python = tmp_path / "env/bin/python"
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-cache-dir"]
    subprocess.run([*install, PACKAGES[0], libtpu, *NEEDED], check=True)
    seems_to_have_one = {} if reason.startswith("this") else {"TPU_NAME": "local"}
    done = subprocess.run(
        [str(python), "-c", "from utils.machine import connect; connect()"],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": "tensorflow"} | seems_to_have_one,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Training on the CPU" in done.stdout and reason in done.stdout
