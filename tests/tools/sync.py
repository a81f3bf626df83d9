"""Write the generated parts of the series: badges, navigation, set-up cells, code shown in cells, metadata, tables.

python -m tests.tools.sync                          write them
python -m tests.tools.sync --check                  only say what differs, and which links and numbers are wrong
python -m tests.tools.sync --repository owner/name  for a published fork: first change the address in pyproject.toml
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat

from tests.benchmarks import report
from tests.tools import links, parts, shown

PROJECT = Path(__file__).resolve().parents[2]

ADDRESS = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+")


def notebook_paths(root):
    """The notebooks of the series, in order."""
    return sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def read_entries(root):
    """What the generated parts say about each notebook, in order."""
    published = "{}/blob/{}".format(*read_settings(root))
    return [parts.read_entry(path, published) for path in notebook_paths(root)]


def solutions_entries(entries):
    """The same about the solutions, as far as they are there."""
    return [solutions for solutions in map(parts.solutions_entry, entries) if solutions.path.exists()]


def read_settings(root):
    """The repository ("owner/name") and the branch under which the series is published."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["tutorial"]
    return settings["repository"], settings["branch"]


def put_cell(notebook, identifier, kind, source):
    """Give the cell `identifier` this source, adding the cell where there is none; say whether anything changed.

    A code cell whose code changed loses its outputs, since other code printed them. Where only the address of the
    repository changed they stay: it is not printed, and a fork need not run the notebooks again.
    """
    cell = parts.find_cell(notebook, identifier)
    if cell is None:
        new_cell = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
        before = [n for n, cell in enumerate(notebook.cells, 1) if cell.get("id") in ("title", "objectives")]
        place = before[-1] if identifier == "setup" else len(notebook.cells)
        notebook.cells.insert(place, new_cell(source, id=identifier))
        return True
    if cell.source == source:
        return False
    if kind == "code" and ADDRESS.sub("", cell.source) != ADDRESS.sub("", source):
        cell.outputs, cell.execution_count = [], None
    cell.source = source
    return True


def update_notebook(entries, position, repository):
    """One notebook as it should be, and the names of the parts that were not."""
    notebook = parts.read_notebook(entries[position].path)
    wanted = [
        ("title", "markdown", parts.title_cell(entries, position)),
        ("setup", "code", parts.setup_cell(repository, entries[position].runtime)),
        ("navigation", "markdown", parts.navigation(entries, position)),
    ]
    return update(notebook, wanted + shown_cells(entries[position].path, notebook), notebook.metadata.tutorial)


def shown_cells(path, notebook):
    """The cells of the notebook at `path` that show code of the series: id, kind, source.

    Raises:
        ValueError: if there is no such function or class.
    """
    root = next(folder for folder in path.parents if (folder / "pyproject.toml").exists())
    try:
        cells = [(cell, shown.named(cell)) for cell in notebook.cells]
        return [(cell.id, "code", shown.source(root, name)) for cell, name in cells if name]
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None


def update_solutions(entry, repository):
    """The solutions to the notebook of `entry` as they should be, and the names of the parts that were not."""
    wanted = [
        ("title", "markdown", parts.solutions_title(entry)),
        ("setup", "code", parts.setup_cell(repository, entry.runtime)),
    ]
    path = parts.solutions_entry(entry).path
    notebook = parts.read_notebook(path)
    return update(notebook, wanted + shown_cells(path, notebook), {"runtime": entry.runtime})


def update(notebook, wanted, tutorial):
    """Put the `wanted` cells (id, kind, source) and the metadata into a notebook; say which were not so before."""
    changed = [f"cell `{name}`" for name, kind, source in wanted if put_cell(notebook, name, kind, source)]
    metadata = parts.metadata(tutorial)
    if notebook.metadata != metadata:
        notebook.metadata = metadata
        changed.append("metadata")
    return notebook, changed


def between(path, text, name, content):
    """`text`, of the file at `path`, with everything between the markers `name:start` and `name:end` replaced.

    Raises:
        ValueError: if the markers are not there.
    """
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    found = re.fullmatch(f"(.*{start}).*({end}.*)", text, re.DOTALL)
    if not found:
        raise ValueError(f"{path}: expected the markers {start} and {end}, found no such pair.")
    return f"{found[1]}\n{content}\n{found[2]}"


