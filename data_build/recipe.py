"""What a build is told: one recipe, plain data, checked before any work begins."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any

from annotated_types import MinLen
from pydantic import NonNegativeFloat, PositiveInt
from pydantic.dataclasses import dataclass

from data_build.chat.use import ChatUse
from data_build.compose.config import ComposeConfig
from data_build.pools.config import PoolsConfig
from data_build.pools.prepare import PrepareConfig
from data_build.scenes.config import ScenesConfig
from data_build.sources.catalogue import corpus_named
from data_build.sources.source import SourceConfig
from data_build.speech.setup import SpeechConfig
from data_build.tasks.config import AbilitiesConfig, CueConfig
from data_build.tasks.taxonomy import FORMS, TASKS
from soundflow.config.record import to_plain
from soundflow.config.settings import SETTINGS, Fraction, Seed, SplitName, Workers
from soundflow.errors import UserError, nearest
from soundflow.protocol.stream_config import StreamConfig


@dataclass(frozen=True, config=SETTINGS)
class SplitConfig:
    """One sub-folder of the output. Splits share no voice, no take, no speaker and no noise.

    Attributes:
        streams: how many streams to make.
        voices: how many voices speak each phrase.
        takes: how many takes there are of each synthesised sound (a quarter of it of each noise).
        share: which share of the recordings falls to this split.
        tasks: task -> share of the streams.
        offline: form of an offline sample (a_t_t, a_t, t_t) -> share, in the same measure.
    """

    streams: PositiveInt
    voices: PositiveInt = 8
    takes: PositiveInt = 8
    share: NonNegativeFloat = 1.0
    tasks: dict[str, NonNegativeFloat] = field(default_factory=lambda: {"answer_cues": 1.0})
    offline: dict[str, NonNegativeFloat] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for field_name, known in (("tasks", TASKS), ("offline", tuple(FORMS))):
            for name in getattr(self, field_name):
                if name not in known:
                    close = nearest(name, known)
                    tail = f"did you mean {close!r}?" if close else f"known: {', '.join(known)}"
                    raise ValueError(f"{field_name}.{name} is unknown; {tail}")
        if sum(self.shares.values()) <= 0:
            raise ValueError(f"tasks: one share must be positive, got {self.shares}")

    @property
    def shares(self) -> dict[str, float]:
        """Task or form -> share of the samples."""
        return {**self.tasks, **self.offline}

    def content(self) -> Any:
        """The settings that every stream of the split depends on."""
        return {k: v for k, v in to_plain(self).items() if k != "streams"}


@dataclass(frozen=True, config=SETTINGS)
class BuildRecipe:
    """A whole build.

    Attributes:
        output: folder that takes one sub-folder a split, the tables and the clip cache.
        sources: corpora to read recordings from; none are needed where everything is made.
        texts: files of sentences and dialogues to be spoken (`data_build.pools.texts`).
        cues: what can be heard, and what it makes the assistant say.
        vocabulary: "tiny", or the folder of a tokenizer.
        stream: how long a chunk is and how features are scaled; shards, checkpoint and engine
            take it from here.
        system: the text of the online prefix.
        speech: how texts are spoken and how renderings are checked.
        scenes: how scenes are planned and what grounds them.
        llm: a chat model and which decisions it takes; by default the rules take all.
        workers: processes; 0 is one a core.
        max_dropped_share: above this share of dropped items the build fails.
    """

    output: Annotated[str, MinLen(1)]
    splits: Annotated[dict[SplitName, SplitConfig], MinLen(1)]
    sources: tuple[SourceConfig, ...] = ()
    texts: tuple[str, ...] = ()
    cues: tuple[CueConfig, ...] = ()
    seed: Seed = 0
    vocabulary: str = "tiny"
    stream: StreamConfig = field(default_factory=StreamConfig)
    system: str = ""
    material: PoolsConfig = field(default_factory=PoolsConfig)
    prepare: PrepareConfig = field(default_factory=PrepareConfig)
    abilities: AbilitiesConfig = field(default_factory=AbilitiesConfig)
    compose: ComposeConfig = field(default_factory=ComposeConfig)
    speech: SpeechConfig = field(default_factory=SpeechConfig)
    scenes: ScenesConfig = field(default_factory=ScenesConfig)
    llm: ChatUse | None = None
    streams_per_shard: PositiveInt = 100
    workers: Workers = 0
    max_dropped_share: Fraction = 0.05

    def __post_init__(self) -> None:
        names = [c.name for c in self.cues]
        if len(set(names)) < len(names):
            raise ValueError(f"cues: names must be unique, got {sorted(names)}")
        if not (self.cues or self.sources or self.texts or self.material.sounds):
            raise ValueError("cues, sources, texts, material.sounds: there is nothing to hear")
        for number, source in enumerate(self.sources):
            try:
                corpus_named(source.corpus)
            except UserError as error:
                raise ValueError(f"sources.{number}: {error.message}") from None
        counted = any(s.tasks.get("count_sounds", 0) > 0 for s in self.splits.values())
        if counted and self.abilities.counting.sound not in names:
            raise ValueError(f"counting.sound names no cue: {self.abilities.counting.sound!r}")

    def content(self) -> Any:
        """The settings that every stream depends on; where and how fast it is made is not."""
        operational = ("output", "workers", "max_dropped_share", "splits", "sources", "texts")
        plain = {k: v for k, v in to_plain(self).items() if k not in operational}
        if plain["llm"] is not None:  # where the model runs changes nothing that it says
            chat = plain["llm"]["chat"]
            said_by = {k: v for k, v in chat.items() if k not in ("endpoint", "cache_dir")}
            plain["llm"] = {**plain["llm"], "chat": said_by}
        if self.scenes.generator is not None:  # nor what a generator makes
            made_by = {k: v for k, v in plain["scenes"]["generator"].items() if k != "endpoint"}
            plain["scenes"] = {**plain["scenes"], "generator": made_by}
        # Where the sources lie and which texts there are shows in the tables.
        return plain
