"""The choice of a threshold and the headline of a curve."""

from __future__ import annotations

import json

import pytest

from inference.engine import read_calibration
from inference.evaluate.bootstrap import Estimate
from inference.evaluate.curve import Calibration, calibrate, logit_grid, recall_at, store
from soundflow.errors import UserError


def point(f1: float | None, recall: float = 0.5, false_per_hour: float | None = 1.0):
    return {
        "f1": Estimate(f1),
        "recall": Estimate(recall),
        "false_per_hour": Estimate(false_per_hour),
    }


def test_among_equals_the_middle_is_chosen():
    curve = {0.1: point(0.5), 0.3: point(0.9), 0.5: point(0.9), 0.7: point(0.9), 0.9: point(0.2)}
    assert calibrate(curve, "valid", 7) == Calibration(0.5, 0.9, "valid", 7)


def test_nothing_to_answer_keeps_the_models_own_odds():
    assert calibrate({0.2: point(None)}, "valid", 3).threshold == 0.5


def test_recall_at_a_budget_of_false_triggers():
    curve = {0.9: point(0, 0.4, 0.0), 0.5: point(0, 0.7, 1.5), 0.1: point(0, 0.9, 30.0)}
    assert recall_at(curve, 0.5) == 0.4
    assert recall_at(curve, 2.0) == 0.7
    assert recall_at({0.1: point(0, 0.9, 30.0)}, 2.0) is None


def test_the_grid_is_symmetric_about_even_odds():
    grid = logit_grid(11)
    assert grid[5] == pytest.approx(0.5)
    assert [a + b for a, b in zip(grid, grid[::-1], strict=True)] == pytest.approx([1.0] * 11)


def test_a_stored_calibration_is_read_back(tmp_path):
    assert read_calibration(tmp_path) == 0.5
    store(Calibration(0.25, 0.9, "valid", 10), tmp_path, "abc")
    assert read_calibration(tmp_path) == 0.25
    assert json.loads((tmp_path / "calibration.json").read_text())["data_fingerprint"] == "abc"


@pytest.mark.parametrize("content", ["{", '{"threshold": "high"}', '{"threshold": 7}', "[]"])
def test_a_bad_calibration_is_the_users_to_mend(tmp_path, content):
    (tmp_path / "calibration.json").write_text(content)
    with pytest.raises(UserError, match=r"calibration\.json"):
        read_calibration(tmp_path)
