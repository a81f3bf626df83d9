"""The generated parts of the series as text: set-up cell, titles, navigation, badges, tables, metadata."""

import base64
import itertools
import json
import os
import re
import statistics
from dataclasses import dataclass, field, replace
from pathlib import Path

import nbformat
import numpy

HOSTS = {  # picture of the badge, and the address that opens the notebook {path} of a repository and its branch
    "Colab": (
        "https://colab.research.google.com/assets/colab-badge.svg",
        "https://colab.research.google.com/github/{repository}/blob/{branch}/{path}",
    ),
    "Kaggle": (
        "https://kaggle.com/static/images/open-in-kaggle.svg",
        "https://kaggle.com/kernels/welcome?src=https://github.com/{repository}/blob/{branch}/{path}",
    ),
    "Binder": (
        "https://mybinder.org/badge_logo.svg",
        "https://mybinder.org/v2/gh/{repository}/{branch}?labpath={path}",
    ),
    "Codespaces": ("https://github.com/codespaces/badge.svg", "https://codespaces.new/{repository}/tree/{branch}"),
}
ACCELERATORS = {"CPU": None, "GPU": "T4", "TPU": "V5E1"}  # runtime: the hardware that Colab is asked for
EXACT = 1_017  # test images of the JPEG re-encoded copy, the first ones, that have the official pixels
UNPUBLISHED = "OWNER/REPO"
FIGURES = {"notebooks/images/learning_curves.png": ("02", "curves")}  # shown in README.md: number of notebook, cell

SETUP = """\
import os
import sys

found = [p for p in (".", "..", "../..", "series") if os.path.exists(f"{p}/utils/tutorial.mplstyle")]
if not found and os.system("git clone --depth 1 https://github.com/OWNER/REPO series 2>&1"):
    raise OSError(f"No utils in {os.getcwd()}: start in the notebook's folder or online; remove 'series'.")
sys.path[:0], other = [os.path.abspath([*found, "series"][0])], sys.modules.pop("utils", None)
from utils import machine

profile = machine.start()"""

BADGE_PAGE = """\
<!-- written by `make sync`; changes made by hand are lost -->
# Open a notebook in Colab, Kaggle, Binder or Codespaces

A badge opens its notebook in Colab, which asks for the runtime in the third column; if you get another one, choose it \
under *Runtime > Change runtime type*. On a TPU, where Colab has no TensorFlow, only those notebooks run for which TPU \
stands here.

Minutes were measured on two CPU cores, not in Colab. A dash: not measured yet.

| Open | Notebook | Runtime | Minutes to run, class profile | Minutes to run, full profile | Elsewhere |
|---|---|---|--:|--:|---|
{rows}

*Elsewhere* opens the same notebook with other hosts. In Kaggle, turn on *Settings > Internet* before the first cell. \
Binder needs no account, builds for some minutes when nobody was there before, and has little memory and one or two \
slow cores: for looking and small trainings. The badge of Codespaces in the README opens the whole repository in a \
machine of GitHub's, with everything installed by `.devcontainer`. None of these three was tried, since this \
repository is not published yet.

## Badges of a fork

The badges lead to {repository}. To let them and the set-up cells lead to a fork, run `make sync REPO=owner/name` in \
it and commit what changed.
"""

RESULTS = {"02": ("interval", "fit-time")}  # quoted in README.md: number of notebook, cells whose printed lines count
TRAININGS = """\
Longer trainings, from their records in [models/runs](models/runs), made by \
`python models/train.py RECIPE --seed S --test`; mean ± standard deviation of n trainings:

| Recipe | Parameters | Epochs | Minutes | Hardware | Test accuracy | On the exact images | Test-time views | n |
|---|--:|--:|--:|---|--:|--:|--:|--:|"""
LONGEST_CELL, LONGEST_NOTEBOOK, CORE_NOTEBOOKS = 60, 6, 15  # seconds, minutes, minutes that a class waits


@dataclass(frozen=True)
class Entry:
    """What the generated parts say about one notebook, which is published in this branch of this repository."""

    path: Path
    name: str
    summary: str
    runtime: str
    minutes: dict
    repository: str
    branch: str
    slowest: dict = field(default_factory=dict)
    learner_minutes: int | None = None

    @property
    def number(self):
        return self.path.name[:2]

    @property
    def is_core(self):
        return self.path.parent.name != "deeper"

    @property
    def idea(self):
        """The name without the number."""
        return self.name.partition(" · ")[2]

    @property
    def root(self):
        return next(folder for folder in self.path.parents if folder.name == "notebooks").parent

    def address(self, host):
        """What opens the notebook with one of `HOSTS`."""
        path = self.path.relative_to(self.root).as_posix()
        return HOSTS[host][1].format(repository=self.repository, branch=self.branch, path=path)

    def link(self, folder, shown=None):
        """A link to the notebook in a text of this folder, where its name or what is `shown` can be clicked on."""
        return f"[{shown or self.name}]({Path(os.path.relpath(self.path, folder)).as_posix()})"


