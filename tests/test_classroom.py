"""The zip for a classroom is whole, holds nothing that does not belong there, and runs from an empty folder."""

import os
import re
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import tiny
from tests.fake_cifar10 import fake_folder
from tests.limited_disk import limited_disk
from tests.tools import classroom, classroom_start, links, parts, sync

PROGRAM = [sys.executable, "-m", "tests.tools.classroom"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The zip of this project, without wheels."""
    path = tmp_path_factory.mktemp("zip") / "classroom.zip"
    classroom.make(sync.PROJECT, path, with_wheels=False, with_solutions=False, with_proof=False)
    return path


@pytest.fixture
def room(archive, tmp_path, monkeypatch):
    """The zip, unpacked where the proof takes place."""
    monkeypatch.setenv("CIFAR10_DIR", str(fake_folder()))
    return classroom.Room(archive, tmp_path)


def test_the_zip_is_whole_and_holds_nothing_else(archive):
    with zipfile.ZipFile(archive) as packed:
        assert packed.testzip() is None
        assert sum(entry.file_size for entry in packed.infolist()) < 100e6  # the images alone are 170 MB
        names = {name.removeprefix(f"{classroom.NAME}/") for name in packed.namelist()}
    wanted = {"START_HERE.txt", "start.py", "README.md", "requirements.txt", "notebooks/glossary.md"}
    wanted |= {"utils/tutorial.mplstyle", "utils/drawings.toml", "models/__init__.py", "models/train.py"}
    for pattern in ("notebooks/0*.ipynb", "notebooks/*.py", "notebooks/images/*", "utils/*.py", "models/runs/*.*"):
        found = {path.relative_to(sync.PROJECT).as_posix() for path in sync.PROJECT.glob(pattern)}
        assert found and found <= names, pattern
    assert wanted <= names
    for name in names - {"tests/benchmarks/RESULTS.md"}:  # README.md quotes from it
        assert not {"__pycache__", ".git", ".ipynb_checkpoints", "solutions", "tests", "build"} & {*Path(name).parts}
        assert not Path(name).name.startswith((".", "cifar-10")) and not name.endswith((".pyc", ".part", ".lock"))


@pytest.mark.parametrize("name", ["notebooks/solutions/01_solutions.ipynb", "TEACHING.md"])
def test_what_tells_the_answers_comes_only_where_it_is_asked_for(name, tmp_path):
    tiny.write(tmp_path / name, "{}")
    assert name not in classroom.contents(tmp_path)
    assert name in classroom.contents(tmp_path, with_solutions=True)


def test_links_of_the_unpacked_texts_lead_somewhere(room):
    published = "{}/blob/{}".format(*sync.read_settings(sync.PROJECT))
    lost = [line for line in links.findings(room.folder, published) if not re.search("solutions|TEACHING", line)]
    assert not lost, "\n".join(lost)  # those two are left out


def test_the_unpacked_zip_runs_with_an_empty_home(room):
    path = room.folder / "notebooks/01_data_exploration.ipynb"
    notebook = parts.read_notebook(path)
    end = next(number for number, cell in enumerate(notebook.cells) if cell.id == "one-pixel")
    notebook.cells = notebook.cells[:end]
    path.write_text(sync.notebook_text(notebook), encoding="utf-8")
    assert room.run_notebook(sys.executable, path.name).startswith("6 passed")


def test_jupyterlab_starts_from_the_unpacked_zip_or_it_is_said(room, capsys):
    assert "Python 3" in room.open_lab(sys.executable, "01_data_exploration.ipynb")
    with pytest.raises(SystemExit, match="Expected .*ask_jupyterlab.py no_such.ipynb"):
        room.open_lab(sys.executable, "no_such.ipynb")
    tiny.write(room.folder / "jupyterlab.py", "raise SystemExit('no JupyterLab today')\n")
    with pytest.raises(SystemExit, match="to work in the unpacked zip"):
        room.open_lab(sys.executable, "01_data_exploration.ipynb")
    assert "no JupyterLab today" in capsys.readouterr().out


def test_programs_in_the_room_reach_nothing_outside_or_it_is_said(room):
    assert room.settings["https_proxy"] == classroom.NOWHERE
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connect = f"import socket; socket.create_connection(('127.0.0.1', {port}), timeout=5)"
        subprocess.run([sys.executable, "-c", connect], check=True)
        if not room.prefix:
            assert room.network.startswith("NOT cut off")
            return
        assert room.network.startswith("no network")
        with pytest.raises(SystemExit):
            room.run(sys.executable, "-c", connect)


@pytest.mark.parametrize("alone", [["no-such-program"], [sys.executable, "-c", "raise SystemExit(1)"]])
def test_where_unshare_does_not_work_that_is_said(monkeypatch, alone):
    monkeypatch.setattr(classroom, "ALONE", alone)
    prefix, said = classroom.isolation()
    assert prefix == [] and said.startswith("NOT cut off from the network")


def test_a_zip_that_does_not_run_is_not_left_behind(tmp_path, capsys):
    root = tiny.project(tmp_path / "project", tiny.notebook(code="1 / 0"))
    tiny.write(root / "requirements.txt", "")
    target = tmp_path / "out" / "classroom.zip"
    with pytest.raises(SystemExit, match="Expected .*01_counting.ipynb` to work in the unpacked zip"):
        classroom.make(root, target, with_wheels=False, with_solutions=False, with_proof=True)
    assert "ZeroDivisionError" in capsys.readouterr().out
    assert list(target.parent.iterdir()) == []


def test_a_full_disk_is_said_in_one_sentence_and_leaves_nothing(tmp_path):
    small = tmp_path / "small"
    with limited_disk(small, 2_000_000) as settings:
        command = [*PROGRAM, "--no-wheels", "--no-proof", "--output", str(small / "classroom.zip")]
        done = subprocess.run(command, cwd=sync.PROJECT, capture_output=True, text=True, **settings)
        assert done.returncode == 1
        assert re.fullmatch("Expected to write .*, found: .*(No space left|File too large).*\n", done.stderr)
        assert list(small.iterdir()) == []


def test_wheels_that_cannot_be_fetched_are_said_in_one_sentence(tmp_path):
    settings = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    settings |= {"PIP_INDEX_URL": f"{classroom.NOWHERE}/simple", "PIP_CONFIG_FILE": os.devnull}
    command = [*PROGRAM, "--no-proof", "--output", str(tmp_path / "classroom.zip")]
    done = subprocess.run(command, cwd=sync.PROJECT, capture_output=True, text=True, env=settings)
    assert done.returncode == 1
    assert done.stderr == (
        "Expected to fetch the wheels from the package index and could not (no network): connect this machine to the "
        "network, with 6 GB free, and try again, or leave them out with --no-wheels.\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_start_installs_from_the_wheels_and_only_once(tmp_path, capfd):
    (tmp_path / "wheels").mkdir()
    tiny.write(tmp_path / "requirements.txt", "lesson\n")
    with zipfile.ZipFile(tmp_path / "wheels/lesson-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("lesson.py", "words = 'from a wheel'")
        wheel.writestr("lesson-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: lesson\nVersion: 1.0\n")
        wheel.writestr("lesson-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("lesson-1.0.dist-info/RECORD", "")
    python = classroom_start.install(tmp_path)
    said = subprocess.run([python, "-c", "import lesson; print(lesson.words)"], capture_output=True, text=True)
    assert said.stdout == "from a wheel\n", said.stderr
    assert "once" in capfd.readouterr().out
    assert classroom_start.install(tmp_path) == python and capfd.readouterr().out == ""
    python.unlink()  # as where the folder was copied to a machine that has its Python elsewhere
    assert classroom_start.install(tmp_path) == python and python.exists()


def test_an_installation_that_fails_leaves_nothing_and_says_how_much_room_there_is(tmp_path):
    tiny.write(tmp_path / "requirements.txt", "lesson\n")
    (tmp_path / "wheels").mkdir()  # an empty one
    with pytest.raises(SystemExit, match=r"Expected to install all packages .* 3 GB are needed, and [\d.]+ GB"):
        classroom_start.install(tmp_path)
    assert not (tmp_path / ".venv").exists()


def test_start_says_that_it_was_opened_alone(tmp_path):
    assert "unpack the whole zip" in classroom_start.problem(tmp_path)


def test_start_says_which_python_the_wheels_are_for(tmp_path):
    tiny.write(tmp_path / "requirements.txt", "")
    assert classroom_start.problem(tmp_path) == ""
    tiny.write(tmp_path / "wheels/MADE_FOR.txt", f"{classroom_start.this_python()}\n")
    assert classroom_start.problem(tmp_path) == ""
    tiny.write(tmp_path / "wheels/MADE_FOR.txt", "Python 2.7 on Amiga m68k\n")
    assert "Expected Python 2.7 on Amiga m68k" in classroom_start.problem(tmp_path)


def test_start_finds_the_images_beside_it_unless_others_are_named(tmp_path):
    settings, named = {}, {"CIFAR10_DIR": "elsewhere"}
    classroom_start.point_to_images(tmp_path, settings)
    assert settings == {}
    (tmp_path / "cifar-10-python.tar.gz").touch()
    classroom_start.point_to_images(tmp_path, settings)
    classroom_start.point_to_images(tmp_path, named)
    assert settings == {"CIFAR10_DIR": str(tmp_path / "cifar-10-python.tar.gz")}
    assert named == {"CIFAR10_DIR": "elsewhere"}
