"""Colours can be told apart and read by everybody, and no figure says anything by colour alone."""

import ast
import itertools
import re

import matplotlib
import matplotlib.text
import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient

from tests import test_plotting
from tests.colours import VISION, contrast, difference
from tests.tools import form, pages, sync

matplotlib.use("Agg")

from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.collections import QuadMesh  # noqa: E402

from utils import plotting  # noqa: E402

PALETTE = {name: getattr(plotting, name) for name in ("BLUE", "VERMILLION", "GREEN", "GREY")}
READABLE = 4.5  # Web Content Accessibility Guidelines 2.1, success criterion 1.4.3
DISTINCT = 10  # CIEDE2000; the least that can be noticed side by side is about 1


@pytest.fixture
def figures():
    with matplotlib.rc_context({"figure.max_open_warning": 0}):
        matplotlib.style.use(test_plotting.STYLE)
        with plt.rc_context(test_plotting.MARKED):
            marked = next(test_plotting.every_figure())
        two = pd.DataFrame({"one": [1, 2], "another": [2, 1]})
        made = [*test_plotting.every_figure(), marked, two.plot().figure]
        for figure in made:
            figure.canvas.draw()
        yield made
    plt.close("all")


@pytest.mark.parametrize("vision", VISION)
def test_series_colours_differ_for_everybody(vision):
    for one, other in itertools.combinations(PALETTE.values(), 2):
        assert difference(one, other, vision) >= DISTINCT, (one, other)


def test_colours_that_some_people_confuse_are_found_and_contrast_is_that_of_the_guidelines():
    assert difference("#1b9e3a", "#c0651a") > 2 * DISTINCT > 2 * difference("#1b9e3a", "#a8791a", "deuteranopia")
    assert contrast("black", "white") == pytest.approx(21)
    assert contrast("#767676", "white") == pytest.approx(4.54, abs=0.01)


def test_every_text_of_every_figure_is_readable(figures):
    for figure in figures:
        for text in figure.findobj(matplotlib.text.Text):
            if text.get_visible() and text.get_text().strip():
                assert text.get_fontsize() >= plotting.SMALL, (figure, text.get_text())
                assert contrast(text.get_color(), background(text)) >= READABLE, (figure, text.get_text())


def background(text):
    """The colour behind a text: of its own box, of its cell in a heat map, or of its axes where it stands inside."""
    axis = text.axes
    if text.get_bbox_patch():
        return text.get_bbox_patch().get_facecolor()
    if axis is None or text not in axis.texts:
        return "white"
    cells = next((part for part in axis.collections if isinstance(part, QuadMesh)), None)
    if cells is None:
        return axis.get_facecolor()
    column, row = (int(place) for place in text.get_position())
    value = cells.get_array()[row, column]
    return axis.get_facecolor() if np.ma.is_masked(value) else cells.cmap(cells.norm(value))


def test_series_differ_by_more_than_their_colour(figures):
    several = 0
    for axis in (axis for figure in figures for axis in figure.axes):
        looks = [look_of(series) for series in (*axis.lines, *axis.containers) if series.get_label()[0] != "_"]
        several += len(looks) > 1
        assert len({look for look, _ in looks}) >= len({colour for _, colour in looks}), axis.get_title()
    assert several == 3  # both learning curves, and what pandas draws by itself


def look_of(series):
    """What remains of a series without its colour, and the colour."""
    if hasattr(series, "patches"):
        return f"bars {series.patches[0].get_hatch()}", series.patches[0].get_facecolor()
    return f"{series.get_linestyle()} {series.get_marker()}", matplotlib.colors.to_rgba(series.get_color())


MAPS = {"gray", "cividis", "Blues", "PuOr"}  # all of them rise or fall in lightness, or do so on either side of white
SHAPES = {"hatch", "linestyle", "linestyles", "ls", "marker", "markers", "style", "dashes", "fmt"}


def texts_in(tree):
    constants = (part.value for part in ast.walk(tree) if isinstance(part, ast.Constant))
    return [value for value in constants if isinstance(value, str)]


