"""The runner of `make run` and `make publish`, with real kernels on notebooks of a few cells."""

import os
import re
import signal
import socket
import subprocess
import sys

import nbformat
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from tests import tiny
from tests.limited_disk import HEEDS_CTRL_C
from tests.tools import pages, parts, run, sync

ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith(("TUTORIAL_", "CIFAR10_"))}

FACTS = {"profile": "class", "accelerator": "", "machine": "2 cores", "source": "made up"}


def start(root, *arguments, **environment):
    environment = ENVIRONMENT | {"PYTHONIOENCODING": "utf-8"} | environment
    command = [sys.executable, "-m", "tests.tools.run", "--root", str(root), *arguments]
    said = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "encoding": "utf-8"}
    return subprocess.Popen(command, cwd=sync.PROJECT, env=environment, **said, **HEEDS_CTRL_C)


def run_series(root, *arguments, **environment):
    """Run the command; returns its exit code and everything it said."""
    with start(root, *arguments, **environment) as process:
        said = process.communicate()[0]
    return process.returncode, said


@pytest.fixture
def refusal(monkeypatch, capfd):
    """A function that runs the command in this process and returns what it said before it ran any notebook."""

    def refusal(root, *arguments, **environment):
        for name in os.environ.keys() - ENVIRONMENT.keys():
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as caught:
            run.main([*arguments, "--root", str(root)])
        assert not (root / "build").exists()
        return capfd.readouterr().err + str(caught.value)

    return refusal


@pytest.fixture(scope="module")
def failing(tmp_path_factory):
    """A run over a good, a failing, a dying and a good notebook: folder of the project, exit code, what was said."""
    good = tiny.notebook(code="import os\nprint('in', os.path.basename(os.getcwd()), 'with', 6 * 7)")
    good.cells[3].source += '\n\n![a dot](images/dot.png)\n\n<img alt="a dot" src="images/dot.png">'
    bad = tiny.executed(tiny.notebook("02", "Dividing", code="1 / 0", identifier="divide"))
    bad.cells.insert(5, tiny.executed(tiny.notebook(code="print('never')", identifier="after")).cells[4])
    dying = tiny.notebook("03", "Dying", code="import os\nos._exit(3)", identifier="die")
    root = tmp_path_factory.mktemp("failing")
    (root / "notebooks/images").mkdir(parents=True)
    Image.new("RGB", (1, 1)).save(root / "notebooks/images/dot.png")
    tiny.project(root, good, bad, dying, tiny.notebook("04", "Adding", code="print(20 + 3)"))
    return root, *run_series(root)


def test_a_failure_stands_at_the_end_with_cell_id_and_message_and_in_the_exit_code(failing):
    _, code, said = failing
    first, second, third, fourth = said.splitlines()[-4:]
    assert code == 1 and (first, fourth) == ("01_counting.ipynb: finished", "04_adding.ipynb: finished")
    assert second == "02_dividing.ipynb: failed in cell 2 of 3 (id `divide`): ZeroDivisionError: division by zero"
    assert third.startswith("03_dying.ipynb: failed in cell 2 of 2 (id `die`): DeadKernelError: ")


def test_progress_names_notebook_cell_and_minutes_and_the_data(failing):
    _, _, said = failing
    assert "Images: a made-up source. Profile: class." in said.split("notebook 1")[0]
    assert re.search(r"^notebook 1 of 4, 01_counting, cell 2 of 2, \d+\.\d minutes$", said, re.MULTILINE)


def test_every_notebook_is_written_as_far_as_it_ran(failing):
    root, _, _ = failing
    written = [parts.read_notebook(path) for path in sorted((root / "build").glob("*.ipynb"))]
    assert parts.find_cell(written[0], "count").outputs[0].text == "in notebooks with 42\n"
    assert parts.find_cell(written[1], "divide").outputs[0].ename == "ZeroDivisionError"
    assert parts.find_cell(written[1], "after").outputs == []
    assert parts.find_cell(written[3], "count").outputs[0].text == "23\n"


def test_pages_link_to_each_other_hold_their_images_and_load_nothing(failing):
    build, linked = failing[0] / "build", set()
    for page in build.glob("*.html"):
        tree = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
        assert [tag for tag in tree.find_all(["script", "link"]) if tag.get("src") or tag.get("href")] == []
        assert all(image["src"].startswith("data:image/png;base64,") for image in tree.find_all("img"))
        targets = {link["href"] for link in tree.find_all("a", href=True) if not link["href"].startswith("https://")}
        for file, _, anchor in (target.partition("#") for target in targets):
            assert not anchor or f'id="{anchor}"' in (build / (file or page.name)).read_text(encoding="utf-8")
            assert (build / file).exists()
        linked |= targets
    assert linked >= {"index.html", "01_counting.html", "02_dividing.html", "04_adding.html", "glossary.html#number"}
    first = BeautifulSoup((build / "01_counting.html").read_text(encoding="utf-8"), "html.parser")
    assert len(first.find_all("img")) == 2
    assert ["Two." in answer.get_text() for answer in first.find_all("details")] == [True] * 3


