"""Chromium, driven by Playwright. Where there is none, tests are skipped; with TUTORIAL_BROWSER=required they fail."""

import os
import shutil
import sys

import pytest
from playwright.sync_api import sync_playwright


@pytest.fixture(scope="module")
def browser():
    """Chromium, which can reach nothing but this machine.

    Not for the whole session: while Playwright is open, no other test in this process can use asyncio.
    """
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if not executable:
        missing = pytest.fail if os.environ.get("TUTORIAL_BROWSER") == "required" else pytest.skip
        missing("no Chromium here: on Debian, `sudo apt install chromium`")
    options = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"]
    options += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]  # a camera that may be used
    if sys.platform == "linux" and os.geteuid() == 0:
        options.append("--no-sandbox")  # Chromium refuses to start for root without it
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=options)
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    """An empty page."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(120_000)
    yield page
    page.close()
