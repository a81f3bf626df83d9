"""Write the generated parts of the series: badges, navigation, set-up cells, code shown in cells, metadata, tables.

python -m tests.tools.sync                          write them
python -m tests.tools.sync --check                  only say what differs, and which links and numbers are wrong
python -m tests.tools.sync --repository owner/name  for a published fork: first change the address in pyproject.toml
"""

import argparse
import os
import re
import sys
import tomllib
from pathlib import Path

import nbformat

from tests.benchmarks import report
from tests.tools import links, parts, shown

PROJECT = Path(__file__).resolve().parents[2]

FOLDERS = ("notebooks", "notebooks/deeper")
BENCHMARKS = "tests/benchmarks/results.json"

ADDRESS = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+")


def notebook_paths(root):
    """The notebooks of the series, in order: after each core notebook the deeper ones of its number."""
    paths = [path for folder in FOLDERS for path in (root / folder).glob("[0-9][0-9]_*.ipynb")]
    return sorted(paths, key=lambda path: (path.name[:2], path.parent.name == "deeper", path.name))


def read_entries(root):
    """What the generated parts say about each notebook, in order."""
    settings = read_settings(root)
    return [parts.read_entry(path, *settings) for path in notebook_paths(root)]


def solutions_entries(entries):
    """The same about those solutions that are there, one a core notebook."""
    return [solutions for solutions in map(parts.solutions_entry, parts.core_of(entries)) if solutions.path.exists()]


