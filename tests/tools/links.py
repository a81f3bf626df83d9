"""Find the links in the series' markdown that lead to no file or heading."""

import re
from functools import cache
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from tests.tools import parts

COLAB = "https://colab.research.google.com/github/"
DOCUMENTS = ("*.md", "notebooks/*.md", "notebooks/*.ipynb", "notebooks/*/*.ipynb")


def parse(markdown):
    """The HTML of a text as a tree, with the anchors that GitHub gives to headings."""
    renderer = IPythonRenderer(escape=False, exclude_anchor_links=True)
    page = BeautifulSoup(MarkdownWithMath(renderer).render(markdown), "html.parser")
    for heading in page.find_all(re.compile("^h[1-6]$")):
        heading["id"] = re.sub(r"[^\w\- ]", "", heading.get_text().lower()).replace(" ", "-")
    return page


def attributes(page, *names):
    """The values of all attributes of these names in a tree."""
    return [tag[name] for name in names for tag in page.find_all(attrs={name: True})]


@cache
def anchors(markdown):
    """Everything that can stand after the # of a link into this text."""
    return set(attributes(parse(markdown), "id", "name"))


def markdown_of(path):
    """The markdown of a .md file, or of all markdown cells of a notebook."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    return "\n\n".join(cell.source for cell in parts.read_notebook(path).cells if cell.cell_type == "markdown")


def problem(target, path, root, published):
    """What is wrong with the link to `target` in the document at `path`, or an empty string.

    `published` is "owner/name/blob/branch", where Colab finds the project.
    """
    if target.startswith(COLAB):
        opened = target.removeprefix(COLAB + published + "/")
        return "" if (root / opened).is_file() else f"Colab would find nothing at {target}"
    address = urlsplit(target)
    if address.scheme or address.netloc:
        return ""
    file = path.parent / unquote(address.path) if address.path else path
    if not file.exists():
        return f"{target} leads to no file"
    fragment = unquote(address.fragment)
    if fragment and file.suffix in (".md", ".ipynb") and fragment not in anchors(markdown_of(file)):
        return f"{target} leads to no heading of {file.name}"
    return ""


def findings(root, published):
    """One line for each link of the project that leads nowhere, and for each entry of the glossary without a link."""
    paths = sorted(path for pattern in DOCUMENTS for path in root.glob(pattern))
    found = [(path, target) for path in paths for target in attributes(parse(markdown_of(path)), "href", "src")]
    lead_nowhere = [
        f"{path.relative_to(root).as_posix()}: {message}"
        for path, target in found
        if (message := problem(target, path, root, published))
    ]
    glossary = root / "notebooks/glossary.md"
    entries = {heading["id"] for heading in parse(markdown_of(glossary)).find_all("h2")}
    linked = {target.partition("#")[2] for path, target in found if "glossary.md#" in target or path == glossary}
    return lead_nowhere + [f"notebooks/glossary.md: nothing leads to #{entry}" for entry in sorted(entries - linked)]
