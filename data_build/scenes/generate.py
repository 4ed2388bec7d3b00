"""Generates a clip from the fallback caption if no recording fits (paper: Clip grounding).

Two generators: the project's own procedural sounds, and any server that turns a caption into audio.
"""

from __future__ import annotations

from typing import Any, Protocol

from data_build.clip_cache import ClipStore
from data_build.drops import Drop, Dropped
from data_build.randomness import digest
from data_build.records import Clip, Origin, Unspoken
from data_build.scenes.config import HttpGeneratorConfig
from data_build.scenes.ontology import ontology
from data_build.scenes.refine import Refined
from data_build.scenes.scene import SubEvent
from data_build.synth.kinds import KINDS, synthesised_clip
from soundflow.audio.files import read_audio
from soundflow.endpoints.http_calls import BadAnswer, CallFailure, EndpointCaller
from soundflow.errors import UserError

GENERATE_STEP = "generate_clip"
MAX_TEXTURE_S = 12.0  # a texture is repeated over its scene: more of it than this adds nothing


class Generator(Protocol):
    """Makes a clip for an event; the same ``seed`` gives the same clip."""

    def generate(self, event: SubEvent, refined: Refined, seed: str) -> Clip:
        """A clip generated for the event.

        Raises:
            Dropped: if there is none.
        """


class SynthGenerator:
    """The procedural sounds of `data_build.synth`, chosen by the event's tags."""

    def generate(self, event: SubEvent, refined: Refined, seed: str) -> Clip:
        kinds = [name for name, kind in KINDS.items() if kind.label in refined.tags]
        if not kinds:
            raise Dropped(Drop(GENERATE_STEP, event.sound, "no procedural sound", "choice"))
        world = ontology()
        nearest = [name for name in kinds if world.related(KINDS[name].label, event.sound)]
        choices = nearest or kinds
        kind = choices[int(digest(seed, refined.caption)[:8], 16) % len(choices)]
        return synthesised_clip(kind, "scene", seed, seconds=_length_s(event))


class HttpGenerator:
    """Requests audio from a server and stores it; each clip is requested once."""

    def __init__(self, config: HttpGeneratorConfig, store: ClipStore) -> None:
        self._config = config
        self._store = store
        self.caller = EndpointCaller(config.endpoint)

    def generate(self, event: SubEvent, refined: Refined, seed: str) -> Clip:
        """A clip from the store or the server.

        Raises:
            Dropped: if the server gives no usable audio within the limits of its endpoint.
            ServerGone: if it has stopped answering.
        """
        request = {
            "model": self._config.model,
            "prompt": refined.caption,
            "duration_s": _length_s(event),
            "seed": int(digest(seed, refined.caption)[:7], 16),
        }
        key = digest("generated", sorted(request.items()))
        clip = Clip(
            id=f"generated/{key[:16]}",
            kind="noise" if event.role == "ambient" else "event",
            audio=Unspoken(),
            origin=Origin(f"generator {self._config.model}", self._config.licence),
            labels=(event.sound,),
            caption=refined.caption,
            notes={"generated": request},
        )
        stored = self._store.get(clip, key)
        if stored is not None:
            self.caller.count(cache_hits=1)
            return stored
        try:
            samples = self.caller.call(self._config.path, request, _audio)
        except CallFailure as failure:
            reason = f"no usable audio from the generator ({failure.kind})"
            raise Dropped(
                Drop(GENERATE_STEP, f"{event.sound}: {failure.detail}", reason, "choice")
            ) from failure
        return self._store.put(clip, samples, key)


def _audio(content: bytes) -> Any:
    try:
        return read_audio(content)
    except UserError as error:
        raise BadAnswer("not_audio", error.message) from error


def _length_s(event: SubEvent) -> float:
    longest_s = MAX_TEXTURE_S if event.role == "ambient" else event.duration_s
    return round(min(event.duration_s, longest_s), 2)
