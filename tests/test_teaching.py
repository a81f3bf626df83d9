"""TEACHING.md names only sections, messages and commands that exist, and its plans add up."""

import re
from pathlib import Path

import pytest

from tests import tiny
from tests.tools import form, parts, sync

TEXT = (sync.PROJECT / "TEACHING.md").read_text(encoding="utf-8")
ENTRIES = sync.read_entries(sync.PROJECT)
NOTEBOOKS = {entry.number: parts.read_notebook(entry.path) for entry in ENTRIES if entry.is_core}
SECTIONS = {number: [line.removeprefix("## ") for line in form.headings(nb.cells)] for number, nb in NOTEBOOKS.items()}
PYTHONS_OWN = {"NameError: name 'part' is not defined"}


def part(heading):
    """The text under a heading of the second level."""
    return re.search(rf"^## {re.escape(heading)}.*?$(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)[1]


def rows(text):
    """The cells of every row of the tables in a text, without the heads."""
    body = re.sub(r"^\|.*\n\|[-:|]+$", "", text, flags=re.MULTILINE)
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in body.splitlines() if line.startswith("|")]


def numbers_in(listed):
    """The numbers in "1", "3 to 5", "7, 9 and 10", "14 and Exercises"."""
    found = [int(number) for number in re.findall(r"\d+", listed)]
    for first, last in re.findall(r"(\d+) to (\d+)", listed):
        found += range(int(first), int(last) + 1)
    return found


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_every_section_of_a_notebook_has_its_row_and_no_other(number):
    title = NOTEBOOKS[number].cells[0].source.split("\n")[0].removeprefix("# ")
    numbered = [section for section in SECTIONS[number] if re.match(r"\d+\. ", section)]
    assert [row[0] for row in rows(part(title))] == numbered
    assert all(len(row) == 4 and all(row) for row in rows(part(title)))


def test_every_deeper_notebook_has_its_row_and_no_other():
    assert [row[0] for row in rows(part("Deeper notebooks"))] == [
        entry.link(entry.root) for entry in ENTRIES if not entry.is_core
    ]


def test_every_section_that_the_text_names_exists():
    named = re.findall(r"\b(0\d), sections? (\d[\d, to]*(?: and \d+)?)", TEXT)
    of = r"sections? (\d+(?:(?:, | and | to )\d+)*) of (?:notebook )?(0\d)"
    named += [(number, listed) for listed, number in re.findall(of, TEXT)]
    assert len(named) > 25
    for number, listed in named:
        for section in numbers_in(listed):
            assert any(title.startswith(f"{section}. ") for title in SECTIONS[number]), (number, section)


@pytest.mark.parametrize("heading", ["Half a day", "A full day"])
def test_the_minutes_of_a_plan_add_up(heading):
    promised = int(re.search(rf"^## {heading}: (\d+) minutes", TEXT, re.MULTILINE)[1])
    assert sum(int(row[0]) for row in rows(part(heading))) == promised


def test_messages_are_quoted_as_the_code_prints_them():
    folders = ("utils", "notebooks", "tests/tools")
    code = [path.read_text(encoding="utf-8") for folder in folders for path in (sync.PROJECT / folder).glob("*.py")]
    code += [cell.source for nb in NOTEBOOKS.values() for cell in nb.cells if cell.cell_type == "code"]
    joined = re.sub(r'"\s*\n\s*f?"', "", "\n".join(code)).replace("{ARCHIVE_NAME}", "cifar-10-python.tar.gz")
    quoted = {quote for row in rows(part("What goes wrong in rooms")) for quote in re.findall(r"`([^`]+)`", row[0])}
    quoted |= {"✅ right.", "not answered yet", "The check cannot use this answer"}
    assert len(quoted) > 15
    for quote in quoted - PYTHONS_OWN:
        for piece in filter(None, quote.split("…")):
            without_name = piece.partition(" ")[2]  # the first word may be filled in
            assert piece in joined or (without_name and without_name in joined), quote


def test_commands_and_options_that_the_text_names_exist():
    makefile = (sync.PROJECT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([\w-]+)", TEXT):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    tool = (sync.PROJECT / "tests/tools/classroom.py").read_text(encoding="utf-8")
    for option in re.findall(r'CLASSROOM_ARGS="(--[\w-]+)"', TEXT):
        assert f'"{option}"' in tool


def test_the_minutes_of_a_lesson_are_those_of_the_class_profile(tmp_path):
    timed, untimed = tiny.add_exercises(tiny.notebook()), tiny.notebook("02", "Adding")
    timed.metadata.tutorial.minutes["class"] = 1.5
    timed.metadata.tutorial.slowest = {"cell": "count", "seconds": 59, "measured_on": "2 cores; made up"}
    root = tiny.project(tmp_path, timed, untimed)
    tiny.write(root / "TEACHING.md", "Before.\n<!-- minutes:start -->\nold\n<!-- minutes:end -->\nAfter.\n")
    assert sync.findings(root) == ["TEACHING.md: the part between the markers: run `make sync`"]
    sync.write(root)
    text = (root / "TEACHING.md").read_text(encoding="utf-8")
    assert "(notebooks/01_counting.ipynb) | 1.5 | `count` | 1 | 59 | 1: Count on; 2: Count on |" in text
    assert "(notebooks/02_adding.ipynb) | – | – | – | – | – |\n| the core notebooks together | 1.5 |" in text
    assert "No cell took over 60 s" in text and "Measured on 2 cores; made up." in text
    assert text.startswith("Before.\n") and text.endswith("\nAfter.\n") and "old" not in text


@pytest.mark.parametrize(
    ("minutes", "seconds", "count", "missed"),
    [
        (4, 59, 3, "No cell took over 60 s, no notebook over 6 minutes, the core ones together under 15."),
        (3, 61, 1, "Cell `fit` of 01 · Counting took 61 s, more than the 60 s a class should wait."),
        (7, 30, 1, "01 · Counting took 7.0 minutes, more than 6."),
        (4, 59, 4, "The core notebooks took 16.0 minutes, more than 15."),
    ],
)
def test_limits_that_a_lesson_misses_are_said_in_words(minutes, seconds, count, missed):
    slowest = {"cell": "fit", "seconds": seconds}
    entry = parts.Entry(Path("01.ipynb"), "01 · Counting", "", "CPU", {"class": minutes, "full": 2}, "", "", slowest)
    assert parts.missed_limits([entry] * count) == [missed]
