"""Several processes of one run, as torchrun or SLURM would start them, without their long imports.

They are forked from one server process that has imported what a run needs, so that a run of two
ranks costs what its updates cost. Lightning starts its own processes in the tests of the commands.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from soundflow.config.load import load
from soundflow.config.record import record
from soundflow.train.recipe import TrainRecipe

Program = Callable[[Path], int]
_LOADED = ["soundflow.commands.training", "soundflow.train.strategy.zero"]


def train_command(recipe: Path) -> int:
    """`soundflow train`, as a rank runs it."""
    from soundflow.cli import main

    return main(["train", str(recipe)])


def train_unheard(recipe: Path) -> int:
    """The same without live decoding of held-out streams."""
    from soundflow.train.run import run

    run(load(recipe, TrainRecipe))
    return 0


@dataclass(frozen=True)
class Ranks:
    """The processes of a run, by rank.

    Attributes:
        log: what all of them write to stdout and stderr.
    """

    processes: tuple[ForkServerProcess, ...]
    log: Path

    def signal(self, rank: int, number: int) -> None:
        os.kill(self.processes[rank].pid or 0, number)

    def wait(self, limit_s: float = 120.0) -> list[int]:
        """The exit codes.

        Raises:
            AssertionError: if they do not end.
        """
        end = time.monotonic() + limit_s
        for process in self.processes:
            process.join(max(0.1, end - time.monotonic()))
        codes = [process.exitcode for process in self.processes]
        assert None not in codes, f"exit codes {codes}; {self.log.read_text()[-3000:]}"
        return [code for code in codes if code is not None]


@contextmanager
def started(recipe: TrainRecipe, folder: Path, program: Program = train_command) -> Iterator[Ranks]:
    """One process for each device of a recipe; those that are left at the end are killed.

    Args:
        program: what each runs with the file of the recipe; importable by name.
    """
    server = multiprocessing.get_context("forkserver")
    os.environ["DS_ACCELERATOR"] = "cpu"  # read when DeepSpeed is imported
    server.set_forkserver_preload(_LOADED)
    name, world = recipe.output.name, recipe.compute.devices
    file, log = folder / f"{name}.yaml", folder / f"{name}.log"
    record(file, recipe)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    processes = tuple(
        server.Process(target=_rank, args=(rank, world, port, file, log, program))
        for rank in range(world)
    )
    try:
        for process in processes:
            process.start()
        yield Ranks(processes, log)
    finally:
        for process in processes:
            process.kill()


def train(recipe: TrainRecipe, folder: Path) -> None:
    """Runs a recipe to its end, without live decoding of held-out streams."""
    with started(recipe, folder, train_unheard) as ranks:
        codes = ranks.wait()
        assert set(codes) == {0}, ranks.log.read_text()[-3000:]


def _rank(rank: int, world: int, port: int, recipe: Path, log: Path, program: Program) -> None:
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(out, stream.fileno())
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
    os.environ |= {name: str(value) for name, value in place.items()}
    os.environ |= {"GROUP_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"TORCHELASTIC_RUN_ID": "test", "OMP_NUM_THREADS": "1"}
    from lightning.pytorch.utilities import rank_zero_only

    rank_zero_only.rank = rank  # type: ignore[attr-defined]  # read from the variables on import
    sys.exit(program(recipe))
