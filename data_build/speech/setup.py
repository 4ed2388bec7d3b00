"""From the speech part of a recipe to the renderer of a process."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from data_build.speech.align import Aligner, UniformAligner, WhisperAligner
from data_build.speech.asr.asr_model import AsrModel
from data_build.speech.asr.http_asr import HttpAsr, HttpAsrConfig
from data_build.speech.asr.pipeline import TransformersAsr
from data_build.speech.asr.whisper import Whisper
from data_build.speech.asr_check import GateConfig
from data_build.speech.clip_cache import ClipCache
from data_build.speech.engines.engine import Engine
from data_build.speech.engines.http_tts import HttpVoices, HttpVoicesConfig
from data_build.speech.engines.kokoro import Kokoro
from data_build.speech.pool import VoicePool
from data_build.speech.render import DialogueRenderer
from data_build.speech.rewrite import Rewriter, RuleRewriter
from data_build.speech.voices import embedded_engine
from soundflow.errors import UserError

Timing = Literal["none", "uniform", "whisper"]


@dataclass(frozen=True)
class SpeechConfig:
    """How text becomes speech.

    Attributes:
        pool: who may speak.
        gate: when a rendering passes.
        asr_models: language -> "tiny.en", "base", a CTranslate2 folder, ``transformers:FOLDER``
            or ``http``; languages that are not named are checked by length alone.
        word_times: "whisper" aligns with the asr_model of the language where that is Whisper.
        kokoro_voices: folder of Kokoro's voice files; makes the engine "kokoro".
        servers: engine name -> voice server, besides the embedded engines.
        asr_server: what ``http`` stands for.
        cache_gib: size limit of the clip cache.
    """

    pool: VoicePool = field(default_factory=VoicePool)
    gate: GateConfig = field(default_factory=GateConfig)
    asr_models: dict[str, str] = field(default_factory=lambda: {"en": "tiny.en"})
    word_times: Timing = "none"
    kokoro_voices: str = ""
    servers: dict[str, HttpVoicesConfig] = field(default_factory=dict)
    asr_server: HttpAsrConfig | None = None
    cache_gib: float = 8.0

    def __post_init__(self) -> None:
        if self.word_times not in get_args(Timing):
            raise ValueError(
                f"word_times must be one of {get_args(Timing)}, got {self.word_times!r}"
            )
        if "http" in self.asr_models.values() and self.asr_server is None:
            raise ValueError("asr_models: 'http' needs asr_server")
        if self.cache_gib <= 0:
            raise ValueError(f"cache_gib must be positive, got {self.cache_gib}")


def dialogue_renderer(
    config: SpeechConfig, cache_folder: Path, rewriter: Rewriter | None = None
) -> DialogueRenderer:
    """Loads what the recipe names; one renderer a process.

    Args:
        rewriter: by default the rules.

    Raises:
        UserError: if a package, a folder or a server that the recipe names is not there.
    """
    asr_models = {
        language.split("-")[0].lower(): _recogniser(name, config)
        for language, name in config.asr_models.items()
    }
    return DialogueRenderer(
        pool=config.pool,
        engines=_engines(config),
        cache=ClipCache(cache_folder, int(config.cache_gib * 2**30)),
        rewriter=rewriter or RuleRewriter(),
        asr_models=asr_models,
        aligner=_aligner(config.word_times, asr_models),
        gate=config.gate,
    )


def _engines(config: SpeechConfig) -> dict[str, Engine]:
    engines: dict[str, Engine] = {n: HttpVoices(c) for n, c in config.servers.items()}
    for name in dict.fromkeys(voice.split(":", 1)[0] for voice in config.pool.voices):
        if name == "kokoro" and config.kokoro_voices:
            engines[name] = Kokoro(config.kokoro_voices)
        elif name not in engines:
            engines[name] = embedded_engine(name)
    return engines


def _recogniser(name: str, config: SpeechConfig) -> AsrModel:
    if name == "http":
        assert config.asr_server is not None  # SpeechConfig sees to it
        return HttpAsr(config.asr_server)
    if name.startswith("transformers:"):
        return TransformersAsr(name.removeprefix("transformers:"))
    return Whisper(name)


def _aligner(timing: Timing, asr_models: dict[str, AsrModel]) -> Aligner | None:
    if timing == "none":
        return None
    if timing == "uniform":
        return UniformAligner()
    whispers = {n: r for n, r in asr_models.items() if isinstance(r, Whisper)}
    if not whispers:
        raise UserError(
            "word_times 'whisper' needs a Whisper asr_model",
            "name 'tiny.en' or 'base' under asr_models, or use 'uniform'",
        )
    return WhisperAligner(whispers)
