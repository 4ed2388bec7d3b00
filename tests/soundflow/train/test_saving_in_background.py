"""With `intervals.save_in_background` updates go on while a state is written."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from soundflow.errors import Stopped, UserError
from soundflow.train import checkpoints
from soundflow.train.checkpoints import newest_state
from soundflow.train.module import StreamingModule
from soundflow.train.recipe import TrainRecipe
from soundflow.train.run import run
from tests.soundflow.small_run import reproducible

Recipes = Callable[..., TrainRecipe]


class Killed(BaseException):
    """Like SIGKILL: nobody catches it, nothing is tidied up."""


def in_background(base: TrainRecipe, **intervals: Any) -> TrainRecipe:
    changed = replace(base.intervals, save_in_background=True, **intervals)
    return replace(base, intervals=changed)


def written_once(reached: Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """Holds back whatever a thread writes until an update is reached."""
    write = checkpoints.write_fragments

    def held_back(*args: Any) -> dict[str, Any]:
        assert reached.wait(60)
        return write(*args)

    monkeypatch.setattr(checkpoints, "write_fragments", held_back)


def at_update(
    update: int, do: Callable[[StreamingModule], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = StreamingModule.training_step

    def watched(self: StreamingModule, batches: Any, index: int) -> None:
        step(self, batches, index)
        if self.updates == update:
            do(self)

    monkeypatch.setattr(StreamingModule, "training_step", watched)


def files(output: Path) -> dict[str, bytes]:
    folder = output / "resume"
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.glob("*/*.safetensors")}


def test_updates_go_on_and_the_state_is_that_of_its_update(
    recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state of update 2 is written after update 3, and named before that of update 4."""
    waited = run(recipe("waited"))
    named: list[tuple[int, int | None]] = []
    with monkeypatch.context() as patch:
        reached, base = Event(), in_background(recipe())

        def note(module: StreamingModule) -> None:
            newest = newest_state(base.output)
            named.append((module.updates, newest.update if newest else None))
            reached.set()

        written_once(reached, patch)
        at_update(3, note, patch)
        result = run(base)
    assert named == [(3, None)]
    assert files(base.output) == files(recipe("waited").output)
    assert reproducible(result.metrics_file) == reproducible(waited.metrics_file)


def test_old_states_go_when_the_new_one_is_there(
    recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = in_background(recipe(), keep_last=2, save_every=1)
    left = base.output / "resume" / ".update-000000099.partial"  # by a run of other intervals
    at_update(2, lambda _: left.mkdir(), monkeypatch)
    run(base)
    assert [p.name[-1] for p in sorted((base.output / "resume").iterdir())] == ["5", "6"]


def test_a_signal_waits_for_the_writer(recipe: Recipes, monkeypatch: pytest.MonkeyPatch) -> None:
    base, reached = in_background(recipe(), validate_every=100), Event()

    def stop(_: StreamingModule) -> None:
        os.kill(os.getpid(), signal.SIGTERM)  # read with the losses of update 4
        reached.set()

    written_once(reached, monkeypatch)
    at_update(3, stop, monkeypatch)
    with pytest.raises(Stopped, match="the state after update 4 of 6 is saved"):
        run(base)
    assert sorted(p.name[-1] for p in (base.output / "resume").iterdir()) == ["2", "4"]


def test_an_error_of_all_ranks_waits_for_the_writer(
    recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, reached = in_background(recipe()), Event()

    def fail(_: StreamingModule) -> None:
        reached.set()
        raise UserError("damaged shard", "make it again")

    written_once(reached, monkeypatch)
    at_update(3, fail, monkeypatch)
    with pytest.raises(UserError, match="damaged shard"):
        run(base)
    state = newest_state(base.output)
    assert state is not None
    assert state.update == 2


def test_a_kill_in_the_middle_of_writing_loses_one_state(
    recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer has half a file when the run dies in update 5."""
    unbroken = run(recipe("whole"))
    base, calls = in_background(recipe()), [0]
    with monkeypatch.context() as patch:
        write = checkpoints.write_fragments

        def never_done(folder: Path, *args: Any) -> dict[str, Any]:
            calls[0] += 1
            if calls[0] == 2:
                (folder / "00000-0000.safetensors").write_bytes(b"half a file")
                Event().wait()
            return write(folder, *args)

        def die(_: StreamingModule) -> None:
            raise Killed

        patch.setattr(checkpoints, "write_fragments", never_done)
        at_update(5, die, patch)
        with pytest.raises(Killed):
            run(base)
    resumed = run(base)
    assert resumed.resumed_at == 2
    assert reproducible(resumed.metrics_file) == reproducible(unbroken.metrics_file)
    assert not list((base.output / "resume").glob(".*"))
