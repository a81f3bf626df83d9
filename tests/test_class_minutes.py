"""The benchmark of the class profile times notebooks and cells, and says which limit is missed."""


import pytest
from nbclient.exceptions import CellExecutionError

from tests import tiny
from tests.benchmarks import class_minutes
from tests.benchmarks.class_minutes import Measurement


def test_the_slowest_cell_of_a_notebook_is_found(tmp_path):
    root = tiny.project(tmp_path, tiny.notebook(code="import time\ntime.sleep(1.5)", identifier="wait"))
    measured = class_minutes.measure(root / "notebooks/01_counting.ipynb", "01")
    assert (measured.name, measured.cell) == ("01_counting", "wait")
    assert 1.5 <= measured.seconds <= 60 * measured.minutes


def test_a_notebook_that_fails_is_no_measurement(tmp_path):
    root = tiny.project(tmp_path, tiny.notebook(code="1 / 0"))
    with pytest.raises(CellExecutionError):
        class_minutes.measure(root / "notebooks/01_counting.ipynb", "01")


def test_missed_limits_are_said_in_words():
    good = [Measurement(f"0{n}", minutes=4, cell="fit", seconds=59) for n in range(6)]
    assert class_minutes.missed(good) == []
    assert class_minutes.missed([Measurement("02", 3, "fit", 61)]) == [
        "Cell `fit` of 02 took 61 s, more than the 60 s a class should wait."
    ]
    assert class_minutes.missed([Measurement("03", 7, "fit", 30)]) == ["03 took 7.0 minutes, more than 6."]
    assert class_minutes.missed([*good, good[0]]) == ["All together took 28.0 minutes, more than 25."]


def test_what_is_saved_is_what_the_table_for_teachers_needs(tmp_path):
    saved = class_minutes.record([Measurement("01_counting", 1.26, "fit", 12.4)], {"source": "made up"})
    assert saved["notebooks"] == {"01_counting": {"minutes": 1.3, "slowest_cell": "fit", "seconds": 12}}
    assert saved["minutes_together"] == 1.3 and saved["limits_missed"] == []
    assert "cores of" in saved["machine"] and "tensorflow" in saved["machine"]
