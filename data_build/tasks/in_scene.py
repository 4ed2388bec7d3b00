"""What happens in a stream, inside a planned scene: its sounds come between the items and behind
them, and the user may ask about them.

::

    turn  (footsteps)  turn  (a knock)  "What was that?"  turn
    ░░░░░░░░░░░░░ behind: rain, a far dog ░░░░░░░░░░░░░░░░░░░░
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from data_build.plans import AskLatest, AskPlace, Item
from data_build.tasks.context import Planned, PlannerContext
from data_build.tasks.session import Place

_WHERE_SHARE = 0.3  # of the questions; the others are about a sound


def in_scene(ctx: PlannerContext, planned: Planned, place: Place, *, asked: bool = True) -> Planned:
    """The stream in ``place``; its last item stays last, as a late question has to.

    Args:
        asked: whether the user asks about the place in ``tasks.places.asked_share`` of the streams:
            what a sound was right after it, or where one is before the last item.
    """
    *before, last = planned.items
    items = [*ctx.scattered(before, place.front), last]
    turns = sum(item.address is not None for item in planned.items[: planned.least])
    notes, most = planned.notes, 0
    if asked and ctx.chance(ctx.config.places.asked_share) and ctx.says(planned.language):
        at, question = _question(ctx.speaking(planned.language), items, place)
        items.insert(at, question)
        notes, most = {**notes, "asked": question.clip.text}, at + 1
    least = None if planned.least is None else max(least_of(items, turns), most)
    return replace(planned, items=(*items, *place.around), notes=notes, least=least, place=place)


def least_of(items: Sequence[Item], turns: int) -> int:
    """How many items hold ``turns`` turns of the user and every sound among the turns."""
    places = [n for n, item in enumerate(items, 1) if item.address is not None][:turns]
    sounds = [n for n, item in enumerate(items, 1) if item.address is None]
    return max([*places, *sounds])


def _question(ctx: PlannerContext, items: Sequence[Item], place: Place) -> tuple[int, Item]:
    """A question about the place, and where among the items it is asked."""
    sounds = [n for n, item in enumerate(items, 1) if item.clip.kind != "speech"]
    if place.setting and ctx.chance(_WHERE_SHARE):
        return len(items) - 1, ctx.ask("where", AskPlace(place.setting))
    return sounds[int(ctx.rng.integers(len(sounds)))], ctx.ask("latest", AskLatest())
