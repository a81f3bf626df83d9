"""What is wrong with the form of a notebook: each check takes a notebook and returns one line for each finding."""

import ast
import base64
import functools
import re
import statistics
import sys
from importlib.metadata import packages_distributions

import nbformat
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tools import links, parts, shown
from tests.tools.sync import PROJECT

OPENINGS = {
    "title": "# ",
    "objectives": "## What you will be able to do",
    "setup": "import os",
    "exercises": "## Exercises",
    "summary": "## What you learned",
    "navigation": "[",
}
MOST_LINES, MOST_LINES_SHOWN, MEDIAN_LINES = 20, 25, 8
CORE = {"words": (0, 1_610), "cells": (0, 70), "folded answers": (3, 5), "exercises": (0, 2)}
DEEPER = {"words": (0, 1_410), "cells": (0, 55), "folded answers": (1, 3), "exercises": (0, 2)}
LONGEST_LINE, WIDEST_FIGURE = 108, 848  # characters, pixels: what JupyterLab shows beside its side bar on a laptop
UNWANTED = {
    "an absolute path": r"(?<![\w/.:<>)\]+-])/[A-Za-z_][\w.-]*/[\w.-]|\b[A-Za-z]:\\\w",
    "a warning": r"\w*Warning\b|WARNING|^[WE]\d{4} |^[WE]0000 ",
    "a date or time": r"\b20\d\d-[01]\d-[0-3]\d\b|\b\d\d:\d\d:\d\d\b|\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} +\d",
    "a memory address": r"\bat 0x[0-9a-f]{6,}",
    "a progress bar": r"[\r\x08]",
}
FILE_NAME = re.compile(r"\.(png|jpe?g|gif|svg|webp)\b", re.IGNORECASE)
MARKER = re.compile(r"\b(NBVAL|PYTEST_VALIDATE)_\w+")
CHECKED = "# NBVAL_CHECK_OUTPUT"
IPYTHON_LINE = re.compile(r"^[ \t]*[%!].*$", re.MULTILINE)
UNSEEN = {"exit", "quit", "sys.exit", "SystemExit", "os._exit", "os.abort", "os.system", "os.popen", "get_ipython"}


def code_cells(nb):
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def outputs(nb):
    """Pairs of cell id and output."""
    return [(cell.id, output) for cell in code_cells(nb) for output in cell.outputs]


def texts(nb):
    """Everything a reader can read in the outputs: pairs of cell id and text."""
    for identifier, output in outputs(nb):
        data = {"text/": output.get("text", ""), **output.get("data", {})}
        for text in (value for kind, value in data.items() if kind.startswith("text/")):
            yield identifier, re.sub(r"data:[\w/+-]+;base64,[\w+/=]+", "", text)


def nodes(nb):
    """Pairs of cell id and node of its syntax tree; a line of IPython's own (`%`, `!`) counts as empty."""
    for cell in code_cells(nb):
        tree = ast.parse(re.sub(IPYTHON_LINE, "", cell.source))
        yield from ((cell.id, node) for node in ast.walk(tree))


def imported(nb):
    """Pairs of cell id and top-level name of every module that a notebook imports, sorted."""
    found = set()
    for identifier, node in nodes(nb):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or "."] if isinstance(node, ast.ImportFrom) else []
        found |= {(identifier, module.split(".")[0]) for module in modules}
    return sorted(found)


def check_format(nb):
    """Format 4.5, with a readable id of its own for each cell."""
    found = [] if (nb.nbformat, nb.nbformat_minor) == (4, 5) else [f"format {nb.nbformat}.{nb.nbformat_minor}, not 4.5"]
    names = [cell.get("id", "") for cell in nb.cells]
    found += [f"cell {n} has no id" for n, name in enumerate(names, 1) if not name]
    found += [f"id {name} used twice" for name in sorted(set(names)) if name and names.count(name) > 1]
    found += [f"id {name} is not a readable name" for name in names if not re.fullmatch(r"([a-z][a-z0-9-]+)?", name)]
    try:
        return found or nbformat.validate(nb) or []
    except nbformat.ValidationError as error:
        return [f"not valid: {error.message[:200]}"]


def check_metadata(nb):
    """Those of `make sync`; in cells no tags or traces of editors, timings or widgets, but the name of shown code."""
    as_synced = "tutorial" in nb.metadata and nb.metadata == parts.metadata(nb.metadata.tutorial)
    found = [] if as_synced else ["the metadata differ from what make sync writes"]
    for cell in nb.cells:
        name = shown.named(cell) if cell.cell_type == "code" else None
        if cell.metadata != ({"tutorial": {"shows": name}} if name else {}):
            found.append(f"{cell.id}: metadata {dict(cell.metadata)}")
    return found


