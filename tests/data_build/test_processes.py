"""Work spread over processes: all results, and no silence about a worker that was killed."""

from __future__ import annotations

import os
import signal

import pytest

from data_build.processes import n_workers, spread
from soundflow.errors import UserError

_offset = 0


def _set_offset(value: int) -> None:
    global _offset
    _offset = value


def _shifted(value: int) -> int:
    return value + _offset


def _kill_me(value: int) -> int:
    if value == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def _refuse(value: int) -> int:
    if value == 2:
        raise UserError("two is refused", "use another number")
    return value


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_is_done_once_whatever_the_number_of_workers(workers: int) -> None:
    results = dict(spread(_shifted, range(9), workers, _set_offset, (100,)))
    assert results == {i: 100 + i for i in range(9)}


@pytest.mark.parametrize("workers", [1, 2])
def test_the_users_mistake_crosses_the_process_boundary_whole(workers: int) -> None:
    with pytest.raises(UserError, match="two is refused") as error:
        dict(spread(_refuse, range(6), workers))
    assert error.value.hint == "use another number"


def test_a_killed_worker_is_said_with_the_remedy() -> None:
    with pytest.raises(UserError, match="worker process was killed") as error:
        dict(spread(_kill_me, range(6), 2))
    assert "same command again" in error.value.hint


def test_no_number_of_workers_means_one_a_core() -> None:
    assert n_workers(3) == 3
    assert n_workers(0) == len(os.sched_getaffinity(0))
