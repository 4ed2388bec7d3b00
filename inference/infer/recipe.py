"""The recipe of `soundflow infer`: one YAML file, loaded strictly."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass

from inference.profiles import Profile, ProfileName
from inference.sessions.config import SessionConfig
from soundflow.config.settings import SETTINGS, Precision
from soundflow.protocol.timebase import SAMPLE_RATE_HZ


@dataclass(frozen=True, config=SETTINGS)
class InferRecipe:
    """Recordings through one live session, or one question about each of them.

    Attributes:
        checkpoint: a checkpoint folder of any form.
        mode: ``online`` listens and decides chunk by chunk. ``offline`` hears each recording to its
            end and then answers ``question`` about it, or answers it alone where no audio is named.
        question: in text; None leaves it to the recording.
        audio: what is heard, in order: files, folders of them, sequence files (``.txt``,
            ``.jsonl``), pipes, ``-`` (standard input: an audio file or raw mono PCM16, recognised
            by content), ``microphone`` or ``microphone:DEVICE``, or ``FOLDER#ID`` for a stream of
            a split of built data, whose ground truth is then shown with the decisions.
        profile: how recordings are padded and positions computed: ours, or as in the published
            code; a name, or each setting.
        pcm_rate_hz: the rate of raw PCM from a pipe.
        packet_s: how much audio arrives at once, in seconds.
        precision: of the weights; ``auto`` takes the faster of fp32 and bf16, measured.
        real_time: feed at the speed of a microphone; otherwise as fast as possible.
    """

    checkpoint: Path
    audio: tuple[str, ...] = ()
    mode: Literal["online", "offline"] = "online"
    question: str | None = None
    session: SessionConfig = field(default_factory=SessionConfig)
    profile: ProfileName | Profile = "ours"
    pcm_rate_hz: PositiveInt = SAMPLE_RATE_HZ
    packet_s: Annotated[float, Interval(gt=0, le=60)] = 0.1
    real_time: bool = False
    device: str = "cpu"
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        if self.question is not None and self.mode == "online":
            raise ValueError("question: goes with mode=offline; a live session hears its questions")
        if self.real_time and self.mode == "offline":
            raise ValueError("real_time: goes with mode=online; offline, recordings are over")
