"""What a build is told: one recipe, plain data, checked before any work begins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from data_build.abilities.config import AbilitiesConfig, CueConfig
from data_build.abilities.taxonomy import TASKS
from data_build.compose.config import ComposeConfig
from data_build.material.config import MaterialConfig
from data_build.material.prepare import PrepareConfig
from data_build.sources.source import SourceConfig
from soundflow.config.record import to_plain
from soundflow.errors import nearest


@dataclass(frozen=True)
class SplitConfig:
    """One sub-folder of the output. Splits share no voice, no take, no speaker and no noise.

    Attributes:
        streams: how many streams to make.
        voices: how many voices speak each phrase.
        takes: how many takes there are of each synthesised sound (a quarter of it of each noise).
        share: which share of the recordings falls to this split.
        tasks: task -> share of the streams.
    """

    streams: int
    voices: int = 8
    takes: int = 8
    share: float = 1.0
    tasks: dict[str, float] = field(default_factory=lambda: {"answer_cues": 1.0})

    def __post_init__(self) -> None:
        for name in ("streams", "voices", "takes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.share < 0:
            raise ValueError(f"share must not be negative, got {self.share}")
        for task, share in self.tasks.items():
            if task not in TASKS:
                close = nearest(task, TASKS)
                tail = f"did you mean {close!r}?" if close else f"known: {', '.join(TASKS)}"
                raise ValueError(f"tasks.{task} is unknown; {tail}")
            if share < 0:
                raise ValueError(f"tasks.{task} must not be negative, got {share}")
        if sum(self.tasks.values()) <= 0:
            raise ValueError(f"tasks: one share must be positive, got {self.tasks}")


@dataclass(frozen=True)
class BuildRecipe:
    """A whole build.

    Attributes:
        output: folder that takes one sub-folder a split, the tables and the clip cache.
        sources: corpora to read recordings from; none are needed where everything is made.
        cues: what can be heard, and what it makes the assistant say.
        vocabulary: "tiny", or the folder of a tokenizer.
        system: the text of the online prefix.
        workers: processes; 0 is one a core.
        max_dropped_share: above this share of dropped items the build fails.
    """

    output: str
    splits: dict[str, SplitConfig]
    sources: tuple[SourceConfig, ...] = ()
    cues: tuple[CueConfig, ...] = ()
    seed: int = 0
    vocabulary: str = "tiny"
    system: str = ""
    material: MaterialConfig = field(default_factory=MaterialConfig)
    prepare: PrepareConfig = field(default_factory=PrepareConfig)
    abilities: AbilitiesConfig = field(default_factory=AbilitiesConfig)
    compose: ComposeConfig = field(default_factory=ComposeConfig)
    streams_per_shard: int = 100
    workers: int = 0
    max_dropped_share: float = 0.05

    def __post_init__(self) -> None:
        names = [c.name for c in self.cues]
        if len(set(names)) < len(names):
            raise ValueError(f"cues: names must be unique, got {sorted(names)}")
        if not self.splits:
            raise ValueError("splits: at least one is needed")
        if not self.cues and not self.sources:
            raise ValueError("cues, sources: there is nothing to hear; give at least one")
        if self.streams_per_shard < 1:
            raise ValueError(f"streams_per_shard must be at least 1, got {self.streams_per_shard}")
        if self.workers < 0:
            raise ValueError(f"workers must be 0 (one a core) or more, got {self.workers}")
        if not 0 <= self.max_dropped_share <= 1:
            raise ValueError(f"max_dropped_share must lie in [0, 1], got {self.max_dropped_share}")
        counted = any(s.tasks.get("count_sounds", 0) > 0 for s in self.splits.values())
        if counted and self.abilities.counting.sound not in names:
            raise ValueError(f"counting.sound names no cue: {self.abilities.counting.sound!r}")

    def content(self) -> Any:
        """The settings that every stream depends on; where and how fast it is made is not."""
        operational = ("output", "workers", "max_dropped_share", "splits", "sources")
        return {k: v for k, v in to_plain(self).items() if k not in operational}
