"""The generated parts of the series as text: set-up cell, titles, navigation, badges, tables, metadata."""

import base64
import json
import re
import statistics
from dataclasses import dataclass, field, replace
from pathlib import Path

import nbformat
import numpy

BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
ACCELERATORS = {"CPU": None, "GPU": "T4", "TPU": "V5E1"}  # runtime: the hardware that Colab is asked for
EXACT = 1_017  # test images of the JPEG re-encoded copy, the first ones, that have the official pixels
PUBLISHED_PARTS = ("first", "second", "third", "fourth")  # of the training that `published` ends
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

RESULTS = {"02": ("interval", "fit-time")}  # quoted in README.md: number of notebook, cells whose printed lines count
LONGEST_CELL, LONGEST_NOTEBOOK, ALL_NOTEBOOKS = 60, 6, 25  # seconds, minutes, minutes that a class waits


@dataclass(frozen=True)
class Entry:
    """What the generated parts say about one notebook; `colab` is the address that opens it there."""

    path: Path
    name: str
    summary: str
    runtime: str
    minutes: dict
    colab: str
    slowest: dict = field(default_factory=dict)

    @property
    def link(self):
        return f"[{self.name}](notebooks/{self.path.name})"


def read_notebook(path):
    """A notebook as nbformat's nodes, with nothing repaired or added."""
    return nbformat.reader.reads(path.read_text(encoding="utf-8"))


def find_cell(notebook, identifier):
    """The cell with this id, or None."""
    return next((cell for cell in notebook.cells if cell.get("id") == identifier), None)


def read_entry(path, published):
    """The entry of the notebook at `path`, in a series that is `published` on GitHub under owner/name/blob/branch.

    Raises:
        ValueError: if the title or the metadata under `tutorial` is missing or of another form.
    """
    notebook, number = read_notebook(path), path.name[:2]
    cell = find_cell(notebook, "title")
    title = cell.source.split("\n")[0] if cell else ""
    if not re.fullmatch(rf"# {number} · \S.*", title):
        raise ValueError(f"{path.name}: expected a cell `title` that begins with `# {number} · `, found {title!r}.")
    facts = notebook.metadata.get("tutorial", {})
    complete = facts.get("summary") and set(facts.get("minutes", {})) == {"class", "full"}
    if not complete or facts.get("runtime") not in ACCELERATORS:
        raise ValueError(
            f"{path.name}: expected metadata.tutorial with summary, runtime ({', '.join(ACCELERATORS)}) and "
            f"minutes (class, full), found {json.dumps(facts)}."
        )
    colab = f"https://colab.research.google.com/github/{published}/notebooks/{path.name}"
    name, slowest = title.removeprefix("# "), facts.get("slowest", {})
    return Entry(path, name, facts.summary, facts.runtime, facts.minutes, colab, slowest)


def solutions_entry(entry):
    """The entry of the solutions that belong to the notebook of `entry`; the file need not be there."""
    name = f"{entry.path.name[:2]}_solutions.ipynb"
    return replace(
        entry,
        path=entry.path.parent / "solutions" / name,
        name=f"{entry.name}: solutions",
        summary="One way to solve each exercise, and why it is right.",
        minutes={},
        colab=entry.colab.replace(entry.path.name, f"solutions/{name}"),
    )


def setup_cell(repository):
    """Source of the cell `setup`, which clones `repository` ("owner/name") where only the notebook was opened."""
    return SETUP.replace(UNPUBLISHED, repository)


def badge(entry):
    """The badge that opens a notebook in Colab."""
    return f"[![Open {entry.name} in Colab]({BADGE})]({entry.colab})"


def minutes(entry):
    """Measured minutes in the class and the full profile as people say them; a dash where nobody has measured."""
    values = entry.minutes["class"], entry.minutes["full"]
    return ["–" if value is None else "under 1" if value < 1 else f"{value:.0f}" for value in values]


def navigation(entries, position):
    """Links to the notebook before, the overview and the notebook after."""
    links = ["[All notebooks](../README.md)"]
    if position > 0:
        links.insert(0, f"[← {entries[position - 1].name}]({entries[position - 1].path.name})")
    if position + 1 < len(entries):
        links.append(f"[{entries[position + 1].name} →]({entries[position + 1].path.name})")
    return " | ".join(links)


def title_cell(entries, position):
    """Source of the cell `title`."""
    entry = entries[position]
    in_class, in_full = minutes(entry)
    return "\n\n".join([
        f"# {entry.name}",
        badge(entry),
        navigation(entries, position),
        f"Minutes to run on two CPU cores: {in_class} in the class profile, {in_full} in the full one. "
        f"Runtime to choose in Colab: {entry.runtime}.",
    ])


