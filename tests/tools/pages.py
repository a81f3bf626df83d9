"""Turn executed notebooks and the glossary into pages that a browser shows without network, with an index page."""

import base64
import html
import mimetypes
import os
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import nbformat
from nbconvert import HTMLExporter

from tests.tools import links

STYLE = """body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } td, th { text-align: left; vertical-align: top; padding: .4rem .8rem; }
tr { border-bottom: 1px solid #ccc; } .failed { color: #a40000; font-weight: bold; }"""

# JupyterLab's page, with nothing from other hosts but the program that sets formulas, and that only where there are
# some; and with its colours of code and prompts, where their contrast on its grey is under 4.5 to 1, made darker.
TEMPLATE = """{% extends "lab/index.html.j2" %}
{% block html_head_js_requirejs %}{% endblock %}
{% block html_head_js_mathjax %}{{ super() if resources.formulas }}{% endblock %}
{% block html_head_css %}{{ super() }}<style>
:root { --jp-mirror-editor-comment-color: #356a6a; --jp-mirror-editor-number-color: #007000;
--jp-mirror-editor-operator-color: #8a00e0; --jp-mirror-editor-error-color: #b00020;
--jp-cell-inprompt-font-color: #2a6fa8; --jp-cell-outprompt-font-color: #b0502f; }</style>{% endblock %}
{% block body_header %}{{ super() }}{{ resources.notice }}{% endblock %}"""

STAND_IN_NOTICE = """<div style="background:#fff3cd;color:#332200;border:3px solid #b00020;margin:1em;padding:0.5em 1em;
font:16px/1.5 system-ui,sans-serif"><b style="color:#b00020">The images of this run are NOT CIFAR-10.</b>
They are a synthetic stand-in, drawn because the real images could not be had.
No accuracy on this page says anything about CIFAR-10.</div>"""


def stand_in_notice(facts):
    """A box that says the images of a run are not CIFAR-10, where `facts` of it say so, else nothing."""
    return STAND_IN_NOTICE if facts["stand_in"] else ""


def render(markdown, folder, build):
    """A text of `folder` as HTML for `build`: its links lead to the pages there, and its images are in it."""
    page = links.parse(markdown)
    for link in page.find_all("a", href=True):
        link["href"] = translate(link["href"], folder, build)
    for image in page.find_all("img", src=True):
        file = folder / unquote(image["src"])
        if image["src"].startswith("http"):
            image.replace_with(image.get("alt", ""))
        elif file.exists():
            data = base64.b64encode(file.read_bytes()).decode()
            image["src"] = f"data:{mimetypes.guess_type(file.name)[0]};base64,{data}"
    return str(page)


def translate(target, folder, build):
    """The address in `build` of what a text of `folder` links to."""
    path, *fragment = target.split("#")
    file, root = (folder / unquote(path)).resolve(), build.resolve().parent
    if re.match(r"\w+:", target) or not path or not file.exists():
        return target
    if file == root / "README.md":
        path = "index.html"
    elif root / "notebooks" in file.parents and file.suffix in (".ipynb", ".md"):
        path = f"{file.stem}.html"
    else:
        path = Path(os.path.relpath(file, build.resolve())).as_posix()
    return "#".join([path, *fragment])


def write_page(notebook, name, folder, build, notice=""):
    """Write `build/name.html`, the page of a notebook or text of `folder`, with HTML at its top as a `notice`."""
    formulas = any("$" in cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    exporter = HTMLExporter(raw_template=TEMPLATE)
    exporter.register_filter("markdown2html", lambda text: render(text, folder, build))
    resources = {"metadata": {"name": name}, "notice": notice, "formulas": formulas}
    page, _ = exporter.from_notebook_node(notebook, resources)
    (build / f"{name}.html").write_text(page, encoding="utf-8")


def write_texts(folder, build):
    """Write a page for each markdown file beside the notebooks (the glossary), and copy what the notebooks show."""
    if (folder / "images").exists():
        shutil.copytree(folder / "images", build / "images", dirs_exist_ok=True)
    for path in folder.glob("*.md"):
        cell = nbformat.v4.new_markdown_cell(path.read_text(encoding="utf-8"))
        shutil.copy(path, build)
        write_page(nbformat.v4.new_notebook(cells=[cell]), path.stem, folder, build)


def write_index(results, facts, build):
    """Write `build/index.html`, the table of all notebooks, from one `run.Result` a notebook and the run's `facts`."""
    rows = []
    for result in results:
        name, minutes = html.escape(result.entry.name), ""
        if result.minutes is not None:
            name, minutes = f'<a href="{result.entry.path.stem}.html">{name}</a>', f"{result.minutes:.1f}"
        status = f'<span class="{"failed" if result.failed else "fine"}">{html.escape(result.status)}</span>'
        cells = "</td><td>".join([name, html.escape(result.entry.summary), minutes, status])
        rows.append(f"<tr><td>{cells}</td></tr>\n")
    text = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>All notebooks</title><style>{STYLE}</style></head><body>
{stand_in_notice(facts)}
<h1>All notebooks</h1>
<p>Start with the first one; words are explained in the <a href="glossary.html">glossary</a>.</p>
<p>Images: <b>{html.escape(facts["source"])}</b>. Profile: <b>{html.escape(facts["profile"])}</b>
(how much is trained: <code>full</code>, <code>class</code> for a lesson, or <code>test</code>).</p>
<table><tr><th>Notebook</th><th>What it is about</th><th>Minutes</th><th>Status</th></tr>
{"".join(rows)}</table></body></html>
"""
    (build / "index.html").write_text(text, encoding="utf-8")
