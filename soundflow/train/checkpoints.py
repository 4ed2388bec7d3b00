"""The saved states of a run, so that it can be killed at any moment and resumed.

::

    output/resume/update-000000500/
        00000-0000.safetensors    weights and moments that rank 0 held (`soundflow.train.fragments`)
        00001-0000.safetensors    ... rank 1
        state.json                update, number format, shapes; size and SHA-256 of every file

All ranks write into a folder with a temporary name. When every file is synced the first rank writes
`state.json` and renames the folder, so a folder with the final name is whole. The learning rate,
the streams of an update and their augmentation follow from the update's number and are not saved;
weights that are not trained come from where the run started.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from soundflow.atomic import disk_error, sync_folder, write_text
from soundflow.errors import UserError
from soundflow.model.precision import NumberFormat
from soundflow.stored_json import parsed
from soundflow.train.fragments import WEIGHT, Fragment, read_fragments
from soundflow.train.ranks import from_first, gathered, place, together
from soundflow.train.strategy.interface import Strategy

FOLDER, NOTE, BEST = "resume", "state.json", "best.json"
_FORMAT = 1


@dataclass(frozen=True)
class State:
    """A state whose note could be read.

    Attributes:
        update: updates taken.
        precision: number format that they were computed in.
        parameters: shape of every trained parameter by name.
        files: size and SHA-256 by name.
    """

    folder: Path
    update: int
    precision: NumberFormat
    parameters: Mapping[str, list[int]]
    files: Mapping[str, Mapping[str, Any]]

    @staticmethod
    def read(folder: Path) -> State | None:
        """None if the note is damaged, or a file is missing or of another size."""
        try:
            note = parsed((folder / NOTE).read_bytes())
            state = State(
                folder, int(note["update"]), note["precision"], note["parameters"], note["files"]
            )
            sizes = {n: (folder / n).stat().st_size for n in state.files}
            whole = note["format"] == _FORMAT and all(
                sizes[n] == f["n_bytes"] for n, f in state.files.items()
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return state if whole else None


def newest_state(output: Path) -> State | None:
    """The newest state of a run that has all its files, by their sizes."""
    return next(iter(_states(output)), None)


def agreed_state(output: Path) -> State | None:
    """The newest state that is whole down to its checksums; all ranks take part.

    The first rank says which states there are. The files of each are shared out for checking, so
    that a state of many gigabytes is read once over all ranks.
    """
    for state in from_first(_states(output)):
        if all(gathered(_share_is_intact(state))):
            return state
    return None


def load_weights(model: nn.Module, state: State) -> None:
    """Fills the trained parameters of ``model``, held by one process.

    Raises:
        UserError: if the state cannot be read.
    """
    trained = {n: p.detach() for n, p in model.named_parameters() if n in state.parameters}
    read_fragments(state.folder, [Fragment(n, 0, {WEIGHT: p.view(-1)}) for n, p in trained.items()])


@dataclass(frozen=True)
class Timing:
    """How well a validation found the timing to be, and the held-out loss beside it.

    Attributes:
        value: more is better.
        standard_error: of it, over the choice of streams.
    """

    value: float
    standard_error: float
    loss: float


@dataclass(frozen=True)
class Best:
    """Which state is the best, and the best timing that any state had.

    The timing of a few dozen streams is a noisy figure, and the highest of many is often luck. All
    states within one standard error of it count as equally good; among them that with the lowest
    held-out loss is the best, which is measured on all held-out streams (the rule of one standard
    error: Breiman et al., 1984).
    """

    update: int
    timing: Timing
    highest: Timing

    def or_else(self, update: int, timing: Timing) -> Best:
        """With one more measurement; its ``update`` is that of the best state then."""
        highest = max(self.highest, timing, key=lambda t: t.value)
        enough = highest.value - highest.standard_error
        outdone = self.timing.value < enough or timing.loss < self.timing.loss
        if timing.value >= enough and outdone:
            return Best(update, timing, highest)
        return Best(self.update, self.timing, highest)


@dataclass(frozen=True)
class States:
    """The states of the run in ``output``; the newest ``keep`` and the best are kept."""

    output: Path
    keep: int

    def save(self, strategy: Strategy, update: int, precision: NumberFormat) -> None:
        """Saves the state after ``update`` updates; all ranks take part.

        Raises:
            UserError: on all ranks, if any of them finds the disk full. States that were there
                before are not touched.
        """
        target = self._folder / f"update-{update:09d}"
        partial = self._folder / f".{target.name}.partial"
        first = strategy.rank == 0
        try:
            together(lambda: _new_folder(partial), here=first)
            files = gathered(together(lambda: strategy.save(partial)))
            state = State(
                target, update, precision, strategy.trained_shapes(),
                {name: note for part in files for name, note in (part or {}).items()},
            )  # fmt: skip
            together(lambda: _finish(partial, state), here=first)
        except UserError:
            if first:
                shutil.rmtree(partial, ignore_errors=True)
            raise
        if first:
            self._remove_old()

    def keep_best(self, best: Best) -> None:
        write_text(self._folder / BEST, json.dumps(asdict(best)))

    def best_so_far(self) -> Best | None:
        """None before the first measurement of the timing."""
        note = _best(self._folder)
        try:
            return Best(note["update"], Timing(**note["timing"]), Timing(**note["highest"]))
        except (KeyError, TypeError):
            return None

    def best(self) -> State | None:
        """The best state, where validation measured how well the timing is."""
        update = _best(self._folder).get("update")
        return None if update is None else State.read(self._folder / f"update-{update:09d}")

    def _remove_old(self) -> None:
        best = _best(self._folder).get("update")
        for folder in sorted(self._folder.glob("update-*"))[: -self.keep]:
            if folder.name != f"update-{best or 0:09d}":
                # Renamed first: what is removed in part must not look like a state.
                aside = folder.with_name(f".{folder.name}.old")
                folder.replace(aside)
                shutil.rmtree(aside, ignore_errors=True)

    @property
    def _folder(self) -> Path:
        return self.output / FOLDER


def _states(output: Path) -> list[State]:
    folders = sorted((output / FOLDER).glob("update-*"), reverse=True)
    return [state for state in map(State.read, folders) if state is not None]


def _share_is_intact(state: State) -> bool:
    rank, world = place()
    try:
        for name in sorted(state.files)[rank::world]:
            with (state.folder / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != state.files[name]["sha256"]:
                return False
    except OSError:
        return False
    return True


def _new_folder(folder: Path) -> None:
    try:
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed while it saved
        folder.mkdir(parents=True)
    except OSError as error:
        raise disk_error(error, folder) from error


def _finish(partial: Path, state: State) -> None:
    """Notes what is in a folder and gives it its name."""
    note = {"format": _FORMAT, **asdict(state)}
    del note["folder"]
    write_text(partial / NOTE, json.dumps(note, indent=1))
    try:
        if state.folder.exists():  # damaged, or the run would not have come here again
            shutil.rmtree(state.folder)
        partial.replace(state.folder)
        sync_folder(state.folder.parent)
    except OSError as error:
        raise disk_error(error, state.folder) from error


def _best(folder: Path) -> dict[str, Any]:
    try:
        return dict(parsed((folder / BEST).read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}
