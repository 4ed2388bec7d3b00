"""The user hears a danger, too: after a sound that the assistant warns of, and the warning, the
conversation does not go on as if nothing had happened.

::

    turn  (a siren: "Mind the road.")  "Thanks, I will be careful."  turn
                                          "Good."
"""

from __future__ import annotations

from dataclasses import replace

from data_build.plans import Item, Turn
from data_build.tasks.context import Planned, PlannerContext

RULES = ("react.user", "react.reply")


def with_reactions(ctx: PlannerContext, planned: Planned) -> Planned:
    """The stream with a turn of the user between sounds of danger and the next turn.

    Where the user asks about a sound or a place next, that is the reaction. Without wording of the
    language there is none.

    Raises:
        Dropped: if it cannot be spoken.
    """
    if not ctx.says(planned.language):
        return planned
    speaker = ctx.speaking(planned.language)
    front = [item for item in planned.items if item.track == "foreground"]
    least, items, unanswered = planned.least, list[Item](), False
    for number, item in enumerate(front):
        if unanswered and isinstance(item.address, Turn):
            items.append(_reaction(speaker, number))
            if least is not None and number < least:
                least += 1
        unanswered = _is_danger(item) or (unanswered and item.address is None)
        items.append(item)
    around = (item for item in planned.items if item.track != "foreground")
    return replace(planned, items=(*items, *around), least=least)


def _is_danger(item: Item) -> bool:
    judgement = item.clip.judgement
    return judgement is not None and judgement.reply is not None and bool(judgement.category)


def _reaction(ctx: PlannerContext, number: int) -> Item:
    user, reply = (ctx.words.text(f"<{rule}>", number) for rule in RULES)
    return ctx.say(user, Turn(reply))
