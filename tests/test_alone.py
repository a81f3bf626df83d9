"""Each core notebook and a deeper one, opened alone in an empty folder as in Colab, clone the series and run."""

import nbformat
import pytest

from tests.tools import parts, run, sync

ENTRIES = sync.read_entries(sync.PROJECT)
NOTEBOOKS = [entry.path for entry in (*parts.core_of(ENTRIES), ENTRIES[1])]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_alone_runs_to_its_end(path, alone, in_colab):
    notebook = nbformat.read(path, as_version=4)
    (alone / path.name).write_bytes(path.read_bytes())
    run.execute(notebook, alone, run.Progress(path.stem, notebook))  # raises where a cell does
    assert (alone / "series" / "utils").is_dir()
