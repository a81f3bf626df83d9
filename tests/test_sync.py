"""The generated parts of the series, and the check that finds what is not as generated or leads nowhere."""

import json

import nbformat
import numpy as np
import pytest

from tests import tiny
from tests.tools import links, parts, sync

FIRST, SECOND = "notebooks/01_counting.ipynb", "notebooks/02_adding.ipynb"
SOLVED = "notebooks/solutions/02_solutions.ipynb"


@pytest.fixture
def root(tmp_path):
    return tiny.project(tmp_path, tiny.notebook(), tiny.notebook("02", "Adding"))


def change(root, name, old, new):
    """Replace a text in a file that has it."""
    text = read(root, name)
    assert old in text
    tiny.write(root / name, text.replace(old, new))


def read(root, name):
    return (root / name).read_text(encoding="utf-8")


def source(root, name, identifier):
    return parts.find_cell(parts.read_notebook(root / name), identifier).source


def edit(root, name, identifier, **new):
    """Give a cell these attributes; where its outputs are new, it was run."""
    notebook = parts.read_notebook(root / name)
    cell = parts.find_cell(notebook, identifier)
    cell.update(new)
    if "outputs" in new:
        cell.execution_count = 1
    tiny.write(root / name, sync.notebook_text(notebook))


def printed(text):
    return nbformat.v4.new_output("stream", text=text)


def sync_main(root, *arguments):
    return sync.main(["--root", str(root), *arguments])


def test_title_navigation_and_tables_lead_to_the_notebooks_and_to_colab(root):
    colab = "https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/01_counting.ipynb"
    title = source(root, FIRST, "title")
    picture = "https://colab.research.google.com/assets/colab-badge.svg"
    assert title.startswith(f"# 01 · Counting\n\n[![Open 01 · Counting in Colab]({picture})]({colab})")
    assert source(root, FIRST, "navigation") in title
    assert source(root, FIRST, "navigation") == "[All notebooks](../README.md) | [02 · Adding →](02_adding.ipynb)"
    assert source(root, SECOND, "navigation") == "[← 01 · Counting](01_counting.ipynb) | [All notebooks](../README.md)"
    for name in ("README.md", "colab_badges.md"):
        rows = [line for line in read(root, name).splitlines() if line.startswith("| [")]
        assert len(rows) == 2 and "01_counting.ipynb" in rows[0] and "02_adding.ipynb" in rows[1]


def test_the_first_notebook_opens_elsewhere_from_the_readme_and_every_one_from_the_badge_page(root):
    sync_main(root, "--repository", "someone/else")
    file = "someone/else/blob/main/notebooks/02_adding.ipynb"
    kaggle = f"[Kaggle](https://kaggle.com/kernels/welcome?src=https://github.com/{file})"
    binder = "[Binder](https://mybinder.org/v2/gh/someone/else/main?labpath=notebooks/02_adding.ipynb)"
    assert f"| {kaggle} {binder} |" in read(root, "colab_badges.md")
    head = read(root, "README.md").partition("<!-- badges:end -->")[0]
    for address in (
        "https://colab.research.google.com/github/someone/else/blob/main/notebooks/01_counting.ipynb",
        "https://kaggle.com/kernels/welcome?src=https://github.com/someone/else/blob/main/notebooks/01_counting.ipynb",
        "https://mybinder.org/v2/gh/someone/else/main?labpath=notebooks/01_counting.ipynb",
        "https://codespaces.new/someone/else/tree/main",
    ):
        assert f"]({address})" in head


