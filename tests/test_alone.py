"""Each notebook, opened alone in an empty folder as Colab opens it, clones the series and runs to its end."""

import nbformat
import pytest

from tests.tools import run, sync

NOTEBOOKS = sync.notebook_paths(sync.PROJECT)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_alone_runs_to_its_end(path, alone, in_colab):
    notebook = nbformat.read(path, as_version=4)
    (alone / path.name).write_bytes(path.read_bytes())
    run.execute(notebook, alone, run.Progress(path.stem, notebook))  # raises where a cell does
    assert (alone / "series" / "utils").is_dir()
