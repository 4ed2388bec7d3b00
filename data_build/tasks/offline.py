"""Offline samples: a whole recording and a text question before one answer (format training).

::

    a_t_t   audio, question in text ─▶ answer
    a_t     audio ─▶ transcript
    t_t     question in text ─▶ answer
"""

from __future__ import annotations

from data_build.records import OfflinePlan
from data_build.speech.rewriting.rewriter import strip_markup
from data_build.tasks.context import PlannerContext
from data_build.tasks.table import FORMS, Form
from data_build.tasks.understanding import question_about
from data_build.tasks.wording import shortened


def plan_offline(sample_id: str, form: Form, system: str, ctx: PlannerContext) -> OfflinePlan:
    """The plan of one offline sample.

    Raises:
        Dropped: if the split has nothing that the form could use, or a text cannot be spoken.
    """
    ability, _ = FORMS[form]
    if form == "t_t":
        dialogue = ctx.any_of(ctx.pools.dialogues, "dialogue")
        turn = dialogue.turns[0]
        reply = strip_markup(turn.assistant, dialogue.language).text
        answer = shortened(reply, ctx.config.dialogue.max_reply_words)
        notes = {"dialogue": dialogue.id, "licence": dialogue.origin.licence}
        return OfflinePlan(sample_id, ability, form, system, None, turn.user, answer, notes)
    if form == "a_t":
        clip = ctx.spoken(ctx.any_of(ctx.pools.speech, "speech"))
        return OfflinePlan(sample_id, ability, form, system, clip, None, clip.text)
    clip = ctx.any_of(ctx.pools.sounds, "sound")
    question, answers = question_about(clip, ctx.rng)
    return OfflinePlan(sample_id, ability, form, system, clip, question, answers[0])