def test_a_deeper_notebook_is_linked_from_its_core_notebook_and_leads_back_and_on(tmp_path):
    deeper = [tiny.notebook("01 deeper", title) for title in ("By hand", "On fingers")]
    root = tiny.project(tmp_path, tiny.notebook(), *deeper, tiny.notebook("02", "Adding"))
    assert sync.findings(root) == []
    hand, fingers = "notebooks/deeper/01_by_hand.ipynb", "notebooks/deeper/01_on_fingers.ipynb"
    assert [path.name for path in sync.notebook_paths(root)][1:3] == ["01_by_hand.ipynb", "01_on_fingers.ipynb"]
    down = "\n\nDeeper: [By hand](deeper/01_by_hand.ipynb) | [On fingers](deeper/01_on_fingers.ipynb)"
    assert source(root, FIRST, "navigation").endswith(f"[02 · Adding →](02_adding.ipynb){down}")
    assert "Deeper" not in source(root, SECOND, "navigation")
    back = "[← 01 · Counting](../01_counting.ipynb) | [All notebooks](../../README.md) | "
    back += "[02 · Adding →](../02_adding.ipynb)"
    assert source(root, hand, "navigation") == f"{back}\n\nDeeper: [On fingers](01_on_fingers.ipynb)"
    assert f"OWNER/REPO/blob/main/{fingers})" in source(root, fingers, "title")
    assert "Your minutes: about 5." in source(root, fingers, "title")
    rows = [line for line in read(root, "README.md").splitlines() if line.startswith("| [")]
    assert rows[1].startswith(f"| [↳ By hand]({hand}) | By hand a little | 5 |")
    assert [line.split("(")[1].split(")")[0] for line in rows] == [FIRST, hand, fingers, SECOND]
    (root / FIRST).unlink()
    sync.write(root)
    assert "expected a core notebook of the number of deeper/01_by_hand.ipynb, found none" in sync.findings(root)


@pytest.mark.parametrize(("runtime", "hardware"), [("CPU", None), ("GPU", "T4"), ("TPU", "V5E1")])
def test_the_runtime_stands_on_the_badge_page_and_colab_is_asked_for_it(root, runtime, hardware):
    change(root, SECOND, '"runtime": "CPU"', f'"runtime": "{runtime}"')
    sync_main(root, "--repository", "someone/else")
    page = read(root, "colab_badges.md")
    assert [line.split(" | ")[2] for line in page.splitlines() if line.startswith("| [")] == ["CPU", runtime]
    assert "lead to someone/else" in page and "`make sync REPO=owner/name`" in page
    metadata = parts.read_notebook(root / SECOND).metadata
    assert (metadata.get("accelerator"), metadata.colab.get("gpuType")) == (hardware and runtime, hardware)
    assert metadata.colab.provenance == []


@pytest.mark.parametrize(("minutes", "shown"), [(None, "–"), (0.4, "under 1"), (1.4, "1"), (11.6, "12")])
def test_minutes_are_shown_as_people_say_them(minutes, shown):
    entry = parts.Entry(None, "", "", "CPU", {"class": minutes, "full": None}, "", "")
    assert parts.minutes(entry) == [shown, "–"]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (FIRST, "REPO/blob/main/notebooks/01", "REPO/blob/main/notebooks/09"),
        (SECOND, "All notebooks", "Every notebook"),
        (SECOND, "machine.start()", "machine.start(2)"),
        (FIRST, '"display_name": "Python 3"', '"display_name": "Python 3 (ipykernel)"'),
        ("README.md", "Adding a little", "Adding a lot"),
        ("colab_badges.md", "CPU", "GPU"),
    ],
)
def test_a_generated_part_changed_by_hand_is_found_and_put_right(root, name, old, new):
    before = read(root, name)
    change(root, name, old, new)
    assert any(line.startswith(name) and "make sync" in line for line in sync.findings(root))
    sync.write(root)
    assert read(root, name) == before


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("README.md", "[gone](notebooks/03_gone.ipynb)", "notebooks/03_gone.ipynb leads to no file"),
        ("notebooks/glossary.md", "see [digit](#digit)", "#digit leads to no heading"),
        ("README.md", '<img alt="x" src="figure.png">', "figure.png leads to no file"),
        ("README.md", "[a](https://colab.research.google.com/github/OWNER/REPO/blob/main/x.ipynb)", "Colab would find"),
        ("README.md", "[a](https://colab.research.google.com/github/o/r/blob/main/README.md)", "Colab would find"),
        ("README.md", "`a[0](b)`\n\n```\n[x](y)\n# z\n```\n[w](https://example.org/none)", None),
    ],
)
def test_a_link_that_leads_nowhere_is_found_but_not_in_code_or_on_other_sites(root, name, text, message):
    tiny.write(root / name, read(root, name) + f"\n{text}\n")
    found = sync.findings(root)
    assert len(found) == bool(message) and all(message in line for line in found)