def solutions_title(entry):
    """Source of the cell `title` in the solutions to the notebook of `entry`."""
    solutions = solutions_entry(entry)
    back = f"[← {entry.name}](../{entry.path.name}) | [All notebooks](../../README.md)"
    return "\n\n".join([f"# {solutions.name}", badge(solutions), back])


def series_table(entries):
    """The overview in README.md."""
    rows = ["| Notebook | What it is about | Minutes to run, class profile | Minutes to run, full profile | Colab |"]
    rows.append("|---|---|--:|--:|---|")
    rows += [f"| {' | '.join([entry.link, entry.summary, *minutes(entry), badge(entry)])} |" for entry in entries]
    machines = {text.split("\n")[0] for entry in entries if (text := printed(entry, "setup"))}
    return "\n".join([*rows, *([f"\nMinutes measured on {'; '.join(sorted(machines))}."] if machines else [])])


def printed(entry, identifier):
    """What a cell of a notebook printed in the saved run."""
    cell = find_cell(read_notebook(entry.path), identifier) or {}
    return "".join(output.get("text", "") for output in cell.get("outputs", []))


def class_table(entries):
    """The minutes in TEACHING.md, as `make run RUN_ARGS=--record-minutes` measured them in the class profile."""
    rows = ["| Notebook | Minutes to run, class profile | Its slowest cell | Seconds |", "|---|--:|---|--:|"]
    timed = [entry for entry in entries if entry.slowest and entry.minutes["class"] is not None]
    for entry in entries:
        cells = ["–"] * 3
        if entry in timed:
            cells = [entry.minutes["class"], f"`{entry.slowest['cell']}`", entry.slowest["seconds"]]
        rows.append(f"| {' | '.join(map(str, [entry.link, *cells]))} |")
    rows.append(f"| together | {sum(entry.minutes['class'] for entry in timed):.1f} | | |")
    measured_on = sorted({entry.slowest["measured_on"] for entry in timed})
    return "\n".join([*rows, "", " ".join(missed_limits(timed)), *(f"Measured on {place}." for place in measured_on)])


def missed_limits(timed):
    """One sentence for each limit that a lesson misses with these notebooks, or that all are kept."""
    found = [
        f"Cell `{entry.slowest['cell']}` of {entry.name} took {entry.slowest['seconds']} s, more than the "
        f"{LONGEST_CELL} s a class should wait."
        for entry in timed
        if entry.slowest["seconds"] > LONGEST_CELL
    ]
    found += [
        f"{entry.name} took {entry.minutes['class']:.1f} minutes, more than {LONGEST_NOTEBOOK}."
        for entry in timed
        if entry.minutes["class"] > LONGEST_NOTEBOOK
    ]
    together = sum(entry.minutes["class"] for entry in timed)
    found += [f"All together took {together:.1f} minutes, more than {ALL_NOTEBOOKS}."] * (together > ALL_NOTEBOOKS)
    return found or [
        f"No cell took over {LONGEST_CELL} s, no notebook over {LONGEST_NOTEBOOK} minutes, all together under "
        f"{ALL_NOTEBOOKS}."
    ]


def results(entries):
    """The results in README.md: what the cells of `RESULTS` printed in the saved run."""
    quoted = []
    for entry in entries:
        cells = RESULTS.get(entry.path.name[:2], ())
        if text := "".join(printed(entry, identifier) for identifier in cells).strip():
            quoted.append(f"{entry.link}, one training, as its saved run printed it:\n\n```text\n{text}\n```")
    return "\n\n".join(quoted)


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def trainings(runs):
    """The trainings in README.md that ended on the test images: one row a recipe, from the records in `runs`."""
    recipes = {}
    for path in sorted(runs.glob("*-seed*.json")):
        record = read_json(path)
        if "test_accuracy" in record:
            recipes.setdefault(path.stem.rpartition("-seed")[0], []).append(record)
    if not recipes:
        return ""
    head = "| Recipe | Parameters | Epochs | Minutes | Hardware | Test accuracy | Test-time views | n |"
    rows = [head, "|---|--:|--:|--:|---|--:|--:|--:|"]
    rows += [training_row(name, records) for name, records in recipes.items()]
    every = [record | {"hardware": "hardware as in the table"} for records in recipes.values() for record in records]
    measured = {conditions(record) for record in every}
    text = (
        "Longer trainings, from their records in [models/runs](models/runs), made by "
        "`python models/train.py RECIPE --seed S --test`, and the parts of the published network as "
        "[models/README.md](models/README.md) says; mean ± standard deviation of n trainings:"
    )
    return "\n\n".join([text, "\n".join(rows), "\n".join(sorted(measured))])


