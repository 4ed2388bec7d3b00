"""A validation that is interrupted is given up, and made up for by the same command."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Timer

import pytest
import torch
import torch.distributed as dist

from inference.evaluate.store import Stored
from inference.evaluate.systems.model import Model
from inference.evaluate.validate import StreamValidation
from soundflow.commands.live_validation import live_validation
from soundflow.errors import Stopped
from soundflow.forms.load_any import load_any
from soundflow.model.weights import Checkpoint
from soundflow.train.checkpoints import newest_state
from soundflow.train.held_out import LiveFigures, Poll
from soundflow.train.metrics import CALIBRATIONS, TRANSCRIPTS, read_metrics
from soundflow.train.ranks import place
from soundflow.train.recipe import TrainRecipe
from soundflow.train.run import TrainResult, run
from tests.soundflow.small_run import reproducible
from tests.soundflow.train.two_ranks import started, train_command

Recipes = Callable[..., TrainRecipe]


@pytest.fixture
def whole(recipe: Recipes) -> TrainResult:
    """An unbroken run that validates after updates 3 and 6, and saves only at the end."""
    base = rarely_saved(recipe("whole"))
    return run(base, live_validation(base))


def rarely_saved(recipe: TrainRecipe) -> TrainRecipe:
    return replace(recipe, intervals=replace(recipe.intervals, save_every=100))


def assert_same(got: TrainResult, want: TrainResult) -> None:
    assert reproducible(got.metrics_file) == reproducible(want.metrics_file)
    for name in (TRANSCRIPTS, CALIBRATIONS):
        ours, theirs = (read_metrics(r.metrics_file.with_name(name)) for r in (got, want))
        assert ours == theirs
    a, b = (load_any(r.model_folder).model.state_dict() for r in (got, want))
    assert all(torch.equal(a[name], b[name]) for name in b)


@pytest.mark.parametrize("at", [3, 6])
def test_a_signal_ends_a_validation_and_it_happens_on_resume(
    recipe: Recipes, whole: TrainResult, at: int
) -> None:
    """After the last update too: all that is left then is to measure, and to write the model."""
    base = rarely_saved(recipe())
    validate, begun = live_validation(base), [0]
    assert validate is not None

    def signalled(checkpoint: Checkpoint, poll: Poll) -> LiveFigures:
        begun[0] += 3
        if begun[0] == at:
            os.kill(os.getpid(), signal.SIGTERM)
        return validate(checkpoint, poll)

    with pytest.raises(Stopped, match=r"(is|are) saved") as stop:
        run(base, signalled)
    assert stop.value.number == signal.SIGTERM
    state = newest_state(base.output)
    assert state is not None
    assert state.update == at
    measured = [r["update"] for r in read_metrics(base.output / "metrics.jsonl") if _held(r)]
    assert measured == [3, 6][: at // 3 - 1]
    resumed = run(base, validate)
    assert resumed.resumed_at == at
    assert_same(resumed, whole)


def killed_while_it_decodes(recipe: Path) -> int:
    """In the second validation; its state, written before, is whole. Meanwhile the same command is
    refused.
    """
    share, begun = StreamValidation._share, [0]

    def dying(self: StreamValidation, system: Model, part: object) -> dict[str, list[Stored]]:
        begun[0] += 1
        if begun[0] == 2:
            second = multiprocessing.get_context("fork").Process(target=_again, args=(recipe,))
            second.start()
            second.join()
            os.kill(os.getpid(), signal.SIGKILL)
        return share(self, system, part)  # type: ignore[arg-type]

    StreamValidation._share = dying  # type: ignore[method-assign,assignment]
    return train_command(recipe)


def _again(recipe: Path) -> None:
    os._exit(train_command(recipe))


def killed_before_the_figures_are_written(recipe: Path) -> int:
    """What was said is in its file already."""
    from soundflow.train.module import StreamingModule

    def dying(self: StreamingModule) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    StreamingModule.write_held_out = dying  # type: ignore[method-assign]
    return train_command(recipe)


@pytest.mark.parametrize(
    ("program", "at"), [(killed_while_it_decodes, 6), (killed_before_the_figures_are_written, 3)]
)
def test_kill_9_in_the_middle_of_a_validation(
    recipe: Recipes, whole: TrainResult, tmp_path: Path, program: Callable[[Path], int], at: int
) -> None:
    base = replace(recipe(), intervals=replace(recipe().intervals, save_every=3))
    with started(base, tmp_path, program) as ranks:
        assert ranks.wait() == [-signal.SIGKILL], ranks.log.read_text()
    if program is killed_while_it_decodes:
        assert "another command trains there now" in ranks.log.read_text()
    resumed = run(base, live_validation(base))
    assert resumed.resumed_at == at
    assert_same(resumed, whole)


def the_first_is_asked(recipe: Path) -> int:
    return _asked_while_all_decode(0, recipe)


def the_second_is_asked(recipe: Path) -> int:
    return _asked_while_all_decode(1, recipe)


def the_second_is_asked_while_it_waits(recipe: Path) -> int:
    """It has nothing to decode, and is asked once it waits for the first in a collective."""
    gather = dist.all_gather_object

    def waiting(found: list[object], mine: object) -> None:
        if mine == {}:
            Timer(1.0, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        gather(found, mine)

    def share(self: StreamValidation, system: Model, part: object) -> dict[str, list[Stored]]:
        while place()[0] == 0:
            system.poll()
        return {}

    dist.all_gather_object = waiting
    StreamValidation._share = share  # type: ignore[method-assign,assignment]
    return train_command(recipe)


def _asked_while_all_decode(rank: int, recipe: Path) -> int:
    """`soundflow train`; no rank gets to the end of its share of the first validation."""

    def endless(self: StreamValidation, system: Model, part: object) -> dict[str, list[Stored]]:
        if place()[0] == rank:
            os.kill(os.getpid(), signal.SIGUSR1)
        while True:
            system.poll()

    StreamValidation._share = endless  # type: ignore[method-assign,assignment]
    return train_command(recipe)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "asked"),
    [
        ("ddp", the_second_is_asked_while_it_waits),
        ("zero3", the_second_is_asked),
        ("fsdp", the_first_is_asked),
    ],
)
def test_two_processes_give_a_validation_up_together(
    recipe: Recipes, tmp_path: Path, strategy: str, asked: Callable[[Path], int]
) -> None:
    base = rarely_saved(recipe("two"))
    base = replace(base, compute=replace(base.compute, devices=2, strategy=strategy))
    with started(base, tmp_path, asked) as ranks:
        assert ranks.wait() == [128 + signal.SIGUSR1, 0], "the first speaks for all"
    said = ranks.log.read_text()
    assert "the state after update 3 of 6 is saved" in said.replace("\n", " ")
    assert "Traceback" not in said
    with started(base, tmp_path) as ranks:
        assert ranks.wait() == [0, 0], ranks.log.read_text()[-4000:]
    rows = read_metrics(base.output / "metrics.jsonl")
    assert [row["update"] for row in rows if "valid/event_f1" in row] == [3, 6]


def _held(row: dict[str, float]) -> bool:
    return any(key.startswith("valid/") for key in row)
