"""The table of sounds that can be synthesised, as clips that are made when a stream needs them.

Labels are AudioSet display names, so a synthesised clip is judged by the same ontology as a
recorded one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pydantic.dataclasses

from data_build.randomness import digest
from data_build.records import Clip, ClipKind, Origin, SyntheticSound, TrackRole
from data_build.synth import events, textures
from data_build.synth.signals import Float32, finish, seconds_to_samples
from soundflow.config.settings import SETTINGS, Count, PositiveSeconds
from soundflow.errors import UserError, nearest

SYNTH_VERSION = 1  # raise when the same description is synthesised differently


@dataclass(frozen=True)
class SoundKind:
    """The label of a kind of sound and the track that it belongs on."""

    make: Callable[[np.random.Generator, float | None], events.Made]
    label: str
    caption: str
    role: TrackRole = "foreground"


@dataclass(frozen=True)
class Take:
    """One rendering: (n,) float32 at 16 kHz, peak 0.5; ready is the end where a kind has none."""

    samples: Float32
    ready_samples: int


KINDS: dict[str, SoundKind] = {
    "smoke_alarm": SoundKind(
        events.smoke_alarm, "Smoke detector, smoke alarm", "a smoke alarm sounds three loud pulses"
    ),
    "microwave_beep": SoundKind(
        events.microwave_beep, "Microwave oven", "a microwave oven gives one long beep"
    ),
    "kitchen_timer": SoundKind(
        events.kitchen_timer, "Beep, bleep", "a kitchen timer beeps quickly in groups of four"
    ),
    "single_beep": SoundKind(events.single_beep, "Beep, bleep", "one short electronic beep"),
    "phone_ring": SoundKind(
        events.phone_ring, "Telephone bell ringing", "a telephone rings with a warbling bell"
    ),
    "door_bell": SoundKind(events.door_bell, "Doorbell", "a doorbell chimes two notes"),
    "glass_break": SoundKind(
        events.glass_break, "Shatter", "a pane of glass shatters and the pieces fall"
    ),
    "cutlery_clink": SoundKind(
        events.cutlery_clink, "Cutlery, silverware", "a spoon clinks against a cup"
    ),
    "footsteps": SoundKind(
        events.footsteps, "Walk, footsteps", "footsteps on a hard floor at walking pace"
    ),
    "door_knock": SoundKind(events.door_knock, "Knock", "somebody knocks on a wooden door"),
    "dog_bark": SoundKind(events.dog_bark, "Bark", "a dog barks"),
    "siren": SoundKind(events.siren, "Siren", "a siren wails up and down"),
    "car_horn": SoundKind(
        events.car_horn, "Vehicle horn, car horn, honking", "a car sounds its horn"
    ),
    "alarm_clock": SoundKind(events.alarm_clock, "Alarm clock", "a mechanical alarm clock rings"),
    "thunder": SoundKind(events.thunder, "Thunder", "thunder cracks and rolls away"),
    "cough": SoundKind(events.cough, "Cough", "a person coughs"),
    "gunshot": SoundKind(events.gunshot, "Gunshot, gunfire", "a gun is fired"),
    "crying_baby": SoundKind(events.crying_baby, "Baby cry, infant cry", "a baby cries"),
    "bird_chirp": SoundKind(events.bird_chirp, "Chirp, tweet", "a bird chirps"),
    "church_bell": SoundKind(events.church_bell, "Church bell", "a church bell is struck"),
    "reversing_beep": SoundKind(
        events.reversing_beep, "Reversing beeps", "a lorry beeps evenly while it reverses"
    ),
    "pink_noise": SoundKind(textures.pink_noise, "Pink noise", "steady pink noise", "ambient"),
    "brown_noise": SoundKind(textures.brown_noise, "Noise", "deep steady noise", "ambient"),
    "rain": SoundKind(textures.rain, "Rain", "steady rain with drops", "ambient"),
    "wind": SoundKind(textures.wind, "Wind", "wind in gusts", "ambient"),
    "mains_hum": SoundKind(textures.mains_hum, "Mains hum", "a machine hums", "ambient"),
    "traffic": SoundKind(
        textures.traffic, "Traffic noise, roadway noise", "distant traffic passes", "ambient"
    ),
    "babble": SoundKind(
        textures.babble, "Hubbub, speech noise, speech babble", "many voices at once", "ambient"
    ),
    "sea_waves": SoundKind(textures.sea_waves, "Waves, surf", "waves roll on a beach", "ambient"),
    "engine": SoundKind(textures.engine, "Engine", "an engine runs", "background"),
    "crackling_fire": SoundKind(textures.crackling_fire, "Fire", "a fire crackles", "ambient"),
    "typing": SoundKind(
        textures.typing, "Computer keyboard", "somebody types on a keyboard", "background"
    ),
    "clock_tick": SoundKind(textures.clock_tick, "Tick-tock", "a clock ticks", "background"),
    "water_running": SoundKind(
        textures.water_running, "Water tap, faucet", "water runs from a tap", "background"
    ),
    "applause": SoundKind(textures.applause, "Applause", "an audience claps", "background"),
    "night_insects": SoundKind(
        textures.night_insects, "Cricket", "crickets chirp at night", "ambient"
    ),
}


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class SyntheticConfig:
    """Kinds of sound that are synthesised; none by default.

    Attributes:
        sounds: join the sounds of the sources.
        event_noise, ambient_noise: join the recordings of the two noise tracks.
        noise_s: length of a noise, twice that of a texture among the sounds.
        noise_takes: of each kind of noise in a split. A take is synthesised when a stream draws
            it, so that a larger corpus has more of them.
    """

    sounds: tuple[str, ...] = ()
    event_noise: tuple[str, ...] = ()
    ambient_noise: tuple[str, ...] = ()
    noise_s: PositiveSeconds = 12.0
    noise_takes: Count = 1_000


def sound_kind(kind: str) -> SoundKind:
    """The kind of this name.

    Raises:
        UserError: naming the closest kind, if there is none of this name.
    """
    if kind not in KINDS:
        close = nearest(kind, KINDS)
        hint = f"did you mean {close!r}?" if close else f"known kinds: {', '.join(sorted(KINDS))}"
        raise UserError(f"no sound of kind {kind!r} can be synthesised", hint)
    return KINDS[kind]


def take(kind: str, rng: np.random.Generator, seconds: float | None = None) -> Take:
    """One take of ``kind``, of exactly ``seconds`` where given, else of a length of its own."""
    signal, ready_s = sound_kind(kind).make(rng, seconds)
    samples = finish(signal)
    ready = len(samples) if ready_s is None else min(len(samples), seconds_to_samples(ready_s))
    return Take(samples, ready)


def synthesised_clip(kind: str, *seed: str | int, seconds: float | None = None) -> Clip:
    """A take of a kind of sound; ``seed`` identifies the take.

    Raises:
        UserError: if there is no such kind.
    """
    about = sound_kind(kind)
    audio = SyntheticSound(kind, seed, seconds)
    role: ClipKind = "event" if about.role == "foreground" else "noise"
    return Clip(
        id=f"{kind}/{digest(asdict(audio), SYNTH_VERSION)[:16]}",
        kind=role,
        audio=audio,
        origin=Origin("synthesised sound", "Apache-2.0"),
        duration_s=seconds,
        labels=(about.label,),
        caption=about.caption,
    )