def test_only_a_page_with_formulas_loads_what_sets_them(tmp_path):
    for text in ("$x^2$", "x"):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
        pages.write_page(notebook, "page", tmp_path, tmp_path)
        assert ("mathjax" in (tmp_path / "page.html").read_text(encoding="utf-8")) == ("$" in text)


def test_the_index_names_data_profile_and_how_each_notebook_went(failing):
    text = (failing[0] / "build" / "index.html").read_text(encoding="utf-8")
    for part in ("a made-up source", "<b>class</b>", "01 · Counting", "Adding a little", "ZeroDivisionError"):
        assert part in text
    assert text.count(">finished<") == 2 and len(re.findall(r"<td>\d+\.\d</td>", text)) == 4


def test_the_stand_in_and_only_the_stand_in_is_marked_on_every_page_and_at_the_end(tmp_path, failing):
    root = tiny.project(tmp_path, tiny.notebook())
    code, said = run_series(root, CIFAR10_SOURCE="synthetic")
    assert code == 0 and "synthetic stand-in, not CIFAR-10" in said
    assert said.rstrip().splitlines()[-1].startswith("WARNING: the images of this run are NOT CIFAR-10")
    for page in ("index.html", "01_counting.html"):
        assert "The images of this run are NOT CIFAR-10." in (root / "build" / page).read_text(encoding="utf-8")
        assert "NOT CIFAR-10" not in (failing[0] / "build" / page).read_text(encoding="utf-8")


def saved(root):
    return {path.name: path.read_bytes() for path in sync.notebook_paths(root)}


def test_publishing_saves_good_notebooks_leaves_failing_ones_untouched_and_says_what_the_tests_will_refuse(tmp_path):
    good = tiny.notebook(code="import os\nprint(os.environ['TUTORIAL_PROFILE'])")
    odd = tiny.notebook("03", "Adding", code="import sys\nprint('odd', file=sys.stderr)")
    root = tiny.project(tmp_path, good, tiny.notebook("02", "Dividing", code="1 / 0"), odd)
    before = saved(root)
    code, said = run_series(root, "--publish")
    failed, refused = said.splitlines()[-2:]
    assert code == 1 and "ZeroDivisionError" in failed
    assert refused == "03_adding.ipynb: saved, but the tests will refuse it: count wrote to stderr"
    assert saved(root)["02_dividing.ipynb"] == before["02_dividing.ipynb"]
    nb = parts.read_notebook(root / "notebooks/01_counting.ipynb")
    assert parts.find_cell(nb, "count").outputs[0].text == "full\n"
    assert [cell.execution_count for cell in nb.cells if cell.cell_type == "code"] == [1, 2]
    assert all(cell.metadata == {} for cell in nb.cells)
    assert nb.metadata == parts.metadata(nb.metadata.tutorial)
    assert sync.findings(root) == []


def test_publishing_runs_nothing_whose_code_the_tests_will_refuse(tmp_path, refusal):
    root = tiny.project(tmp_path, tiny.notebook(), tiny.notebook("02", "Adding", code=f"2 + 2  # {'-' * 108}"))
    refused = "02_adding.ipynb: count has a line of 117, more than 108"
    assert refusal(root, "--publish") == f"Nothing was run, since the tests would refuse {refused}."