def check_sections(nb):
    """The fixed cells in their order, and the numbered sections between set-up and exercises."""
    cells = {cell.id: cell for cell in nb.cells}
    wanted = [name for name in OPENINGS if name != "exercises" or name in cells]
    found = [f"no cell {name}" for name in wanted if name not in cells]
    if found:
        return found
    order = [cell.id for cell in nb.cells if cell.id in OPENINGS]
    if order != wanted or nb.cells[0].id != "title" or nb.cells[-1].id != "navigation":
        return [f"fixed cells in the order {order}, not {wanted}"]
    found = [f"{n} does not begin with {OPENINGS[n]!r}" for n in wanted if not cells[n].source.startswith(OPENINGS[n])]
    start, end = nb.cells.index(cells["setup"]), nb.cells.index(cells[wanted[3]])
    sections = headings(nb.cells[start:end])
    if not sections or any(not name.startswith(f"{n}. ") for n, name in enumerate(sections, 1)):
        found.append(f"sections not numbered 1, 2, …: {sections}")
    others = [name for name in headings(nb.cells[:start] + nb.cells[end:]) if f"## {name}" not in OPENINGS.values()]
    return found + [f"section {name!r} at an unexpected place" for name in others]


def headings(cells):
    """The headings of sections in these cells, in order."""
    pages = [links.parse(cell.source) for cell in cells if cell.cell_type == "markdown"]
    return [heading.get_text() for page in pages for heading in page.find_all("h2")]


def check_size(nb):
    """As much as one reads in one sitting, with questions and exercises; less in a deeper notebook."""
    counted = {
        "words": count_words(nb),
        "cells": len(nb.cells),
        "folded answers": sum(cell.source.count("<details") for cell in nb.cells if cell.cell_type == "markdown"),
        "exercises": len(exercise_numbers(nb)),
    }
    limits = DEEPER if " deeper · " in nb.cells[0].source.split("\n")[0] else CORE
    return [
        f"{count} {what}, not {limits[what][0]} to {limits[what][1]:,}"
        for what, count in counted.items()
        if not limits[what][0] <= count <= limits[what][1]
    ]


def count_words(nb):
    """Words of all texts but the generated ones at both ends, which grow with the names of other notebooks."""
    markdown = [cell.source for cell in nb.cells[1:-1] if cell.cell_type == "markdown"]
    return len(re.sub(r"<[^>]+>", " ", "\n".join(markdown)).split())


def check_length(nb):
    """Code cells that fit on a screen, most of them much shorter, and lines that need no scrolling."""
    found, lengths = [], [0]
    for cell in code_cells(nb):
        lines, most = cell.source.splitlines(), MOST_LINES_SHOWN if shown.named(cell) else MOST_LINES
        lengths += [len(lines)] * (cell.id != "setup")
        found += [f"{cell.id} has {len(lines)} lines, more than {most}"] * (len(lines) > most)
        found += [f"{cell.id} has a line of {len(x)}, more than {LONGEST_LINE}" for x in lines if len(x) > LONGEST_LINE]
    median = statistics.median(lengths[1:] or lengths)
    return found + [f"median cell of {median:.0f} lines, more than {MEDIAN_LINES}"] * (median > MEDIAN_LINES)


def check_executed(nb):
    """Saved outputs of one run from top to bottom, without an error and with nothing on stderr."""
    counts = [cell.execution_count for cell in code_cells(nb)]
    remedy = "run it whole by `make publish ONLY=` with the beginning of its name"
    expected = list(range(1, len(counts) + 1))
    found = [] if counts == expected else [f"execution counts {counts}, not 1 to {len(counts)}: {remedy}"]
    count = {cell.id: cell.execution_count for cell in code_cells(nb)}
    for name, output in outputs(nb):
        found += [f"{name} failed"] * (output.output_type == "error")
        found += [f"{name} wrote to stderr"] * (output.get("name") == "stderr")
        found += [f"{name} has the output of another run"] * (output.get("execution_count", count[name]) != count[name])
    silent = [cell for cell in code_cells(nb) if not cell.outputs]
    lost = [cell.id for cell in silent if re.search(r"^print\(", cell.source, re.MULTILINE)]
    return found + [f"{name} prints, and has no output: {remedy}" for name in lost]


def check_outputs(nb):
    """Nothing in the saved outputs that belongs to one machine, one moment, or a running kernel."""
    found = [
        f"{identifier} shows {what}: {match[0]!r}"
        for identifier, text in texts(nb)
        for what, pattern in UNWANTED.items()
        if (match := re.search(pattern, text, re.MULTILINE))
    ]
    kinds = [(name, kind) for name, output in outputs(nb) for kind in output.get("data", {})]
    return found + [f"{name} shows a widget" for name, kind in kinds if "widget" in kind]


