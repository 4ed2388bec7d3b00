"""Map-style datasets: item u is everything one rank needs for update u.

An item is a pure function of its index, so workers change nothing but speed, and resuming is
starting at another index.
"""

from __future__ import annotations

from collections import OrderedDict

from torch.utils.data import Dataset

from soundflow.data.augment import AUGMENT, AugmentConfig, augment
from soundflow.data.batch import Batch
from soundflow.data.collate import StreamFeatures, collate, first_chunks, stream_features
from soundflow.data.schedule import LengthWarmUp, Row, Schedule, micro_batches
from soundflow.shards.reader import ShardSet


class FeatureCache:
    """Streams with their features, the most recently used up to ``limit_bytes``.

    For small corpora: the features of a stream do not change between epochs.
    """

    def __init__(self, shards: ShardSet, limit_bytes: int) -> None:
        self._shards = shards
        self._limit = limit_bytes
        self._held: OrderedDict[int, StreamFeatures] = OrderedDict()
        self._bytes = 0

    def __getitem__(self, stream: int) -> StreamFeatures:
        if stream in self._held:
            self._held.move_to_end(stream)
            return self._held[stream]
        features = stream_features(self._shards.read(stream), self._shards.spec)
        self._held[stream] = features
        self._bytes += features.mel.nbytes
        while self._bytes > self._limit:
            _, oldest = self._held.popitem(last=False)
            self._bytes -= oldest.mel.nbytes
        return features


class TrainUpdates(Dataset[tuple[Batch, ...]]):
    """Item u: the micro-batches of update u for one rank.

    Raises:
        ValueError: if the rows of an update do not divide evenly among ranks and micro-batches.
    """

    def __init__(
        self,
        shards: ShardSet,
        schedule: Schedule,
        n_updates: int,
        micro_batch_size: int,
        augmentation: AugmentConfig,
        *,
        rank: int = 0,
        world: int = 1,
        cache_bytes: int = 0,
        warm_up: LengthWarmUp | None = None,
    ) -> None:
        self._shards = shards
        self._warm_up = warm_up or LengthWarmUp()
        self._schedule = schedule
        self._n_updates = n_updates
        self._micro = micro_batch_size
        self._augmentation = augmentation
        self._rank = rank
        self._world = world
        self._cache = FeatureCache(shards, cache_bytes)
        self._plan(0)

    def __len__(self) -> int:
        return self._n_updates

    def __getitem__(self, update: int) -> tuple[Batch, ...]:
        limit = self._warm_up.limit_chunks(update)
        return tuple(
            collate([self._features(row, limit) for row in rows], self._shards.spec)
            for rows in self._plan(update)
        )

    def stream_ids(self, update: int) -> list[str]:
        """Ids of the streams of this rank in update ``update``, without reading them."""
        return [self._shards.entry(r.stream).id for rows in self._plan(update) for r in rows]

    def _plan(self, update: int) -> list[list[Row]]:
        return micro_batches(
            self._schedule.rows(update), self._tokens, self._micro, self._rank, self._world
        )

    def _tokens(self, stream: int) -> int:
        return int(self._shards.lengths.tokens[stream])

    def _features(self, row: Row, limit_chunks: int | None) -> StreamFeatures:
        features = self._cache[row.stream]
        if limit_chunks is not None and self._shards.lengths[row.stream].kind == "online":
            features = first_chunks(features, limit_chunks, self._shards.spec)
        rng = row.generator(self._schedule.seed, AUGMENT)
        return StreamFeatures(
            features.ids, features.roles, augment(features.mel, self._augmentation, rng)
        )


class HeldOut(Dataset[Batch]):
    """The streams of a split in order, ``rows`` a batch, undistorted.

    Ranks take batches in turn; the last ranks may have one batch less, which evaluation allows.
    """

    def __init__(self, shards: ShardSet, rows: int, *, rank: int = 0, world: int = 1) -> None:
        self._shards = shards
        starts = range(0, len(shards), rows)
        self._batches = [range(s, min(s + rows, len(shards))) for s in starts][rank::world]

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Batch:
        spec = self._shards.spec
        return collate(
            [stream_features(self._shards.read(i), spec) for i in self._batches[index]], spec
        )
