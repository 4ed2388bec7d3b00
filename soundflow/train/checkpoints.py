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

In the background, each rank copies what it holds to host memory, and a thread writes the copy while
updates go on. Ranks talk to each other in the thread that trains only: the state gets its name
between updates, once all of them have written.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from torch import nn

from soundflow.atomic import disk_error, sync_folder, write_text
from soundflow.config.settings import NumberFormat
from soundflow.errors import UserError
from soundflow.stored_json import parsed
from soundflow.train.best import Best
from soundflow.train.fragments import WEIGHT, Fragment, read_fragments, write_fragments
from soundflow.train.ranks import from_first, gathered, is_first, place, together
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

    Raises:
        UserError: on all ranks, if one of them does not have a file that the first one sees: to
            pass the state over would silently repeat updates.
    """
    for state in from_first(_states(output)):
        if all(gathered(together(partial(_share_is_intact, state)))):
            return state
    return None


def load_weights(model: nn.Module, state: State) -> None:
    """Fills the trained parameters of ``model``, held by one process.

    Raises:
        UserError: if the state cannot be read.
    """
    trained = {n: p.detach() for n, p in model.named_parameters() if n in state.parameters}
    read_fragments(state.folder, [Fragment(n, 0, {WEIGHT: p.view(-1)}) for n, p in trained.items()])


Files = dict[str, Any]  # size and SHA-256 by name, of one rank


@dataclass(frozen=True)
class Unfinished:
    """A state that this rank is writing, without a name yet.

    Attributes:
        state: what it will be, without its files.
        files: what this rank wrote, once it has.
    """

    state: State
    files: Future[Files]

    @property
    def partial(self) -> Path:
        """Where it is written."""
        return self.state.folder.with_name(f".{self.state.folder.name}.partial")


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
        begun = self._begin(strategy, update, precision)
        _do(lambda: strategy.save(begun.partial), begun.files)
        self.finish(begun)

    def save_in_background(
        self, strategy: Strategy, update: int, precision: NumberFormat
    ) -> Unfinished:
        """Copies the state and writes the copy while training goes on; all ranks take part.

        Raises:
            UserError: on all ranks, if the folder cannot be made.
        """
        begun = self._begin(strategy, update, precision)
        copies, rank = [fragment.copied() for fragment in strategy.written()], strategy.rank

        def write() -> Files:
            return write_fragments(begun.partial, copies, rank)

        Thread(target=_do, args=(write, begun.files), name="save", daemon=True).start()
        return begun

    def finish(self, begun: Unfinished) -> None:
        """Waits until all ranks have written, and gives the state its name; all take part.

        Raises:
            UserError: on all ranks, if any of them found the disk full; see `save`.
        """
        first = is_first()
        try:
            of_ranks = gathered(together(begun.files.result))
            files = {name: note for one in of_ranks for name, note in (one or {}).items()}
            together(lambda: _finish(begun.partial, replace(begun.state, files=files)), here=first)
        except UserError:
            if first:
                shutil.rmtree(begun.partial, ignore_errors=True)
            raise
        if first:
            self._remove_old()

    def _begin(self, strategy: Strategy, update: int, precision: NumberFormat) -> Unfinished:
        folder = self._folder / _name(update)
        state = State(folder, update, precision, strategy.trained_shapes(), {})
        begun = Unfinished(state, Future())
        together(lambda: _new_folder(begun.partial), here=is_first())
        return begun

    def keep_best(self, best: Best) -> None:
        best.write(self._folder / BEST)

    def best_so_far(self) -> Best | None:
        """None before the first measurement of the timing."""
        return Best.read(self._folder / BEST)

    def best(self) -> State | None:
        """The best state, where validation measured how well the timing is."""
        best = self.best_so_far()
        return None if best is None else State.read(self._folder / _name(best.update))

    def _remove_old(self) -> None:
        """All but the newest states and the best, and what a killed run left unfinished."""
        best = self.best_so_far()
        for folder in sorted(self._folder.glob("update-*"))[: -self.keep]:
            if best is None or folder.name != _name(best.update):
                # Renamed first: what is removed in part must not look like a state.
                folder.replace(folder.with_name(f".{folder.name}.old"))
        for folder in self._folder.glob(".update-*"):
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def _folder(self) -> Path:
        return self.output / FOLDER


def _do(work: Callable[[], Files], result: Future[Files]) -> None:
    try:
        result.set_result(work())
    except Exception as error:
        result.set_exception(error)  # raised where the result is asked for


def _name(update: int) -> str:
    return f"update-{update:09d}"


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
    except FileNotFoundError as error:
        if rank == 0:
            return False
        raise UserError(
            f"{error.filename}: rank {rank} of {world} does not see this file, rank 0 does",
            "name an output on a file system that all nodes share",
        ) from error
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
