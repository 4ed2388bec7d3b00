"""Translation tasks: after each segment, or simultaneously, a few words behind."""

from __future__ import annotations

from data_build.records import Clip, Item, PlannedReply, Word
from data_build.speech.word_times import spoken_units
from data_build.tasks.context import Planned, PlannerContext
from data_build.tasks.transcription import SPEECH, word_times
from data_build.tasks.wording import phrase

_REQUESTS = ("Please translate what you hear.", "Translate everything from now on, please.")


def plan_segments(ctx: PlannerContext) -> Planned:
    """Every utterance is a segment; its translation is due at its end."""
    return Planned(tuple(_final(clip) for clip in _utterances(ctx)))


def plan_wait_k(ctx: PlannerContext) -> Planned:
    """Word t of the translation is due when word min(k + t - 1, n) of the source ends.

    The rest of a translation that is longer than its source comes at the end (Ma et al. 2019,
    STACL, the wait-k policy).
    """
    k = ctx.config.translation.wait_k
    items, sources = [], set()
    for clip in _utterances(ctx):
        words, by = word_times(ctx, clip)
        sources.add(by)
        items.append(Item(clip, SPEECH, replies=wait_k(clip, words, k)))
    return Planned(tuple(items), {"wait_k": k, "word_times": "+".join(sorted(sources))})


def plan_on_request(ctx: PlannerContext) -> Planned:
    """Foreign speech needs no reply until the user asks for a translation."""
    clips = _utterances(ctx)
    before = Item(_foreign(ctx), SPEECH)
    if ctx.chance(ctx.config.translation.uninstructed_share):
        return Planned((before, *(Item(clip, SPEECH) for clip in clips)), {"instructed": False})
    request = ctx.say(phrase(_REQUESTS, ctx.rng), PlannedReply("I will translate."))
    items = (before, request, *(_final(clip) for clip in clips))
    return Planned(items, {"instructed": True})


def plan_conversation(ctx: PlannerContext) -> Planned:
    """Two languages in turn, each translated into that of the other side."""
    first = _foreign(ctx)
    items = [_final(first)]
    sides = (first.translation_language, first.language)
    for number in range(ctx.how_many(ctx.config.translation.utterances)):
        spoken, target = sides[number % 2], sides[(number + 1) % 2]

        def fits(clip: Clip, spoken: str = spoken, target: str = target) -> bool:
            return (clip.language, clip.translation_language) == (spoken, target)

        what = f"speech from {spoken!r} to {target!r}"
        items.append(_final(ctx.spoken(ctx.pick(ctx.pools.translated, fits, what))))
    return Planned(tuple(items), {"languages": list(sides)})


def wait_k(clip: Clip, words: tuple[Word, ...], k: int) -> tuple[PlannedReply, ...]:
    """The translation word by word, each with the time at which it is due."""
    targets = spoken_units(clip.translation, clip.translation_language)
    return tuple(
        PlannedReply(target, after_s=words[min(k + number, len(words)) - 1].end_s)
        for number, target in enumerate(targets)
    )


def _final(clip: Clip) -> Item:
    return Item(clip, SPEECH, replies=(PlannedReply(clip.translation),))


def _foreign(ctx: PlannerContext) -> Clip:
    return ctx.spoken(ctx.any_of(ctx.pools.translated, "speech with a translation"))


def _utterances(ctx: PlannerContext) -> list[Clip]:
    return [_foreign(ctx) for _ in range(ctx.how_many(ctx.config.translation.utterances))]