def plan(root):
    """Every file that differs from what it should be: path, wanted text or bytes, and what in it differs."""
    repository, _ = read_settings(root)
    entries = read_entries(root)
    updates = [(entry.path, *update_notebook(entries, n, repository)) for n, entry in enumerate(entries)]
    for entry in entries:
        path = parts.solutions_entry(entry).path
        if path.exists():
            updates.append((path, *update_solutions(entry, repository)))
    changes = [(path, notebook_text(notebook), ", ".join(changed)) for path, notebook, changed in updates if changed]
    runs, measured = root / "models" / "runs", read_benchmarks(root)
    generated = {
        "badges": "\n".join(parts.badge(entry) for entry in entries[:1]),
        "series": parts.series_table(entries),
        "results": "\n\n".join(filter(None, [parts.results(entries), parts.trainings(runs)])),
        "benchmarks": report.summary(measured),
    }
    changes += text_changes(root / "README.md", generated)
    changes += text_changes(root / "models" / "README.md", {"published": parts.published(runs)})
    if (root / "TEACHING.md").exists():
        class_minutes = root / "tests" / "benchmarks" / "class_minutes.json"
        changes += text_changes(root / "TEACHING.md", {"minutes": parts.class_table(entries, class_minutes)})
    changes += figure_changes(root, entries)
    whole = {root / "colab_badges.md": parts.badge_page(entries, repository)}
    if measured:
        whole[root / "tests" / "benchmarks" / "RESULTS.md"] = report.page(measured)
    for path, text in whole.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            changes.append((path, text, "the whole page"))
    return changes


def read_benchmarks(root):
    """What `make bench` measured, by the name of the row; empty where it was not run."""
    path = root / "tests" / "benchmarks" / "results.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def text_changes(path, generated):
    """A page whose generated parts, by the name of their markers, differ from these, in the form of `plan`."""
    text = new_text = path.read_text(encoding="utf-8")
    for name, content in generated.items():
        new_text = between(path, new_text, name, content)
    return [(path, new_text, "the part between the markers")] if new_text != text else []


def figure_changes(root, entries):
    """The pictures of README.md that differ from the saved output of their cell, in the form of `plan`."""
    paths = {entry.path.name[:2]: entry.path for entry in entries}
    changes = []
    for name, (number, identifier) in parts.FIGURES.items():
        picture = parts.figure(parts.read_notebook(paths[number]), identifier) if number in paths else None
        old = (root / name).read_bytes() if (root / name).exists() else None
        if picture and picture != old:
            changes.append((root / name, picture, f"the figure of cell `{identifier}` in {paths[number].name}"))
    return changes


def numbering(names):
    """One line for each number from 01 on that no file name, or more than one, begins with."""
    numbers = [name[:2] for name in names]
    wanted = [f"{number:02}" for number in range(1, int(max(numbers, default="0")) + 1)]
    return [f"notebook {n}: expected one file, found {numbers.count(n)}" for n in wanted if numbers.count(n) != 1]


def findings(root):
    """One line for each thing that differs from what `make sync` would write, or that leads nowhere."""
    differing = [f"{path.relative_to(root).as_posix()}: {what}: run `make sync`" for path, _, what in plan(root)]
    published = "{}/blob/{}".format(*read_settings(root))
    return differing + numbering([path.name for path in notebook_paths(root)]) + links.findings(root, published)


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


def remote_repository(root):
    """The "owner/name" of the git remote `origin` where that is on GitHub, else None."""
    command = ["git", "-C", str(root), "remote", "get-url", "origin"]
    try:
        address = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:  # no git on this machine
        return None
    found = re.search(r"github\.com[:/]([\w.-]+/[\w.-]+?)(\.git)?/?$", address)
    return found and found[1]


def set_repository(root, repository):
    """Write the address of the published repository into pyproject.toml.

    Raises:
        ValueError: if `repository` is not of the form owner/name.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ValueError(f"REPO={repository}: expected owner/name, as in the address github.com/owner/name.")
    path = root / "pyproject.toml"
    text = path.read_text(encoding="utf-8")
    write_file(path, re.sub(r'^repository = ".*"$', f'repository = "{repository}"', text, flags=re.MULTILINE))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if anything is not as it should be")
    parser.add_argument("--repository", help="owner/name on GitHub (default: the git remote, if none was set before)")
    parser.add_argument("--root", type=Path, default=PROJECT, help="folder of the project")
    options = parser.parse_args(arguments)
    root = options.root.resolve()
    try:
        if not options.check:
            unpublished = read_settings(root)[0] == parts.UNPUBLISHED
            repository = options.repository or (remote_repository(root) if unpublished else None)
            if repository:
                set_repository(root, repository)
            for path in write(root):
                print(f"wrote {path.relative_to(root).as_posix()}")
        found = findings(root)
    except ValueError as error:
        found = [str(error)]
    print(*found, f"sync: {len(found)} to put right" if found else "sync: everything is as it should be", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
