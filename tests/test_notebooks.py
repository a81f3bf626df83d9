"""Every notebook has the form of the series, and each check of that form finds a notebook that was broken."""

import base64

import nbformat
import pytest

from tests import tiny
from tests.tools import form, parts, sync
from tests.tools.form import CHECKS, SOLUTIONS_CHECKS

ENTRIES = sync.read_entries(sync.PROJECT)
TEXTS = [*sync.PROJECT.glob("*.md"), *sync.PROJECT.glob("notebooks/*.md")]
CORE = parts.core_of(ENTRIES)
CASES = [(entry.path, check) for entry in ENTRIES for check in CHECKS]
CASES += [(entry.path, check) for entry in sync.solutions_entries(ENTRIES) for check in SOLUTIONS_CHECKS]


@pytest.mark.parametrize(("path", "check"), CASES, ids=lambda part: getattr(part, "stem", None) or part.__name__)
def test_notebook(path, check):
    found = check(parts.read_notebook(path))
    assert not found, "\n".join(found)


def test_generated_parts_links_and_numbering_are_right():
    found = sync.findings(sync.PROJECT)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_images_in_the_other_texts_say_what_they_show(path):
    assert not form.without_alt_text(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("core", CORE, ids=lambda entry: entry.path.stem)
def test_exercises_are_numbered_through_a_notebook_and_its_deeper_ones_and_each_has_a_solution(core):
    family = [parts.read_notebook(entry.path) for entry in ENTRIES if entry.number == core.number]
    numbers = [number for nb in family for number in form.exercise_numbers(nb)]
    assert numbers == list(range(1, len(numbers) + 1)) and form.exercise_numbers(family[0])
    assert form.exercise_numbers(parts.read_notebook(parts.solutions_entry(core).path)) == numbers


def test_the_core_notebooks_together_are_read_in_three_sittings():
    words = sum(form.count_words(parts.read_notebook(entry.path)) for entry in CORE)
    assert words <= 9_490, f"{words:,} words in the core notebooks, more than 9,490: cut as many elsewhere in them"


def test_the_code_that_the_series_teaches_is_shown():
    names = {
        "pipelines": "make_dataset flip crop cutout jitter mixup",
        "training": "Triangular whiten whitening_kernel ShiftSGD predict_views",
        "networks": "fast_cnn IdentityStart",
        "evaluation": "wilson calibration_error energy",
        "photos": "to_cifar_size",
    }
    cells = [cell for entry in ENTRIES for cell in parts.read_notebook(entry.path).cells]
    shown = [cell.metadata.tutorial.shows for cell in cells if "shows" in cell.metadata.get("tutorial", {})]
    assert sorted(shown) == sorted(f"utils.{room}.{name}" for room, text in names.items() for name in text.split())


@pytest.fixture
def good(tmp_path):
    """A notebook without fault, as make sync and make publish leave it."""
    root = tiny.project(tmp_path, tiny.executed(tiny.notebook()))
    return tiny.executed(parts.read_notebook(root / "notebooks/01_counting.ipynb"))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_good_notebook_has_no_findings(check, good):
    assert check(good) == []
    assert check(tiny.add_exercises(good)) == []


@pytest.mark.parametrize("check", SOLUTIONS_CHECKS, ids=lambda check: check.__name__)
def test_good_solutions_have_no_findings(good, check):
    nb = tiny.add_exercises(good, answer="✅ right.")
    nb.metadata = parts.metadata({"runtime": "CPU"})
    assert check(nb) == []


def put(nb, kind, **content):
    """Replace the output of the cell `count`."""
    parts.find_cell(nb, "count").outputs = [nbformat.v4.new_output(kind, **content)]


def output(nb, text, kind=None):
    put(nb, "display_data", data={kind: text}) if kind else put(nb, "stream", text=text)


def code(nb, source):
    parts.find_cell(nb, "count").source = source


def text(nb, identifier, old, new):
    cell = parts.find_cell(nb, identifier)
    assert old in cell.source
    cell.source = cell.source.replace(old, new)


def shows(nb):
    parts.find_cell(nb, "count").metadata.tutorial = {"shows": "utils.data.load_cifar10"}


def stale(nb):
    put(nb, "execute_result", data={"text/plain": "2"}, execution_count=7)


def figure(nb):
    """Let the cell `count` show a figure, with a code cell between it and the text before."""
    output(nb, "iVBORw0KGgo=", "image/png")
    nb.cells.insert(4, nbformat.v4.new_code_cell("1", id="between", execution_count=2))


def wide_figure(nb):
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (849).to_bytes(4, "big") + (100).to_bytes(4, "big")
    output(nb, base64.b64encode(header).decode(), "image/png")


BROKEN = [
    (form.check_format, lambda nb: nb.update(nbformat_minor=4), "not 4.5"),
    (form.check_format, lambda nb: nb.cells[3].pop("id"), "cell 4 has no id"),
    (form.check_format, lambda nb: nb.cells[3].update(id="count"), "id count used twice"),
    (form.check_format, lambda nb: nb.cells[3].update(id="3F_a"), "not a readable name"),
    (form.check_format, lambda nb: nb.cells[4].pop("outputs"), "not valid"),
    (form.check_metadata, lambda nb: nb.metadata.kernelspec.pop("language"), "differ"),
    (form.check_metadata, lambda nb: nb.metadata.update(widgets={}), "differ"),
    (form.check_metadata, lambda nb: nb.metadata.pop("tutorial"), "differ"),
    (form.check_metadata, lambda nb: nb.cells[4].metadata.update(execution={}), "execution"),
    (form.check_metadata, lambda nb: nb.cells[4].metadata.update(tutorial={"shows": "a.b", "more": 1}), "more"),
    (form.check_metadata, lambda nb: nb.cells[4].metadata.update(tutorial={}), "tutorial"),
    (form.check_metadata, lambda nb: nb.cells[3].metadata.update(tutorial={"shows": "a.b"}), "shows"),
    (form.check_sections, lambda nb: nb.cells.pop(1), "no cell objectives"),
    (form.check_sections, lambda nb: nb.cells.insert(5, nb.cells.pop(6)), "order"),
    (form.check_sections, lambda nb: nb.cells.append(nb.cells.pop(3)), "order"),
    (form.check_sections, lambda nb: text(nb, "summary", "What you learned", "The end"), "does not begin with"),
    (form.check_size, lambda nb: text(nb, "counting", tiny.QUESTION * 3, tiny.QUESTION), "1 folded answers, not 3"),
    (form.check_size, lambda nb: text(nb, "counting", "A ", "word " * 1_610), "words, not 0 to 1,610"),
    (form.check_size, lambda nb: nb.cells.extend(nb.cells[3:4] * 64), "cells, not 0 to 70"),
    (form.check_size, lambda nb: tiny.add_exercises(nb, count=3), "3 exercises, not 0 to 2"),
    (form.check_size, lambda nb: (text(nb, "title", "# 01", "# 01 deeper"), nb.cells.extend(nb.cells * 8)), "to 55"),
    (form.check_sections, lambda nb: text(nb, "counting", "## 1.", "## 2."), "not numbered"),
    (form.check_sections, lambda nb: text(nb, "counting", "## 1. Counting", "Counting"), "not numbered"),
    (form.check_sections, lambda nb: nb.cells.insert(2, nb.cells.pop(3)), "unexpected place"),
    (form.check_length, lambda nb: code(nb, "1\n" * 21), "21 lines"),
    (form.check_length, lambda nb: (code(nb, "1\n" * 26), shows(nb)), "26 lines, more than 25"),
    (form.check_length, lambda nb: code(nb, "1\n" * 9), "median cell of 9"),
    (form.check_length, lambda nb: code(nb, "1\n#" + "-" * 108), "a line of 109"),
    (form.check_executed, lambda nb: nb.cells[4].update(execution_count=None), "[1, None]"),
    (form.check_executed, lambda nb: nb.cells[4].update(execution_count=7), "[1, 7]"),
    (form.check_executed, stale, "count has the output of another run"),
    (form.check_executed, lambda nb: nb.cells[4].update(outputs=[]), "count prints, and has no output"),
    (form.check_executed, lambda nb: put(nb, "stream", name="stderr", text="oh"), "count wrote to stderr"),
    (form.check_executed, lambda nb: put(nb, "error", ename="E", evalue="e", traceback=[]), "count failed"),
    (form.check_outputs, lambda nb: output(nb, "saved in /home/me/x.keras"), "absolute path"),
    (form.check_outputs, lambda nb: output(nb, r"saved in C:\Users\me"), "absolute path"),
    (form.check_outputs, lambda nb: output(nb, "x.py:3: UserWarning: no"), "a warning"),
    (form.check_outputs, lambda nb: output(nb, "WARNING:tensorflow: no"), "a warning"),
    (form.check_outputs, lambda nb: output(nb, "done 2024-05-06"), "a date"),
    (form.check_outputs, lambda nb: output(nb, "took 00:12:33"), "a date or time"),
    (form.check_outputs, lambda nb: output(nb, "<b>Thu May  2</b>", "text/html"), "a date"),
    (form.check_outputs, lambda nb: output(nb, "<History at 0x7f3a2b1c9d50>", "text/plain"), "memory address"),
    (form.check_outputs, lambda nb: output(nb, "1/3\r2/3\r"), "progress bar"),
    (form.check_outputs, lambda nb: output(nb, {}, "application/vnd.jupyter.widget-view+json"), "a widget"),
    (form.check_imports, lambda nb: code(nb, "import torch"), "imports torch"),
    (form.check_imports, lambda nb: code(nb, "from torch.nn import Module"), "imports torch"),
    (form.check_images, lambda nb: text(nb, "counting", "A ", "![](x.png) A "), "without alt text"),
    (form.check_images, lambda nb: text(nb, "counting", "A ", '<img src="x.png"> A '), "without alt text"),
    (form.check_images, lambda nb: text(nb, "counting", "A ", "![curves.png](x.png) A "), "'curves.png' does not say"),
    (form.check_images, lambda nb: text(nb, "counting", "A ", "![figure](x.png) A "), "'figure' does not say"),
    (form.check_figures, figure, "count shows a figure with no text beside it"),
    (form.check_figures, wide_figure, "figure of 849 pixels"),
    (form.check_metadata, lambda nb: nb.cells[4].metadata.update(tags=["raises-exception"]), "raises-exception"),
    (form.check_markers, lambda nb: code(nb, "# NBVAL_SKIP\n1 / 0"), "NBVAL_SKIP"),
    (form.check_markers, lambda nb: code(nb, "##  NBVAL_IGNORE_OUTPUT\n1"), "NBVAL_IGNORE_OUTPUT"),
    (form.check_markers, lambda nb: code(nb, "# PYTEST_VALIDATE_IGNORE_OUTPUT\n1"), "PYTEST_VALIDATE_IGNORE_OUTPUT"),
    (form.check_markers, lambda nb: code(nb, "x.shape  # NBVAL_CHECK_OUTPUT"), "nbval overlooks"),
    (form.check_unseen, lambda nb: code(nb, "# nothing"), "count is empty"),
    (form.check_unseen, lambda nb: code(nb, "!false"), "runs '!false'"),
    (form.check_unseen, lambda nb: code(nb, "%%bash\nfalse"), "runs '%%bash'"),
    (form.check_unseen, lambda nb: code(nb, "import os\nos.system('false')"), "uses os.system"),
    (form.check_unseen, lambda nb: code(nb, "from threading import Thread"), "starts threads"),
    (form.check_unseen, lambda nb: code(nb, "exit()"), "uses exit"),
    (form.check_unseen, lambda nb: code(nb, "raise SystemExit"), "uses SystemExit"),
    (form.check_markers, lambda nb: nb.cells[4].update(source=form.CHECKED, outputs=[]), "no saved output"),
]


BROKEN_EXERCISES = [
    (lambda nb: nb.cells.remove(parts.find_cell(nb, "exercise-2-text")), "exercise 2 lacks one of the cells"),
    (lambda nb: nb.cells.remove(parts.find_cell(nb, "exercise-2-check")), "exercise 2 lacks one of the cells"),
    (lambda nb: parts.find_cell(nb, "exercise-2").update(id="exercise-3"), "exercise 3 lacks one of the cells"),
    (lambda nb: [cell.update(id=cell.id.replace("exercise-2", "exercise-4")) for cell in nb.cells], "a number missing"),
    (lambda nb: text(nb, "exercise-1-text", "Exercise 1", "Task 1"), "does not begin with the heading"),
    (lambda nb: text(nb, "exercise-1-check", "NBVAL_CHECK_OUTPUT", "run"), "does not begin with # NBVAL"),
    (lambda nb: text(nb, "exercise-1-check", "01.1", "02.1"), 'call check("01.1", …)'),
    (lambda nb: parts.find_cell(nb, "exercise-1-check").outputs[0].update(text="Exercise 01.1: ✅"), "the answer"),
    (lambda nb: nb.metadata.tutorial.pop("minutes"), "saved the answer"),  # solutions that are not right
]


@pytest.mark.parametrize(("damage", "message"), BROKEN_EXERCISES)
def test_a_broken_exercise_is_found(good, damage, message):
    damage(tiny.add_exercises(good))
    assert message in " ".join(form.check_exercises(good))


@pytest.mark.parametrize(("check", "damage", "message"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_notebook_is_found(good, check, damage, message):
    damage(good)
    assert message in " ".join(check(good))


def test_every_check_is_tested_on_a_broken_notebook():
    assert {check for check, _, _ in BROKEN} | {form.check_exercises} == set(CHECKS)


@pytest.mark.parametrize(
    "source",
    [
        "axis.set_title(plotting.title('One'))",
        "axis.set_title(name)",
        "axis.legend(title='class')",
        "import numpy, PIL, sklearn, skimage, keras, utils.data, json",
        "%matplotlib inline\n1",
        "# NBVAL_CHECK_OUTPUT\n1",
    ],
)
def test_code_that_is_fine_passes(good, source):
    code(good, source)
    assert [finding for check in CHECKS for finding in check(good)] == []


def test_a_cell_may_say_which_code_it_shows_and_have_up_to_25_lines(good):
    code(good, "1\n" * 25)
    shows(good)
    long = [finding for finding in form.check_length(good) if "median" not in finding]
    assert form.check_metadata(good) + long == []


@pytest.mark.parametrize("place", ["before", "after", "after another figure"])
def test_a_figure_with_text_on_one_side_passes(good, place):
    figure(good)
    shown = parts.find_cell(good, "count")
    good.cells.insert(5 if place == "before" else 6, nbformat.v4.new_markdown_cell("What to see.", id="seen"))
    if place == "after another figure":
        good.cells.insert(6, nbformat.v4.new_code_cell("2", id="other", outputs=shown.outputs))
    assert form.check_figures(good) == []


@pytest.mark.parametrize(
    "shown",
    ["3,000 images/s", "https://github.com/a/b", "(32, 32, 3) and/or 1/2/3", "10:30", "TensorFlow 2.20.0", "<b>1</b>"],
)
def test_text_that_is_fine_passes(good, shown):
    output(good, shown)
    assert form.check_outputs(good) == []
