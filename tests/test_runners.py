"""Notebooks by papermill: alone in an empty folder as in Colab, and where and as nobody planned."""

import contextlib
import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import GIT
from tests.tools import parts, sync

ENTRIES = sync.read_entries(sync.PROJECT)
FIRST, *OTHERS = [entry.path for entry in (*parts.core_of(ENTRIES), ENTRIES[1])]  # and one that is deeper
SLOW = [pytest.param(path, marks=pytest.mark.slow) for path in OTHERS]  # `make test-colab` runs them


def run(path, output, working_folder, **environment):
    command = [sys.executable, "-m", "papermill", path, output]
    environment = os.environ | {"TUTORIAL_PROFILE": "test"} | environment
    done = subprocess.run(command, env=environment, cwd=working_folder, capture_output=True)
    assert done.returncode == 0, done.stdout.decode()[-2_000:] + done.stderr.decode()[-2_000:]


@pytest.mark.parametrize("path", [FIRST, *SLOW], ids=lambda path: path.stem)
def test_a_notebook_alone_clones_the_series_and_runs_to_its_end(path, alone, in_colab, tmp_path):
    shutil.copy(path, alone)
    run(alone / path.name, tmp_path / "out.ipynb", alone)
    assert (alone / "series" / "utils").is_dir()


@contextlib.contextmanager
def read_only(folder):
    """Root may write whatever the permissions say, so for root the folder is mounted without the right to write.

    Where root may not mount either, as in some containers, everything but this is tested.
    """
    is_root = os.geteuid() == 0
    if is_root:
        changes = [["mount", "--bind", folder, folder], ["mount", "-o", "remount,ro,bind", folder]]
        back = ["umount", folder]
    else:
        changes, back = [["chmod", "-R", "a-w", folder]], ["chmod", "-R", "u+w", folder]
    holds = all(subprocess.run(command).returncode == 0 for command in changes)
    assert holds or is_root
    try:
        if holds:
            with pytest.raises(OSError):
                (folder / "file").touch()
        yield
    finally:
        subprocess.run(back, check=holds)


@pytest.mark.skipif(sys.platform == "win32", reason="about permissions and settings of Unix")
def test_a_notebook_runs_where_and_as_nobody_planned(in_colab, tmp_path):
    """Line ends of Windows, a folder with an odd name and no right to write; from the folder above; without home, git
    and locale; in a shell that presets another backend and other figures."""
    place = tmp_path / "Übung 1 – Ann's 猫"
    clone = ["clone", "--quiet", "-c", "core.autocrlf=true", str(tmp_path / "series.git"), str(place)]
    subprocess.run([*GIT, *clone], check=True)
    path = place / FIRST.relative_to(sync.PROJECT)
    assert b"\r\n" in path.read_bytes()
    (tmp_path / "empty").mkdir()
    (tmp_path / "keras.json").write_text('{"backend": "jax", "image_data_format": "channels_first"}')
    presets = {"MPLBACKEND": "agg", "KERAS_BACKEND": "jax", "KERAS_HOME": str(tmp_path), "LANG": "C", "LC_ALL": "C"}
    nowhere = {"HOME": "/dev/null", "TUTORIAL_CACHE": "", "PATH": str(tmp_path / "empty")}
    runtime = {"JUPYTER_RUNTIME_DIR": str(tmp_path), "IPYTHONDIR": str(tmp_path)}  # which Jupyter itself needs
    with read_only(place):
        run(path, tmp_path / "out.ipynb", place, **presets, **nowhere, **runtime)
    assert (tmp_path / "out.ipynb").read_text().count('"image/png"') > 5
