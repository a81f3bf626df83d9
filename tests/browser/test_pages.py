"""The pages of `make run` in a browser without network."""

import shutil

import nbformat
import pytest

from tests.browser.reader import LOOK_AT, unfold
from tests.tools import pages, parts, run, sync

FACTS = {"source": "as saved", "profile": "full", "stand_in": False}
BROKEN = """<title>Broken</title><script src="https://example.org/formulas.js"></script><script>undefinedName()</script>
<img src="data:image/png;base64,AAAA" width="9" height="9"><details open><summary>?</summary>Yes.</details>"""


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Pages of all notebooks as they are saved, and the index, as `make run` writes them."""
    root = tmp_path_factory.mktemp("series")
    shutil.copytree(sync.PROJECT / "notebooks", root / "notebooks")
    shutil.copy(sync.PROJECT / "README.md", root)
    build = root / "build"
    build.mkdir()
    pages.write_texts(root / "notebooks", build)
    results = []
    for path in sync.notebook_paths(root):
        results.append(run.Result(parts.read_entry(path, "o/r", "main"), "finished", minutes=1))
        pages.write_page(parts.read_notebook(path), path.stem, path.parent, build)
        (build / path.name).write_bytes(path.read_bytes())
    pages.write_index(results, FACTS, build)
    return build


@pytest.fixture
def complaints(page):
    """What the browser complains of, and what pages ask of other hosts; filled while pages are open."""
    lines = []
    page.on("console", lambda message: lines.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: lines.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith("file:") else lines.append(request.url[:200]))
    return lines


def look_over(page, file):
    """Open a page and look at its pictures and folded answers; one line for each that is broken."""
    page.goto(file.as_uri())
    pictures, answers = page.query_selector_all("img"), page.query_selector_all("details")
    found = [problem for picture in pictures if (problem := picture.evaluate(LOOK_AT))]
    return found + [f"an answer {problem}" for answer in answers for problem in unfold(answer)]


def test_pages_show_all_figures_and_folded_answers_and_need_no_network(build, page, complaints):
    for file in sorted(build.glob("*.html")):
        assert (file.name, look_over(page, file), complaints) == (file.name, [], [])
        if (notebook := file.with_suffix(".ipynb")).exists():
            cells = nbformat.read(notebook, as_version=4).cells
            outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
            pictures = sum("image/png" in data or "<img" in data.get("text/html", "") for data in outputs)
            assert page.locator(".jp-OutputArea-output img").count() == pictures
            assert page.locator("details").count() == sum(cell.source.count("<details") for cell in cells)


def test_the_index_leads_to_every_page_and_each_page_to_its_neighbours(build, page, complaints):
    names = [path.stem for path in sync.notebook_paths(sync.PROJECT)]
    page.goto((build / "index.html").as_uri())
    links = page.locator("td a")
    assert [link.get_attribute("href") for link in links.all()] == [f"{name}.html" for name in names]
    titles = links.all_inner_texts()

    def go(clicked, end):
        page.locator("a", has_text=clicked).last.click()
        assert page.locator("h1").first.inner_text().startswith(end)

    core = [title for title in titles if "deeper" not in title]
    links.first.click()
    for above, after in zip(core, [*core[1:], None], strict=True):
        for title in (title for title in titles if title.startswith(f"{above[:2]} deeper")):
            go(title.partition(" · ")[2], title)
            go(f"← {above}", above)
        if after:
            go(f"{after} →", after)
    for before in core[-2::-1]:
        go(f"← {before}", before)
    assert complaints == []


def test_a_word_leads_to_its_entry_in_the_glossary(build, page, complaints):
    page.goto((build / f"{min(path.stem for path in build.glob('*.ipynb'))}.html").as_uri())
    link = page.locator('a[href^="glossary.html#"]').last
    entry = link.get_attribute("href").partition("#")[2]
    link.click()
    assert page.locator(":target").get_attribute("id") == entry
    place = page.locator(":target").bounding_box()
    assert 0 <= place["y"] < 900 and complaints == []


def test_a_broken_page_is_found(tmp_path, page, complaints):
    (tmp_path / "broken.html").write_text(BROKEN)
    found = look_over(page, tmp_path / "broken.html")
    assert found == ["a picture that cannot be shown", "an answer is open before anyone clicks"]
    assert "https://example.org/formulas.js" in complaints
    assert any("undefinedName is not defined" in line for line in complaints)
