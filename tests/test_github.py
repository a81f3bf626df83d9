"""What GitHub gets, workflows and the form for a question: their form, and what they would run, run here."""

import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.conftest import GIT
from tests.tools.sync import PROJECT, read_settings

GITHUB = PROJECT / ".github"
FORMS = {"github-workflows": "workflows/*.yml", "github-issue-forms": "ISSUE_TEMPLATE/*.yml"}


def commands(workflow):
    """The lines that a workflow gives to a shell."""
    jobs = yaml.safe_load((GITHUB / "workflows" / workflow).read_text(encoding="utf-8"))["jobs"]
    return [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("schema", FORMS)
def test_each_file_has_the_form_that_github_expects(schema):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*command, *GITHUB.glob(FORMS[schema])], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_workflow_checks_what_make_test_checks():
    recipe = re.search(r"^test:.*\n((?:\t.*\n)+)", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1]
    steps = [line.strip("\t@").replace("$(VENV_PYTHON)", "python") for line in recipe.splitlines()]
    assert commands("test.yml")[-3:] == [step.removesuffix(" $(PYTEST_ARGS)") for step in steps]


@pytest.mark.skipif(os.name == "nt", reason="the workflow runs on Linux")
def test_a_fork_leads_to_itself_after_its_first_push_and_nothing_follows_the_second(tmp_path):
    origin, fork = tmp_path / "origin.git", tmp_path / "fork"
    shutil.copytree(PROJECT, fork, ignore=shutil.ignore_patterns(".git", ".venv*", ".*_cache", "build", "classroom"))
    python = fork / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (fork / ".venv/.installed").touch()

    def git(*arguments):
        done = subprocess.run([*GIT, *arguments], cwd=fork, check=True, capture_output=True, text=True)
        return done.stdout.split()

    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message=first")
    git("init", "--quiet", "--bare", str(origin))
    git("remote", "add", "origin", str(origin))
    git("push", "--quiet", "--set-upstream", "origin", "main")
    for _ in range(2):
        for command in commands("adopt.yml"):
            environment = {**os.environ, "GITHUB_REPOSITORY": "someone/else"}
            subprocess.run(["bash", "-e", "-c", command], cwd=fork, env=environment, check=True, capture_output=True)
        assert read_settings(fork)[0] == "someone/else"
        assert git("rev-list", "--count", "origin/main") == ["2"] and not git("status", "--porcelain")
    assert git("grep", "--files-with-matches", "https://github.com/someone/else", "main", "--", "notebooks")