def conditions(record):
    """Under which conditions a record was made, as a sentence."""
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    return f"{versions}; {record['hardware']}; measured on: {record['data_source']}."


def training_row(name, records):
    """One row of the table of trainings."""
    views = max(records[0]["test_accuracy"], key=int)
    accuracies = [100 * record["test_accuracy"][views] for record in records]
    spread = f" ± {statistics.stdev(accuracies):.1f}" if len(records) > 1 else ""
    seconds = [record["seconds"] for record in records if "seconds" in record]
    minutes_each = f"{statistics.mean(seconds) / 60:.1f}" if seconds else "–"
    first = records[0]
    accuracy = f"{statistics.mean(accuracies):.1f}{spread}%"
    cells = [name, f"{first['parameters']:,}", first["epochs"], minutes_each, first["hardware"], accuracy, views]
    return f"| {' | '.join(map(str, [*cells, len(records)]))} |"


def published(runs):
    """The accuracies of the published network in models/README.md, from its record in `runs`."""
    path = runs / "published-seed0.json"
    if not path.exists():
        return "**The file is not here yet**: the command below makes it."
    record, stored = read_json(path), numpy.load(path.with_suffix(".npz"))
    accuracies = record["test_accuracy"]
    views = max(accuracies, key=int)
    right = stored["test"].argmax(axis=1) == stored["test_labels"]
    paths = [path for part in PUBLISHED_PARTS for path in runs.glob(f"published-{part}-seed*.json")]
    records = [*map(read_json, paths), record]
    epochs = sum(part["epochs"] for part in records)
    one, most = (
        ", ".join(f"{100 * part['validation_accuracy'][number]:.1f}" for part in records) for number in ("1", views)
    )
    lines = [
        f"**{accuracies[views]:.2%}** of the {len(right):,} test images right with {views} test-time views, "
        f"{accuracies['1']:.2%} with one; {record['validation_accuracy'][views]:.2%} of the validation images with "
        f"{views} views. Trained once, for {epochs} epochs in all its parts.",
        f"Validation images right after each part, in per cent: {one} with one view, {most} with {views}.",
    ]
    if "JPEG" in record["data_source"]:
        exact = f"the first {EXACT:,} test images, whose pixels are exactly the official ones"
        lines.append(f"Of {exact}, {right[:EXACT].mean():.1%} with {views} views.")
    lines.append(conditions(record))
    return "\n".join(lines)


def badge_page(entries, repository):
    """The whole of colab_badges.md: `repository` is the "owner/name" to which the badges lead."""
    head = [
        "<!-- written by `make sync`; changes made by hand are lost -->",
        "# Open a notebook in Colab\n",
        "A badge opens its notebook in Colab, which asks for the runtime in the third column; if you get another one, "
        "choose it under *Runtime > Change runtime type*. On a TPU, where Colab has no TensorFlow, only those "
        "notebooks run for which TPU stands here.\n",
        "Minutes were measured on two CPU cores, not in Colab. A dash: not measured yet.\n",
        "| Open | Notebook | Runtime | Minutes to run, class profile | Minutes to run, full profile |",
        "|---|---|---|--:|--:|",
    ]
    rows = [f"| {' | '.join([badge(e), e.name, e.runtime, *minutes(e)])} |" for e in entries]
    fork = [
        "\n## Badges of a fork\n",
        f"The badges lead to {repository}. To let them and the set-up cells lead to a fork, run `make sync "
        "REPO=owner/name` in it and commit what changed.",
    ]
    return "\n".join([*head, *rows, *fork, ""])


def figure(notebook, identifier):
    """The picture that a cell left in the saved outputs, as the bytes of a PNG file, or None."""
    cell = find_cell(notebook, identifier)
    pictures = [output["data"]["image/png"] for output in (cell or {}).get("outputs", []) if "image/png" in output.data]
    return base64.b64decode(pictures[0]) if pictures else None


def metadata(tutorial):
    """The metadata a notebook should have: ours, the runtime for Colab, and nothing that editors leave."""
    wanted = {
        "colab": {"provenance": []},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "tutorial": tutorial,
    }
    if ACCELERATORS[tutorial["runtime"]]:
        wanted["accelerator"] = tutorial["runtime"]
        wanted["colab"]["gpuType"] = ACCELERATORS[tutorial["runtime"]]
    return nbformat.from_dict(wanted)
