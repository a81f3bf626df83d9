"""What a reader does: open a notebook in JupyterLab, step through it with Shift+Enter, unfold answers, go on."""

import os
import subprocess
import sys
from contextlib import contextmanager

from tests import tiny
from tests.tools.ask_jupyterlab import wait_for_server

# JupyterLab keeps these where the user's other notebooks have theirs; a test has its own.
FOLDERS = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
SETTINGS = "lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
NO_NEWS = '{"fetchNews": "false", "checkForUpdates": false}'
SECONDS = 300  # for one cell, as nbval has them
NOTEBOOK = ".jp-NotebookPanel:not(.lm-mod-hidden)"
DIALOG = ".jp-Dialog-content"

# Whether a cell has its number, or JupyterLab asks something meanwhile.
FINISHED = f"""cell => document.querySelector("{DIALOG}")
    || /\\d/.test(cell.querySelector(".jp-InputPrompt").textContent)"""

# What is wrong with a picture for someone who looks at it, or an empty text.
LOOK_AT = """async image => {
    await image.decode().catch(() => null);
    if (!image.naturalWidth) return "a picture that cannot be shown";
    image.scrollIntoView({block: "center"});
    await new Promise(requestAnimationFrame);
    const box = image.getBoundingClientRect();
    const front = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    if (front !== image) return "a picture out of sight";
    const canvas = Object.assign(document.createElement("canvas"), {width: 200, height: 200});
    const drawing = canvas.getContext("2d");
    drawing.drawImage(image, 0, 0, 200, 200);
    const colours = new Set(new Uint32Array(drawing.getImageData(0, 0, 200, 200).data.buffer));
    return colours.size > 1 ? "" : "a picture of one colour";
}"""


@contextmanager
def opened(page, notebook):
    """Serve the project of a notebook, a path, with JupyterLab; open it, wait for its kernel, and click on its title.

    What JupyterLab writes of its own goes to the project's folder `lab`. The circle beside the kernel's name is no
    sign: it says idle before there is a kernel, and no cell is run then.
    """
    root = notebook.parents[2 if notebook.parent.name == "deeper" else 1]
    environment = os.environ | {name: str(root / "lab" / name.lower()) for name in FOLDERS}
    environment.pop("PYTEST_CURRENT_TEST", None)  # kernels behave differently under it
    tiny.write(root / "lab/jupyter_config_dir" / SETTINGS, NO_NEWS)
    options = ["--no-browser", "--allow-root", "--ServerApp.port=0", "--LabApp.extension_manager=readonly"]
    command = [sys.executable, "-m", "jupyterlab", *options, f"--ServerApp.root_dir={root}"]
    process = subprocess.Popen(command, env=environment)
    try:
        address, token = wait_for_server(process, root / "lab/jupyter_runtime_dir")
        page.goto(f"{address}lab/tree/{notebook.relative_to(root).as_posix()}?token={token}")
        page.locator("#jp-main-statusbar", has_text="| Idle").wait_for(timeout=60_000)
        page.locator(f'{NOTEBOOK} .jp-Cell[data-windowed-list-index="0"] h1').click()
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def step_through(page, notebook):
    """Step with Shift+Enter from the first to the last cell of the opened notebook, or to the first that fails.

    On the page it is open without outputs; `notebook` has the saved ones. Returns one line for everything that a reader
    would call broken, with the id of its cell.
    """
    found, number = [], 0
    for position, cell in enumerate(notebook.cells):
        shown = page.locator(f'{NOTEBOOK} .jp-Cell.jp-mod-active[data-windowed-list-index="{position}"]')
        shown.wait_for()
        shown = shown.element_handle()
        problems = read_text(shown, cell) if cell.cell_type == "markdown" else []
        page.keyboard.press("Shift+Enter")
        if cell.cell_type == "code":
            number += 1
            problems = read_outputs(page, shown, cell, number)
        found += [f"cell `{cell.id}`: {problem}" for problem in problems]
        if cell.cell_type == "code" and problems:
            break
    return found


def read_text(shown, cell):
    """What is broken in a text: an answer that is not folded or does not unfold, a picture that does not show."""
    answers, expected = shown.query_selector_all("details"), cell.source.count("<details")
    problems = [] if len(answers) == expected else [f"{len(answers)} folded answers, {expected} in its source"]
    for number, answer in enumerate(answers, 1):
        problems += [f"answer {number} {problem}" for problem in unfold(answer)]
    pictures = shown.query_selector_all('img:not([src^="https://"])')
    return [*problems, *filter(None, (picture.evaluate(LOOK_AT) for picture in pictures))]


def unfold(answer):
    """Click on a folded answer; what does not go as it should."""
    if answer.get_attribute("open") is not None:
        return ["is open before anyone clicks"]
    folded = answer.bounding_box()["height"]
    answer.query_selector("summary").click()
    if answer.get_attribute("open") is None:
        return ["does not open"]
    return [] if answer.bounding_box()["height"] > folded else ["opens, but there is nothing in it"]


def read_outputs(page, shown, cell, number):
    """Wait for a cell that was just run; what is wrong with its number and its outputs."""
    page.wait_for_function(FINISHED, arg=shown, timeout=1000 * SECONDS)
    if dialog := page.query_selector(DIALOG):
        return [f"JupyterLab says: {dialog.inner_text()}"]
    red = shown.query_selector_all('[data-mime-type="application/vnd.jupyter.stderr"]')  # tracebacks and warnings alike
    if red:
        return [red[0].inner_text().strip().splitlines()[-1]]
    prompt = shown.query_selector(".jp-InputPrompt").inner_text()
    problems = [] if prompt == f"[{number}]:" else [f"it is run {prompt}, expected [{number}]:"]
    pictures = shown.query_selector_all(".jp-OutputArea-output img")
    expected = sum("image/png" in output.get("data", {}) for output in cell.outputs)
    if len(pictures) < expected:
        problems.append(f"{len(pictures)} figures, {expected} in the saved outputs")
    return [*problems, *filter(None, (picture.evaluate(LOOK_AT) for picture in pictures))]


def go_on(page, title, seconds=60):
    """Click on the link to the next notebook, `title`, at the end of the one in front, and wait until it is there."""
    page.locator(f"{NOTEBOOK} .jp-Cell a", has_text=f"{title} →").last.click()
    page.locator(f"{NOTEBOOK} h1", has_text=title).first.wait_for(timeout=1000 * seconds)
