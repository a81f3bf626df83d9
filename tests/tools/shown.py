"""The source of a function or class, as a cell that shows it has it: `metadata.tutorial.shows` names which."""

import ast
import re

# From the opening quotes of a docstring to the end of its first sentence, or of its first paragraph.
FIRST_SENTENCE = re.compile(r'(\w?""")\s*(.*?)(?:(?<=[.!?])(?=\s+[A-Z`])|\s*\n\s*\n|\s*"""$)', re.DOTALL)


def source(root, name):
    """The source of `name`, such as `utils.pipelines.crop`, with decorators and only the docstrings' first sentences.

    Raises:
        ValueError: if there is no such function or class.
    """
    module, _, wanted = name.rpartition(".")
    path = root / f"{module.replace('.', '/')}.py"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    node = next((n for n in ast.parse(text).body if isinstance(n, kinds) and n.name == wanted), None)
    if node is None:
        raise ValueError(
            f"expected `shows` to name a function or class, found {name}, which {path.relative_to(root).as_posix()} "
            "does not have: correct the name in the cell's metadata."
        )
    lines = text.splitlines()
    inside = [part for part in ast.walk(node) if isinstance(part, kinds) and ast.get_docstring(part)]
    for docstring in sorted((part.body[0] for part in inside), key=lambda part: -part.lineno):
        place = slice(docstring.lineno - 1, docstring.end_lineno)
        first = FIRST_SENTENCE.match("\n".join(lines[place])[docstring.col_offset :])
        shortened = f'{" " * docstring.col_offset}{first[1]}{first[2]}"""' if first else "\n".join(lines[place])
        lines[place] = [shortened, *[None] * (docstring.end_lineno - docstring.lineno)]
    start = min(part.lineno for part in (node, *node.decorator_list))
    return "\n".join(line for line in lines[start - 1 : node.end_lineno] if line is not None)


def named(cell):
    """The name in a cell's metadata under `tutorial.shows`, or None."""
    return cell.metadata.get("tutorial", {}).get("shows")