def read_settings(root):
    """The repository ("owner/name") and the branch under which the series is published."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["tutorial"]
    return settings["repository"], settings["branch"]


def put_cell(notebook, identifier, source):
    """Give the cell `identifier` this source, adding the cell where there is none; say whether anything changed.

    A code cell whose code changed loses its outputs, since other code printed them. Where only the address of the
    repository changed they stay: it is not printed, and a fork need not run the notebooks again.
    """
    cell = parts.find_cell(notebook, identifier)
    if cell is None and identifier == "setup":
        place = max(n for n, cell in enumerate(notebook.cells, 1) if cell.get("id") in ("title", "objectives"))
        notebook.cells.insert(place, nbformat.v4.new_code_cell(source, id=identifier))
    elif cell is None:
        notebook.cells.append(nbformat.v4.new_markdown_cell(source, id=identifier))
    elif cell.source != source:
        if cell.cell_type == "code" and ADDRESS.sub("", cell.source) != ADDRESS.sub("", source):
            cell.outputs, cell.execution_count = [], None
        cell.source = source
    else:
        return False
    return True


def notebook_changes(root, entry, generated, tutorial=None):
    """The notebook of `entry` where it differs from what it should be, in the form of `plan`.

    `generated` is the source of its generated cells by their ids, `tutorial` what its metadata should say of the
    series, if not what they say.
    """
    notebook = parts.read_notebook(entry.path)
    try:
        generated |= {cell.id: shown.source(root, name) for cell in notebook.cells if (name := shown.named(cell))}
    except ValueError as error:
        raise ValueError(f"{entry.path.name}: {error}") from None
    changed = [f"cell `{name}`" for name, source in generated.items() if put_cell(notebook, name, source)]
    metadata = parts.metadata(tutorial or notebook.metadata.tutorial)
    if notebook.metadata != metadata:
        notebook.metadata = metadata
        changed.append("metadata")
    return [(entry.path, notebook_text(notebook), ", ".join(changed))] if changed else []


def plan(root):
    """Every file that differs from what it should be: path, wanted text or bytes, and what in it differs."""
    repository, _ = read_settings(root)
    entries, changes = read_entries(root), []
    for entry in entries:
        setup = parts.setup_cell(repository)
        title, navigation = parts.title_cell(entries, entry), parts.navigation(entries, entry)
        changes += notebook_changes(root, entry, {"title": title, "setup": setup, "navigation": navigation})
        for solutions in solutions_entries([entry]):
            cells = {"title": parts.solutions_title(entry), "setup": setup}
            changes += notebook_changes(root, solutions, cells, {"runtime": entry.runtime})
    runs, measured = root / "models/runs", read_benchmarks(root)
    texts = {
        "README.md": {
            "badges": "\n".join(parts.badge(entry, host) for entry in entries[:1] for host in parts.HOSTS),
            "series": parts.series_table(entries),
            "results": "\n\n".join(filter(None, [parts.results(entries), parts.trainings(runs)])),
            "benchmarks": report.summary(measured),
        },
        "models/README.md": {"published": parts.published(runs)},
        "TEACHING.md": {"minutes": parts.class_table(entries)},
    }
    for name, generated in texts.items():
        if (root / name).exists():
            changes += content_change(root / name, between(root / name, generated), "the part between the markers")
    for name, (number, cell) in parts.FIGURES.items():
        for entry in parts.core_of(entries):
            if entry.number == number and (picture := parts.figure(entry, cell)):
                changes += content_change(root / name, picture, f"the figure of cell `{cell}` in {entry.path.name}")
    changes += content_change(root / "colab_badges.md", parts.badge_page(entries, repository), "the whole page")
    if measured:
        changes += content_change(root / "tests/benchmarks/RESULTS.md", report.page(measured), "the whole page")
    return changes


def content_change(path, content, what):
    """The file at `path` where its content differs, in the form of `plan`."""
    found = path.exists() and (path.read_bytes() if isinstance(content, bytes) else path.read_text(encoding="utf-8"))
    return [(path, content, what)] if found != content else []


def between(path, generated):
    """The text of a file with new texts, given by NAME, between `<!-- NAME:start -->` and `<!-- NAME:end -->`."""
    text = path.read_text(encoding="utf-8")
    for name, content in generated.items():
        start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
        found = re.fullmatch(f"(.*{start}).*({end}.*)", text, re.DOTALL)
        if not found:
            raise ValueError(f"{path}: expected the markers {start} and {end}, found no such pair.")
        text = f"{found[1]}\n{content}\n{found[2]}"
    return text


def read_benchmarks(root):
    """What `make bench` measured, by the name of the row; empty where it was not run."""
    return parts.read_json(root / BENCHMARKS) if (root / BENCHMARKS).exists() else {}


def findings(root):
    """One line for each thing that differs from what `make sync` would write, or that leads nowhere."""
    found = [f"{path.relative_to(root).as_posix()}: {what}: run `make sync`" for path, _, what in plan(root)]
    entries = read_entries(root)
    numbers = [entry.number for entry in parts.core_of(entries)]
    if numbers != [f"{number:02}" for number in range(1, len(numbers) + 1)]:
        found.append(f"expected the notebooks to be numbered 01, 02, …, found {', '.join(numbers)}")
    alone = [entry.path.name for entry in entries if entry.number not in numbers]
    found += [f"expected a core notebook of the number of deeper/{name}, found none" for name in alone]
    return found + links.findings(root, "{}/blob/{}".format(*read_settings(root)))


def notebook_text(notebook):
    """A notebook as the text of its file, always in the same form."""
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def write_file(path, content):
    """Write text or bytes to a file in one step: a reader sees the old content or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.replace(new, path)


def write(root):
    """Bring every generated part up to date; returns the files that changed."""
    changes = plan(root)
    for path, content, _ in changes:
        write_file(path, content)
    return [path for path, _, _ in changes]


def set_repository(root, repository):
    """Write the address of the published repository, owner/name, into pyproject.toml."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ValueError(f"REPO={repository}: expected owner/name, as in the address github.com/owner/name.")
    path = root / "pyproject.toml"
    text = path.read_text(encoding="utf-8")
    write_file(path, re.sub(r'^repository = ".*"$', f'repository = "{repository}"', text, flags=re.MULTILINE))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if anything is not as it should be")
    parser.add_argument("--repository", help="owner/name on GitHub, for a fork")
    parser.add_argument("--root", type=Path, default=PROJECT, help="folder of the project")
    options = parser.parse_args(arguments)
    root = options.root.resolve()
    try:
        if not options.check:
            if options.repository:
                set_repository(root, options.repository)
            for path in write(root):
                print(f"wrote {path.relative_to(root).as_posix()}")
        found = findings(root)
    except ValueError as error:
        found = [str(error)]
    how = f"{len(found)} to put right" if found else "all generated parts are as they should be"
    print(*found, f"sync: {how}", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