def findings(source):
    """What the figures of a cell say by a colour that was not checked above, or by colour alone."""
    tree = ast.parse(re.sub(r"^\s*[%!].*$", "", source, flags=re.MULTILINE))
    settings = [part for part in ast.walk(tree) if isinstance(part, ast.keyword) and part.arg]
    for setting in settings:
        if setting.arg == "cmap":
            yield from (f"the colour map {word}" for word in texts_in(setting.value) if word not in MAPS)
        elif "color" in setting.arg or setting.arg in ("c", "palette"):
            plain = ("white", "black", "none")
            yield from (f"the colour {word}" for word in texts_in(setting.value) if word not in plain)
    used = {part.attr for part in ast.walk(tree) if isinstance(part, ast.Attribute) and part.attr in PALETTE}
    formats = [text for text in texts_in(tree) if re.fullmatch(r"[osxv^D.]?(-|--|:|-\.)?", text) and text]
    if len(used) > 1 and not formats and not SHAPES & {setting.arg for setting in settings}:
        yield f"{', '.join(sorted(used))} without marks, lines or hatches that differ"


@pytest.mark.parametrize("path", sorted(sync.PROJECT.glob("notebooks/**/*.ipynb")), ids=lambda path: path.stem)
def test_figures_drawn_in_cells_keep_to_the_checked_colours_and_use_none_alone(path):
    for cell in form.code_cells(nbformat.read(path, 4)):
        assert list(findings(cell.source)) == [], cell.id


@pytest.mark.parametrize(
    "source, finding",
    [
        ("axes.plot(x, y, color='red')", "the colour red"),
        ("frame.plot(color=['#1b9e3a', plotting.BLUE])", "the colour #1b9e3a"),
        ("axes.imshow(x, cmap='jet')", "the colour map jet"),
        ("frame.plot(color=[plotting.BLUE, plotting.GREEN])", "BLUE, GREEN without"),
        ("frame.plot(color=[plotting.BLUE, plotting.GREEN], style=['-', '--'])", None),
        ("axes.plot(x, y, 's--', color=plotting.BLUE)\naxes.plot(x, y, 'o', color=plotting.GREY)", None),
    ],
)
def test_a_cell_that_relies_on_colour_is_found(source, finding):
    found = " ".join(findings(source))
    assert finding in found if finding else not found


CODE = """@property  # a comment
def f(x=1):
    return f"{x}" + os.sep if x >= 2.5 else print(x)"""


def test_code_and_prompts_of_the_pages_are_readable(tmp_path):
    cell = nbformat.v4.new_code_cell(CODE, execution_count=1)
    pages.write_page(nbformat.v4.new_notebook(cells=[cell]), "page", tmp_path, tmp_path)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    variables = dict(re.findall(r"(--[\w-]+): *([^;{}]+);", page))  # the last one counts
    rules = dict(re.findall(r"\.highlight \.(\w+) \{ color: var\((--[\w-]+)\)", page))
    used = {rules[kind] for kind in re.findall(r'<span class="(\w+)">', page) if kind in rules}
    assert len(used) >= 5
    behind = resolve("--jp-cell-editor-background", variables)
    for name in (*used, "--jp-cell-inprompt-font-color", "--jp-cell-outprompt-font-color"):
        assert contrast(resolve(name, variables), behind) >= READABLE, name


def resolve(name, variables):
    value = variables[name].strip()
    return resolve(value.removeprefix("var(").removesuffix(")"), variables) if value.startswith("var(") else value


LOAD = """import numpy as np
from utils import data, drawings
drawings.draw_cifar10_like = lambda n, seed: (np.zeros((n, 1, 1, 3), np.uint8), np.arange(n, dtype=np.int32) % 10)
data.load_cifar10("synthetic");"""


def test_pages_and_the_boxes_about_the_stand_in_are_readable(tmp_path, monkeypatch):
    monkeypatch.setenv("TUTORIAL_CACHE", str(tmp_path))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(LOAD)])
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(sync.PROJECT)}}).execute()
    warning = next(output.data["text/html"] for output in notebook.cells[0].outputs if "data" in output)
    notice = pages.stand_in_notice({"stand_in": True})
    boxes = [";".join(re.findall(r'style="([^"]*)"', box)) for box in (warning, notice)]
    for style in (*boxes, *re.findall(r"\{([^}]*)\}", pages.STYLE)):
        behind = re.search(r"background: ?(#\w+)", style)
        for colour in re.findall(r"(?<![\w-])color: ?(#\w+)", style):
            assert contrast(colour, behind[1] if behind else "white") >= READABLE, style
    assert all(box.count("color:#") == 2 for box in boxes)  # one in the outer part, one in the inner
