"""The ``data:`` block of a training recipe."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import MinLen
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from soundflow.config.settings import SETTINGS, Fraction, SplitName, Workers
from soundflow.data.augment import AugmentConfig
from soundflow.shards.address import DataFolder


@dataclass(frozen=True, config=SETTINGS)
class DataSource:
    """A build, and how often its streams are drawn against those of the other sources.

    ``folder`` is a path, or an address such as s3://bucket/data (docs/training.md).

    ``weight`` null in all sources: every stream comes as often as any other. ``valid`` null:
    nothing of it is held out.
    """

    folder: DataFolder
    weight: PositiveFloat | None = None
    train: SplitName = "train"
    valid: SplitName | None = "valid"


@dataclass(frozen=True, config=SETTINGS)
class LengthWarmUp:
    """Early updates see only the beginning of each stream, growing from ``from_chunks``.

    At first the model only learns where to attend, which is quicker with fewer positions, at a
    fraction of the cost (Li et al., 2022, "The stability-efficiency dilemma").

    ``updates`` 0 switches it off; the last one of them reaches ``to_chunks``.
    """

    updates: NonNegativeInt = 0
    from_chunks: PositiveInt = 8
    to_chunks: PositiveInt = 60

    def __post_init__(self) -> None:
        if self.from_chunks > self.to_chunks:
            raise ValueError(
                f"from_chunks={self.from_chunks} must not exceed to_chunks={self.to_chunks}"
            )

    def limit_chunks(self, update: int) -> int | None:
        """How many chunks of a stream update ``update`` sees; None: all."""
        if update >= self.updates:
            return None
        grown = (self.to_chunks - self.from_chunks) * update // max(1, self.updates - 1)
        return self.from_chunks + grown


@dataclass(frozen=True, config=SETTINGS)
class DataConfig:
    """Where the streams come from, and how they become updates.

    ``global_batch_size`` is the streams of an update, over all ranks. ``row_tokens`` is the most
    that one forward pass takes: it bounds memory and changes no result. ``truncate`` is the share
    of online streams that end after one of their replies, drawn anew each time. ``workers`` load
    ahead of the updates; ``cache_mb`` keeps computed features of small corpora, per worker.
    ``features`` cached: what the frozen tower makes of the streams is computed once and kept in
    ``features_folder``, of which at most ``features_max_gb`` is written.
    """

    sources: Annotated[tuple[DataSource, ...], MinLen(1)]
    global_batch_size: PositiveInt = 16
    row_tokens: PositiveInt = 4096
    workers: Workers | Literal["auto"] = "auto"
    cache_mb: NonNegativeInt = 0
    features: Literal["live", "cached"] = "live"
    features_folder: Path | None = None
    features_max_gb: NonNegativeFloat = 0.0
    truncate: Fraction = 0.0
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    length_warm_up: LengthWarmUp = field(default_factory=LengthWarmUp)

    def __post_init__(self) -> None:
        given = [source.weight is not None for source in self.sources]
        if any(given) and not all(given):
            raise ValueError("sources: give a weight to all of them, or to none")
        cached = self.features == "cached"
        if cached != (self.features_folder is not None):
            raise ValueError(
                f"features={self.features}: features_folder says where cached features are kept; "
                f"{'give it' if cached else 'leave it out'}"
            )
        changes = [
            name for name, on in (("augment.audio", self.augment.audio.active),
                                  ("augment", self.augment.active)) if on
        ]  # fmt: skip
        if cached and changes:
            raise ValueError(
                f"features=cached keeps what the tower makes of a stream, which {changes[0]} "
                "changes each time; leave one of them out"
            )
        if self.cache_mb and self.augment.audio.active:
            raise ValueError(
                f"cache_mb={self.cache_mb} keeps features, which augment.audio changes each time; "
                "leave one of them out"
            )
