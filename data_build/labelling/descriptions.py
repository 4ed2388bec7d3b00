"""A description of a sound in the stream: what it is, and how it sounds there."""

from __future__ import annotations

import re
from dataclasses import replace

from data_build.labelling.recognition import once_recognised
from data_build.labelling.sounds import (
    as_sentence,
    counted_one_by_one,
    described,
    sound_class,
    sound_name,
)
from data_build.plans import AudibleItem
from data_build.records import Clip, PlannedReply, Recorded, TrackRole
from data_build.wording.grammar import Words
from data_build.wording.wording import StreamWords
from soundflow.protocol.timebase import to_samples

_WHERE: dict[TrackRole, str] = {"foreground": "near", "background": "far", "ambient": "around"}
_HAN = re.compile(r"[\u3400-\u9fff]")
_PATTERNS = {1: "once", 2: "twice"}
_OFTEN = 3  # times; a sound that occurs as often is there again and again
_BRIEF_SAMPLES, _LONG_SAMPLES = to_samples(0.6), to_samples(4.0)


def description(sound: AudibleItem, words: StreamWords) -> PlannedReply:
    """What a sound was, with its place in the mix, its pattern, length and trend, where they show.

    It is due at the end of the sound: before, nobody knows how often it comes or how it ends. An
    ambience has no end in the stream, and is described as soon as it can be known. The caption of a
    recording stands in place of the name of the class.
    """
    clip, about = sound.item.clip, sound.on_samples
    if has_caption(clip, words.language):
        given = as_sentence(clip.caption)
        reply = words.reply("<describe.caption>", about, caption=given, **_facts(sound))
    else:
        reply = words.reply("<describe.sound>", about, s=noun(clip, words), **_facts(sound))
    return once_recognised(reply, clip) if sound.item.track == "ambient" else reply


def identified(clip: Clip, words: StreamWords, about: object) -> PlannedReply:
    """What a sound was, when somebody asks; its bare name and caption are as right."""
    if has_caption(clip, words.language):
        reply = words.reply("<answer.caption>", about, caption=as_sentence(clip.caption))
    else:
        reply = words.reply("<answer.sound>", about, s=noun(clip, words))
    return replace(reply, answers=(described(clip), as_sentence(sound_name(clip))))


def noun(clip: Clip, words: StreamWords) -> Words:
    """What the sound of a clip is called."""
    return words.sound(sound_class(clip), sound_name(clip))


def has_caption(clip: Clip, language: str) -> bool:
    """Whether a clip has a caption of its own, in the script of a language.

    One of a synthesised sound is that of its kind.
    """
    same_script = bool(_HAN.search(clip.caption)) == (language == "zh")
    return bool(clip.caption) and same_script and isinstance(clip.audio, Recorded)


def _facts(sound: AudibleItem) -> dict[str, str]:
    facts = {"where": _WHERE[sound.item.track]}
    if sound.item.track == "ambient":
        return facts  # it goes on all the time: neither how often nor how long says more
    length = sound.end_samples - sound.on_samples
    if counted_one_by_one(sound.item.clip) and sound.onsets is not None:
        facts["pattern"] = "often" if sound.onsets >= _OFTEN else _PATTERNS[sound.onsets]
    if length <= _BRIEF_SAMPLES:
        facts["length"] = "brief"
    elif length >= _LONG_SAMPLES and "pattern" not in facts:
        facts["length"] = "long"
    if sound.trend is not None:
        facts["trend"] = sound.trend
    return facts
