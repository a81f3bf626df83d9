"""A whole small project in a temporary folder: notebooks of the series' form, and a `utils` that costs nothing."""

import nbformat

from tests.tools import parts, sync

UTILS = {
    "machine": """
import os
class Profile: name = os.environ.get("TUTORIAL_PROFILE", "class")
def choose_profile(): return Profile()
def describe_machine(): return "2 CPU cores"
def find_accelerator(): return ""
def start():
    print(describe_machine())
    return choose_profile()
""",
    "data": """
import os
class Images:
    is_stand_in = os.environ.get("CIFAR10_SOURCE") == "synthetic"
    source = "synthetic stand-in, not CIFAR-10" if is_stand_in else "a made-up source"
def load_cifar10():
    if os.environ.get("CIFAR10_DIR"): raise ValueError("expected images, found none")
    return Images()
""",
}
QUESTION = "<details><summary>How many?</summary>\n\nTwo.\n\n</details>"


def notebook(number="01", title="Counting", code="print(1 + 1)", identifier="count"):
    """A notebook as an author writes it, with one section; not executed, its generated cells still to be filled.

    With a number such as "01 deeper" it is a deeper one.
    """
    glossary = "../glossary.md" if "deeper" in number else "glossary.md"
    code_cell, text = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    cells = [
        text(f"# {number} · {title}", id="title"),
        text("## What you will be able to do\n\n- count", id="objectives"),
        code_cell("", id="setup"),
        text(f"## 1. Counting\n\nA [number]({glossary}#number) is shown.\n\n{QUESTION * 3}", id="counting"),
        code_cell(code, id=identifier),
        text("## What you learned\n\nTo count.", id="summary"),
        text("", id="navigation"),
    ]
    tutorial = {"summary": f"{title} a little", "runtime": "CPU", "learner_minutes": 5}
    tutorial["minutes"] = {"class": None, "full": None}
    return nbformat.v4.new_notebook(cells=cells, metadata=parts.metadata(tutorial))


def add_exercises(nb, answer="not yet. Count on.", count=2):
    """Put an exercises section with `count` exercises into an executed notebook; `answer` is what their checks said."""
    place = next(n for n, cell in enumerate(nb.cells) if cell.id == "summary")
    cells = [nbformat.v4.new_markdown_cell("## Exercises\n\nChange the code.", id="exercises")]
    for n in range(1, count + 1):
        check = f'# NBVAL_CHECK_OUTPUT\ncheck("{nb.cells[0].source[2:4]}.{n}", answer)'
        said = nbformat.v4.new_output("stream", name="stdout", text=f"Exercise 01.{n}: {answer}\n")
        cells += [
            nbformat.v4.new_markdown_cell(f"### Exercise {n}: Count on\n\nCount to three.", id=f"exercise-{n}-text"),
            nbformat.v4.new_code_cell("answer = 2", id=f"exercise-{n}", execution_count=2 * n + 1),
            nbformat.v4.new_code_cell(check, id=f"exercise-{n}-check", execution_count=2 * n + 2, outputs=[said]),
        ]
    nb.cells[place:place] = cells
    return nb


def solutions(*code):
    """A notebook of solutions as an author writes it, with these code cells."""
    cells = [nbformat.v4.new_code_cell(source, id=f"solution-{n}") for n, source in enumerate(code, 1)]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("", id="title"), *cells])


def executed(nb):
    """The same notebook with outputs as a run without error leaves them."""
    for number, cell in enumerate((cell for cell in nb.cells if cell.cell_type == "code"), 1):
        cell.execution_count = number
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text="2\n")]
    return nb


def project(root, *notebooks):
    """Write a project with these notebooks into the folder `root` and bring its generated parts up to date."""
    write_utils(root)
    write(root / "utils" / "tutorial.mplstyle", "")
    write(root / "pyproject.toml", '[tool.tutorial]\nrepository = "OWNER/REPO"\nbranch = "main"\n')
    generated = ("badges", "series", "results", "benchmarks")
    markers = [f"<!-- {name}:{end} -->" for name in generated for end in ("start", "end")]
    write(root / "README.md", "\n".join(markers))
    write(root / "models" / "README.md", "<!-- published:start --><!-- published:end -->")
    write(root / "notebooks" / "glossary.md", "# Glossary\n\n## Number\n\nWhat one counts with.\n")
    for nb in notebooks:
        heading = nb.cells[0].source.split("\n")[0].removeprefix("# ")
        name = heading.replace(" · ", "_").replace(" ", "_").lower()
        name = f"deeper/{name.replace('_deeper', '')}" if "_deeper_" in name else name
        write(root / "notebooks" / f"{name}.ipynb", sync.notebook_text(nb))
    sync.write(root)
    return root


def write_utils(root):
    """Write those modules, which need no TensorFlow, into the project in the folder `root`."""
    for name, text in UTILS.items():
        write(root / "utils" / f"{name}.py", text)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
