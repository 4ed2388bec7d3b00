"""Speech becomes text while it is spoken: word by word, or at the end of every utterance."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import soundfile

from data_build.drops import Drop, Dropped
from data_build.pools.pools import Library
from data_build.records import Clip, Item, PlannedReply, Recorded, Word
from data_build.sources.tar_members import audio_source
from data_build.speech.word_times import spoken_units
from data_build.tasks.config import AbilitiesConfig
from data_build.tasks.drawing import Planned, draw, how_many
from data_build.tasks.wording import sound_name
from soundflow.errors import UserError


def plan_words(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """Every word is due when it ends; words that end in one chunk are one partial transcript.

    Where nothing gives word times they are spread evenly over the clip, and the notes say so.
    """
    return _word_by_word(_utterances(library, config, rng))


def plan_utterances(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """The whole transcript is due at the end of the utterance."""
    return Planned(
        tuple(
            Item(clip, "speech", replies=(PlannedReply(clip.text),))
            for clip in _utterances(library, config, rng)
        )
    )


def plan_words_in_noise(
    library: Library, config: AbilitiesConfig, rng: np.random.Generator
) -> Planned:
    """Partial transcripts of speech with one to three other sounds behind it."""
    planned = _word_by_word(_utterances(library, config, rng))
    return Planned((*planned.items, *behind(library, config, rng)), planned.notes)


def plan_speakers(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """Utterances of at least two voices; each transcript begins with the number of its speaker."""
    items: list[Item] = []
    known: list[str] = []
    while len(known) < 2 or len(items) < config.transcription.utterances[1]:
        clip = library.spoken(draw(library.speech, "speech", rng), rng)
        speaker = clip.speaker or clip.id
        if speaker not in known:
            known.append(speaker)
        text = f"Speaker {known.index(speaker) + 1}: {clip.text}"
        items.append(Item(clip, "speech", replies=(PlannedReply(text),)))
        if len(items) > 12:
            raise Dropped(Drop("plan", clip.id, "no second speaker was found", "choice"))
    return Planned(tuple(items), {"speakers": known})


def behind(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> list[Item]:
    """Sounds on the background track; nobody says a word about them."""
    clips = [draw(library.sounds, "sound", rng) for _ in range(how_many(config.sounds.others, rng))]
    return [Item(clip, sound_name(clip), "background") for clip in clips]


def word_times(clip: Clip) -> tuple[tuple[Word, ...], str]:
    """Words with their times and where these come from: source, engine, aligner, or a guess.

    Raises:
        Dropped: if not even the length of the clip can be found out.
    """
    if clip.words:
        return clip.words, clip.words_by or "source"
    return evenly_spread(clip), "even"


def evenly_spread(clip: Clip) -> tuple[Word, ...]:
    """Word times in proportion to the letters, where nothing better is known."""
    spelt = spoken_units(clip.text, clip.language or "en")
    total_s = _length_s(clip)
    letters = max(sum(map(len, spelt)), 1)
    words, at = [], 0
    for text in spelt:
        start, at = at, at + len(text)
        words.append(Word(text, total_s * start / letters, total_s * at / letters))
    return tuple(words)


def _word_by_word(clips: Sequence[Clip]) -> Planned:
    items, sources = [], set()
    for clip in clips:
        words, by = word_times(clip)
        sources.add(by)
        replies = tuple(PlannedReply(w.text, after_s=w.end_s) for w in words)
        items.append(Item(clip, "speech", replies=replies))
    return Planned(tuple(items), {"word_times": "+".join(sorted(sources))})


def _utterances(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> list[Clip]:
    count = how_many(config.transcription.utterances, rng)
    return [library.spoken(draw(library.speech, "speech", rng), rng) for _ in range(count)]


def _length_s(clip: Clip) -> float:
    if clip.duration_s is not None:
        return clip.duration_s
    audio = clip.audio
    if not isinstance(audio, Recorded):
        raise RuntimeError(f"{clip.id} has neither word times nor a length")
    if audio.end_s is not None:
        return audio.end_s - audio.start_s
    try:
        source = audio_source(audio)
        info = soundfile.info(source if isinstance(source, str) else io.BytesIO(source))
    except (UserError, OSError, soundfile.LibsndfileError) as error:
        reason = f"its length cannot be found out ({' '.join(str(error).split())})"
        raise Dropped(Drop("plan", audio.path, reason, "choice")) from error
    return float(info.frames) / float(info.samplerate) - audio.start_s