def test_a_glossary_link_of_a_notebook_without_its_entry_is_found(root):
    change(root, FIRST, "glossary.md#number", "glossary.md#digit")
    assert sync.findings(root) == [f"{FIRST}: glossary.md#digit leads to no heading of glossary.md"]


def test_an_entry_of_the_glossary_to_which_nothing_leads_is_found(root):
    added = "\n## Digit\n\nSee [a sign](#sign).\n\n## Sign\n\nA shape.\n"
    tiny.write(root / "notebooks/glossary.md", read(root, "notebooks/glossary.md") + added)
    assert sync.findings(root) == ["notebooks/glossary.md: nothing leads to #digit"]


def test_anchors_are_those_of_github():
    markdown = '## One-hot `labels`, (really)\n<a id="own"></a>\n```\n# code\n```\n### [Adam](x.md) & co.\n'
    assert links.anchors(markdown) == {"one-hot-labels-really", "own", "adam--co"}


@pytest.mark.parametrize(("number", "numbers"), [("03", "02, 03"), ("02", "02, 02")], ids=["hole", "double"])
def test_a_hole_and_a_double_in_the_numbering_are_found(root, number, numbers):
    change(root, FIRST, "01 · ", f"{number} · ")
    (root / FIRST).rename(root / f"notebooks/{number}_counting.ipynb")
    sync.write(root)
    assert sync.findings(root) == [f"expected the notebooks to be numbered 01, 02, …, found {numbers}"]


def test_solutions_get_title_set_up_cell_and_runtime_and_stand_in_no_table(root):
    change(root, SECOND, '"runtime": "CPU"', '"runtime": "TPU"')
    unsynced = tiny.solutions("1 + 1")
    unsynced.cells.append(nbformat.v4.new_markdown_cell("[digit](../glossary.md#digit)", id="end"))
    tiny.write(root / SOLVED, sync.notebook_text(unsynced))
    sync.write(root)
    notebook = parts.read_notebook(root / SOLVED)
    assert [cell.id for cell in notebook.cells] == ["title", "setup", "solution-1", "end"]
    assert notebook.metadata == parts.metadata({"runtime": "TPU"})
    title = source(root, SOLVED, "title")
    assert title.startswith("# 02 · Adding: solutions\n") and f"OWNER/REPO/blob/main/{SOLVED})" in title
    assert title.endswith("[← 02 · Adding](../02_adding.ipynb) | [All notebooks](../../README.md)")
    assert source(root, SOLVED, "setup") == source(root, SECOND, "setup")
    assert all("solutions" not in read(root, name) for name in ("README.md", "colab_badges.md"))
    change(root, SOLVED, "machine.start()", "machine.start(2)")
    assert sync.findings(root) == [
        f"{SOLVED}: cell `setup`: run `make sync`",
        f"{SOLVED}: ../glossary.md#digit leads to no heading of glossary.md",
    ]


SHAPES = '''
import no_such_package


@no_such_package.registered
class Shape:
    """A thing, e.g. a square.  It has corners."""

    def area(self):
        """How large
        it is; see Liu et al. 2020.

        Returns:
            a number.
        """
        return 1
'''
SHAPE = '''@no_such_package.registered
class Shape:
    """A thing, e.g. a square."""

    def area(self):
        """How large
        it is; see Liu et al. 2020."""
        return 1'''


def show(root, name):
    """Let the cell `count` of the first notebook, which was run, show `name`."""
    tiny.write(root / "utils/shapes.py", SHAPES)
    edit(root, FIRST, "count", metadata={"tutorial": {"shows": name}}, outputs=[printed("2\n")])


