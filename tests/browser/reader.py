"""What a reader does: open a notebook in JupyterLab, step through it with Shift+Enter, unfold answers, go on."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager

from tests.tools.ask_jupyterlab import wait_for_server

# JupyterLab keeps these where the user's other notebooks have theirs; a test has its own.
FOLDERS = (
    "IPYTHONDIR",
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_DATA_DIR",
    "JUPYTER_RUNTIME_DIR",
    "JUPYTERLAB_SETTINGS_DIR",
    "JUPYTERLAB_WORKSPACES_DIR",
)
NO_NEWS = ("@jupyterlab/apputils-extension/notification", {"fetchNews": "false", "checkForUpdates": False})
SECONDS = 300  # for one cell, as nbval has them
NOTEBOOK = ".jp-NotebookPanel:not(.lm-mod-hidden)"

# Ends with an empty text when `cell` has its number, else with what JupyterLab asks meanwhile.
FINISHED = """async (cell, seconds) => {
    const prompt = cell.querySelector(".jp-InputPrompt");
    for (const end = Date.now() + 1000 * seconds; Date.now() < end;) {
        const dialog = document.querySelector(".jp-Dialog-content");
        if (dialog) return "JupyterLab says: " + dialog.innerText.replace(/\\s+/g, " ");
        if (/\\d/.test(prompt.textContent)) return "";
        await new Promise(resolve => setTimeout(resolve, 20));
    }
    return `its prompt is still ${prompt.innerText} after ${seconds} seconds`;
}"""

# Ends with an empty text when the notebook in front has the heading `title`.
OPENED = """async ([panel, title, seconds]) => {
    for (const end = Date.now() + 1000 * seconds; Date.now() < end;) {
        const heading = document.querySelector(panel + " h1");
        if (heading && heading.innerText.startsWith(title)) return "";
        await new Promise(resolve => setTimeout(resolve, 50));
    }
    return `no notebook with the heading ${title} came to the front`;
}"""

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
def jupyterlab(root, folder):
    """Serve the project `root` with JupyterLab; yields a function from a path in it to the address to open.

    Args:
        root: folder of the project.
        folder: an empty folder for everything that JupyterLab writes of its own.
    """
    environment = os.environ | {name: str(folder / name.lower()) for name in FOLDERS}
    environment.pop("PYTEST_CURRENT_TEST", None)  # kernels behave differently under it
    settings = folder / f"jupyterlab_settings_dir/{NO_NEWS[0]}.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(NO_NEWS[1]))
    options = ["--no-browser", "--allow-root", "--ServerApp.port=0", "--LabApp.extension_manager=readonly"]
    command = [sys.executable, "-m", "jupyterlab", *options, f"--ServerApp.root_dir={root}"]
    process = subprocess.Popen(command, env=environment)
    try:
        address, token = wait_for_server(process, folder / "jupyter_runtime_dir")
        yield lambda path: f"{address}lab/tree/{path}?token={token}"
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def open_notebook(page, address):
    """Open a notebook and wait until the status bar says that its kernel is idle; then click on its title.

    The circle beside the kernel's name is no sign: it says idle before there is a kernel, and no cell is run then.
    """
    page.goto(address)
    page.locator("#jp-main-statusbar", has_text="| Idle").wait_for(timeout=60_000)
    page.locator(f'{NOTEBOOK} .jp-Cell[data-windowed-list-index="0"] h1').click()


def step_through(page, notebook):
    """Step with Shift+Enter from the first to the last cell of the opened notebook, or to the first that fails.

    Args:
        page: Playwright's page, on which the notebook is open without outputs.
        notebook: the same notebook with its saved outputs; nbformat's nodes.

    Returns:
        One line for everything that a reader would call broken, with the id of its cell.
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
            problems = read_outputs(shown, cell, number)
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


def read_outputs(shown, cell, number):
    """Wait for a cell that was just run; what is wrong with its number and its outputs."""
    if trouble := shown.evaluate(FINISHED, SECONDS):
        return [trouble]
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
    """Click on the link to the next notebook, `title`, at the end of the one in front; what goes wrong, if anything."""
    page.locator(f"{NOTEBOOK} .jp-Cell a", has_text=f"{title} →").last.click()
    return page.evaluate(OPENED, [NOTEBOOK, title, seconds])
