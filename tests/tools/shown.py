"""The source of a function or class, as a cell that shows it has it: `metadata.tutorial.shows` names which."""

import ast
import re

# From the opening quotes of a docstring to the end of its first sentence, or of its first paragraph.
FIRST_SENTENCE = re.compile(r'(\w?""")\s*(.*?)(?:(?<=[.!?])(?=\s+[A-Z`])|\s*\n\s*\n|\s*"""$)', re.DOTALL)


def source(root, name):
    """The source of `name`, such as `utils.pipelines.crop`, with only the first sentences of its docstrings."""
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
    start = min(part.lineno for part in (node, *node.decorator_list))
    found = "\n".join(text.splitlines()[start - 1 : node.end_lineno])
    for part in ast.walk(node):
        if isinstance(part, kinds) and ast.get_docstring(part):
            docstring = ast.get_source_segment(text, part.body[0])
            if first := FIRST_SENTENCE.match(docstring):
                found = found.replace(docstring, f'{first[1]}{first[2]}"""')
    return found


def named(cell):
    """The name in a cell's metadata under `tutorial.shows`, or None."""
    return cell.metadata.get("tutorial", {}).get("shows")
