"""Work spread over processes: all results, and no silence about a worker that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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


_SCRIPT = """
import sys, time
from pathlib import Path
from data_build.processes import spread
from soundflow.signals import Interrupted, raised_signals

def work(path):
    path = Path(path)
    try:
        path.write_text("")
        time.sleep(300)
    finally:
        path.unlink()

if __name__ == "__main__":
    try:
        with raised_signals():
            dict(spread(work, sys.argv[1:], 2))
    except Interrupted as stop:
        sys.exit(128 + stop.number)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("whole_group", [False, True])
def test_a_signal_ends_the_workers_and_nothing_is_said(
    tmp_path: Path, number: signal.Signals, whole_group: bool
) -> None:
    script, busy = tmp_path / "script.py", [tmp_path / f"busy{i}" for i in range(6)]
    script.write_text(_SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(script), *map(str, busy)], stderr=subprocess.PIPE, text=True,
        start_new_session=True,
        # A suite started in the background inherits an ignored SIGINT; a person's shell has not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    while sum(b.exists() for b in busy) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    (os.killpg if whole_group else os.kill)(process.pid, number)
    _, said = process.communicate(timeout=60)  # until every process that may speak is gone
    assert (process.returncode, said) == (128 + number, "")
    assert not any(b.exists() for b in busy)  # each left through its `finally`