@functools.cache
def known_modules():
    """The standard library, `utils`, and what requirements.txt installs."""
    lines = (PROJECT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    required = {canonicalize_name(Requirement(line).name) for line in lines if line and not line.startswith("#")}
    found = packages_distributions().items()
    installed = {name for name, dists in found if {*map(canonicalize_name, dists)} & required}
    return {*sys.stdlib_module_names, "utils", "models", "notebooks"} | installed


def check_imports(nb):
    """Nothing but `known_modules`."""
    found = [(cell, name) for cell, name in imported(nb) if name not in known_modules()]
    return [f"{cell} imports {name}, which requirements.txt lacks" for cell, name in found]


def check_images(nb):
    """Every image in a text says in words what it shows."""
    texts = [cell for cell in nb.cells if cell.cell_type == "markdown"]
    return [f"{cell.id} has {finding}" for cell in texts for finding in without_alt_text(cell.source)]


def without_alt_text(markdown):
    """What is wrong with the alt texts of the images in a text: no text, a single word, or the name of a file."""
    texts = [image.get("alt", "").strip() for image in links.parse(markdown).find_all("img")]
    lacking = [alt for alt in texts if len(alt.split()) < 2 or FILE_NAME.search(alt)]
    return ["an image without alt text" + (f": {alt!r} does not say what it shows" if alt else "") for alt in lacking]


def check_figures(nb):
    """Each figure fits; beside it, or its row of figures, stands a text: before it, or after it in the same section."""
    wide = [(cell.id, n) for cell in nb.cells for n in map(width, figures(cell)) if n > WIDEST_FIGURE]
    found = [f"{name} shows a figure of {n} pixels, more than {WIDEST_FIGURE}" for name, n in wide]
    shows = [bool(figures(cell)) for cell in nb.cells]
    for place in (n for n, figure in enumerate(shows) if figure and not shows[n - 1]):
        end = next(n for n, figure in enumerate([*shows, False]) if n > place and not figure)
        before, after = nb.cells[place - 1], nb.cells[end : end + 1]
        beside = [cell for cell in after if cell.cell_type == "markdown" and not cell.source.startswith("## ")]
        if before.cell_type != "markdown" and not beside:
            found.append(f"{nb.cells[place].id} shows a figure with no text beside it")
    return found


def figures(cell):
    """The PNG figures in the outputs of a cell, in base64."""
    shown = [output.get("data", {}) for output in cell.get("outputs", [])]
    return [data["image/png"] for data in shown if "image/png" in data]


def width(png):
    """Pixels in a row of a PNG figure in base64, from its header."""
    return int.from_bytes(base64.b64decode(png[:32])[16:20], "big")


def check_markers(nb):
    """nbval's one marker that hides nothing, on a line of its own as nbval wants it, in cells with a saved output."""
    found = []
    for cell in code_cells(nb):
        lines = [line.strip() for line in cell.source.splitlines() if MARKER.search(line)]
        found += [f"{cell.id}: nbval overlooks {line!r}, or fails to compare" for line in lines if line != CHECKED]
        if CHECKED in lines and not cell.outputs:
            found.append(f"{cell.id}: nbval has no saved output to compare with")
    return found


def check_unseen(nb):
    """Nothing that can fail without nbval, or a reader who runs all cells, seeing it."""
    found = [f"{cell.id} is empty" for cell in code_cells(nb) if not re.sub(r"#.*", "", cell.source).strip()]
    for cell in code_cells(nb):
        lines = [line.strip() for line in re.findall(IPYTHON_LINE, cell.source)]
        found += [f"{cell.id} runs {line!r}" for line in lines if not line.startswith("%matplotlib ")]
    for identifier, node in nodes(nb):
        name = ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""
        found += [f"{identifier} uses {name}"] * (name in UNSEEN and identifier != "setup")
    threads = [cell for cell, name in imported(nb) if name in ("threading", "_thread")]
    return found + [f"{cell} starts threads, whose errors stay in them" for cell in threads]


def check_exercises(nb):
    """Each exercise, in order: task, code, and a check whose saved answer is ✅ in solutions and nowhere else."""
    solved = "minutes" not in nb.metadata.get("tutorial", {})
    cells = {cell.id: cell for cell in nb.cells if cell.get("id", "").startswith("exercise-")}
    numbers = exercise_numbers(nb)
    found = [] if numbers == list(range(min(numbers, default=1), max(numbers, default=0) + 1)) else ["a number missing"]
    for n in numbers:
        wanted = [f"exercise-{n}-text", f"exercise-{n}", f"exercise-{n}-check"]
        if [name for name in cells if name in wanted] != wanted:
            found.append(f"exercise {n} lacks one of the cells {', '.join(wanted)}, or they are in another order")
            continue
        task, _, check = (cells[name] for name in wanted)
        if not re.match(rf"###? Exercise {n}: \S", task.source):
            found.append(f"{task.id} does not begin with the heading 'Exercise {n}: …'")
        marked, call = check.source.startswith(f"{CHECKED}\n"), f'check("{nb.cells[0].source[2:4]}.{n}", '
        if not marked or call not in check.source:
            found.append(f"{check.id} does not begin with {CHECKED} and call {call}…)")
        answer = "".join(output.get("text", "") for output in check.outputs)
        if not answer.startswith("Exercise") or ("✅" in answer) != solved:
            found.append(f"{check.id} has saved the answer {answer!r}")
    return found


def exercise_numbers(nb):
    """The numbers of a notebook's exercises, by the ids of their cells."""
    names = [re.match(r"exercise-(\d+)", cell.get("id", "")) for cell in nb.cells]
    return sorted({int(name[1]) for name in names if name})


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]
SOLUTIONS_CHECKS = [check for check in CHECKS if check not in (check_sections, check_size)]
BEFORE_A_RUN = (check_format, check_length, check_imports, check_unseen)  # what to mend means to run it again
