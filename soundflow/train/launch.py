"""What the processes of a run tell each other before training connects them.

SLURM and torchrun start all of them at once, so each reads the recipe and the data by itself, on a
machine whose file system may show something else than that of the first process, for a while or for
good. They meet in a store of the first process, at the address that training connects them by; it
shares the port with that of training.

Where no launcher is, the first process starts the others once it knows that there is something to
train: that is how they are told.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from soundflow.errors import Stopped, UserError

if TYPE_CHECKING:
    from lightning.fabric.plugins import ClusterEnvironment
    from torch._C._distributed_c10d import Store

T = TypeVar("T")

WAIT_S = 1800.0  # for the slowest process, or for a model of any size to be written
POLL_S = 0.05
_VARIABLES = ("SLURM_PROCID", "TORCHELASTIC_RUN_ID", "JSM_NAMESPACE_RANK")
# How often a chain has replaced its processes. The store is one for all of them where it belongs
# to the agent of torchrun.
_ROUND = "SOUNDFLOW_ROUND"
_OF_AGENT = "TORCHELASTIC_USE_AGENT_STORE"


def by_launcher(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a launcher started this process, maybe among others. Imports nothing."""
    return any(name in environment for name in _VARIABLES)


def for_next_stage(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of the process that takes the place of this one."""
    return {**environment, _ROUND: str(int(environment.get(_ROUND, "0")) + 1)}


def launcher() -> ClusterEnvironment | None:
    """The launcher that started this process; None: this one starts the others, if any.

    Raises:
        UserError: if SLURM was given a number of tasks, but none for each node.
    """
    from lightning.fabric.plugins.environments.lsf import LSFEnvironment
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    if TorchElasticEnvironment.detect():  # first: `srun torchrun` is one too
        return TorchElasticEnvironment()
    if SLURMEnvironment.detect():
        try:
            return SLURMEnvironment(auto_requeue=False)
        except RuntimeError as error:  # Lightning's, which says --ntasks=N
            raise UserError(
                f"SLURM: {error}", "submit with --ntasks-per-node, as slurm/README.md says"
            ) from error
    return LSFEnvironment() if LSFEnvironment.detect() else None


class Meeting:
    """The processes of a run; all of them take part in every exchange, in the same order."""

    def __init__(self, store: Store, rank: int, world: int) -> None:
        self._store = store
        self._rank = rank
        self._world = world
        self._exchanges = 0

    def gathered(self, value: T) -> list[T]:
        """The value of every process, by rank: plain JSON, or an error.

        Raises:
            UserError: if another process is gone, or does not come.
        """
        self._exchanges += 1
        name = f"{os.environ.get(_ROUND, '0')}/{self._exchanges}"
        if self._rank != 0:
            self._store.set(f"{name}/from/{self._rank}", _text(value))
            (answer,) = self._wait([name])
            self._store.set(f"{name}/read/{self._rank}", "")
            return [_value(text) for text in json.loads(answer)]
        others = range(1, self._world)
        texts = [_text(value), *self._wait([f"{name}/from/{rank}" for rank in others])]
        self._store.set(name, json.dumps(texts))
        self._wait([f"{name}/read/{rank}" for rank in others])  # the store ends with this process
        return [_value(text) for text in texts]

    def _wait(self, names: Sequence[str]) -> list[str]:
        """Asks again and again: a wait inside the store would hear no signal."""
        deadline = time.monotonic() + WAIT_S
        try:
            while not self._store.check(list(names)):
                if time.monotonic() > deadline:
                    absent = [name for name in names if not self._store.check([name])]
                    raise UserError(
                        f"{len(absent)} of {self._world} processes did not come within "
                        f"{WAIT_S / 60:.0f} minutes",
                        "their own lines say why; the same command starts them again",
                    )
                time.sleep(POLL_S)
            return [self._store.get(name).decode() for name in names]
        except RuntimeError as error:  # what a store raises whose process is gone
            raise UserError(
                "the first process of this run ended, or cannot be reached", "its lines say why"
            ) from error


def _text(value: object) -> str:
    match value:
        case UserError():
            return json.dumps({"what": value.message, "remedy": value.hint})
        case Stopped():
            return json.dumps({"signal": value.number, "message": value.message})
        case _:
            return json.dumps({"value": value})


def _value(text: str) -> Any:
    match json.loads(text):
        case {"what": what, "remedy": remedy}:
            return UserError(what, remedy)
        case {"signal": number, "message": message}:
            return Stopped(number, message)
        case {"value": value}:
            return value


@cache
def meeting() -> Meeting | None:
    """The meeting of this process with the others of its run; None where no launcher is.

    Raises:
        UserError: if SLURM has room for several processes, and this one was not started by srun.
    """
    found = launcher() if by_launcher() else None
    if found is None or found.world_size() == 1:
        return None
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
    from torch.distributed.rendezvous import rendezvous

    if isinstance(found, SLURMEnvironment) and "SLURM_STEP_ID" not in os.environ:
        raise UserError(
            f"the SLURM job has {found.world_size()} tasks, and this process is none of them: it "
            "would wait for the others",
            "start it with srun, as slurm/train.sbatch does",
        )

    os.environ["MASTER_ADDR"] = found.main_address
    os.environ["MASTER_PORT"] = str(found.main_port)
    rank, world = found.global_rank(), found.world_size()
    store, *_ = next(rendezvous(f"env://?rank={rank}&world_size={world}"))
    met = Meeting(store, rank, world)
    if os.environ.get(_OF_AGENT) == "True" and _ROUND in os.environ:
        # Training would find the keys of the stage before there, and wait for its processes.
        from lightning.fabric.plugins.environments.lightning import find_free_network_port

        port, *_ = met.gathered(find_free_network_port() if rank == 0 else None)
        os.environ |= {"MASTER_PORT": str(port), _OF_AGENT: "False"}
    return met
