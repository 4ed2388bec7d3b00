"""Which function plans which task, and the plan of one stream."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from data_build.pools.pools import Library
from data_build.records import StreamPlan
from data_build.tasks import (
    chat,
    cues,
    environment,
    instructions,
    proactive,
    transcription,
    translation,
    understanding,
)
from data_build.tasks.config import AbilitiesConfig
from data_build.tasks.counting import plan_counting
from data_build.tasks.drawing import Planned
from data_build.tasks.taxonomy import ability_of

Planner = Callable[[Library, AbilitiesConfig, np.random.Generator], Planned]

PLANNERS: dict[str, Planner] = {
    "transcribe_words": transcription.plan_words,
    "transcribe_utterances": transcription.plan_utterances,
    "transcribe_in_noise": transcription.plan_words_in_noise,
    "transcribe_speakers": transcription.plan_speakers,
    "translate_segments": translation.plan_segments,
    "translate_wait_k": translation.plan_wait_k,
    "translate_on_request": translation.plan_on_request,
    "interpret_conversation": translation.plan_conversation,
    "answer_about_sound": understanding.plan_open,
    "choose_sound": understanding.plan_choice,
    "describe_sound": understanding.plan_description,
    "count_events": understanding.plan_count,
    "chat_multi_turn": chat.plan_multi_turn,
    "answer_facts": chat.plan_facts,
    "chat_with_emotion": chat.plan_emotion,
    "chat_over_background": chat.plan_over_background,
    "count_sounds": plan_counting,
    "alert_on_sound": instructions.plan_alert,
    "hold_replies": instructions.plan_hold,
    "carry_out_instruction": instructions.plan_carry_out,
    "answer_cues": cues.plan_cues,
    "stay_silent": cues.plan_quiet,
    "react_to_event": proactive.plan_single,
    "react_to_events": proactive.plan_several,
    "chat_in_scene": environment.plan_chat,
    "ask_about_scene": environment.plan_question,
    "warn_in_conversation": environment.plan_warning,
    "recall_conversation": environment.plan_recall,
}


def plan_stream(
    stream_id: str,
    task: str,
    system: str,
    library: Library,
    config: AbilitiesConfig,
    rng: np.random.Generator,
) -> StreamPlan:
    """The plan of one stream; chance comes from ``rng`` alone.

    Raises:
        UserError: if the library holds nothing that the task could use.
        Dropped: if an item that was drawn turns out to be unusable.
    """
    planned = PLANNERS[task](library, config, rng)
    return StreamPlan(
        stream_id, ability_of(task), task, system, planned.items, planned.notes, planned.whole
    )