def test_a_cell_shows_the_code_that_it_names(root):
    show(root, "utils.shapes.Shape")
    stale = [f"{FIRST}: cell `count`: run `make sync`"]
    assert sync.findings(root) == stale
    sync.write(root)
    cell = parts.find_cell(parts.read_notebook(root / FIRST), "count")
    assert (cell.source, cell.outputs, cell.execution_count) == (SHAPE, [], None)
    assert sync.findings(root) == [] and sync.write(root) == []
    change(root, "utils/shapes.py", "return 1", "return 3")
    assert sync.findings(root) == stale


@pytest.mark.parametrize("name", ["utils.shapes.triple", "utils.no_such.double", "no_such_package", "double"])
def test_a_cell_that_shows_what_does_not_exist_is_named_in_one_sentence(root, name, capsys):
    show(root, name)
    assert sync_main(root, "--check") == 1
    assert f"01_counting.ipynb: expected `shows` to name a function or class, found {name}" in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["setup", "navigation"])
def test_a_missing_generated_cell_is_added_at_its_place(root, missing):
    nb = parts.read_notebook(root / FIRST)
    order = [cell.id for cell in nb.cells]
    nb.cells.remove(parts.find_cell(nb, missing))
    tiny.write(root / FIRST, sync.notebook_text(nb))
    sync.write(root)
    assert [cell.id for cell in parts.read_notebook(root / FIRST).cells] == order


def test_the_set_up_output_outlives_a_new_address_but_not_new_code(root):
    nb = tiny.executed(parts.read_notebook(root / FIRST))
    tiny.write(root / FIRST, sync.notebook_text(nb))
    sync.set_repository(root, "someone/else")
    sync.write(root)
    cell = parts.find_cell(parts.read_notebook(root / FIRST), "setup")
    assert "https://github.com/someone/else" in cell.source and cell.outputs and cell.execution_count == 1
    assert len(cell.source.splitlines()) <= 10
    change(root, FIRST, "machine.start()", "machine.start(2)")
    sync.write(root)
    nb = parts.read_notebook(root / FIRST)
    assert parts.find_cell(nb, "setup").outputs == [] and parts.find_cell(nb, "count").outputs


def test_the_repository_given_is_written_into_every_badge(root, capsys):
    assert sync_main(root, "--repository", "https://example.org/x") == 1
    assert "expected owner/name" in capsys.readouterr().out and sync.read_settings(root) == (parts.UNPUBLISHED, "main")
    assert sync_main(root, "--repository", "someone/else") == 0
    assert sync.read_settings(root) == ("someone/else", "main")
    for name in (FIRST, SECOND, "README.md", "colab_badges.md"):
        assert "github/someone/else/blob/main" in read(root, name) and parts.UNPUBLISHED not in read(root, name)
    assert sync_main(root, "--check") == 0


def test_the_command_check_writes_nothing_and_fails(root, capsys):
    change(root, "README.md", "Adding a little", "Adding a lot")
    before = read(root, "README.md")
    assert sync_main(root, "--check") == 1
    said = capsys.readouterr()
    assert "README.md" in said.out and said.err == ""
    assert read(root, "README.md") == before


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (FIRST, "# 01 · Counting", "# Counting", "expected a cell `title`"),
        (FIRST, '"runtime": "CPU"', '"runtime": "abacus"', "learner_minutes, runtime (CPU, GPU, TPU)"),
        ("README.md", "<!-- series:end -->", "", "expected the markers"),
    ],
)
def test_what_cannot_be_generated_is_said_in_one_sentence(root, name, old, new, message, capsys):
    change(root, name, old, new)
    assert sync_main(root, "--check") == 1
    assert message in capsys.readouterr().out


def test_a_figure_of_the_readme_is_the_saved_output_of_its_cell(root, monkeypatch):
    monkeypatch.setattr(parts, "FIGURES", {"notebooks/images/count.png": ("01", "count")})
    assert sync.findings(root) == [], "a cell that was never run leaves nothing to show"

    picture = nbformat.v4.new_output("display_data", data={"image/png": "iVBORw0KGgo="})
    edit(root, FIRST, "count", outputs=[picture])
    assert sync.findings(root) == [
        "notebooks/images/count.png: the figure of cell `count` in 01_counting.ipynb: run `make sync`"
    ]
    sync.write(root)
    assert (root / "notebooks/images/count.png").read_bytes() == b"\x89PNG\r\n\x1a\n"
    assert sync.findings(root) == []


