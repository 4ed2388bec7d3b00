"""States survive a kill at any moment; the newest whole ones and the best are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from soundflow.errors import UserError
from soundflow.forms.load_any import load_any
from soundflow.train.best import Best, Timing
from soundflow.train.checkpoints import States, newest_state
from soundflow.train.fragments import WEIGHT, Fragment, read_fragments, write_fragments
from soundflow.train.held_out import LiveFigures
from soundflow.train.recipe import TrainRecipe
from soundflow.train.run import run
from tests.soundflow.small_run import reproducible

Recipes = Callable[..., TrainRecipe]


class Killed(BaseException):
    """Like SIGKILL: nobody catches it, nothing is tidied up."""


def saved(output: Path) -> list[int]:
    return [int(p.name[-9:]) for p in sorted((output / "resume").glob("update-*"))]


@pytest.mark.parametrize(
    ("dies_in", "call", "resumes_at"),
    [
        ("soundflow.train.fragments.save_file", 2, 2),  # in the middle of a file
        ("soundflow.train.checkpoints._finish", 2, 2),  # between weights and note
        ("soundflow.train.checkpoints.sync_folder", 2, 4),  # right after the new name
    ],
)
def test_a_kill_loses_no_more_than_the_newest_state(
    recipe: Recipes, monkeypatch: pytest.MonkeyPatch, dies_in: str, call: int, resumes_at: int
) -> None:
    unbroken = run(recipe("whole"))
    calls = 0
    module, name = dies_in.rsplit(".", 1)
    whole = getattr(__import__(module, fromlist=[name]), name)

    def dying(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls < call:
            return whole(*args)
        if name == "save_file":
            Path(str(args[1])).write_bytes(b"half a file")
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(dies_in, dying)
        with pytest.raises(Killed):
            run(recipe())
    resumed = run(recipe())
    assert resumed.resumed_at == resumes_at
    assert reproducible(resumed.metrics_file) == reproducible(unbroken.metrics_file)
    assert saved(recipe().output) == [2, 4, 6]
    assert not list((recipe().output / "resume").glob(".*"))


def test_the_best_state_outlives_newer_ones(recipe: Recipes) -> None:
    figures = iter((0.9, 0.4))
    base = recipe()
    base = replace(base, intervals=replace(base.intervals, keep_last=1, save_every=1))
    run(base, lambda *_: LiveFigures({"f1": next(figures)}))
    assert saved(base.output) == [3, 6]
    best, last = (load_any(base.output / name).facts for name in ("best", "model"))
    assert (best.updates, best.metrics["event_f1"]) == (3, 0.9)
    assert (last.updates, last.metrics["event_f1"]) == (6, 0.4)


def test_the_best_is_no_lucky_draw() -> None:
    """(F1, its standard error, loss) of each validation, and which is the best after it."""
    seen = [
        ((0.50, 0.05, 2.0), 1),
        ((0.90, 0.05, 1.0), 2),
        ((0.88, 0.05, 0.8), 3),  # as good, and of lower loss
        ((0.80, 0.05, 0.5), 3),  # worse than the highest by more than its error
        ((0.91, 0.02, 0.9), 5),  # now the third is no longer as good as the highest
        ((0.90, 0.20, 1.1), 5),  # as good, but of higher loss
    ]
    best = None
    for update, (figures, expected) in enumerate(seen, 1):
        timing = Timing(*figures)
        best = Best(update, timing, timing) if best is None else best.or_else(update, timing)
        assert best.update == expected


def test_a_state_is_kept_for_a_measurement_that_is_the_best(recipe: Recipes) -> None:
    """No state was due at update 3."""
    base = recipe()
    base = replace(base, intervals=replace(base.intervals, save_every=100))
    run(base, lambda *_: LiveFigures({"f1": 0.5}))
    assert saved(base.output) == [3, 6]


def test_fragments_are_read_back_in_other_runs(tmp_path: Path) -> None:
    """Three ranks write 10 numbers as 4, 4 and 2; two read them as 5 and 5."""
    values = torch.arange(10.0)
    for rank, (start, stop) in enumerate([(0, 4), (4, 8), (8, 10)]):
        run_of = Fragment("a.weight", start, {WEIGHT: values[start:stop]})
        assert len(write_fragments(tmp_path, [run_of], rank)) == 1
    for start in (0, 5):
        found = torch.zeros(5)
        read_fragments(tmp_path, [Fragment("a.weight", start, {WEIGHT: found})])
        assert found.tolist() == values[start : start + 5].tolist()
    with pytest.raises(UserError, match=r"10 of 11 numbers of a\.weight are there"):
        read_fragments(tmp_path, [Fragment("a.weight", 0, {WEIGHT: torch.zeros(11)})])


def test_an_output_without_states_has_none(tmp_path: Path) -> None:
    assert newest_state(tmp_path) is None
    assert States(tmp_path, 1).best() is None
