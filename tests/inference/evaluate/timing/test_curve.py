"""The choice of a threshold, and claims about budgets of false triggers."""

from __future__ import annotations

import copy
import json

import pytest
import torch

from inference.engine import read_calibration
from inference.evaluate.run import write_calibration
from inference.evaluate.statistics.counts import hours_needed
from inference.evaluate.timing.curve import (
    choose_f1,
    choose_recall_at,
    logit_grid,
    operating_point,
)
from inference.evaluate.timing.rows import TimingRow
from soundflow.errors import UserError
from soundflow.model.weights import weights_fingerprint
from tests.inference.engines import make_engine

MODEL = make_engine().model


def row(hits=0, wanted=0, false=0, hours=1.0) -> TimingRow:
    return TimingRow(
        hours=hours, negative=wanted == 0, wanted=wanted, said=hits + false, hits=hits,
        false=false, early_events=0, repeats=0, misses=wanted - hits,
        answered=(True,) * hits + (False,) * (wanted - hits), latency_s=(), written=hits,
        exact=hits, content=hits, failed=False,
    )  # fmt: skip


def split(hits: int, false_negative: int, hours: float = 1.0) -> list[TimingRow]:
    """One stream with ten events, and one silence-only."""
    return [row(hits, 10, hours=0.1), row(false=false_negative, hours=hours)]


def test_among_equals_the_middle_is_chosen():
    curve = {0.1: split(5, 0), 0.3: split(9, 0), 0.5: split(9, 0), 0.7: split(9, 0)}
    chosen = choose_f1(curve)
    assert (chosen.threshold, chosen.rule) == (0.5, "f1")
    assert chosen.value == pytest.approx(18 / 19)


def test_nothing_to_answer_keeps_the_models_own_odds():
    chosen = choose_f1({0.2: [row(), row()]})
    assert (chosen.threshold, chosen.value) == (0.5, None)


def test_recall_at_a_budget_of_false_triggers():
    curve = {0.9: split(4, 0), 0.5: split(7, 1), 0.1: split(9, 30)}
    assert choose_recall_at(curve, 0.5).threshold == 0.9
    assert choose_recall_at(curve, 2.0).threshold == 0.5
    assert choose_recall_at({0.1: split(9, 30)}, 2.0) is None


def test_a_choice_says_how_far_other_draws_would_have_been():
    # Half of the streams prefer each threshold.
    curve = {0.2: [row(10, 10), row(0, 10)] * 9, 0.8: [row(0, 10), row(10, 10, 1)] * 9}
    chosen = choose_f1(curve)
    assert (chosen.low, chosen.high) == (0.2, 0.8)


def test_a_claim_needs_its_hours():
    curve = {0.5: split(7, 0, hours=7.0), 0.9: split(4, 0, hours=7.0)}
    point = operating_point(0.5, curve, curve, "s")
    assert point.refusal is None
    assert (point.chosen.threshold, point.recall.value) == (0.5, 0.7)
    assert point.false_per_hour.value == 0.0
    assert point.false_per_hour.high == pytest.approx(3.689 / 7.0, rel=1e-3)
    short = {t: split(7, 0, hours=5.9) for t in curve}
    refused = operating_point(0.5, short, short, "s")
    said = "needs 6.0 h of silence-only audio, these are 5.90 h; timing.negatives adds some"
    assert refused.refusal == said
    assert refused.to_json()["recall"] is None


def test_the_rule_of_three():
    assert hours_needed(0.5) == pytest.approx(5.99, abs=0.01)
    assert hours_needed(3.0) == pytest.approx(1.0, abs=0.01)


def test_the_grid_is_symmetric_about_even_odds():
    grid = logit_grid(11)
    assert grid[5] == pytest.approx(0.5)
    assert [a + b for a, b in zip(grid, grid[::-1], strict=True)] == pytest.approx([1.0] * 11)


def test_a_stored_calibration_is_read_back(tmp_path):
    assert read_calibration(tmp_path, MODEL) == 0.5
    write_calibration(tmp_path, '{"threshold": 0.25}')
    assert read_calibration(tmp_path, MODEL) == 0.25


@pytest.mark.parametrize("content", ["{", '{"threshold": "high"}', '{"threshold": 7}', "[]"])
def test_a_bad_calibration_is_named(tmp_path, content):
    (tmp_path / "calibration.json").write_text(content)
    with pytest.raises(UserError, match=r"calibration\.json"):
        read_calibration(tmp_path, MODEL)


def test_a_calibration_of_other_weights_is_not_used(tmp_path, caplog):
    def stored(model):
        fingerprint = weights_fingerprint(model)
        write_calibration(tmp_path, json.dumps({"threshold": 0.25, "fingerprint": fingerprint}))

    stored(MODEL)
    assert read_calibration(tmp_path, MODEL) == 0.25
    half = copy.deepcopy(MODEL).to(torch.bfloat16)
    assert read_calibration(tmp_path, half) == 0.25, "they are the same in another precision"
    stored(make_engine(seed=1).model)
    assert read_calibration(tmp_path, MODEL) == 0.5
    assert "was chosen for other weights and is not used" in caplog.text
