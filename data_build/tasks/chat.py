"""Conversation by voice: dialogues of a text corpus, spoken turn by turn."""

from __future__ import annotations

from dataclasses import replace

from data_build.records import Dialogue
from data_build.tasks.context import Planned, PlannerContext, behind
from data_build.tasks.mixins import with_mixins


def plan_multi_turn(ctx: PlannerContext) -> Planned:
    """A conversation of at least two turns."""
    several = ctx.pick(ctx.pools.dialogues, lambda d: len(d.turns) > 1, "dialogue of several turns")
    return with_mixins(ctx, several)


def plan_facts(ctx: PlannerContext) -> Planned:
    """Questions of one turn, one after another, by one voice."""
    first = ctx.pick(ctx.pools.dialogues, _single, "question with an answer")
    turns, ids = list(first.turns), [first.id]
    for _ in range(ctx.how_many(ctx.config.dialogue.turns) - 1):
        more = ctx.pick(
            ctx.pools.dialogues,
            lambda d: _single(d) and d.language == first.language,
            "question with an answer",
        )
        if more.id not in ids:
            turns += more.turns
            ids.append(more.id)
    joined = replace(first, id="+".join(ids), turns=tuple(turns))
    return Planned(ctx.turns(joined), {"dialogues": ids})


def plan_emotion(ctx: PlannerContext) -> Planned:
    """A conversation in which some reply is not in the normal tone."""
    moved = ctx.pick(
        ctx.pools.dialogues,
        lambda d: any(t.emotion != "normal" for t in d.turns),
        "dialogue with emotions",
    )
    return with_mixins(ctx, moved)


def plan_over_background(ctx: PlannerContext) -> Planned:
    """A conversation with sounds behind it."""
    planned = with_mixins(ctx, ctx.any_of(ctx.pools.dialogues, "dialogue"))
    return replace(planned, items=(*planned.items, *behind(ctx.others())))


def _single(dialogue: Dialogue) -> bool:
    return len(dialogue.turns) == 1
