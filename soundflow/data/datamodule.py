"""The Lightning data module: builds in, updates of a run and held-out rows out."""

from __future__ import annotations

import hashlib
import os
import signal
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import torch
from lightning import LightningDataModule, Trainer
from torch.utils.data import DataLoader

from soundflow.data.batch import Batch, Update
from soundflow.data.config import DataConfig
from soundflow.data.dataset import HeldOut, TrainUpdates
from soundflow.data.encoded import EncodedStreams
from soundflow.data.mixture import Mixture, weights_of
from soundflow.errors import UserError
from soundflow.protocol.spec import StreamSpec
from soundflow.shards.address import Url
from soundflow.shards.reader import ShardSet


def _leave_signals_to_the_run(worker: int) -> None:
    """A scheduler signals all processes; a worker goes on until the run has saved its state."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


class UpdateLoader:
    """Updates ``start`` and later, loaded ahead by ``workers`` processes."""

    def __init__(self, updates: TrainUpdates, start: int, workers: int) -> None:
        self._left = len(updates) - start
        self._loader = DataLoader(
            updates,
            batch_size=None,
            sampler=range(start, len(updates)),
            num_workers=workers,
            prefetch_factor=2 if workers else None,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_leave_signals_to_the_run,
        )

    def __len__(self) -> int:
        return self._left

    def __iter__(self) -> Iterator[Update]:
        return iter(self._loader)


class StreamData(LightningDataModule):
    """Training updates and held-out rows of all sources.

    Attributes:
        train_splits: of each source.
        valid_splits: of the sources that hold something out.
        spec: of all of them.
        start: updates that were taken already; the loader begins behind them.
        encoded: what the tower made of the training streams before; None: it runs.

    Raises:
        UserError: if a split is missing, unfinished or empty, a stream is longer than a row, or
            the splits differ in spec.
    """

    def __init__(self, config: DataConfig, seed: int, updates: int) -> None:
        super().__init__()
        self.config = config
        self.train_splits = [_open(s.folder / s.train) for s in config.sources]
        self.valid_splits = [
            _open(s.folder / s.valid) for s in config.sources if s.valid is not None
        ]
        first = self.train_splits[0]
        self.spec: StreamSpec = first.spec
        for split in (*self.train_splits, *self.valid_splits):
            self.spec.require_same(split.spec, str(first.folder), str(split.folder))
            longest = int(split.lengths.tokens.max())
            if longest > config.row_tokens:
                raise UserError(
                    f"{split.folder}: a stream of {longest} tokens exceeds "
                    f"data.row_tokens={config.row_tokens}",
                    f"set data.row_tokens={longest} or more, or build shorter streams",
                )
        self.start = 0
        self.encoded: EncodedStreams | None = None
        self._updates = updates
        sizes = tuple(len(split) for split in self.train_splits)
        try:
            self._mixture = Mixture(seed, sizes, weights_of(config.sources, sizes))
        except ValueError as error:
            raise UserError(f"data.sources: {error}", "change data.sources") from error

    @property
    def named(self) -> str:
        """The folders of all sources, for messages."""
        return ", ".join(str(source.folder) for source in self.config.sources)

    def longest_stream(self) -> int:
        """Tokens of the longest training stream: the positions that training reaches."""
        return max(int(split.lengths.tokens.max()) for split in self.train_splits)

    @cached_property
    def system(self) -> str:
        """The instruction prefix that most training streams have, of the first hundred of each."""
        found: Counter[str] = Counter()
        for split in self.train_splits:
            first = range(min(100, len(split)))
            split.fetch(first)
            found.update(split.record(i).system for i in first)
        return found.most_common(1)[0][0]

    def content_hash(self) -> str:
        """16 hex digits of the checksums of all training shards."""
        joined = "".join(split.content_hash for split in self.train_splits)
        return hashlib.sha256(joined.encode()).hexdigest()[:16]

    def train_updates(self, rank: int, world: int) -> TrainUpdates:
        return TrainUpdates(
            self.train_splits, self._mixture, self.config, self._updates,
            rank=rank, world=world, encoded=self.encoded,
        )  # fmt: skip

    def whole_update(self, rank: int, world: int) -> Update:
        """The first update in which length warm-up no longer cuts a stream."""
        return self.train_updates(rank, world)[self.config.length_warm_up.updates].as_read()

    def train_dataloader(self) -> UpdateLoader:
        """Starts at the update after the last one taken, so a resumed run replays nothing."""
        trainer = self._ranks()
        updates = self.train_updates(trainer.global_rank, trainer.world_size)
        return UpdateLoader(updates, self.start, self._workers(trainer))

    def held_out(self, rank: int, world: int) -> DataLoader[Batch] | None:
        """The held-out rows of one rank, as many as any other has; None: nothing is held out."""
        if not self.valid_splits:
            return None
        rows = HeldOut(self.valid_splits, self.config.row_tokens, rank=rank, world=world)
        return DataLoader(rows, batch_size=None)

    def held_out_tasks(self) -> list[str]:
        """The tasks of all held-out streams, in order of their names."""
        return sorted({task for split in self.valid_splits for task in split.lengths.tasks})

    def _workers(self, trainer: Trainer) -> int:
        """One beside a CPU, whose cores compute; up to four for every other device."""
        if self.config.workers != "auto":
            return self.config.workers
        if trainer.strategy.root_device.type == "cpu":
            return 1
        ranks = trainer.world_size // trainer.num_nodes
        return max(1, min(4, (os.cpu_count() or 1) // ranks - 1))

    def _ranks(self) -> Trainer:
        if self.trainer is None:
            raise RuntimeError("the data module is not attached to a trainer")
        return self.trainer


def _open(folder: Path | Url) -> ShardSet:
    shards = ShardSet(folder)
    if not len(shards):
        raise UserError(f"{folder}: holds no streams", "build the data again")
    return shards
