"""What a build is told: one recipe, plain data, checked before any work begins."""

from __future__ import annotations

from dataclasses import dataclass, field

from data_build.abilities.config import CountingConfig, CueConfig, SceneConfig
from data_build.compose.config import ComposeConfig
from data_build.material.config import MaterialConfig

TASKS = ("cues", "counting", "quiet")


@dataclass(frozen=True)
class SplitConfig:
    """One sub-folder of the output. Splits share no voice, no take and no noise.

    Attributes:
        streams: how many streams to make.
        voices: how many voices speak each phrase.
        takes: how many takes there are of each sound and each noise.
        tasks: task -> share of the streams (normalised); the tasks are cues, counting and quiet.
    """

    streams: int
    voices: int = 8
    takes: int = 8
    tasks: dict[str, float] = field(default_factory=lambda: {"cues": 1.0})

    def __post_init__(self) -> None:
        for name in ("streams", "voices", "takes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        unknown = sorted(set(self.tasks) - set(TASKS))
        if unknown:
            raise ValueError(f"tasks: unknown {unknown}; there are {list(TASKS)}")
        if not self.tasks or min(self.tasks.values()) < 0 or sum(self.tasks.values()) <= 0:
            raise ValueError(f"tasks: the shares must be positive, got {self.tasks}")


@dataclass(frozen=True)
class BuildRecipe:
    """A whole build.

    Attributes:
        output: folder that takes one sub-folder a split.
        vocabulary: "tiny", or the folder of a tokenizer.
        system: the text of the online prefix.
        workers: processes; 0 is one a core.
        max_dropped_share: above this share of dropped items the build fails (exit code 1).
    """

    output: str
    cues: tuple[CueConfig, ...]
    splits: dict[str, SplitConfig]
    seed: int = 0
    vocabulary: str = "tiny"
    system: str = ""
    material: MaterialConfig = field(default_factory=MaterialConfig)
    scene: SceneConfig = field(default_factory=SceneConfig)
    counting: CountingConfig = field(default_factory=CountingConfig)
    compose: ComposeConfig = field(default_factory=ComposeConfig)
    streams_per_shard: int = 100
    workers: int = 0
    max_dropped_share: float = 0.05

    def __post_init__(self) -> None:
        names = [c.name for c in self.cues]
        if not names:
            raise ValueError("cues: at least one is needed")
        if len(set(names)) < len(names):
            raise ValueError(f"cues: names must be unique, got {sorted(names)}")
        if not self.splits:
            raise ValueError("splits: at least one is needed")
        if self.streams_per_shard < 1:
            raise ValueError(f"streams_per_shard must be at least 1, got {self.streams_per_shard}")
        if self.workers < 0:
            raise ValueError(f"workers must be 0 (one a core) or more, got {self.workers}")
        if not 0 <= self.max_dropped_share <= 1:
            raise ValueError(f"max_dropped_share must lie in [0, 1], got {self.max_dropped_share}")
        counted = any(s.tasks.get("counting", 0) > 0 for s in self.splits.values())
        if counted and self.counting.sound not in names:
            raise ValueError(f"counting.sound names no cue: {self.counting.sound!r}")
