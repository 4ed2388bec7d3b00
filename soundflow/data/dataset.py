"""Map-style datasets: item u is everything one rank needs for update u.

An item is a pure function of its index, so workers change nothing but speed, and resuming is
starting at another index.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from torch.utils.data import Dataset

from soundflow.data.augment import augment, augment_audio
from soundflow.data.batch import Batch, Update, packed
from soundflow.data.config import DataConfig
from soundflow.data.encoded import EncodedStreams
from soundflow.data.features import StreamFeatures, features_of, first_chunks, stream_features
from soundflow.data.mixture import AUGMENT, Mixture
from soundflow.data.plan import PlannedStream, Row, UpdatePlan, held_out_rows, plan_update
from soundflow.errors import UserError
from soundflow.protocol.layout import block_tokens
from soundflow.shards.reader import ShardSet


class FeatureCache:
    """Streams with their features, the most recently used up to ``limit_bytes``.

    For small corpora: the features of a stream do not change between epochs.
    """

    def __init__(self, sources: Sequence[ShardSet], limit_bytes: int) -> None:
        self._sources = sources
        self._limit = limit_bytes
        self._held: OrderedDict[tuple[int, int], StreamFeatures] = OrderedDict()
        self._bytes = 0

    def get(self, source: int, stream: int) -> StreamFeatures:
        at = source, stream
        if at in self._held:
            self._held.move_to_end(at)
            return self._held[at]
        shards = self._sources[source]
        features = stream_features(shards.read(stream), shards.spec)
        self._held[at] = features
        self._bytes += features.mel.nbytes
        while self._bytes > self._limit:
            _, oldest = self._held.popitem(last=False)
            self._bytes -= oldest.mel.nbytes
        return features


class TrainUpdates(Dataset[Update]):
    """Item u: the rows of update u for one rank."""

    def __init__(
        self,
        sources: Sequence[ShardSet],
        mixture: Mixture,
        config: DataConfig,
        n_updates: int,
        *,
        rank: int = 0,
        world: int = 1,
        encoded: EncodedStreams | None = None,
    ) -> None:
        self._sources = sources
        self._encoded = encoded
        self._spec = sources[0].spec
        self._mixture = mixture
        self._config = config
        self._n_updates = n_updates
        self._rank = rank
        self._world = world
        self._cache = FeatureCache(sources, config.cache_mb << 20)

    def __len__(self) -> int:
        return self._n_updates

    def __getitem__(self, update: int) -> Update:
        plan = self.plan(update)
        rows, error = plan.ranks[self._rank], None
        try:
            self._fetch(rows)
            batches = [packed([self._features(s) for s in row], self._spec) for row in rows]
        except UserError as failed:
            error, batches = failed, [packed((), self._spec) for _ in rows]
        return Update(tuple(batches), plan.decisions, plan.reply_tokens, error)

    def _fetch(self, rows: Sequence[Row]) -> None:
        """Requests to a store go out together, not one after another."""
        if self._encoded is not None:
            return
        draws = [stream.draw for row in rows for stream in row]
        for source, shards in enumerate(self._sources):
            shards.fetch([draw.stream for draw in draws if draw.source == source])

    def plan(self, update: int) -> UpdatePlan:
        """The update of all ranks, without reading a stream."""
        return plan_update(
            update,
            self._mixture,
            [shards.lengths for shards in self._sources],
            self._config,
            block_tokens(self._spec.tokens, self._spec.time.slots_per_chunk),
            self._world,
        )

    def stream_ids(self, update: int) -> list[str]:
        """Ids of the streams of this rank in update ``update``, without reading their audio."""
        draws = [s.draw for row in self.plan(update).ranks[self._rank] for s in row]
        return [self._sources[draw.source].entry(draw.stream).id for draw in draws]

    def _features(self, planned: PlannedStream) -> StreamFeatures:
        draw, augmentation = planned.draw, self._config.augment
        rng = draw.generator(self._mixture.seed, AUGMENT)
        if self._encoded is not None:
            features = self._encoded.read(draw.source, draw.stream)
        elif augmentation.audio.active:
            sample = self._sources[draw.source].read(draw.stream)
            audio = augment_audio(sample.audio(), augmentation.audio, rng)
            features = features_of(sample, audio, self._spec)
        else:
            features = self._cache.get(draw.source, draw.stream)
        if planned.lengths.kind == "online":
            features = first_chunks(features, planned.lengths.chunks, self._spec)
        if features.states is not None:
            return features
        return replace(features, mel=augment(features.mel, augmentation, rng))


class HeldOut(Dataset[Batch]):
    """The streams of the held-out splits in order, packed, undistorted.

    Ranks take rows in turn. All have the same number; the last ones may be empty.
    """

    def __init__(
        self, splits: Sequence[ShardSet], row_tokens: int, *, rank: int = 0, world: int = 1
    ) -> None:
        self._splits = splits
        rows = held_out_rows([shards.lengths for shards in splits], row_tokens, world)
        self._rows = rows[rank::world]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Batch:
        spec = self._splits[0].spec
        for source, split in enumerate(self._splits):
            split.fetch([s.draw.stream for s in self._rows[index] if s.draw.source == source])
        streams = [self._splits[s.draw.source].read(s.draw.stream) for s in self._rows[index]]
        return packed([stream_features(sample, spec) for sample in streams], spec)
