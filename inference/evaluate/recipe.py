"""The recipe of `soundflow evaluate`: one YAML file, loaded strictly."""

from __future__ import annotations

import re
from dataclasses import field
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass

from inference.decoder.sampling import SamplingConfig
from inference.evaluate.suite import BenchmarksConfig
from inference.evaluate.systems.realtime import RealtimeConfig
from inference.evaluate.timing.baselines import ORACLE
from inference.evaluate.timing.config import TimingConfig
from inference.profiles import Profile, ProfileName
from soundflow.config.settings import SETTINGS, Fraction, PositiveSeconds, Precision

RESERVED = ("model", "never", "always", "random")


def _system_name(name: str) -> str:
    taken = name in RESERVED or name.startswith(ORACLE)
    if taken or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise ValueError(
            f"{name!r} cannot name a system: letters, digits, '.', '-' and '_', none of "
            f"{', '.join(RESERVED)}, and nothing that begins with {ORACLE}"
        )
    return name


# It stands in tables beside the model and the baselines, and in names of files.
SystemName = Annotated[str, AfterValidator(_system_name)]


@dataclass(frozen=True, config=SETTINGS)
class ReportConfig:
    """What the HTML report shows in addition to the tables.

    Attributes:
        streams: how many held-out streams are drawn with audio and decisions.
        training_metrics: the ``metrics.jsonl`` of the run, for the curves; None takes the one
            beside the checkpoint folder, where there is one.
        data_summary: the ``summary.json`` of the build; None takes the one of ``timing.data``.
    """

    streams: NonNegativeInt = 6
    training_metrics: Path | None = None
    data_summary: Path | None = None


@dataclass(frozen=True, config=SETTINGS)
class EvaluateRecipe:
    """An evaluation of one checkpoint with the live engine, against baselines.

    Attributes:
        checkpoint: a checkpoint of any form: SoundFlow, the published release, Qwen2.5-Omni.
        output: outcomes, rows, figures, the calibration and the report.
        timing: when it speaks, on streams of built data.
        benchmarks: public benchmarks of when it speaks and of what it says.
        systems: endpoints of the OpenAI Realtime protocol that answer the same items, by the name
            that tables show.
        threshold: p(response) from which it speaks in everything but the timing curve; None takes
            the one that ``timing`` calibrates, or else the checkpoint's own.
        write_calibration: also stores the calibrated threshold in the checkpoint, where sessions
            find it.
        precision: of the weights; ``auto`` takes the faster of fp32 and bf16, measured.
        profile: how recordings are padded and positions computed: ours, or as in the published
            code; a name, or each setting.
        streams_at_once: how many items are decoded side by side; 1 also measures the computation of
            every token.
        timeout_s: computation that one item may take, for a joined stream each of its parts; one
            that takes longer is counted as failed.
    """

    checkpoint: Path
    output: Path
    timing: TimingConfig | None = None
    benchmarks: BenchmarksConfig | None = None
    systems: dict[SystemName, RealtimeConfig] = field(default_factory=dict)
    threshold: Fraction | None = None
    write_calibration: bool = False
    device: str = "cpu"
    precision: Precision = "fp32"
    profile: ProfileName | Profile = "ours"
    streams_at_once: PositiveInt = 32
    timeout_s: PositiveSeconds = 600.0
    sampling: SamplingConfig = field(
        default_factory=lambda: SamplingConfig(temperature=0.0, max_reply_tokens=32)
    )
    report: ReportConfig = field(default_factory=ReportConfig)

    def __post_init__(self) -> None:
        if self.timing is None and self.benchmarks is None:
            raise ValueError("names nothing to measure: give it a timing: or benchmarks: block")
