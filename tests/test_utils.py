"""`utils` stays small, and no arrow between its files runs up: each imports only files further down in the table."""

import ast
import sys

import pytest

from tests.tools import sync

ORDER = (  # the table of files, from the top
    "photos", "plotting", "evaluation", "training", "pipelines", "networks", "data", "download", "drawings", "machine"
)  # fmt: skip
SLOW = {"tensorflow", "keras", "jax"}  # may be imported where they are needed; in `machine` whatever must not be early
MOST_FILES, MOST_LINES, MOST_A_FILE = 11, 2_000, 300


def imports(path):
    """Every import of a file, also by `import_module`: full name of the module, and whether it is in a function."""

    def walk(node, inside):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = ".".join(filter(None, ["utils" if node.level else "", node.module]))
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "utils" else [module]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            names = [part.value for part in node.args[:1] if isinstance(part, ast.Constant)]
        yield from ((name, inside) for name in names)
        inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inside)

    return walk(ast.parse(path.read_text(encoding="utf-8")), False)


def problem(file, name, inside):
    """What is wrong with the import of `name` by `file`, or an empty string."""
    top, _, module = name.partition(".")
    if top in ("models", "notebooks", "tests"):
        return f"{file} imports {name}, which belongs above utils"
    if top == "utils" and module.partition(".")[0] not in ORDER[ORDER.index(file) + 1 :]:
        return f"{file} imports {name}, which is not further down"
    free = {*sys.stdlib_module_names, *SLOW, "google"}  # google.colab, which exists only there
    free |= {top} if file == "machine" else set()
    if inside and (top == "utils" or top not in free):
        return f"{file} imports {name} in a function"
    return ""


def findings(folder):
    """One line for each rule that the files in `folder` break."""
    texts = {path.stem: path for path in sorted(folder.glob("*.py"))}
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in texts.items()}
    found = [f"{name} is none of the files {', '.join(ORDER)}" for name in texts if name not in (*ORDER, "__init__")]
    found += [f"{len(texts)} files, more than {MOST_FILES}"] * (len(texts) > MOST_FILES)
    found += [f"{sum(lines.values())} lines in all, more than {MOST_LINES}"] * (sum(lines.values()) > MOST_LINES)
    found += [f"{n} lines in {name}, more than {MOST_A_FILE}" for name, n in lines.items() if n > MOST_A_FILE]
    if "__init__" in texts:
        found += [f"__init__ imports {name}" for name, _ in imports(texts.pop("__init__"))]
    for file in ORDER:
        if file in texts:
            found += filter(None, (problem(file, name, inside) for name, inside in imports(texts[file])))
    return found


def test_utils_is_small_and_each_file_imports_only_files_further_down():
    found = findings(sync.PROJECT / "utils")
    assert not found, "\n".join(found)


def plant(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("data", "from utils.plotting import grid", "data imports utils.plotting, which is not further down"),
        ("data", "from utils import download, networks", "data imports utils.networks, which is not"),
        ("data", "import utils.data", "data imports utils.data, which is not"),
        ("data", "from . import photos", "data imports utils.photos, which is not"),
        ("data", "from .photos import load_image", "data imports utils.photos, which is not"),
        ("data", "import utils.samples", "data imports utils.samples, which is not"),
        ("data", "class A:\n async def f():\n  from utils.photos import x", "data imports utils.photos, which is not"),
        ("data", "import importlib\nimportlib.import_module('utils.photos')", "data imports utils.photos"),
        ("photos", "def f():\n from utils.data import CLASS_NAMES", "photos imports utils.data in a function"),
        ("photos", "def f():\n if f:\n  import pandas as pd", "photos imports pandas in a function"),
        ("machine", "def f():\n from utils import data", "machine imports utils.data, which is not"),
        ("training", "from models.train import RECIPES", "training imports models.train, which belongs above"),
        ("training", "def f():\n import tests.tiny", "training imports tests.tiny, which belongs above"),
        ("training", "from notebooks import checks", "training imports notebooks, which belongs above"),
        ("samples", "", "samples is none of the files"),
        ("__init__", "from utils import data", "__init__ imports utils.data"),
        ("data", "\n" * 301, "301 lines in data, more than 300"),
    ],
)
def test_a_file_that_breaks_a_rule_is_found(tmp_path, file, text, message):
    found = findings(plant(tmp_path, **{file: text}))
    assert len(found) == 1 and message in found[0]


def test_too_many_files_and_lines_are_found(tmp_path):
    plant(tmp_path, **dict.fromkeys((*ORDER, "__init__"), "\n" * 181))
    assert findings(tmp_path) == []
    plant(tmp_path, data="\n" * 200, samples="")
    assert {"2010 lines in all, more than 2000", "12 files, more than 11"} < {*findings(tmp_path)}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("photos", "import pandas\nfrom utils import data, machine\nfrom utils.training import predict_views"),
        ("data", "def f():\n import tensorflow as tf\n from keras import ops\n import jax.numpy\n import json"),
        ("machine", "def f():\n import psutil"),
    ],
)
def test_imports_that_are_fine_pass(tmp_path, file, text):
    assert findings(plant(tmp_path, **{file: text})) == []