def test_solutions_are_published_with_their_notebook_and_have_a_page_that_leads_back(tmp_path):
    exercises = tiny.notebook()
    exercises.cells[3].source += "\n\n[Solutions](solutions/01_solutions.ipynb)"
    root = tiny.project(tmp_path, exercises, tiny.notebook("02", "Adding"))
    before = saved(root)
    path = root / "notebooks/solutions/01_solutions.ipynb"
    tiny.write(path, sync.notebook_text(tiny.solutions("import os\nprint('in', os.path.basename(os.getcwd()))")))
    code, said = run_series(root, "--publish", "--only", "01")
    assert code == 0 and said.endswith("01_counting.ipynb: finished\n01_solutions.ipynb: finished\n")
    assert parts.find_cell(parts.read_notebook(path), "solution-1").outputs[0].text == "in solutions\n"
    assert [name for name, content in saved(root).items() if content != before[name]] == ["01_counting.ipynb"]
    assert sync.findings(root) == []
    build = root / "build"
    assert 'href="01_solutions.html"' in (build / "01_counting.html").read_text(encoding="utf-8")
    assert 'href="01_solutions.html"' in (build / "index.html").read_text(encoding="utf-8")
    page = (build / "01_solutions.html").read_text(encoding="utf-8")
    assert 'href="01_counting.html"' in page and 'href="index.html"' in page


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (["--publish"], {"CIFAR10_SOURCE": "synthetic"}, "Expected real CIFAR-10 images"),
        (["--record-minutes"], {"CIFAR10_SOURCE": "synthetic"}, "Expected real CIFAR-10 images"),
        (["--record-minutes"], {"TUTORIAL_PROFILE": "test"}, "Expected the profile class or full"),
        (["--only", "07"], {}, "found 07"),
        ([], {"CIFAR10_DIR": "nowhere"}, "ValueError: expected images, found none\nThe images could not be loaded"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(tmp_path, refusal, arguments, environment, sentence):
    root = tiny.project(tmp_path, tiny.notebook())
    before = saved(root)
    said = refusal(root, *arguments, **environment)
    assert sentence in "\n".join(said.splitlines()[-2:]) and "Traceback" not in said
    assert saved(root) == before


def result_of(root):
    path = sync.notebook_paths(root)[0]
    result = run.Result(parts.read_entry(path, "o/r", "main"), "finished", minutes=7.26, slowest=("count", 1.6))
    return result, parts.read_notebook(path)


@pytest.mark.parametrize(("cores", "accelerator", "minutes"), [(2, "", 7.3), (2, "1 GPU", None), (8, "", None)])
def test_minutes_are_recorded_for_two_cores_only(tmp_path, monkeypatch, cores, accelerator, minutes):
    monkeypatch.setattr(run, "count_cores", lambda: cores)
    result, notebook = result_of(tiny.project(tmp_path, tiny.notebook()))
    run.save(result, tiny.executed(notebook), FACTS | {"accelerator": accelerator}, with_outputs=False)
    after = parts.read_notebook(result.entry.path)
    assert after.metadata.tutorial.minutes == {"class": minutes, "full": None}
    slowest = {"cell": "count", "seconds": 2, "measured_on": "2 cores; made up"}
    assert after.metadata.tutorial.get("slowest") == (slowest if minutes else None)
    assert parts.find_cell(after, "count").outputs == []


def test_the_slowest_cell_of_a_notebook_is_found(tmp_path):
    nb = tiny.notebook(code="import time\ntime.sleep(1.5)", identifier="doze")
    root = tiny.project(tmp_path, nb)
    entry = parts.read_entry(sync.notebook_paths(root)[0], "o/r", "main")
    (root / "build").mkdir()
    result = run.Result(entry)
    run.run_notebook(result, "01", root / "build", FACTS | {"stand_in": False})
    assert result.slowest[0] == "doze" and 1.5 <= result.slowest[1] <= 60 * result.minutes


def test_a_notebook_changed_while_it_ran_is_not_overwritten(tmp_path):
    root = tiny.project(tmp_path, tiny.notebook())
    result, notebook = result_of(root)
    edited = tiny.notebook(code="print('edited')")
    tiny.write(result.entry.path, sync.notebook_text(edited))
    before = saved(root)
    run.save(result, tiny.executed(notebook), FACTS, with_outputs=True)
    assert saved(root) == before and result.failed and "changed while it ran" in result.status


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send Ctrl-C to one process only")
def test_an_interrupt_ends_the_run_and_leaves_what_is_finished(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        wait = f"import socket\nsocket.create_connection({server.getsockname()}).recv(1)"
        waiting = tiny.notebook("02", "Waiting", code=wait)
        root = tiny.project(tmp_path, tiny.notebook(), waiting, tiny.notebook("03", "Adding"))
        process = start(root)
        server.settimeout(300)
        kernel, _ = server.accept()
        process.send_signal(signal.SIGINT)
        said = process.communicate()[0]
        assert kernel.recv(1) == b""  # the kernel is gone
        kernel.close()
    assert process.returncode == 1 and "Interrupted" in said and "Traceback" not in said
    assert "01_counting.ipynb: finished" in said and "03_adding.ipynb: not run" in said
    assert (root / "build/01_counting.html").exists() and not (root / "build/02_waiting.html").exists()
    assert (root / "build/index.html").read_text(encoding="utf-8").count(">not run<") == 2
