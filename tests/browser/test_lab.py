"""Each notebook in JupyterLab, as a reader steps through it; and notebooks that are broken, which must not pass."""

import base64
import shutil

import nbformat
import pytest
from nbconvert.preprocessors import ClearOutputPreprocessor
from PIL import Image
from playwright.sync_api import TimeoutError

from tests import tiny
from tests.browser.reader import go_on, opened, step_through
from tests.test_pictures import encoded
from tests.tools import parts, sync

ENTRIES = sync.read_entries(sync.PROJECT)

# The request that starts a kernel leaves the browser three seconds late.
LATE_KERNEL = """const send = window.fetch;
window.fetch = async (request, ...rest) => {
    const starts = request.method === "POST" && request.url.includes("/api/sessions");
    if (starts) await new Promise(resolve => setTimeout(resolve, 3000));
    return send(request, ...rest);
};"""


def kind(entry):
    """What a build server chooses by: it takes core notebooks and those with sliders, `make test-browser` all."""
    has_sliders = "plotting.sliders" in entry.path.read_text(encoding="utf-8")
    return f"{'core' if entry.is_core else 'sliders' if has_sliders else 'deeper'}-{entry.path.stem}"


SLOW = [pytest.param(entry, marks=pytest.mark.slow) for entry in ENTRIES[1:]]


@pytest.mark.parametrize("entry", [ENTRIES[0], *SLOW], ids=kind)
def test_a_reader_steps_through_and_goes_on(entry, tmp_path, page):
    """In a copy of the series, here without saved outputs, so that all that is seen comes from the cells that ran."""
    for name in ("notebooks", "utils", "models"):
        shutil.copytree(sync.PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    copied = tmp_path / entry.path.relative_to(sync.PROJECT)
    notebook, _ = ClearOutputPreprocessor().preprocess(parts.read_notebook(copied), {})
    tiny.write(copied, sync.notebook_text(notebook))
    with opened(page, copied):
        found = step_through(page, parts.read_notebook(entry.path))
        assert not found, "\n".join(found)
        for following in [other for other in ENTRIES if other.is_core and other.number > entry.number][:1]:
            go_on(page, following.name)


SLIDERS = """from utils import machine, plotting

def draw(side=1):
    plotting.plt.subplots(figsize=(side, side))

plotting.sliders(draw, side=[1, 2, 3])"""


def test_a_kernel_that_comes_late_is_waited_for_and_a_slider_that_is_moved_draws_anew(tmp_path, page, monkeypatch):
    page.add_init_script(LATE_KERNEL)
    monkeypatch.delenv("TUTORIAL_STILL")
    tiny.project(tmp_path, tiny.notebook(code=SLIDERS))
    shutil.rmtree(tmp_path / "utils")
    shutil.copytree(sync.PROJECT / "utils", tmp_path / "utils")
    with opened(page, tmp_path / "notebooks/01_counting.ipynb"):
        assert step_through(page, tiny.executed(tiny.notebook())) == []
        picture = page.locator(".jp-OutputArea-output img")
        width = picture.evaluate("image => image.naturalWidth")
        page.locator(".widget-slider [role=slider], .widget-slider .noUi-handle").first.focus()
        page.keyboard.press("ArrowRight")
        page.locator(".widget-readout", has_text="2").wait_for()
        page.wait_for_function(f"document.querySelector('.jp-OutputArea-output img').naturalWidth > {width}")


def test_a_cell_that_raises_and_answers_that_do_not_fold_are_found(tmp_path, page):
    broken = tiny.notebook(code="1 / 0", identifier="divide")
    broken.cells[1].source += "\n\n<details open><summary>Open?</summary>Yes.</details>"
    broken.cells[1].source += "\n\n<details><summary>Empty?</summary></details>"
    tiny.project(tmp_path, broken)
    with opened(page, tmp_path / "notebooks/01_counting.ipynb"):
        assert step_through(page, broken) == [
            "cell `objectives`: answer 1 is open before anyone clicks",
            "cell `objectives`: answer 2 opens, but there is nothing in it",
            "cell `divide`: ZeroDivisionError: division by zero",
        ]


def test_figures_that_show_nothing_and_a_link_to_nowhere_are_found(tmp_path, page):
    white = base64.b64encode(encoded(Image.new("RGB", (60, 40), "white"))).decode()
    show = "".join(f"display({{'image/png': '{png}'}}, raw=True)\n" for png in (white, "AAAA"))
    tiny.project(tmp_path, tiny.notebook(code=show), tiny.notebook("02", "Adding"))
    (tmp_path / "notebooks/02_adding.ipynb").unlink()
    saved = tiny.executed(tiny.notebook(code=show))
    figure = nbformat.v4.new_output("display_data", data={"image/png": white})
    parts.find_cell(saved, "count").outputs = [figure] * 3
    with opened(page, tmp_path / "notebooks/01_counting.ipynb"):
        assert step_through(page, saved) == [
            "cell `count`: 2 figures, 3 in the saved outputs",
            "cell `count`: a picture of one colour",
            "cell `count`: a picture that cannot be shown",
        ]
        with pytest.raises(TimeoutError, match="02 · Adding"):
            go_on(page, "02 · Adding", seconds=5)
