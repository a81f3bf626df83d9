"""Find the links in the series' markdown that lead to no file or heading."""

import html
import json
import re
from urllib.parse import unquote, urlsplit

FENCED = re.compile(r"^ *(```|~~~).*?^ *\1", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`[^`\n]+`")
TARGETS = [  # [text](target "title"), href="target", [name]: target
    re.compile(r'\]\(([^()\s]+)(?:\s+"[^"]*")?\)'),
    re.compile(r'\b(?:href|src)="([^"]+)"'),
    re.compile(r"^\[[^]]+\]: +(\S+)", re.MULTILINE),
]
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
NAMED = re.compile(r'<\w+[^>]*\s(?:id|name)="([^"]+)"')
COLAB = "https://colab.research.google.com/github/"


def markdown_of(path):
    """The markdown of a .md file, or of all markdown cells of a notebook."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = (cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")
    return "\n\n".join("".join(cell["source"]) for cell in cells)


def slug(heading):
    """The anchor that GitHub gives a heading: lower case, no punctuation, hyphens for spaces."""
    text = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", html.unescape(heading))
    return re.sub(r"[^\w\- ]", "", re.sub(r"<[^>]+>", "", text).lower()).replace(" ", "-")


def anchors(markdown):
    """Everything that can stand after the # of a link into this text."""
    text = FENCED.sub("", markdown)
    return {slug(heading) for heading in HEADING.findall(text)} | set(NAMED.findall(text))


def targets(markdown):
    """The addresses that a text links to; what stands in code is none."""
    text = INLINE_CODE.sub("", FENCED.sub("", markdown))
    return [target for pattern in TARGETS for target in pattern.findall(text)]


def documents(root):
    """Every file of the project whose links are checked."""
    notebooks = root / "notebooks"
    texts = [*root.glob("*.md"), *notebooks.glob("*.md")]
    return sorted([*texts, *notebooks.glob("*.ipynb"), *notebooks.glob("solutions/*.ipynb")])


def problem(target, path, root, published):
    """What is wrong with the link to `target` in the document at `path`, or an empty string.

    `published` is "owner/name/blob/branch", where Colab finds the project.
    """
    if target.startswith(COLAB):
        opened = target.removeprefix(COLAB + published + "/")
        return "" if (root / opened).is_file() else f"Colab would find nothing at {target}"
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return ""
    file = path.parent / unquote(parts.path) if parts.path else path
    if not file.exists():
        return f"{target} leads to no file"
    if parts.fragment and file.suffix in (".md", ".ipynb") and parts.fragment not in anchors(markdown_of(file)):
        return f"{target} leads to no heading of {file.name}"
    return ""


def findings(root, published):
    """One line for each link of the project that leads nowhere."""
    return [
        f"{path.relative_to(root).as_posix()}: {message}"
        for path in documents(root)
        for target in targets(markdown_of(path))
        if (message := problem(target, path, root, published))
    ]