def read_notebook(path):
    """A notebook as nbformat's nodes, with nothing repaired or added."""
    return nbformat.reader.reads(path.read_text(encoding="utf-8"))


def find_cell(notebook, identifier):
    """The cell with this id, or None."""
    return next((cell for cell in notebook.cells if cell.get("id") == identifier), None)


def read_entry(path, repository, branch):
    """The entry of the notebook at `path`, in a series that is published in this branch of `repository`, owner/name."""
    notebook, number = read_notebook(path), path.name[:2] + (" deeper" if path.parent.name == "deeper" else "")
    cell = find_cell(notebook, "title")
    title, facts = cell.source.split("\n")[0] if cell else "", notebook.metadata.get("tutorial", {})
    complete = all(map(facts.get, ("summary", "learner_minutes"))) and {*facts.get("minutes", {})} == {"class", "full"}
    if not complete or facts.get("runtime") not in ACCELERATORS or not re.fullmatch(rf"# {number} · \S.*", title):
        raise ValueError(
            f"{path.name}: expected a cell `title` beginning with `# {number} · `, and metadata.tutorial with summary, "
            f"learner_minutes, runtime ({', '.join(ACCELERATORS)}) and minutes (class, full); found {title!r}, and "
            f"{json.dumps(facts)}."
        )
    described = title.removeprefix("# "), facts.summary, facts.runtime, facts.minutes
    return Entry(path, *described, repository, branch, facts.get("slowest", {}), facts.learner_minutes)


def core_of(entries):
    return [entry for entry in entries if entry.is_core]


def solutions_entry(entry):
    """The entry of the solutions that belong to the notebook of `entry`; the file need not be there."""
    path, summary = entry.path.parent / f"solutions/{entry.number}_solutions.ipynb", "One way to solve each exercise."
    return replace(entry, path=path, name=f"{entry.name}: solutions", summary=summary, minutes={})


def setup_cell(repository):
    """Source of the cell `setup`, which clones `repository` ("owner/name") where only the notebook was opened."""
    return SETUP.replace(UNPUBLISHED, repository)


def badge(entry, host="Colab"):
    """The badge that opens a notebook with one of `HOSTS`."""
    return f"[![Open {entry.name} in {host}]({HOSTS[host][0]})]({entry.address(host)})"


def minutes(entry):
    """Measured minutes in the class and the full profile as people say them; a dash where nobody has measured."""
    values = entry.minutes["class"], entry.minutes["full"]
    return ["–" if value is None else "under 1" if value < 1 else f"{value:.0f}" for value in values]


