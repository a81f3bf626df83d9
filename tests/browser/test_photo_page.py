"""The page that deeper/06_phone_and_web writes, asked as a reader asks it; with LiteRT.js from npm, from this machine.

Slow: the notebook is run once, in the profile of tests. `pytest -m slow tests/browser/test_photo_page.py`
"""

import base64
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import psutil
import pytest
from PIL import Image
from skimage import data as photographs

from tests.test_pictures import encoded, turned
from tests.tools import parts, run, sync
from utils.data import CLASS_NAMES, load_cifar10
from utils.networks import load_published
from utils.photos import classify, to_cifar_size

pytestmark = pytest.mark.slow
NOTEBOOK = "notebooks/deeper/06_phone_and_web.ipynb"
ELSEWHERE = "https://cdn.jsdelivr.net/npm/@litertjs/"

# Drops or pastes a file, waits until the page says something about it, and reads what it shows.
GIVE = """async ([bytes, name, way]) => {
    const part = id => document.getElementById(id), files = new DataTransfer(), start = performance.now();
    files.items.add(new File([Uint8Array.from(atob(bytes), letter => letter.charCodeAt(0))], name));
    part("message").textContent = "";
    document.dispatchEvent(way === "drop" ? new DragEvent("drop", {dataTransfer: files, cancelable: true})
        : new ClipboardEvent("paste", {clipboardData: files}));
    while (!part("message").textContent.includes(name)) await new Promise(resolve => setTimeout(resolve, 1));
    const pixels = [...part("small").getContext("2d").getImageData(0, 0, 32, 32).data];
    const shares = [...document.querySelectorAll(".bar div")].map(bar => parseFloat(bar.style.width));
    const milliseconds = performance.now() - start;
    return {pixels, shares, milliseconds, said: part("said").textContent, message: part("message").textContent};
}"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The folder node_modules with LiteRT.js and axe-core, which looks for what keeps people out of a page."""
    if not (npm := shutil.which("npm")):
        pytest.skip("no npm here: on Debian, `sudo apt install npm`")
    folder = tmp_path_factory.mktemp("npm")
    wanted = ["@litertjs/core@2.5.3", "@litertjs/wasm-utils@2.5.3", "axe-core@4"]
    command = [npm, "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund", *wanted]
    process = subprocess.run(command, capture_output=True, encoding="utf-8")
    if process.returncode:
        pytest.skip(f"npm delivered no packages: {process.stderr[-300:]}")
    return folder / "node_modules"


