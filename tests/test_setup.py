"""What a newcomer meets first: the set-up cell, the check of the Python version, and the Makefile that uses it."""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from packaging.requirements import Requirement

from tests import tiny
from tests.conftest import redirect_git
from tests.tools import check_python, parts, run, sync

USED = "from utils import data\nprint(*data.__file__.split(os.sep)[-3:-1], profile.name)"


def run_setup(folder, before="", after=USED):
    """Run the set-up cell as a notebook in `folder` does; what it prints, and which `utils` and profile it leaves."""
    cells = [nbformat.v4.new_code_cell(source) for source in (before, parts.setup_cell(parts.UNPUBLISHED), after)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    os.environ.pop("PYTEST_CURRENT_TEST", None)  # a kernel that sees it does not show what native code writes to stderr
    run.execute(notebook, folder, run.Progress("set-up", notebook))
    assert {output.name for cell in cells[1:] for output in cell.outputs} == {"stdout"}
    return ["".join(output.text for output in cell.outputs) for cell in cells[1:]]


@pytest.fixture
def series(tmp_path):
    """The code of the series in a folder of its own, with its folders of notebooks."""
    shutil.copytree(sync.PROJECT / "utils", tmp_path / "series/utils")
    for name in ("notebooks/deeper", "notebooks/solutions"):
        (tmp_path / "series" / name).mkdir(parents=True)
    return tmp_path / "series"


def test_a_notebook_alone_clones_the_series_once_and_says_so_also_where_colab_is(alone, in_colab, tmp_path):
    said, used = run_setup(alone)
    cloning, machine, profile = said.splitlines()
    assert used == "series utils test\n" and "Cloning into 'series'" in cloning
    assert ", tensorflow " in machine and profile.startswith("Profile test") and str(tmp_path) not in said
    shutil.rmtree(tmp_path / "series.git")
    assert run_setup(alone) == [f"{machine}\n{profile}\n", used]


@pytest.mark.parametrize("name", [".", "notebooks", "notebooks/deeper", "notebooks/solutions"])
def test_a_notebook_of_the_series_uses_the_folder_above(series, name):
    tiny.write_utils(series)
    assert run_setup(series / name)[1] == "series utils test\n"


@pytest.mark.parametrize("before", ["", "import utils.data"], ids=["there", "imported"])
@pytest.mark.parametrize("place", ["installed", "series/notebooks"])
def test_another_package_called_utils_is_passed_over(series, tmp_path, monkeypatch, place, before):
    for name in ("__init__", "data", "machine"):
        (tmp_path / place / "utils").mkdir(parents=True, exist_ok=True)
        (tmp_path / place / f"utils/{name}.py").touch()
    if not before:  # what was imported before is the real one
        tiny.write_utils(series)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "installed"))
    assert run_setup(series / "notebooks", before)[1] == "series utils test\n"


def test_the_set_up_cell_may_be_run_again(series):
    first = parts.setup_cell(parts.UNPUBLISHED) + "\nfrom utils import data\nfirst = data, machine"
    used = run_setup(series / "notebooks", first, f"{USED}\nprint(first == (data, machine))")[1]
    assert used == "series utils test\nTrue\n"


def test_what_the_environment_presets_does_not_change_backend_images_and_figures_and_onednn_is_on(series, monkeypatch):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    (series / "keras.json").write_text('{"backend": "jax", "image_data_format": "channels_first"}')
    for name, value in {"KERAS_BACKEND": "jax", "MPLBACKEND": "agg", "KERAS_HOME": str(series)}.items():
        monkeypatch.setenv(name, value)
    ask = (
        "import platform, keras, matplotlib\nfrom tensorflow.python.util import _pywrap_util_port as built\n"
        "print(keras.backend.image_data_format(), built.IsMklEnabled() or platform.machine() != 'x86_64')\n"
        "print(matplotlib.get_backend())"
    )
    said, found = run_setup(series / "notebooks", after=ask)
    assert ", tensorflow " in said and len(said.splitlines()) == 2
    assert re.fullmatch(r"channels_last True\n.*inline.*\n", found)


@pytest.mark.parametrize("obstacle", ["no such address", "a folder of that name", "no git"])
def test_a_clone_that_fails_is_said_in_one_sentence(alone, obstacle, monkeypatch, tmp_path):
    redirect_git(monkeypatch, "file:///nowhere.git")
    if obstacle == "a folder of that name":
        (alone / "series/utils").mkdir(parents=True)
        (alone / "series/utils/machine.py").touch()
    if obstacle == "no git":
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/sh").symlink_to("/bin/sh")
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(CellExecutionError) as caught:
        run_setup(alone)
    remedy = "start in the notebook's folder or online; remove 'series'."
    assert (caught.value.ename, caught.value.evalue) == ("OSError", f"No utils in {alone}: {remedy}")


OTHERS = [path for path in sync.notebook_paths(sync.PROJECT) if not path.name.startswith("04")]


