"""`utils` stays small, and no arrow between its files runs up: each imports only files further down in the table."""

import ast
import sys

import pytest

from tests.tools import sync

ORDER = (  # the table of files, from the top
    "photos", "plotting", "evaluation", "training", "pipelines", "networks", "pictures", "data", "download", "drawings",
    "machine",
)  # fmt: skip
SLOW = {"tensorflow", "keras", "jax"}  # may be imported where they are needed
IMPORTERS = ("import_module", "__import__")
MOST_FILES, MOST_LINES, MOST_A_FILE = 12, 2_100, 300


def imports(path):
    """Every import of a file, also by `import_module`: full name of the module, and whether it is in a function."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    functions = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    inside = {node for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        names = []
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom(module="utils", level=0) | ast.ImportFrom(module=None):
                names = [f"utils.{alias.name}" for alias in node.names]
            case ast.ImportFrom():
                names = [f"{'utils.' * node.level}{node.module}"]
            case ast.Call(args=[ast.Constant(value=name), *_]) if ast.unparse(node.func).endswith(IMPORTERS):
                names = [name]
        yield from ((name, node in inside) for name in names)


def problem(file, name, inside):
    """What is wrong with the import of `name` by `file`, or an empty string."""
    top, _, module = name.partition(".")
    if top in ("models", "notebooks", "tests"):
        return f"{file} imports {name}, which belongs above utils"
    if top == "utils" and module.partition(".")[0] not in ORDER[ORDER.index(file) + 1 :]:
        return f"{file} imports {name}, which is not further down"
    if inside and top not in {*sys.stdlib_module_names, *SLOW, "google"}:  # google.colab, which exists only there
        return f"{file} imports {name} in a function"
    return ""


def findings(folder):
    """One line for each rule that the files in `folder` break."""
    paths = {path.stem: path for path in sorted(folder.glob("*.py"))}
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in paths.items()}
    found = [f"{name} is none of the files {', '.join(ORDER)}" for name in paths if name not in (*ORDER, "__init__")]
    found += [f"{n} lines in {name}, more than {MOST_A_FILE}" for name, n in lines.items() if n > MOST_A_FILE]
    if len(paths) > MOST_FILES:
        found.append(f"{len(paths)} files, more than {MOST_FILES}")
    if sum(lines.values()) > MOST_LINES:
        found.append(f"{sum(lines.values())} lines in all, more than {MOST_LINES}: cut elsewhere, or say what they buy")
    if "__init__" in paths:
        found += [f"__init__ imports {name}" for name, _ in imports(paths["__init__"])]
    for file in paths.keys() & set(ORDER):
        found += filter(None, (problem(file, name, inside) for name, inside in imports(paths[file])))
    return found


def test_utils_is_small_and_each_file_imports_only_files_further_down():
    found = findings(sync.PROJECT / "utils")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("data", "from utils.plotting import grid", "data imports utils.plotting, which is not further down"),
        ("data", "from utils import download, networks", "data imports utils.networks, which is not"),
        ("data", "import utils.data", "data imports utils.data, which is not"),
        ("data", "from . import photos", "data imports utils.photos, which is not"),
        ("data", "from .photos import load_image", "data imports utils.photos, which is not"),
        ("data", "import importlib\nimportlib.import_module('utils.photos')", "data imports utils.photos"),
        ("photos", "async def f():\n from utils.data import CLASS_NAMES", "photos imports utils.data in a function"),
        ("photos", "def f():\n if f:\n  import pandas as pd", "photos imports pandas in a function"),
        ("machine", "class A:\n def f():\n  from utils import data", "machine imports utils.data, which is not"),
        ("training", "from models.train import RECIPES", "training imports models.train, which belongs above"),
        ("training", "def f():\n import tests.tiny", "training imports tests.tiny, which belongs above"),
        ("samples", "", "samples is none of the files"),
        ("__init__", "from utils import data", "__init__ imports utils.data"),
        ("data", "\n" * 301, "301 lines in data, more than 300"),
    ],
)
def test_a_file_that_breaks_a_rule_is_found(tmp_path, file, text, message):
    (tmp_path / f"{file}.py").write_text(text)
    found = findings(tmp_path)
    assert len(found) == 1 and message in found[0]


def test_too_many_files_and_lines_are_found(tmp_path):
    each = MOST_LINES // MOST_FILES
    for name in (*ORDER, "__init__"):
        (tmp_path / f"{name}.py").write_text("\n" * each)
    assert findings(tmp_path) == []
    (tmp_path / "samples.py").write_text("\n" * MOST_FILES)
    found = "\n".join(findings(tmp_path))
    assert f"{each * MOST_FILES + MOST_FILES} lines in all, more than {MOST_LINES}" in found
    assert f"{MOST_FILES + 1} files, more than {MOST_FILES}" in found
