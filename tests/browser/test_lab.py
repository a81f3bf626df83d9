"""Each notebook in JupyterLab, as a reader steps through it; and notebooks that are broken, which must not pass."""

import base64
import contextlib
import io
import shutil

import nbformat
import pytest
from nbconvert.preprocessors import ClearOutputPreprocessor
from PIL import Image

from tests import tiny
from tests.browser.reader import go_on, jupyterlab, open_notebook, step_through
from tests.tools import parts, sync

NOTEBOOKS = sync.notebook_paths(sync.PROJECT)
TITLES = [parts.read_notebook(path).cells[0].source.split("\n")[0].removeprefix("# ") for path in NOTEBOOKS]

# The request that starts a kernel leaves the browser three seconds late.
LATE_KERNEL = """const send = window.fetch;
window.fetch = async (request, ...rest) => {
    const starts = request.method === "POST" && request.url.includes("/api/sessions");
    if (starts) await new Promise(resolve => setTimeout(resolve, 3000));
    return send(request, ...rest);
};"""


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """A copy of the series without saved outputs, so that all that is seen comes from the cells that ran."""
    root = tmp_path_factory.mktemp("series")
    for name in ("notebooks", "utils", "models"):
        shutil.copytree(sync.PROJECT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for path in sync.notebook_paths(root):
        notebook, _ = ClearOutputPreprocessor().preprocess(parts.read_notebook(path), {})
        path.write_text(sync.notebook_text(notebook), encoding="utf-8")
    return root


@pytest.fixture
def lab(tmp_path):
    """A function that serves a project with JupyterLab, and returns a function from a path in it to its address."""
    with contextlib.ExitStack() as servers:
        yield lambda root: servers.enter_context(jupyterlab(root, tmp_path / "lab"))


SLOW = [pytest.param(path, marks=pytest.mark.slow) for path in NOTEBOOKS[1:]]  # `make test-browser` runs them


@pytest.mark.parametrize("path", [NOTEBOOKS[0], *SLOW], ids=lambda path: path.stem)
def test_a_reader_steps_through(path, series, lab, page):
    open_notebook(page, lab(series)(f"notebooks/{path.name}"))
    found = step_through(page, parts.read_notebook(path))
    assert not found, "\n".join(found)
    for title in TITLES[NOTEBOOKS.index(path) + 1 :][:1]:
        assert go_on(page, title) == ""


def test_a_kernel_that_comes_late_is_waited_for(tmp_path, lab, page):
    page.add_init_script(LATE_KERNEL)
    open_notebook(page, lab(tiny.project(tmp_path, tiny.notebook()))("notebooks/01_counting.ipynb"))
    assert step_through(page, tiny.executed(tiny.notebook())) == []


def test_a_cell_that_raises_and_answers_that_do_not_fold_are_found(tmp_path, lab, page):
    broken = tiny.notebook(code="1 / 0", identifier="divide")
    broken.cells[1].source += "\n\n<details open><summary>Open?</summary>Yes.</details>"
    broken.cells[1].source += "\n\n<details><summary>Empty?</summary></details>"
    open_notebook(page, lab(tiny.project(tmp_path, broken))("notebooks/01_counting.ipynb"))
    assert step_through(page, broken) == [
        "cell `objectives`: answer 1 is open before anyone clicks",
        "cell `objectives`: answer 2 opens, but there is nothing in it",
        "cell `divide`: ZeroDivisionError: division by zero",
    ]


def test_figures_that_show_nothing_and_a_link_to_nowhere_are_found(tmp_path, lab, page):
    file = io.BytesIO()
    Image.new("RGB", (60, 40), "white").save(file, "PNG")
    white = base64.b64encode(file.getvalue()).decode()
    show = "".join(f"display({{'image/png': '{png}'}}, raw=True)\n" for png in (white, "AAAA"))
    root = tiny.project(tmp_path, tiny.notebook(code=show), tiny.notebook("02", "Adding"))
    (root / "notebooks/02_adding.ipynb").unlink()
    saved = tiny.executed(tiny.notebook(code=show))
    figure = nbformat.v4.new_output("display_data", data={"image/png": white})
    parts.find_cell(saved, "count").outputs = [figure] * 3
    open_notebook(page, lab(root)("notebooks/01_counting.ipynb"))
    assert step_through(page, saved) == [
        "cell `count`: 2 figures, 3 in the saved outputs",
        "cell `count`: a picture of one colour",
        "cell `count`: a picture that cannot be shown",
    ]
    assert go_on(page, "02 · Adding", seconds=5) == "no notebook with the heading 02 · Adding came to the front"
