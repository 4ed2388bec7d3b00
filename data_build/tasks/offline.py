"""Offline samples: a whole recording and a text question before one answer (format training).

::

    a_t_t   audio, question in text ─▶ answer
    a_t     audio ─▶ transcript
    t_t     question in text ─▶ answer
"""

from __future__ import annotations

import numpy as np

from data_build.pools.pools import Library
from data_build.records import OfflinePlan
from data_build.speech.rewriting.rewriter import strip_markup
from data_build.tasks.config import AbilitiesConfig
from data_build.tasks.drawing import draw
from data_build.tasks.taxonomy import FORMS, Form
from data_build.tasks.understanding import question_about
from data_build.tasks.wording import shortened


def plan_offline(
    sample_id: str,
    form: Form,
    system: str,
    library: Library,
    config: AbilitiesConfig,
    rng: np.random.Generator,
) -> OfflinePlan:
    """The plan of one offline sample.

    Raises:
        UserError: if the library holds nothing that the form could use.
        Dropped: if a text cannot be spoken.
    """
    ability, _ = FORMS[form]
    if form == "t_t":
        dialogue = draw(library.dialogues, "dialogue", rng)
        turn = dialogue.turns[0]
        reply = strip_markup(turn.assistant, dialogue.language).text
        answer = shortened(reply, config.dialogue.max_reply_words)
        notes = {"dialogue": dialogue.id, "licence": dialogue.origin.licence}
        return OfflinePlan(sample_id, ability, form, system, None, turn.user, answer, notes)
    if form == "a_t":
        clip = library.spoken(draw(library.speech, "speech", rng), rng)
        return OfflinePlan(sample_id, ability, form, system, clip, None, clip.text)
    clip = draw(library.sounds, "sound", rng)
    question, answers = question_about(clip, rng)
    return OfflinePlan(sample_id, ability, form, system, clip, question, answers[0])
