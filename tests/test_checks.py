"""The checks of the exercises answer and never raise."""

import pytest

from utils import checks


@pytest.mark.parametrize("exercise", sorted(checks._CHECKS))
@pytest.mark.parametrize("answer", [..., None, "nonsense", [], lambda *_: None], ids=repr)
def test_no_answer_raises_and_nonsense_is_not_right(exercise, answer, capsys):
    checks.check(exercise, answer)
    printed = capsys.readouterr().out
    assert printed.startswith(f"Exercise {exercise}: ") and "✅" not in printed


def test_an_unknown_number_names_those_there_are(capsys):
    checks.check("99.1", 0)
    assert "there is none of this number" in capsys.readouterr().out
