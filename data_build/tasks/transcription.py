"""Transcription tasks: word by word, or at the end of every utterance."""

from __future__ import annotations

from collections.abc import Sequence

from data_build.drops import Drop, Dropped
from data_build.records import Clip, Item, PlannedReply, Word
from data_build.speech.word_times import spoken_units
from data_build.tasks.context import STEP, Planned, PlannerContext, behind

SPEECH = "speech"  # name of speech that is not addressed to the assistant
_MOST_UTTERANCES = 12


def plan_words(ctx: PlannerContext) -> Planned:
    """Every word is due when it ends; words that end in one chunk are one partial transcript.

    Where nothing gives word times they are spread evenly over the clip, and the notes say so.
    """
    return _word_by_word(ctx, _utterances(ctx))


def plan_utterances(ctx: PlannerContext) -> Planned:
    """The whole transcript is due at the end of the utterance."""
    return Planned(
        tuple(Item(c, SPEECH, replies=(PlannedReply(c.text),)) for c in _utterances(ctx))
    )


def plan_words_in_noise(ctx: PlannerContext) -> Planned:
    """Partial transcripts of speech with one to three other sounds behind it."""
    planned = _word_by_word(ctx, _utterances(ctx))
    return Planned((*planned.items, *behind(ctx.others())), planned.notes)


def plan_speakers(ctx: PlannerContext) -> Planned:
    """Utterances of at least two speakers; each transcript begins with a speaker number."""
    items: list[Item] = []
    known: list[str] = []
    while len(known) < 2 or len(items) < ctx.config.transcription.utterances[1]:
        clip = _utterance(ctx)
        speaker = clip.speaker or clip.id
        if speaker not in known:
            known.append(speaker)
        text = f"Speaker {known.index(speaker) + 1}: {clip.text}"
        items.append(Item(clip, SPEECH, replies=(PlannedReply(text),)))
        if len(items) > _MOST_UTTERANCES:
            raise Dropped(Drop(STEP, clip.id, "no second speaker was found", "choice"))
    return Planned(tuple(items), {"speakers": known})


def word_times(ctx: PlannerContext, clip: Clip) -> tuple[tuple[Word, ...], str]:
    """Words with their times and where these come from: source, engine, aligner, or a guess.

    Raises:
        Dropped: if the clip cannot be read.
    """
    if clip.words:
        return clip.words, clip.words_by or "source"
    return evenly_spread(clip, ctx.resources.prepare(clip).source_s), "even"


def evenly_spread(clip: Clip, length_s: float) -> tuple[Word, ...]:
    """Word times in proportion to the letters, where nothing better is known."""
    spelt = spoken_units(clip.text, clip.language or "en")
    letters = max(sum(map(len, spelt)), 1)
    words, at = [], 0
    for text in spelt:
        start, at = at, at + len(text)
        words.append(Word(text, length_s * start / letters, length_s * at / letters))
    return tuple(words)


def _word_by_word(ctx: PlannerContext, clips: Sequence[Clip]) -> Planned:
    items, sources = [], set()
    for clip in clips:
        words, by = word_times(ctx, clip)
        sources.add(by)
        replies = tuple(PlannedReply(w.text, after_s=w.end_s) for w in words)
        items.append(Item(clip, SPEECH, replies=replies))
    return Planned(tuple(items), {"word_times": "+".join(sorted(sources))})


def _utterance(ctx: PlannerContext) -> Clip:
    return ctx.spoken(ctx.any_of(ctx.pools.speech, "speech"))


def _utterances(ctx: PlannerContext) -> list[Clip]:
    return [_utterance(ctx) for _ in range(ctx.how_many(ctx.config.transcription.utterances))]
