"""What the tests of this folder do on a machine without Chromium."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(("variable", "outcome", "code"), [("", "1 skipped", 0), ("required", "1 error", 1)])
def test_without_chromium_tests_are_skipped_unless_a_build_server_requires_it(tmp_path, variable, outcome, code):
    tests = [f"{Path(__file__).parent}/test_pages.py", "-k", "broken"]
    environment = os.environ | {"PATH": str(tmp_path), "TUTORIAL_BROWSER": variable}
    command = [sys.executable, "-m", "pytest", "-n", "0", "-rs", "-p", "no:cacheprovider", *tests]
    process = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")
    assert process.returncode == code and outcome in process.stdout.splitlines()[-1], process.stdout
    assert "no Chromium here: on Debian, `sudo apt install chromium`" in process.stdout
