"""When no recording fits: a clip made from the fallback caption (paper: Clip grounding).

Two generators: the project's own procedural sounds, and any server that turns a caption into audio.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from data_build.http_calls import BadAnswer, CallCounts, CallFailure, Endpoint, EndpointCaller
from data_build.pools.synthetic_clips import synthesised_clip
from data_build.randomness import digest
from data_build.records import Clip, Origin, Unspoken
from data_build.scenes.keep import ClipKeeper
from data_build.scenes.ontology import ontology
from data_build.scenes.refine import Refined
from data_build.scenes.scene import SubEvent
from data_build.synth.kinds import KINDS
from soundflow.audio.files import read_audio
from soundflow.errors import UserError

# A texture is tiled over its scene, so more of it than this adds nothing.
MAX_TEXTURE_S = 12.0


class CannotGenerate(Exception):
    """The generator has no sound for this event; the text says why."""


class Generator(Protocol):
    """Makes a clip for an event; the same ``seed`` gives the same clip."""

    def generate(self, event: SubEvent, refined: Refined, seed: str) -> Clip: ...


@dataclass(frozen=True)
class SynthGenerator:
    """The procedural sounds of `data_build.synth`, chosen by the event's tags."""

    def generate(self, event: SubEvent, refined: Refined, seed: str) -> Clip:
        """Raises:
        CannotGenerate: if none of the tags is among the sounds it can make.
        """
        kinds = [name for name, kind in KINDS.items() if kind.label in refined.tags]
        if not kinds:
            raise CannotGenerate(f"no procedural sound for {event.sound}")
        world = ontology()
        nearest = [name for name in kinds if world.related(KINDS[name].label, event.sound)]
        choices = nearest or kinds
        kind = choices[int(digest(seed, refined.caption)[:8], 16) % len(choices)]
        return synthesised_clip(kind, "curate", seed, seconds=_length_s(event))


@dataclass(frozen=True)
class HttpGeneratorConfig:
    """A caption-to-audio server.

    It is sent JSON ``{"prompt", "duration_s", "seed"}`` at ``base_url`` + ``path`` and answers
    with the bytes of an audio file. ``licence`` is that of what it makes; it travels on.
    """

    endpoint: Endpoint
    path: str = "generate"
    model: str = "default"
    licence: str = "unknown"


class HttpGenerator:
    """Asks a server for audio and keeps what it sends; asked once for the same thing."""

    def __init__(self, config: HttpGeneratorConfig, keeper: ClipKeeper) -> None:
        self._config = config
        self._keeper = keeper
        self._caller = EndpointCaller(config.endpoint)

    def __reduce__(self) -> tuple[type[HttpGenerator], tuple[HttpGeneratorConfig, ClipKeeper]]:
        return type(self), (self._config, self._keeper)

    @property
    def counts(self) -> CallCounts:
        return self._caller.counts

    def close(self) -> None:
        self._caller.close()

    def generate(self, event: SubEvent, refined: Refined, seed: str) -> Clip:
        """Raises:
        CannotGenerate: if the server gives no usable audio within the limits of its endpoint.
        """
        request = {
            "model": self._config.model,
            "prompt": refined.caption,
            "duration_s": _length_s(event),
            "seed": int(digest(seed, refined.caption)[:7], 16),
        }
        key = digest("generated", self._config.endpoint.base_url, sorted(request.items()))
        clip = Clip(
            id=f"generated/{key[:16]}",
            kind="noise" if event.role == "ambient" else "event",
            audio=Unspoken(),
            origin=Origin(f"generator {self._config.model}", self._config.licence),
            labels=(event.sound,),
            caption=refined.caption,
            notes={"generated": request},
        )
        kept = self._keeper.get(clip, key)
        if kept is not None:
            self._caller.count(cache_hits=1)
            return kept
        try:
            samples = self._caller.call(self._config.path, request, _audio)
        except CallFailure as failure:
            raise CannotGenerate(str(failure)) from failure
        return self._keeper.keep(clip, samples, key)


def _audio(content: bytes) -> Any:
    try:
        return read_audio(content)
    except UserError as error:
        raise BadAnswer("not_audio", error.message) from error


def _length_s(event: SubEvent) -> float:
    longest_s = MAX_TEXTURE_S if event.role == "ambient" else event.duration_s
    return round(min(event.duration_s, longest_s), 2)
