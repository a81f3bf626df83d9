"""Fixtures of several test files."""

import shutil
import subprocess

import pytest

from tests.tools import sync

GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main"]


@pytest.fixture(autouse=True)
def local_servers_without_proxy(monkeypatch):
    """A proxy that leads to the network does not lead to the servers that tests start on this machine."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def alone(tmp_path):
    """An empty folder."""
    folder = tmp_path / "alone"
    folder.mkdir()
    return folder


@pytest.fixture
def in_colab(tmp_path, monkeypatch):
    """Notebooks find a module `google.colab`, and a repository as a server holds it, with the present code."""
    work = tmp_path / "work"
    for name in ("utils", "models", "notebooks"):
        shutil.copytree(sync.PROJECT / name, work / name, ignore=shutil.ignore_patterns("__pycache__"))
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "the series"]):
        subprocess.run([*GIT, *command], cwd=work, check=True)
    subprocess.run([*GIT, "clone", "--quiet", "--bare", str(work), str(tmp_path / "series.git")], check=True)
    (tmp_path / "stub/google/colab").mkdir(parents=True)
    (tmp_path / "stub/google/colab/__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "stub"))
    redirect_git(monkeypatch, (tmp_path / "series.git").as_uri())


def redirect_git(monkeypatch, address):
    """Let git find the published series at another address."""
    published = f"https://github.com/{sync.read_settings(sync.PROJECT)[0]}"
    settings = {"COUNT": "1", "KEY_0": f"url.{address}.insteadOf", "VALUE_0": published}
    for name, value in settings.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
