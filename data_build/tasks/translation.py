"""Translation tasks: after each segment, or simultaneously, a few words behind."""

from __future__ import annotations

from data_build.plans import Item, Translate
from data_build.records import Clip
from data_build.tasks.context import Planned, PlannerContext
from data_build.tasks.transcription import SPEECH, timed_by
from data_build.wording.grammar import Words

_SPEAKER = "speaker"


def plan_segments(ctx: PlannerContext) -> Planned:
    """Every utterance is a segment; its translation is due at its end."""
    clips = _utterances(ctx)
    return ctx.instructed(
        "translate", Translate(), _items(clips), {}, least=1, **_into(ctx, clips[0])
    )


def plan_wait_k(ctx: PlannerContext) -> Planned:
    """The translation follows the source word by word, k words behind."""
    k = ctx.config.translation.wait_k
    clips = [ctx.resources.timed(clip) for clip in _utterances(ctx)]
    notes = {"wait_k": k, "word_times": timed_by(clips)}
    slots = {**_into(ctx, clips[0]), "k": ctx.words.number(k)}
    kind = "translate_wait_k"
    return ctx.instructed(kind, Translate(k), _items(clips), notes, least=1, **slots)


def plan_on_request(ctx: PlannerContext) -> Planned:
    """Foreign speech needs no reply until the user asks for a translation."""
    before, *clips = [_foreign(ctx), *_utterances(ctx)]
    items = _items(clips)
    if not ctx.chance(ctx.config.translation.uninstructed_share):
        items = (ctx.request("translate", Translate(), **_into(ctx, clips[0])), *items)
    instructed = "spoken" if items[0].address else ""
    return Planned(
        (*_items([before]), *items), {"instructed": instructed}, least=2 + bool(instructed)
    )


def plan_conversation(ctx: PlannerContext) -> Planned:
    """Two languages in turn, each translated into that of the other side."""
    said = [ctx.any_of(ctx.pools.translated, "speech with a translation")]
    sides = (said[0].translation_language, said[0].language)
    for number in range(ctx.how_many(ctx.config.translation.utterances)):
        spoken, target = sides[number % 2], sides[(number + 1) % 2]

        def fits(clip: Clip, spoken: str = spoken, target: str = target) -> bool:
            return (clip.language, clip.translation_language) == (spoken, target)

        more = ctx.different(ctx.pools.translated, fits, 1, said)
        if not more and number:
            break  # all has been said
        what = f"speech from {spoken!r} to {target!r}"
        said += more or [ctx.pick(ctx.pools.translated, fits, what)]
    clips = [ctx.spoken(clip, clip.language) for clip in said]  # each side has one voice
    notes = {"languages": list(sides)}
    named = [ctx.words.language_name(side) for side in sides]
    return ctx.instructed(
        "interpret", Translate(), _items(clips), notes, least=2, language=named[0], other=named[1]
    )


def _items(clips: list[Clip]) -> tuple[Item, ...]:
    return tuple(Item(clip, SPEECH) for clip in clips)


def _into(ctx: PlannerContext, clip: Clip) -> dict[str, str | Words]:
    return {"language": ctx.words.language_name(clip.translation_language)}


def _foreign(ctx: PlannerContext) -> Clip:
    """Any speech with a translation."""
    return ctx.spoken(ctx.any_of(ctx.pools.translated, "speech with a translation"), _SPEAKER)


def _utterances(ctx: PlannerContext) -> list[Clip]:
    """Utterances that are translated into one language, which the instruction names."""
    first = ctx.any_of(ctx.pools.translated, "speech with a translation")
    more = ctx.different(
        ctx.pools.translated,
        lambda c: c.translation_language == first.translation_language,
        ctx.how_many(ctx.config.translation.utterances) - 1,
        [first],
    )
    return [ctx.spoken(clip, _SPEAKER) for clip in (first, *more)]
