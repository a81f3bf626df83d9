"""What is wrong with the form of a notebook: each check takes a notebook and returns one line for each finding."""

import ast
import base64
import re
import statistics
import sys
from importlib.metadata import packages_distributions

import nbformat

from tests.tools import links, parts, shown
from tests.tools.sync import PROJECT

OPENINGS = {
    "title": "# ",
    "objectives": "## What you will be able to do",
    "setup": "import os",
    "check-yourself": "## Check yourself",
    "exercises": "## Exercises",
    "summary": "## What you learned",
    "navigation": "[",
}
MOST_LINES, MOST_LINES_SHOWN, MEDIAN_LINES = 20, 25, 8
LONGEST_LINE, WIDEST_FIGURE = 108, 848  # characters, pixels: what JupyterLab shows beside its side bar on a laptop
UNWANTED = {
    "an absolute path": r"(?<![\w/.:<>)\]+-])/[A-Za-z_][\w.-]*/[\w.-]|\b[A-Za-z]:\\\w",
    "a warning": r"\w*Warning\b|WARNING|^[WE]\d{4} |^[WE]0000 ",
    "a date or time": r"\b20\d\d-[01]\d-[0-3]\d\b|\b\d\d:\d\d:\d\d\b|\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} +\d",
    "a memory address": r"\bat 0x[0-9a-f]{6,}",
    "a progress bar": r"[\r\x08]",
}
IMAGE = re.compile(r"!\[([^]]*)\]\([^)]*\)|<img\b([^>]*)>")
FILE_NAME = re.compile(r"\.(png|jpe?g|gif|svg|webp)\b", re.IGNORECASE)
MARKER = re.compile(r"\b(NBVAL|PYTEST_VALIDATE)_\w+")
CHECKED = "# NBVAL_CHECK_OUTPUT"
IPYTHON_LINE = re.compile(r"^[ \t]*[%!].*$", re.MULTILINE)
UNSEEN = {"exit", "quit", "sys.exit", "SystemExit", "os._exit", "os.abort", "os.system", "os.popen", "get_ipython"}


def code_cells(nb):
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def texts(nb):
    """Everything a reader can read in the outputs: pairs of cell id and text."""
    for cell in code_cells(nb):
        for output in cell.outputs:
            data = output.get("data", {})
            shown = [value for kind, value in data.items() if kind.startswith("text/")]
            for text in [output.get("text", ""), *shown]:
                yield cell.id, re.sub(r"data:[\w/+-]+;base64,[\w+/=]+", "", text)


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
    found = [] if (nb.nbformat, nb.nbformat_minor) == (4, 5) else [f"format {nb.nbformat}.{nb.nbformat_minor}, not 4.5"]
    identifiers = [cell.get("id") for cell in nb.cells]
    found += [f"cell {n} has no id" for n, identifier in enumerate(identifiers, 1) if not identifier]
    found += [f"id {i} used twice" for i in sorted({i for i in identifiers if i and identifiers.count(i) > 1})]
    found += [f"id {i} is not a readable name" for i in identifiers if i and not re.fullmatch(r"[a-z][a-z0-9-]+", i)]
    try:
        return found or nbformat.validate(nb) or []
    except nbformat.ValidationError as error:
        return [f"not valid: {error.message[:200]}"]


def check_metadata(nb):
    """Kernel with its language, Colab's runtime, and no tags or traces of editors, timings or widgets in cells.

    A code cell may name the function or class of the series that it shows.
    """
    found = []
    for cell in nb.cells:
        name = shown.named(cell) if cell.cell_type == "code" else None
        if cell.metadata != ({"tutorial": {"shows": name}} if name else {}):
            found.append(f"{cell.id}: metadata {dict(cell.metadata)}")
    as_synced = "tutorial" in nb.metadata and nb.metadata == parts.metadata(nb.metadata.tutorial)
    return found if as_synced else ["the metadata differ from what make sync writes", *found]


def check_sections(nb):
    """The fixed cells in their order, and the numbered sections between set-up and questions."""
    cells = {cell.id: cell for cell in nb.cells}
    wanted = [name for name in OPENINGS if name != "exercises" or name in cells]
    found = [f"no cell {name}" for name in wanted if name not in cells]
    if found:
        return found
    order = [cell.id for cell in nb.cells if cell.id in OPENINGS]
    if order != wanted or nb.cells[0].id != "title" or nb.cells[-1].id != "navigation":
        return [f"fixed cells in the order {order}, not {wanted}"]
    found = [f"{n} does not begin with {OPENINGS[n]!r}" for n in wanted if not cells[n].source.startswith(OPENINGS[n])]
    questions = cells["check-yourself"].source.count("<details")
    found += [] if 3 <= questions <= 5 else [f"{questions} folded answers, not 3 to 5"]
    start, end = nb.cells.index(cells["setup"]), nb.cells.index(cells["check-yourself"])
    sections = headings(nb.cells[start:end])
    if not sections or any(not name.startswith(f"## {n}. ") for n, name in enumerate(sections, 1)):
        found.append(f"sections not numbered 1, 2, …: {sections}")
    others = headings(nb.cells[:start] + nb.cells[end:])
    return found + [f"section {name!r} at an unexpected place" for name in others if name not in OPENINGS.values()]