def row(*cells):
    """One row of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def navigation(entries, entry):
    """Links to the core notebooks before and after, the overview, and the deeper notebooks of the same number.

    Before a deeper notebook stands the core notebook that leads to it.
    """
    folder, core = entry.path.parent, core_of(entries)
    before = [e for e in core if e.number < entry.number or (e.number == entry.number and not entry.is_core)]
    after = [e for e in core if e.number > entry.number]
    links = [e.link(folder, f"← {e.name}") for e in before[-1:]]
    links.append(f"[All notebooks]({Path(os.path.relpath(entry.root / 'README.md', folder)).as_posix()})")
    links += [e.link(folder, f"{e.name} →") for e in after[:1]]
    deeper = [e.link(folder, e.idea) for e in entries if e.number == entry.number and not e.is_core and e != entry]
    return " | ".join(links) + (f"\n\nDeeper: {' | '.join(deeper)}" if deeper else "")


def title_cell(entries, entry):
    """Source of the cell `title`."""
    in_class, in_full = minutes(entry)
    return (
        f"# {entry.name}\n\n{badge(entry)}\n\n{navigation(entries, entry)}\n\n"
        f"Your minutes: about {entry.learner_minutes}. To run on two CPU cores: {in_class} (class profile), {in_full} "
        f"(full). Runtime in Colab: {entry.runtime}."
    )


def solutions_title(entry):
    """Source of the cell `title` in the solutions to the notebook of `entry`."""
    solutions = solutions_entry(entry)
    back = f"[← {entry.name}](../{entry.path.name}) | [All notebooks](../../README.md)"
    return f"# {solutions.name}\n\n{badge(solutions)}\n\n{back}"


def series_table(entries):
    """The overview in README.md."""
    rows = ["| Notebook | What it is about | Your minutes | To run, class profile | To run, full profile | Colab |"]
    rows += ["|---|---|--:|--:|--:|---|"]
    for entry in entries:
        name = entry.link(entry.root, None if entry.is_core else f"↳ {entry.idea}")
        rows.append(row(name, entry.summary, entry.learner_minutes, *minutes(entry), badge(entry)))
    machines = sorted({printed(entry, "setup").split("\n")[0] for entry in entries} - {""})
    return "\n".join([*rows, *([f"\nMinutes measured on {'; '.join(machines)}."] if machines else [])])


def outputs(entry, *identifiers):
    """What cells of a notebook left in the saved run."""
    notebook = read_notebook(entry.path)
    cells = [cell for name in identifiers if (cell := find_cell(notebook, name))]
    return [output for cell in cells for output in cell.outputs]


def printed(entry, *identifiers):
    """What they printed."""
    return "".join(output.get("text", "") for output in outputs(entry, *identifiers))


def figure(entry, identifier):
    """The picture that a cell left, as the bytes of a PNG file, or None."""
    data = [output.get("data", {}) for output in outputs(entry, identifier)]
    return next((base64.b64decode(found["image/png"]) for found in data if "image/png" in found), None)


def class_table(entries):
    """The minutes in TEACHING.md, as `make run RUN_ARGS=--record-minutes` measured them in the class profile."""
    rows = ["| Notebook | Minutes to run, class profile | Its slowest cell | In section | Seconds | Exercises |"]
    rows += ["|---|--:|---|---|--:|---|"]
    timed = [entry for entry in entries if entry.slowest and entry.minutes["class"] is not None]
    for entry in sorted(entries, key=lambda entry: not entry.is_core):
        took, *slowest = "–" * 4
        if entry in timed:
            took, cell, seconds = entry.minutes["class"], entry.slowest["cell"], entry.slowest["seconds"]
            section = "the start" if cell == "setup" else headings(entry, "##", cell)[-1].partition(".")[0]
            slowest = f"`{cell}`", section, seconds
        exercises = [heading.removeprefix("Exercise ") for heading in headings(entry, "###") if "Exercise" in heading]
        rows.append(row(entry.link(entry.root), took, *slowest, "; ".join(exercises) or "–"))
    rows.append(f"| the core notebooks together | {core_minutes(timed):.1f} | | | | |")
    measured_on = sorted({f"Measured on {entry.slowest['measured_on']}." for entry in timed})
    return "\n".join([*rows, "", " ".join(missed_limits(timed)), *measured_on])


def headings(entry, level, until=None):
    """The headings of this level, "##" or "###", in a notebook, or in what stands before its cell `until`."""
    cells = read_notebook(entry.path).cells
    before = itertools.takewhile(lambda cell: cell.get("id") != until, cells)
    texts = [cell.source for cell in before if cell.cell_type == "markdown"]
    return re.findall(rf"^{level} (.+)", "\n".join(texts), re.MULTILINE)


def core_minutes(timed):
    return sum(entry.minutes["class"] for entry in core_of(timed))


def missed_limits(timed):
    """One sentence for each limit that a lesson misses with these notebooks, or that all are kept."""
    found = []
    for entry in timed:
        cell, seconds, took = entry.slowest["cell"], entry.slowest["seconds"], entry.minutes["class"]
        if seconds > LONGEST_CELL:
            limit = f"{LONGEST_CELL} s a class should wait"
            found.append(f"Cell `{cell}` of {entry.name} took {seconds} s, more than the {limit}.")
        if took > LONGEST_NOTEBOOK:
            found.append(f"{entry.name} took {took:.1f} minutes, more than {LONGEST_NOTEBOOK}.")
    if core_minutes(timed) > CORE_NOTEBOOKS:
        found.append(f"The core notebooks took {core_minutes(timed):.1f} minutes, more than {CORE_NOTEBOOKS}.")
    kept = f"No cell took over {LONGEST_CELL} s, no notebook over {LONGEST_NOTEBOOK} minutes"
    return found or [f"{kept}, the core ones together under {CORE_NOTEBOOKS}."]


def results(entries):
    """The results in README.md: what the cells of `RESULTS` printed in the saved run."""
    quoted = []
    for entry in core_of(entries):
        if text := printed(entry, *RESULTS.get(entry.number, ())).strip():
            link = entry.link(entry.root)
            quoted.append(f"{link}, one training, as its saved run printed it:\n\n```text\n{text}\n```")
    return "\n\n".join(quoted)


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def conditions(record, hardware):
    """Under which conditions a record was made, as a sentence."""
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    return f"{versions}; {hardware}; measured on: {record['data_source']}."


def records(runs, name):
    """The paths of records of this name with any seed, as `models/train.py` calls them; others are copies."""
    paths = sorted(runs.glob(f"{name}-seed*.json"))
    return [path for path in paths if re.fullmatch(r".+-seed(0|[1-9][0-9]*)", path.stem)]


def trainings(runs):
    """The trainings in README.md that ended on the test images: one row a recipe, from the records in `runs`."""
    recipes, measured = {}, set()
    for path in records(runs, "*"):
        record = read_json(path)
        if "test_accuracy" in record:
            record["exact"] = exact_share(path, record)
            recipes.setdefault(path.stem.rpartition("-seed")[0], []).append(record)
            measured.add(conditions(record, "hardware as in the table"))
    rows = [training_row(name, records) for name, records in recipes.items()]
    return "\n".join([TRAININGS, *rows, "", *sorted(measured)]) if recipes else ""


def training_row(name, records):
    """One row of the table of trainings."""
    first = records[0]
    views = max(first["test_accuracy"], key=int)
    accuracy = percent([record["test_accuracy"][views] for record in records])
    exact = percent([record["exact"] for record in records if record["exact"] is not None])
    seconds = [record["seconds"] for record in records if "seconds" in record]
    minutes_each = f"{statistics.mean(seconds) / 60:.1f}" if seconds else "–"
    hardware = "; ".join(dict.fromkeys(record["hardware"] for record in records))
    what = (name, f"{first['parameters']:,}", first["epochs"], minutes_each, hardware)
    return row(*what, accuracy, exact, views, len(records))


def percent(shares):
    """The mean of several trainings in per cent, with its standard deviation where there are several."""
    spread = f" ± {100 * statistics.stdev(shares):.2f}" if len(shares) > 1 else ""
    return f"{100 * statistics.mean(shares):.2f}{spread}%" if shares else "–"


def exact_share(path, record):
    """The share of right answers on those test images of the copy that have the official pixels, or None."""
    logits = path.with_suffix(".npz")
    if "JPEG" not in record["data_source"] or not logits.exists():
        return None
    stored = numpy.load(logits)
    return float(numpy.mean((stored["test"].argmax(axis=1) == stored["test_labels"])[:EXACT]))


def published(runs):
    """The accuracies of the published network in models/README.md, from its record in `runs`."""
    path = runs / "published-seed0.json"
    if not path.exists():
        return "**The file is not here yet**: the command below makes it."
    record, images = read_json(path), len(numpy.load(path.with_suffix(".npz"))["test"])
    views = max(record["test_accuracy"], key=int)
    one, most = (f"{record['test_accuracy'][number]:.2%}" for number in ("1", views))
    lines = [
        f"**{most}** of the {images:,} test images right with {views} test-time views, {one} with one; "
        f"{record['validation_accuracy'][views]:.2%} of the validation images with {views} views. "
        f"Trained once, for {record['epochs']} epochs."
    ]
    if (exact := exact_share(path, record)) is not None:
        which = f"the first {EXACT:,} test images, whose pixels are exactly the official ones"
        lines.append(f"Of {which}, {exact:.1%} with {views} views.")
    return "\n".join([*lines, conditions(record, record["hardware"])])


def badge_page(entries, repository):
    """The whole of colab_badges.md: `repository` is the "owner/name" to which the badges lead."""
    rows = []
    for entry in entries:
        elsewhere = " ".join(f"[{host}]({entry.address(host)})" for host in ("Kaggle", "Binder"))
        rows.append(row(badge(entry), entry.name, entry.runtime, *minutes(entry), elsewhere))
    return BADGE_PAGE.format(rows="\n".join(rows), repository=repository)


def metadata(tutorial):
    """The metadata a notebook should have: ours, the runtime for Colab, and nothing that editors leave."""
    wanted = {
        "colab": {"provenance": []},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "tutorial": tutorial,
    }
    if hardware := ACCELERATORS[tutorial["runtime"]]:
        wanted |= {"accelerator": tutorial["runtime"], "colab": {"provenance": [], "gpuType": hardware}}
    return nbformat.from_dict(wanted)
