"""Creates the speech sources of all splits from the recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from functools import cache, partial
from typing import TypeVar

from pydantic.dataclasses import dataclass

from data_build.clip_cache import ClipCache
from data_build.records import Clip
from data_build.speech.aligners.ctc import CtcAligner
from data_build.speech.aligners.dtw import WhisperAligner
from data_build.speech.aligners.hmm import HmmAligner
from data_build.speech.aligners.phones import PhoneAligner
from data_build.speech.asr import AsrDevice, AsrModel, HttpAsr, HttpAsrConfig, TransformersAsr
from data_build.speech.engines.engine import SpeechEngine
from data_build.speech.engines.hibari import Hibari
from data_build.speech.engines.http_tts import HttpVoices, HttpVoicesConfig
from data_build.speech.engines.kokoro import Kokoro
from data_build.speech.engines.pico import Pico
from data_build.speech.gate import GateConfig
from data_build.speech.pronunciation import LANGUAGES
from data_build.speech.render import Renderer, Tally
from data_build.speech.rewriting.rewriter import Rewriter, RuleRewriter
from data_build.speech.speech_source import SpeechSource
from data_build.speech.voices import VoicePool, language_of
from data_build.speech.whisper import Whisper
from data_build.speech.word_times import Aligner
from soundflow.config.settings import SETTINGS
from soundflow.errors import UserError, nearest
from soundflow.text.normalize import primary_language

T = TypeVar("T")

_TRANSFORMERS = "transformers:"
_HAMA = "hama"
EMBEDDED = ("pico", "hibari", "kokoro")


@dataclass(frozen=True, config=SETTINGS)
class SpeechConfig:
    """How text becomes speech.

    Attributes:
        pool: the voices to draw from.
        gate: when a rendering passes.
        asr_models: language -> "tiny.en", "base", a CTranslate2 folder, ``transformers:FOLDER``
            or ``http``; languages that are not named are checked by length alone.
        device: where local ASR models run: "cpu", "cuda", or "auto", a GPU where there is one.
        aligners: language -> what finds the words of a text in its audio, where the corpus gives no
            times: ``pocketsphinx`` (English), ``hama`` (also German, French, Spanish, Italian,
            Mandarin), a Whisper as under ``asr_models``, or ``transformers:FOLDER``, a CTC model.
        allow_even: whether words of other languages, and of those whose aligner is not installed,
            may be spread evenly over their audio.
        kokoro_voices: folder of Kokoro's voice files.
        servers: engine name -> TTS server, besides the embedded engines.
        asr_server: the server behind ``http``.
    """

    pool: VoicePool = field(default_factory=VoicePool)
    gate: GateConfig = field(default_factory=GateConfig)
    asr_models: dict[str, str] = field(default_factory=lambda: {"en": "tiny.en"})
    device: AsrDevice = "auto"
    aligners: dict[str, str] = field(
        default_factory=lambda: dict.fromkeys(sorted(LANGUAGES), _HAMA) | {"en": "pocketsphinx"}
    )
    allow_even: bool = False
    kokoro_voices: str = ""
    servers: dict[str, HttpVoicesConfig] = field(default_factory=dict)
    asr_server: HttpAsrConfig | None = None

    def __post_init__(self) -> None:
        if "http" in self.asr_models.values() and self.asr_server is None:
            raise ValueError("asr_models: 'http' needs asr_server")
        for name in self.servers:
            if name in EMBEDDED:
                raise ValueError(f"servers: {name!r} is the name of an embedded engine")


def speech_sources(
    config: SpeechConfig,
    counts: Mapping[str, int],
    seed: int,
    clips: ClipCache,
    tally: Tally,
    rewriter: Rewriter | None = None,
) -> dict[str, SpeechSource]:
    """Split -> its speech source. Engines and models are loaded when the first text is spoken.

    Args:
        counts: number of voices of every split.
        clips: the cache for renderings.
        tally: counts the texts that are spoken.
        rewriter: by default the rules.
    """

    @cache
    def renderer() -> Renderer:
        return make_renderer(config, clips, rewriter or RuleRewriter(), tally)

    return {split: SpeechSource(split, counts, config.pool, seed, renderer) for split in counts}


def make_renderer(
    config: SpeechConfig, clips: ClipCache, rewriter: Rewriter, tally: Tally
) -> Renderer:
    """Loads what the recipe names.

    Raises:
        UserError: if a package or a folder that the recipe names is not there.
    """
    named = dict.fromkeys(voice.split(":", 1)[0] for voice in config.pool.voices)
    return Renderer(
        engines={name: make_engine(name, config) for name in named},
        cache=clips,
        rewriter=rewriter,
        asr_models=make_asr_models(config),
        gate=config.gate,
        tally=tally,
    )


def speech_faults(config: SpeechConfig) -> list[UserError]:
    """Why what the recipe names cannot speak here: engines, voices, and the models of the gate."""
    named = dict.fromkeys(voice.split(":", 1)[0] for voice in config.pool.voices)
    engines = {name: _or_fault(partial(make_engine, name, config)) for name in named}
    there = {name: e for name, e in engines.items() if not isinstance(e, UserError)}
    voices = [
        _or_fault(partial(language_of, voice, there))
        for voice in config.pool.voices
        if voice.split(":", 1)[0] in there
    ]
    models = [
        _or_fault(partial(_asr_model, name, config))
        for name in dict.fromkeys(config.asr_models.values())
    ]
    found = (*engines.values(), *voices, *models)
    return [fault for fault in found if isinstance(fault, UserError)]


def make_asr_models(config: SpeechConfig) -> dict[str, AsrModel]:
    """Language code -> its ASR model.

    Raises:
        UserError: if a package or a folder that the recipe names is not there.
    """
    return {
        primary_language(language): _asr_model(name, config)
        for language, name in config.asr_models.items()
    }


def make_engine(name: str, config: SpeechConfig) -> SpeechEngine:
    """The speech engine of that name: an embedded one, or a server of the recipe.

    Raises:
        UserError: if there is none, or its package or files are not installed.
    """
    if name in config.servers:
        return HttpVoices(config.servers[name])
    match name:
        case "pico":
            return Pico()
        case "hibari":
            return Hibari()
        case "kokoro":
            return Kokoro(config.kokoro_voices)
    known = (*EMBEDDED, *config.servers)
    close = nearest(name, known)
    raise UserError(
        f"unknown speech engine {name!r}",
        f"did you mean {close!r}?" if close else f"one of {', '.join(known)}",
    )


def _asr_model(name: str, config: SpeechConfig) -> AsrModel:
    if name == "http":
        assert config.asr_server is not None  # SpeechConfig sees to it
        return HttpAsr(config.asr_server)
    if name.startswith(_TRANSFORMERS):
        return TransformersAsr(name.removeprefix(_TRANSFORMERS), config.device)
    return Whisper(name, config.device)


def make_aligners(config: SpeechConfig) -> dict[str, Aligner]:
    """Language code -> its aligner; models are loaded at the first use.

    Where words may be spread evenly, a language whose aligner is not installed has none.

    Raises:
        UserError: if a package or a folder that the recipe names is not there.
    """
    found = _aligners_or_faults(config)
    faults = [fault for fault in found.values() if isinstance(fault, UserError)]
    if faults and not config.allow_even:
        raise faults[0]
    return {code: a for code, a in found.items() if not isinstance(a, UserError)}


def missing_aligners(config: SpeechConfig) -> dict[str, UserError]:
    """Language code -> why the aligner that the recipe names for it cannot be used."""
    found = _aligners_or_faults(config)
    return {code: fault for code, fault in found.items() if isinstance(fault, UserError)}


def _aligner_names(config: SpeechConfig) -> dict[str, str]:
    return {primary_language(language): name for language, name in config.aligners.items()}


def _aligners_or_faults(config: SpeechConfig) -> dict[str, Aligner | UserError]:
    names = _aligner_names(config)
    return {code: _or_fault(partial(_aligner, name)) for code, name in names.items()}


def _or_fault(make: Callable[[], T]) -> T | UserError:
    """What ``make`` gives, or why it gives nothing."""
    try:
        return make()
    except UserError as fault:
        return fault


def second_aligners(config: SpeechConfig) -> dict[str, Aligner]:
    """Language code -> an aligner of another kind than the recipe's, to judge it by.

    ``hama``, where it knows the language and is installed; else the Whisper of ``asr_models``.

    Raises:
        UserError: if a package or a folder that the recipe names is not there.
    """
    first = _aligner_names(config)
    others: dict[str, Aligner] = {
        primary_language(code): WhisperAligner(name)
        for code, name in config.asr_models.items()
        if name != "http"
        and not name.startswith(_TRANSFORMERS)
        and name != first.get(primary_language(code))
    }
    heard = _or_fault(PhoneAligner)
    if not isinstance(heard, UserError):
        others |= {code: heard for code in LANGUAGES if first.get(code) != _HAMA}
    return others


def is_unaligned(clip: Clip, config: SpeechConfig) -> bool:
    """Whether speech has neither word times nor an aligner for its language."""
    language = primary_language(clip.language or "en")
    return clip.kind == "speech" and not clip.words and language not in _aligner_names(config)


def _aligner(name: str) -> Aligner:
    if name == "pocketsphinx":
        return HmmAligner()
    if name == _HAMA:
        return PhoneAligner()
    if name.startswith(_TRANSFORMERS):
        return CtcAligner(name.removeprefix(_TRANSFORMERS))
    return WhisperAligner(name)