def headings(cells):
    """The headings of sections in these cells, in order."""
    return [line for cell in cells for line in re.findall(r"^## .*$", without_code(cell), re.MULTILINE)]


def without_code(cell):
    """The markdown of a cell without its code blocks; nothing of a code cell."""
    return links.FENCED.sub("", cell.source) if cell.cell_type == "markdown" else ""


def check_length(nb):
    """Code cells that fit on a screen, most of them much shorter, and lines that need no scrolling."""
    lengths = {cell.id: len(cell.source.splitlines()) for cell in code_cells(nb)}
    most = {cell.id: MOST_LINES_SHOWN if shown.named(cell) else MOST_LINES for cell in code_cells(nb)}
    found = [f"{name} has {n} lines, more than {most[name]}" for name, n in lengths.items() if n > most[name]]
    longest = {cell.id: max(map(len, cell.source.splitlines()), default=0) for cell in code_cells(nb)}
    found += [f"{c} has a line of {n}, more than {LONGEST_LINE}" for c, n in longest.items() if n > LONGEST_LINE]
    median = statistics.median([n for name, n in lengths.items() if name != "setup"] or [0])
    return found + ([f"median cell of {median:.0f} lines, more than {MEDIAN_LINES}"] if median > MEDIAN_LINES else [])


def check_executed(nb):
    """Saved outputs of one run from top to bottom, without an error and with nothing on stderr."""
    counts = [cell.execution_count for cell in code_cells(nb)]
    found = [] if counts == list(range(1, len(counts) + 1)) else [f"execution counts {counts}, not 1 to {len(counts)}"]
    for cell in code_cells(nb):
        found += [f"{cell.id} failed" for output in cell.outputs if output.output_type == "error"]
        found += [f"{cell.id} wrote to stderr" for output in cell.outputs if output.get("name") == "stderr"]
        numbers = {output.get("execution_count", cell.execution_count) for output in cell.outputs}
        found += [f"{cell.id} has the output of another run"] * bool(numbers - {cell.execution_count})
    return found


def check_outputs(nb):
    """Nothing in the saved outputs that belongs to one machine, one moment, or a running kernel."""
    found = [
        f"{identifier} shows {what}: {match[0]!r}"
        for identifier, text in texts(nb)
        for what, pattern in UNWANTED.items()
        if (match := re.search(pattern, text, re.MULTILINE))
    ]
    kinds = [(cell.id, kind) for cell in code_cells(nb) for output in cell.outputs for kind in output.get("data", {})]
    return found + [f"{identifier} shows a widget" for identifier, kind in kinds if "widget" in kind]


def check_imports(nb):
    """Only the standard library, `utils`, and what requirements.txt installs."""
    lines = (PROJECT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    required = {normal(line) for line in lines if line and not line.startswith("#")}
    known = {*sys.stdlib_module_names, "utils", "models", "notebooks"}
    known |= {name for name, dists in packages_distributions().items() if {normal(dist) for dist in dists} & required}
    return [f"{cell} imports {name}, which requirements.txt lacks" for cell, name in imported(nb) if name not in known]


def normal(requirement):
    """Name of the package in a requirement, as PyPI compares names."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def check_images(nb):
    """Every image in a text says in words what it shows."""
    return [f"{cell.id} has {finding}" for cell in nb.cells for finding in without_alt_text(without_code(cell))]


def without_alt_text(markdown):
    """What is wrong with the alt texts of the images in a text: no text, a single word, or the name of a file."""
    found = []
    for markdown_alt, attributes in IMAGE.findall(links.INLINE_CODE.sub("", markdown)):
        named = re.search(r'\balt="([^"]*)"', attributes)
        alt = named[1].strip() if named else markdown_alt.strip()
        if len(alt.split()) < 2 or FILE_NAME.search(alt):
            found.append("an image without alt text" + (f": {alt!r} does not say what it shows" if alt else ""))
    return found


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
    found = [] if len(numbers) in (0, 2, 3, 4) else [f"{len(numbers)} exercises, not 2 to 4"]
    found += [] if numbers == list(range(1, len(numbers) + 1)) else [f"exercises numbered {numbers}"]
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
SOLUTIONS_CHECKS = [check for check in CHECKS if check is not check_sections]
