"""Transcription tasks: word by word, or at the end of every utterance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from data_build.drops import Drop, Dropped
from data_build.plans import Item, Transcribe
from data_build.records import Clip
from data_build.tasks.context import STEP, Planned, PlannerContext, behind

SPEECH = "speech"  # name of speech that is not addressed to the assistant
_MOST_UTTERANCES = 12


def plan_words(ctx: PlannerContext) -> Planned:
    """Every word is due when it ends; words that end in one chunk are one partial transcript."""
    return _word_by_word(ctx)


def plan_utterances(ctx: PlannerContext) -> Planned:
    """The whole transcript is due at the end of the utterance."""
    items = [Item(clip, SPEECH) for clip in _utterances(ctx)]
    kind = "transcribe_utterance"
    return ctx.instructed(kind, Transcribe("utterance"), items, {}, least=1)


def plan_words_in_noise(ctx: PlannerContext) -> Planned:
    """Partial transcripts of speech with other sounds behind it, or among the sounds of a place."""
    place = ctx.place_by_chance()
    if place is None:
        return _word_by_word(ctx, behind(ctx.others()))
    return replace(_word_by_word(ctx, place.around, place.front), place=place)


def plan_speakers(ctx: PlannerContext) -> Planned:
    """Utterances of at least two speakers; each transcript begins with a speaker number."""
    clips: list[Clip] = []
    known: list[str] = []
    second = 0
    first = ctx.any_of(ctx.pools.speech, "speech")
    while len(known) < 2 or len(clips) < ctx.config.transcription.utterances[1]:
        if len(clips) == _MOST_UTTERANCES:
            raise Dropped(Drop(STEP, clips[-1].id, "no second speaker was found", "choice"))
        # A text is spoken by either of two voices; a recording has its own speaker.
        role = "first speaker" if ctx.chance(0.5) else "second speaker"
        clips.append(ctx.spoken(_another(ctx, first) if clips else first, role))
        speaker = clips[-1].speaker or clips[-1].id
        if speaker not in known:
            known.append(speaker)
            second = second or (len(clips) if len(known) == 2 else 0)
    items = [Item(clip, SPEECH) for clip in clips]
    return ctx.instructed(
        "transcribe_speaker", Transcribe("speaker"), items, {"speakers": known}, least=second
    )


def timed_by(clips: Sequence[Clip]) -> str:
    """What gave the times of the words, for the provenance."""
    return "+".join(sorted({clip.words_by or "source" for clip in clips}))


def _word_by_word(
    ctx: PlannerContext, beside: Sequence[Item] = (), between: Sequence[Item] = ()
) -> Planned:
    clips = [ctx.resources.timed(clip) for clip in _utterances(ctx)]
    front = ctx.scattered([Item(clip, SPEECH) for clip in clips], between)
    least = next(n for n, item in enumerate(front, 1) if item.what == SPEECH)
    notes = {"word_times": timed_by(clips)}
    items = (*front, *beside)
    return ctx.instructed("transcribe_word", Transcribe("word"), items, notes, least=least)


def _utterances(ctx: PlannerContext) -> list[Clip]:
    """Utterances to be written down; those that are texts are spoken by one voice."""
    count = ctx.how_many(ctx.config.transcription.utterances)
    first = ctx.any_of(ctx.pools.speech, "speech")
    more = ctx.different(
        ctx.pools.speech, lambda c: c.language == first.language, count - 1, [first]
    )
    return [ctx.spoken(clip, "speaker") for clip in (first, *more)]


def _another(ctx: PlannerContext, first: Clip) -> Clip:
    """Speech in the language of ``first``: a speaker has one voice, and that in one language."""
    return ctx.pick(ctx.pools.speech, lambda c: c.language == first.language, "speech")