@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is not None,
    reason="TensorFlow is installed; `make test-colab` runs this where it is not, as on a Colab TPU runtime",
)
@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_without_tensorflow_the_set_up_cell_says_which_runtime_to_choose(path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")  # as a runtime for TPUs may preset it
    cell = parts.find_cell(parts.read_notebook(path), "setup")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    with pytest.raises(CellExecutionError) as caught:
        run.execute(notebook, path.parent, run.Progress("set-up", notebook))
    assert caught.value.evalue.startswith("tensorflow is not installed here. In Colab, choose Runtime > Change runtime")


@pytest.mark.parametrize("file", ["constraints-colab.txt", "constraints-colab-tpu.txt"])
def test_the_requirements_admit_what_a_runtime_of_colab_holds(file):
    lines = [line for line in (sync.PROJECT / "tests" / file).read_text().splitlines() if not line.startswith("#")]
    held = dict(line.split("==") for line in lines)
    wanted = re.findall(r"^\w.*", (sync.PROJECT / "requirements.txt").read_text(), re.MULTILINE)
    both = [package for package in map(Requirement, wanted) if package.name in held]
    assert len(both) >= 4
    assert [f"{wish}, found {held[wish.name]}" for wish in both if held[wish.name] not in wish.specifier] == []


GOOD = {"version": (3, 12, 1), "implementation": "CPython", "bits": 64, "system": "Linux x86_64", "can_make_venv": True}


@pytest.mark.parametrize(
    ("fact", "refusal"),
    [
        *(({"version": (3, minor, 0)}, None) for minor in (11, 12, 13)),
        *(({"system": system}, None) for system in ("Linux aarch64", "macOS arm64", "Windows AMD64")),
        ({"version": (3, 10, 9)}, "found 64-bit CPython 3.10.9"),
        ({"version": (3, 14, 0)}, "make test PYTHON=python3.12"),
        ({"bits": 32}, "found 32-bit CPython"),
        ({"implementation": "PyPy"}, "found 64-bit PyPy"),
        ({"implementation": "CPython without GIL"}, "found 64-bit CPython without GIL"),
        ({"system": "macOS x86_64"}, "found macOS x86_64"),
        ({"system": "Linux x86_64 with musl"}, "found Linux x86_64 with musl"),
        ({"can_make_venv": False}, "sudo apt install python3.12-venv"),
    ],
    ids=str,
)
def test_only_a_python_without_tensorflow_is_refused_and_that_in_one_sentence(fact, refusal):
    sentence = check_python.problem(**GOOD | fact)
    assert re.fullmatch(f"Expected .*{re.escape(refusal)}.*", sentence) if refusal else sentence == ""


def test_the_check_runs_on_old_pythons_and_passes_this_one():
    ast.parse(Path(check_python.__file__).read_text(encoding="utf-8"), feature_version=(3, 6))
    assert check_python.problem(**check_python.this_python()) == ""


@pytest.fixture
def make(tmp_path):
    """A function that runs make on a copy of what it needs before .venv is there, and returns all that it says."""
    if sys.platform == "win32":
        pytest.skip("on Windows the README's plain commands take the place of make")
    for name in ("Makefile", "requirements.txt", "tests/requirements.txt", "tests/tools/check_python.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sync.PROJECT / name, tmp_path / name)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}

    def make(*arguments):
        answer = subprocess.run(["make", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert answer.returncode != 0 and not (tmp_path / ".venv").exists()
        return answer.stdout + answer.stderr

    return make


@pytest.mark.parametrize("target", ["lab", "run", "test", "publish", "sync", "sync-check"])
def test_make_refuses_a_python_before_it_installs(make, tmp_path, target):
    other = tmp_path / "python3.14"
    pretend = "import runpy, sys; sys.version_info = (3, 14, 0); runpy.run_path(sys.argv[1], run_name='__main__')"
    other.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{pretend}" "$@"\n')
    other.chmod(0o755)
    (sentence,) = (line for line in make(target, f"PYTHON={other}").splitlines() if not line.startswith("make"))
    assert "found 64-bit CPython 3.14.0" in sentence


def test_make_says_that_there_is_no_such_python(make):
    assert "Expected a Python called python3.99 and found none" in make("test", "PYTHON=python3.99")


def test_make_says_that_litert_is_not_where_it_was_said_to_be(make):
    assert "Expected in LITERT a folder node_modules/@litertjs that npm has made; found none at nowhere" in make(
        "photo", "LITERT=nowhere"
    )


def test_pytest_leaves_generated_and_hidden_notebooks_alone(tmp_path):
    shutil.copy(sync.PROJECT / "pyproject.toml", tmp_path)
    for name in ("notebooks", "notebooks/.ipynb_checkpoints", "build", ".venv"):
        tiny.write(tmp_path / name / "01_x.ipynb", sync.notebook_text(tiny.solutions("1")))
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", "."]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"NO_COLOR": "1"})
    collected = [line for line in answer.stdout.splitlines() if "::" in line]
    assert collected == ["notebooks/01_x.ipynb::Cell 0"], answer.stdout + answer.stderr
