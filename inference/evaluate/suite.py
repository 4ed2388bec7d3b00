"""The benchmarks that a recipe names."""

from __future__ import annotations

from typing import Any

from pydantic.dataclasses import dataclass

from inference.evaluate.benchmarks.covost import CovostConfig, covost_tasks
from inference.evaluate.benchmarks.librispeech import LibriSpeechConfig, librispeech_tasks
from inference.evaluate.benchmarks.mmau import MmauConfig, mmau_tasks
from inference.evaluate.benchmarks.offline_samples import OfflineSamplesConfig, OfflineSamplesTask
from inference.evaluate.benchmarks.proactive_sound import ProactiveSoundConfig, ProactiveSoundTask
from inference.evaluate.benchmarks.spoken_questions import (
    OpenAudioBenchConfig,
    VoiceBenchConfig,
    spoken_question_tasks,
)
from inference.evaluate.task import Task
from inference.evaluate.timing.recordings import RecordingsConfig, RecordingsTask
from inference.evaluate.turn_taking.end_of_turn import EndOfTurnConfig, EndOfTurnTask
from inference.evaluate.turn_taking.full_duplex import FullDuplexConfig, FullDuplexTask
from soundflow.config.settings import SETTINGS
from soundflow.protocol.timebase import TimeBase


@dataclass(frozen=True, config=SETTINGS)
class BenchmarksConfig:
    """Benchmarks; each has ``data``, ``pause_s``, ``max_items`` and settings of its own.

    Attributes:
        recordings: when it speaks, on labelled recordings of one's own.
        end_of_turn: whether a speaker has finished or only pauses.
        full_duplex: Full-Duplex-Bench: taking turns, pauses, interruptions, overlaps.
        proactive_sound: Proactive-Sound-Bench: which sounds deserve a reply.
        librispeech: word error rate and word-emission delay.
        covost: BLEU, chrF, LAAL and ATD of translated speech.
        open_audio_bench: spoken questions: Llama Questions and Web Questions.
        voicebench: spoken questions: AlpacaEval and SD-QA.
        offline_samples: the offline samples of built data.
        mmau: questions on sounds, music and speech, with choices.
    """

    recordings: RecordingsConfig | None = None
    end_of_turn: EndOfTurnConfig | None = None
    full_duplex: FullDuplexConfig | None = None
    proactive_sound: ProactiveSoundConfig | None = None
    librispeech: LibriSpeechConfig | None = None
    covost: CovostConfig | None = None
    open_audio_bench: OpenAudioBenchConfig | None = None
    voicebench: VoiceBenchConfig | None = None
    mmau: MmauConfig | None = None
    offline_samples: OfflineSamplesConfig | None = None

    def __post_init__(self) -> None:
        if not self.named():
            raise ValueError("benchmarks: names none of them")

    def named(self) -> dict[str, str]:
        """The benchmarks to measure and where their data is."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: config.data for name, config in found.items() if config is not None}


def benchmark_tasks(config: BenchmarksConfig | None, time: TimeBase) -> list[Task[Any, Any]]:
    """Their tasks; no data is opened yet."""
    tasks: list[Task[Any, Any]] = []
    if config is None:
        return tasks
    if config.recordings is not None:
        tasks.append(RecordingsTask(config.recordings, time))
    if config.end_of_turn is not None:
        tasks.append(EndOfTurnTask(config.end_of_turn, time))
    if config.full_duplex is not None:
        tasks.append(FullDuplexTask(config.full_duplex, time))
    if (sounds := config.proactive_sound) is not None:
        tasks += [ProactiveSoundTask(sounds, tier, time) for tier in sounds.tiers]
    if config.librispeech is not None:
        tasks += librispeech_tasks(config.librispeech, time)
    if config.covost is not None:
        tasks += covost_tasks(config.covost, time)
    for questions in (config.open_audio_bench, config.voicebench):
        if questions is not None:
            tasks += spoken_question_tasks(questions, time)
    if config.offline_samples is not None:
        tasks.append(OfflineSamplesTask(config.offline_samples, time))
    if config.mmau is not None:
        tasks += mmau_tasks(config.mmau, time)
    return tasks
