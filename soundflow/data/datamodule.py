"""The Lightning data module: shards of a data folder to updates of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path

from lightning import LightningDataModule, Trainer
from pydantic import NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass
from torch.utils.data import DataLoader

from soundflow.config.settings import SETTINGS, SplitName, Workers
from soundflow.data.augment import AugmentConfig
from soundflow.data.batch import Batch
from soundflow.data.dataset import HeldOut, TrainUpdates
from soundflow.data.schedule import LengthWarmUp, Schedule
from soundflow.errors import UserError
from soundflow.protocol.spec import StreamSpec
from soundflow.shards.reader import ShardSet


@dataclass(frozen=True, config=SETTINGS)
class DataConfig:
    """Where the streams are, and how many go into an update.

    ``global_batch_size`` counts all ranks and accumulated micro-batches together. ``cache_mb``
    keeps computed features of small corpora in memory, per worker. ``valid`` null: nothing is
    held out and nothing measured on the way.
    """

    folder: Path
    train: SplitName = "train"
    valid: SplitName | None = "valid"
    global_batch_size: PositiveInt = 16
    micro_batch_size: PositiveInt = 16
    workers: Workers = 0
    cache_mb: NonNegativeInt = 0
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    length_warm_up: LengthWarmUp = field(default_factory=LengthWarmUp)

    def __post_init__(self) -> None:
        if self.global_batch_size % self.micro_batch_size:
            raise ValueError(
                f"global_batch_size={self.global_batch_size} must be a multiple of "
                f"micro_batch_size={self.micro_batch_size}"
            )


class ResumableLoader:
    """Updates ``start`` and later, under the length of the whole run.

    Lightning counts the batches of a resumed epoch from where it was left, so it is given the
    length of the whole run.
    """

    def __init__(self, updates: TrainUpdates, start: int, workers: int) -> None:
        self._total = len(updates)
        self._loader = DataLoader(
            updates,
            batch_size=None,
            sampler=range(start, len(updates)),
            num_workers=workers,
            prefetch_factor=2 if workers else None,
        )

    def __len__(self) -> int:
        return self._total

    def __iter__(self) -> Iterator[tuple[Batch, ...]]:
        return iter(self._loader)

    def state_dict(self) -> dict[str, int]:
        """Nothing to remember: the position follows from the updates taken."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        pass


class StreamData(LightningDataModule):
    """Training updates and held-out batches.

    Raises:
        UserError: if a split is missing, unfinished or empty, or the splits differ in spec.
    """

    def __init__(self, config: DataConfig, seed: int, updates: int) -> None:
        super().__init__()
        self.config = config
        self.train_shards = _open(config.folder / config.train)
        self.spec: StreamSpec = self.train_shards.spec
        self.valid_shards: ShardSet | None = None
        if config.valid is not None:
            self.valid_shards = _open(config.folder / config.valid)
            self.spec.require_same(
                self.valid_shards.spec, str(self.train_shards.folder), str(self.valid_shards.folder)
            )
        self._seed = seed
        self._updates = updates

    def longest_row(self) -> int:
        """Tokens of the longest training stream: the positions that training reaches."""
        return int(self.train_shards.lengths.tokens.max())

    def system(self) -> str:
        """The instruction prefix that most training streams have, of the first hundred."""
        n = min(100, len(self.train_shards))
        return Counter(self.train_shards.record(i).system for i in range(n)).most_common(1)[0][0]

    def content_hash(self) -> str:
        """16 hex digits of the checksums of all training shards."""
        return self.train_shards.content_hash

    def train_updates(self, rank: int, world: int) -> TrainUpdates:
        try:
            return TrainUpdates(
                self.train_shards,
                Schedule(self._seed, len(self.train_shards), self.config.global_batch_size),
                self._updates,
                self.config.micro_batch_size,
                self.config.augment,
                rank=rank,
                world=world,
                cache_bytes=self.config.cache_mb << 20,
                warm_up=self.config.length_warm_up,
            )
        except ValueError as error:
            raise UserError(f"data: {error}", "change data.global_batch_size") from error

    def train_dataloader(self) -> ResumableLoader:
        """Starts at the update after the last one taken, so a resumed run replays nothing."""
        trainer = self._ranks()
        updates = self.train_updates(trainer.global_rank, trainer.world_size)
        return ResumableLoader(updates, trainer.global_step, self.config.workers)

    def held_out(self, rank: int, world: int) -> DataLoader[Batch] | None:
        """The held-out batches of one rank; None without a held-out split."""
        if self.valid_shards is None:
            return None
        rows = self.config.micro_batch_size
        return DataLoader(HeldOut(self.valid_shards, rows, rank=rank, world=world), batch_size=None)

    def _ranks(self) -> Trainer:
        if self.trainer is None:
            raise RuntimeError("the data module is not attached to a trainer")
        return self.trainer


def _open(folder: Path) -> ShardSet:
    shards = ShardSet(folder)
    if not len(shards):
        raise UserError(f"{folder}: holds no streams", "build the data again")
    return shards