@pytest.fixture(scope="module")
def folder(packages, tmp_path_factory):
    """What the notebook writes, in a copy of the series: the page, its network, and LiteRT.js beside them."""
    root = tmp_path_factory.mktemp("series")
    for name in ("notebooks", "utils", "models"):
        shutil.copytree(sync.PROJECT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    notebook = parts.read_notebook(root / NOTEBOOK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUTORIAL_LITERT", str(packages / "@litertjs"))
        run.execute(notebook, (root / NOTEBOOK).parent, run.Progress("the notebook", notebook))
    return root / "build/photo"


@pytest.fixture(scope="module")
def address(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def opened(page, address):
    """The page, ready; at the end, the browser must have had nothing to complain of, and asked nobody else."""
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith(("blob:", "data:", address)) else complaints.append(r.url))
    page.goto(address)
    says(page, "Ready for a photo.")
    yield page
    assert complaints == []


def says(page, sentence):
    page.locator("#message", has_text=sentence).wait_for(timeout=30_000)


def give(page, content, name="photo.png", way="drop"):
    answer = page.evaluate(GIVE, [base64.b64encode(content).decode(), name, way])
    answer["pixels"] = np.reshape(answer["pixels"], (32, 32, 4))[..., :3]
    return answer


def named(answer):
    return CLASS_NAMES[int(np.argmax(answer["shares"]))]


def distance(answer, content):
    return np.abs(answer["pixels"] - to_cifar_size(content).astype(float)).mean()


def test_a_dropped_photo_and_a_pasted_one_without_ground_are_answered_as_in_the_notebook(opened):
    cat = encoded(Image.fromarray(photographs.chelsea()))
    answer = give(opened, cat)
    row = classify(load_published(), cat).iloc[0]
    assert (named(answer), answer["said"][:5]) == (row["class"], "cat, ")
    assert abs(max(answer["shares"]) / 100 - row["confidence"]) < 0.05 and distance(answer, cat) < 2
    picture = Image.fromarray(photographs.astronaut())
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    content = encoded(picture)
    assert distance(give(opened, content, way="paste"), content) < 2


def test_a_sideways_jpeg_that_is_chosen_is_turned_upright(opened):
    picture = Image.fromarray(photographs.chelsea())
    content = encoded(picture, "JPEG", subsampling=2, exif=turned(6))
    opened.set_input_files("#file", {"name": "phone.jpg", "mimeType": "image/jpeg", "buffer": content})
    says(opened, "Answered: phone.jpg.")
    shown = give(opened, content, "again.jpg")
    assert distance(shown, content) < 2 < distance(shown, encoded(picture))


def test_the_camera_takes_a_photo_by_keyboard_alone(opened):
    for key in ("Tab", "Tab", "Enter"):
        opened.keyboard.press(key)
    opened.locator("#take:focus").wait_for()
    opened.keyboard.press("Enter")
    says(opened, "Answered: the camera's photo.")
    for key in ("Tab", "Enter"):
        opened.keyboard.press(key)
    assert opened.locator("#video").is_hidden()
    assert opened.evaluate("document.getElementById('video').srcObject.active") is False


def test_a_text_file_is_refused_in_a_sentence_and_the_next_photo_is_answered(opened):
    refused = "notes.txt is no picture that this browser can read: choose a JPEG, PNG or WebP file."
    cat = encoded(Image.fromarray(photographs.chelsea()))
    give(opened, cat)
    assert give(opened, b"milk, bread", "notes.txt")["message"] == refused
    assert opened.locator("#answer").is_hidden()  # no old answer beside it
    assert give(opened, cat)["said"].startswith("cat, ") and opened.locator("#answer").is_visible()


def test_100_images_have_the_classes_of_keras_and_500_pictures_the_pixels_of_pillow(opened):
    """And all that time the memory stays as it was after the first hundred pictures."""
    data, model, random = load_cifar10(), load_published(), np.random.default_rng(0)
    images = data.x_test[:500]
    plain = [give(opened, encoded(Image.fromarray(image)), f"{n}.png") for n, image in enumerate(images[:100])]
    assert all((answer["pixels"] == image).all() for answer, image in zip(plain, images, strict=False))
    same = np.sum([named(answer) for answer in plain] == classify(model, images[:100])["class"])
    assert same >= (90 if data.is_stand_in else 100)  # a network of photographs is unsure of drawings
    contents = [encoded(picture, compress_level=1) for picture in enlarged(images, random)]
    answers = [give(opened, content, f"{n}.png") for n, content in enumerate(contents[:100])]
    before = memory(opened)
    answers += [give(opened, content, f"{n}.png") for n, content in enumerate(contents[100:])]
    after, milliseconds = memory(opened), np.array([answer["milliseconds"] for answer in answers])
    distances = [distance(answer, content) for answer, content in zip(answers, contents, strict=True)]
    by_page = classify(model, np.array([answer["pixels"] for answer in answers], np.uint8))["class"]
    same = np.mean(by_page == classify(model, contents)["class"])
    print(f"distance {np.mean(distances):.3f}, at most {np.max(distances):.3f}; same class {same:.1%};", end=" ")
    print(f"memory {before:.0f} to {after:.0f} MB; {np.median(milliseconds):.0f} ms, at most {milliseconds.max():.0f}")
    assert np.max(distances) < 2 and same >= 0.99
    assert after - before < 60 and np.median(milliseconds) < 500  # on a machine that does other things, too


def enlarged(images, random):
    """The images in 500 sizes, some of them larger than the page reads at once; every tenth a part of a photograph."""
    for number, image in enumerate(images):
        width, height = random.integers(33, 700, 2)
        if number % 10 == 0:
            photo = Image.fromarray([photographs.astronaut, photographs.coffee, photographs.chelsea][number % 3]())
            yield photo.crop((number % 100, number % 70, number % 100 + 150 + number // 5, number % 70 + 200))
        elif number % 50 == 1:
            yield Image.fromarray(image).resize((1501 + number, 2003), Image.Resampling.BICUBIC)
        else:
            yield Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)


def memory(page):
    """The megabytes of all processes of the browser, after it has tidied up."""
    page.context.new_cdp_session(page).send("HeapProfiler.collectGarbage")
    processes = [process for process in psutil.Process().children(recursive=True) if "chrom" in process.name()]
    return sum(process.memory_info().rss for process in processes) / 1e6


BREAKS = {
    "no WebAssembly": ("delete window.WebAssembly", "", "This browser has no WebAssembly"),
    "no network": ("", "online.html", "The network could not be loaded. Is this computer online?"),
    "another library": ("", "tampered.html", "The network could not be loaded."),
}


@pytest.mark.parametrize("case", BREAKS)
def test_what_is_missing_is_said(page, folder, address, case):
    text = (folder / "index.html").read_text(encoding="utf-8")
    (folder / "online.html").write_text(text.replace('"litert/"', f'"{ELSEWHERE}"'), encoding="utf-8")
    (folder / "tampered.html").write_text(text.replace("sha384-M", "sha384-N"), encoding="utf-8")
    script, name, sentence = BREAKS[case]
    page.add_init_script(script)
    page.goto(address + name)
    says(page, sentence)


def test_a_page_opened_by_double_click_says_what_to_do(page, folder):
    page.goto((folder / "index.html").as_uri())
    says(page, "type python -m http.server, and open http://localhost:8000")


def test_without_the_camera_it_says_so(opened):
    refusal = "async () => { throw new DOMException('', 'NotAllowedError') }"
    opened.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {refusal} }}")
    opened.click("#camera")
    says(opened, "The camera was refused: allow it for this page, or choose a photo.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 320])
def test_everybody_can_use_it(opened, packages, scheme, width):
    opened.set_viewport_size({"width": width, "height": 800})
    opened.emulate_media(color_scheme=scheme)
    give(opened, encoded(Image.fromarray(photographs.chelsea())))
    opened.add_script_tag(path=packages / "axe-core/axe.min.js")
    found = opened.evaluate("axe.run()")["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found] == []
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
