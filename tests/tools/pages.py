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

HEADING_ID = re.compile(r'(<h[1-6] id="|<a class="anchor-link" href="#)([^"]*)"')
IMAGE = re.compile(r'(!\[[^]]*\]\(|<img\b[^>]*\bsrc=")([^()\s"]+)')
MATHJAX = re.compile(r"<!-- Load mathjax -->.*?<!-- End of mathjax configuration -->", re.DOTALL)
REMOTE_IMAGE = re.compile(r"!\[([^]]*)\]\(\w+:[^)]*\)")
STYLE = """body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } td, th { text-align: left; vertical-align: top; padding: .4rem .8rem; }
tr { border-bottom: 1px solid #ccc; } .failed { color: #a40000; font-weight: bold; }"""

# JupyterLab's own colours of code and prompts, where their contrast on its grey is under 4.5 to 1, made darker
CONTRAST = """<style>:root { --jp-mirror-editor-comment-color: #356a6a; --jp-mirror-editor-number-color: #007000;
--jp-mirror-editor-operator-color: #8a00e0; --jp-mirror-editor-error-color: #b00020;
--jp-cell-inprompt-font-color: #2a6fa8; --jp-cell-outprompt-font-color: #b0502f; }</style>
"""


def embed(match, folder):
    """An image in a text, with the content of its file in the place of its address.

    (nbconvert's own way of embedding closes <details> at the first blank line.)
    """
    file = folder / unquote(match[2])
    if re.match(r"\w+:", match[2]) or not file.exists():
        return match[0]
    data = base64.b64encode(file.read_bytes()).decode()
    return f"{match[1]}data:{mimetypes.guess_type(file.name)[0]};base64,{data}"


def translate(match, folder, build):
    """A relative link in a text of `folder`, changed so that it holds for the page in `build`, the project's own."""
    root, target = build.resolve().parent, match[1]
    path, _, fragment = target.partition("#")
    file = (folder / unquote(path)).resolve()
    if re.match(r"\w+:", target) or (path and not file.exists()):
        return match[0]
    if file == root / "README.md":
        path = "index.html"
    elif path and root / "notebooks" in file.parents and file.suffix in (".ipynb", ".md"):
        path = file.stem + ".html"
    elif path:
        path = Path(os.path.relpath(file, build.resolve())).as_posix()
    return match[0].replace(target, path + (f"#{links.slug(unquote(fragment))}" if fragment else ""))


def write_page(notebook, name, folder, build, notice=""):
    """Write `build/name.html`, the page of a notebook or text of `folder`, with HTML at its top as a `notice`."""
    notebook = nbformat.from_dict(notebook)
    texts = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    for cell in texts:
        without_network = REMOTE_IMAGE.sub(r"\1", cell.source)
        cell.source = IMAGE.sub(lambda match: embed(match, folder), without_network)
        for pattern in links.TARGETS:
            cell.source = pattern.sub(lambda match: translate(match, folder, build), cell.source)
    exporter = HTMLExporter(template_name="lab", require_js_url="")
    page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": name}})
    page = page.replace('<script src=""></script>', "").replace("</head>", f"{CONTRAST}</head>", 1)
    if not any("$" in cell.source for cell in texts):
        page = MATHJAX.sub("", page)  # it would come from another host, and there is no formula to set
    page = re.sub(r"<body[^>]*>", lambda found: found[0] + notice, page, count=1)
    page = HEADING_ID.sub(lambda found: f'{found[1]}{links.slug(unquote(found[2]))}"', page)
    (build / f"{name}.html").write_text(page, encoding="utf-8")


def stand_in_notice(facts):
    """A box that says the images of a run are not CIFAR-10, where `facts` of it say so, else nothing."""
    if not facts["stand_in"]:
        return ""
    return (
        '<div style="background:#fff3cd;color:#332200;border:3px solid #b00020;margin:1em;padding:0.5em 1em;'
        'font:16px/1.5 system-ui,sans-serif">'
        '<b style="color:#b00020">The images of this run are NOT CIFAR-10.</b> They are a synthetic stand-in, drawn '
        "because the real images could not be had. No accuracy on this page says anything about CIFAR-10.</div>"
    )


def write_texts(folder, build):
    """Write a page for each markdown file beside the notebooks (the glossary), and copy what the notebooks show."""
    if (folder / "images").exists():
        shutil.copytree(folder / "images", build / "images", dirs_exist_ok=True)
    for path in folder.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        (build / path.name).write_text(text, encoding="utf-8")
        write_page(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)]), path.stem, folder, build)


def write_index(results, facts, build):
    """Write `build/index.html`, the table of all notebooks, from one `run.Result` a notebook and the run's `facts`."""
    rows = []
    for result in results:
        name = html.escape(result.entry.name)
        link = f'<a href="{result.entry.path.stem}.html">{name}</a>' if result.minutes is not None else name
        minutes = "" if result.minutes is None else f"{result.minutes:.1f}"
        status = f'<span class="{"failed" if result.failed else "fine"}">{html.escape(result.status)}</span>'
        cells = [link, html.escape(result.entry.summary), minutes, status]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    text = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>All notebooks</title><style>{STYLE}</style></head><body>
{stand_in_notice(facts)}
<h1>All notebooks</h1>
<p>Start with the first one; words are explained in the <a href="glossary.html">glossary</a>.</p>
<p>Images: <b>{html.escape(facts["source"])}</b>. Profile: <b>{html.escape(facts["profile"])}</b>
(how much is trained: <code>full</code>, <code>class</code> for a lesson, or <code>test</code>).</p>
<table><tr><th>Notebook</th><th>What it is about</th><th>Minutes</th><th>Status</th></tr>
{chr(10).join(rows)}
</table></body></html>
"""
    (build / "index.html").write_text(text, encoding="utf-8")
