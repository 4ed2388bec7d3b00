"""Two evaluations of the same items: paired differences, and what may not be compared."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import binomtest

from inference.evaluate.compare import compare, compare_rows
from inference.evaluate.timing.task import TimingTask
from soundflow.errors import UserError
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.timebase import TimeBase
from tests.inference.evaluate.timing.test_curve import row

TASK = TimingTask((), TimeBase())


def rows(*hits: int) -> dict[str, object]:
    """Streams with four events each."""
    return {f"s{k}": row(n, 4) for k, n in enumerate(hits)}


def test_the_interval_of_a_difference_is_that_of_pairs():
    rng = np.random.default_rng(0)
    skill = rng.integers(0, 4, 40)
    better = skill + (rng.random(40) < 0.5)
    found = compare_rows(TASK, rows(*skill), rows(*better))
    (recall,) = (d for d in found.differences if d.name == "recall")
    assert recall.difference.value == pytest.approx((better - skill).sum() / 160)
    by_hand = [
        (better - skill)[rng.integers(0, 40, 40)].sum() / 160 for _ in range(4000)
    ]  # fmt: skip
    low, high = np.quantile(by_hand, [0.025, 0.975])
    assert (recall.difference.low, recall.difference.high) == pytest.approx((low, high), abs=0.02)
    assert recall.difference.low > 0.0
    assert recall.verdict == "higher in B"
    names = {d.name: d.verdict for d in found.shown}
    assert names["false_per_hour"] == "the same"
    assert "hits" not in names
    assert recall.second.low < recall.first.high, "apart they overlap"


def test_mcnemar_is_the_exact_test():
    found = compare_rows(TASK, rows(4, 4, 3, 2), rows(1, 2, 4, 1)).mcnemar
    assert (found.n, found.only_first, found.only_second) == (16, 6, 1)
    assert found.p == pytest.approx(binomtest(6, 7, 0.5).pvalue)
    assert compare_rows(TASK, rows(2), rows(2)).mcnemar.p is None


def write_evaluation(folder, data: str, window: str = "2.0") -> None:
    (folder / "rows").mkdir(parents=True)
    (folder / "rows" / "timing.jsonl").write_text("")
    figure = {"signature": f"window:{window}"}
    timing = {
        "data_fingerprint": data, "headline_window_s": float(window),
        "systems": {window: {"model": {"f1": figure}}},
    }  # fmt: skip
    results = {"timing": timing, "spec": StreamSpec(tokenizer="0" * 16).to_json()}
    (folder / "results.json").write_text(json.dumps(results))
    recipe = "command: evaluate\ncheckpoint: m\noutput: o\ntiming: {data: d}\n"
    (folder / "evaluate.yaml").write_text(recipe)


@pytest.mark.parametrize("other", [{"data": "two"}, {"data": "one", "window": "1.0"}])
def test_other_data_of_the_same_names_is_not_compared(tmp_path, other):
    write_evaluation(tmp_path / "a", "one")
    write_evaluation(tmp_path / "b", **other)
    with pytest.raises(UserError, match="timing: the evaluations differ in data or rules: A has"):
        compare(tmp_path / "a", tmp_path / "b")
