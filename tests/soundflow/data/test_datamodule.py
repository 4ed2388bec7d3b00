"""Loading ahead in another process: same updates, same errors, and signals are the run's."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch

from soundflow.data.config import DataConfig, DataSource
from soundflow.data.datamodule import StreamData, UpdateLoader
from soundflow.errors import UserError


def data(*folders: Path, **how: object) -> StreamData:
    sources = tuple(DataSource(folder) for folder in folders)
    return StreamData(DataConfig(sources, global_batch_size=8, **how), seed=1, updates=10)


@pytest.fixture
def folder(tone_data: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tone_data, tmp_path / "data"))


def test_loading_starts_anywhere(tone_data: Path) -> None:
    updates = data(tone_data).train_updates(0, 1)
    for workers in (0, 2):
        loader = UpdateLoader(updates, 7, workers)
        assert len(loader) == 3
        found = [b.stream_ids for update in loader for b in update.batches]
        assert found == [b.stream_ids for u in (7, 8, 9) for b in updates[u].batches]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_shard_is_named_wherever_it_is_read(folder: Path, workers: int) -> None:
    loader = UpdateLoader(data(folder).train_updates(0, 1), 0, workers)
    for tar in (folder / "train").glob("*.tar"):
        whole = bytearray(tar.read_bytes())
        whole[2000:-2000] = bytes(len(whole) - 4000)
        tar.write_bytes(whole)
    loaded = list(loader)
    with pytest.raises(UserError, match=r"damaged shard .*\.tar") as told:
        [update.as_read() for update in loaded]
    assert "same build command" in told.value.hint


def test_a_worker_leaves_signals_to_the_run(tone_data: Path) -> None:
    loaded = iter(UpdateLoader(data(tone_data).train_updates(0, 1), 0, 1))
    next(loaded)
    (worker,) = multiprocessing.active_children()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        os.kill(worker.pid, number)
    assert len(list(loaded)) == 9


def test_what_all_sources_hold_out_is_measured(tone_data: Path) -> None:
    both = data(tone_data, tone_data)
    rows = [both.held_out(rank, 2) for rank in (0, 1)]
    assert sum(len(row.stream_ids) for rank in rows for row in rank) == 12
    assert both.longest_stream() == data(tone_data).longest_stream()
    assert both.content_hash() != data(tone_data).content_hash()
    sources = (DataSource(tone_data, valid=None),)
    assert StreamData(DataConfig(sources), 1, 10).held_out(0, 1) is None


def test_length_warm_up_does_not_cut_the_update_that_is_timed(tone_data: Path) -> None:
    warm = data(tone_data, length_warm_up={"updates": 50, "from_chunks": 1, "to_chunks": 2})
    lengths = torch.cat([b.starts.diff() for b in warm.whole_update(0, 1).batches])
    assert lengths.max() == warm.longest_stream()
