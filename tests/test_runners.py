"""Others run notebooks with papermill or nbmake: each core notebook comes to its end there as well."""

import os
import subprocess
import sys

import pytest

from tests.tools import parts, sync

CORE = [entry.path for entry in parts.core_of(sync.read_entries(sync.PROJECT))]
RUNNERS = {
    "papermill": ["papermill", "{path}", "{folder}/out.ipynb"],
    "nbmake": ["pytest", "-o", "addopts=", "-p", "no:cacheprovider", "--nbmake", "--nbmake-timeout=300", "{path}"],
}
FEW = [("papermill", CORE[0]), ("nbmake", CORE[-1])]
MANY = [
    pytest.param(name, path, marks=pytest.mark.slow) for name in RUNNERS for path in CORE if (name, path) not in FEW
]


@pytest.mark.parametrize("runner, path", [*FEW, *MANY], ids=lambda value: getattr(value, "stem", value))
def test_a_core_notebook_comes_to_its_end(runner, path, tmp_path):
    command = [part.format(path=path, folder=tmp_path) for part in RUNNERS[runner]]
    environment = {**os.environ, "TUTORIAL_PROFILE": "test"}
    done = subprocess.run([sys.executable, "-m", *command], env=environment, cwd=path.parent, capture_output=True)
    assert done.returncode == 0, done.stdout.decode()[-2_000:] + done.stderr.decode()[-2_000:]