def test_machines_and_results_in_the_readme_are_what_the_saved_run_printed(root, monkeypatch):
    monkeypatch.setattr(parts, "RESULTS", {"02": ("count",)})
    assert "measured on" not in read(root, "README.md")
    for name, machine in ((FIRST, "2 cores of B"), (SECOND, "2 cores of A")):
        edit(root, name, "setup", outputs=[printed(f"{machine}\nProfile full\n")])
        edit(root, name, "count", outputs=[printed("2\n")])
    assert sync.findings(root) == ["README.md: the part between the markers: run `make sync`"]
    sync.write(root)
    assert "\n\nMinutes measured on 2 cores of A; 2 cores of B.\n" in read(root, "README.md")
    quoted = "[02 · Adding](notebooks/02_adding.ipynb), one training, as its saved run printed it:\n\n```text\n2\n```"
    assert read(root, "README.md").count("```text") == 1 and quoted in read(root, "README.md")


RECORD = {
    "epochs": 9,
    "validation_accuracy": {"1": 0.92, "6": 0.935},
    "hardware": "2 cores of a test",
    "versions": {"keras": "3.99"},
    "data_source": "a JPEG copy of a test",
    "parameters": 1_234_567,
}


def write_records(root, facts):
    """Write records of trainings with these facts, by their names."""
    for name, more in facts.items():
        tiny.write(root / f"models/runs/{name}.json", json.dumps(RECORD | more))


def write_logits(root, name, right):
    """Write the logits beside a record: of 2,000 test images the first `right` ones are right."""
    labels = 1 + np.arange(2_000) % 9
    answers = np.where(np.arange(2_000) < right, labels, 0)
    np.savez(root / f"models/runs/{name}.npz", test=np.eye(10)[answers], test_labels=labels)


def test_trainings_in_the_readme_come_from_the_records_that_have_a_test_accuracy(root):
    write_records(root, {"trial-seed0": {"seconds": 1}, "slow-seed0": {"test_accuracy": {"1": 0.7}}})
    for seed, right in enumerate((0.901, 0.905, 0.909)):
        facts = {"test_accuracy": {"1": 0.89, "6": right}, "seconds": 600 + 60 * seed}
        write_records(root, {f"quick-seed{seed}": facts, f"quick-seed0{seed}": facts, f"quick-seed{seed} (1)": facts})
    write_records(root, {"quick-seed3": {"test_accuracy": {"1": 0.89, "6": 0.905}, "hardware": "4 cores"}})
    write_logits(root, "slow-seed0", right=800)
    sync.write(root)
    readme = read(root, "README.md")
    assert "| quick | 1,234,567 | 9 | 11.0 | 2 cores of a test; 4 cores | 90.50 ± 0.33% | – | 6 | 4 |" in readme
    assert "| slow | 1,234,567 | 9 | – | 2 cores of a test | 70.00% | 78.66% | 1 | 1 |" in readme  # 800 of 1,017
    assert "keras 3.99; hardware as in the table; measured on: a JPEG copy of a test." in readme
    assert "trial" not in readme and sync.findings(root) == []


def test_the_published_network_is_described_from_its_record(root):
    last = {"test_accuracy": {"1": 0.93, "6": 0.94}}
    write_records(root, {"published-seed0": last, "published-seed0 (1)": {}})
    write_logits(root, "published-seed0", right=500)
    sync.write(root)
    page = read(root, "models/README.md")
    assert "**94.00%** of the 2,000 test images right with 6 test-time views, 93.00% with one" in page
    assert "93.50% of the validation images with 6 views. Trained once, for 9 epochs." in page
    assert "keras 3.99; 2 cores of a test; measured on: a JPEG copy of a test." in page
    assert "exactly the official ones, 49.2% with 6 views" in page and sync.findings(root) == []  # 500 of 1,017
