"""The tasks that a recipe may name: ability, planner, and the material that each needs.

A new task is a function in a module of this package and a row here; docs/abilities.md shows the
table, and a test checks the page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from data_build.plans import OfflinePlan, StreamPlan
from data_build.speech.rewriting.rewriter import strip_markup
from data_build.tasks import (
    chat,
    environment,
    events,
    instructions,
    reactions,
    transcription,
    translation,
    understanding,
)
from data_build.tasks.context import USER, Planned, PlannerContext
from data_build.tasks.reply_length import shortened

# What a task draws from: cues of the recipe, recorded or spoken speech, speech with a translation,
# dialogues, named sounds, sounds that the intervention policy has sorted, sounds or cues that
# deserve no reply, planned scenes (some or all of its streams happen inside one).
Need = Literal["cues", "speech", "translated", "dialogues", "sounds", "judged", "silence", "scenes"]
# What it needs of these, beyond one item: `data_build.collect.traits` says it in words.
Trait = Literal[
    "several_turns", "one_turn", "emotions", "long_dialogue", "placed_sound", "two_speakers",
    "both_directions", "two_kinds",
]  # fmt: skip
Form = Literal["a_t_t", "a_t", "t_t"]
Planner = Callable[[PlannerContext], Planned]


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        plan: makes the plan of a stream.
        needs: what it draws from.
        traits: what it is impossible without among these.
        replies: what the assistant says, and when, in one line.
        interleaved: conversation into which the stage-4 mix-ins go.
        word_times: whether its speech needs the time of every word.
        says: rules of the wording that its streams use, beside those of cues and of the policy.
    """

    name: str
    ability: str
    plan: Planner
    needs: tuple[Need, ...]
    replies: str
    interleaved: bool = False
    word_times: bool = False
    says: tuple[str, ...] = ()
    traits: tuple[Trait, ...] = ()


def _instructed(kind: str, *others: str) -> tuple[str, ...]:
    """The rules of a task under an instruction, written or spoken."""
    return (f"{kind}.written", f"{kind}.spoken", f"{kind}.reply", *others)


# What sounds are called, and what the answer to a question about one is.
_NAMED = ("unnamed_sound", "answer.sound", "answer.caption")
_LATEST = ("ask.latest", *_NAMED)
_HELD = tuple(f"{kind}.{part}" for kind in ("quiet", "quiet_to_me", "go_on")
              for part in ("spoken", "reply"))  # fmt: skip

_TABLE = (
    # real time asr
    Task("transcribe_words", "real_time_asr", transcription.plan_words, ("speech",),
         "the words that ended in a chunk, after that chunk", word_times=True,
         says=_instructed("transcribe_word")),
    Task("transcribe_utterances", "real_time_asr", transcription.plan_utterances, ("speech",),
         "the transcript, when the utterance ends",
         says=_instructed("transcribe_utterance")),
    Task("transcribe_in_noise", "real_time_asr", transcription.plan_words_in_noise,
         ("speech", "sounds", "scenes"),
         "the words as they end, with other sounds around the speech",
         word_times=True,
         says=_instructed("transcribe_word")),
    Task("transcribe_speakers", "real_time_asr", transcription.plan_speakers, ("speech",),
         "each utterance when it ends, with the number of its speaker",
         says=_instructed("transcribe_speaker", "speaker"), traits=("two_speakers",)),
    # streaming translation
    Task("translate_segments", "streaming_translation", translation.plan_segments, ("translated",),
         "the translation, when the segment ends",
         says=_instructed("translate")),
    Task("translate_wait_k", "streaming_translation", translation.plan_wait_k, ("translated",),
         "one word of the translation for each source word, k words behind", word_times=True,
         says=_instructed("translate_wait_k")),
    Task("translate_on_request", "streaming_translation", translation.plan_on_request,
         ("translated",), "translations after a spoken request, nothing before it",
         says=("translate.spoken", "translate.reply")),
    Task("interpret_conversation", "streaming_translation", translation.plan_conversation,
         ("translated",), "each utterance of two languages, translated into the other",
         says=_instructed("interpret"), traits=("both_directions",)),
    # audio understanding
    Task("answer_about_sound", "audio_understanding", understanding.plan_open, ("sounds", "scenes"),
         "the answer to an open question about a sound",
         says=_LATEST),
    Task("choose_sound", "audio_understanding", understanding.plan_choice, ("sounds", "scenes"),
         "the right one of the sounds that a question names",
         says=("ask.choice", "alternatives", *_NAMED), traits=("two_kinds",)),
    Task("describe_sound", "audio_understanding", understanding.plan_description,
         ("sounds", "scenes"), "a description after every sound, once requested",
         says=_instructed("describe", "describe.sound", "describe.caption", "unnamed_sound")),
    Task("count_events", "audio_understanding", understanding.plan_count, ("sounds", "scenes"),
         "how often a sound occurred, when the question ends",
         says=("ask.count", "answer.count", "unnamed_sound"), traits=("two_kinds",)),
    # voice chat
    Task("chat_multi_turn", "voice_chat", chat.plan_multi_turn, ("dialogues",),
         "a reply after each turn of the user", True, says=reactions.RULES,
         traits=("several_turns",)),
    Task("answer_facts", "voice_chat", chat.plan_facts, ("dialogues",),
         "a short answer after each question", traits=("one_turn",)),
    Task("chat_with_emotion", "voice_chat", chat.plan_emotion, ("dialogues",),
         "replies with the emotion that fits the turn", True, says=reactions.RULES,
         traits=("emotions",)),
    Task("chat_over_background", "voice_chat", chat.plan_over_background,
         ("dialogues", "sounds", "scenes"),
         "replies after the turns, none to the background sounds", True, says=reactions.RULES),
    # instruction following
    Task("count_sounds", "instruction_following", events.plan_counting, ("cues",),
         "the running count of a sound, once asked to count it",
         says=("count.more", "unnamed_sound")),
    Task("alert_on_sound", "instruction_following", instructions.plan_alert, ("sounds", "scenes"),
         "an alert at the requested sound, at no other",
         says=_instructed("watch", "watch.found", "unnamed_sound"), traits=("two_kinds",)),
    Task("hold_replies", "instruction_following", instructions.plan_hold, ("dialogues",),
         "no answers between 'be quiet' and 'go on'",
         says=_HELD),
    Task("carry_out_instruction", "instruction_following", instructions.plan_carry_out,
         ("dialogues", "speech"), "what a spoken instruction asks for; no reply to bystanders",
         says=reactions.RULES),
    # proactive response
    Task("answer_cues", "proactive_response", events.plan_cues, ("cues",),
         "the reply of every cue that has one"),
    Task("stay_silent", "proactive_response", events.plan_quiet, ("silence",),
         "nothing: no event in the stream deserves a reply"),
    Task("react_to_event", "proactive_response", events.plan_single, ("sounds", "judged", "scenes"),
         "a warning at the one sound that calls for help"),
    Task("react_to_events", "proactive_response", events.plan_several, ("sounds", "judged"),
         "a warning at each of several sounds of one kind of danger"),
    # environment agent
    Task("chat_in_scene", "environment_agent", environment.plan_chat,
         ("dialogues", "sounds", "scenes"),
         "replies to the turns inside a planned scene, a warning where a sound calls for one",
         True, says=reactions.RULES, traits=("placed_sound",)),
    Task("ask_about_scene", "environment_agent", environment.plan_question, ("sounds", "scenes"),
         "the answer to a late question about the surrounding scene",
         says=("ask.first", "ask.last", "ask.where", "answer.first", "answer.place", *_NAMED),
         traits=("placed_sound",)),
    Task("warn_in_conversation", "environment_agent", environment.plan_warning,
         ("dialogues", "sounds", "judged", "scenes"), "a warning that breaks into a conversation",
         says=reactions.RULES),
    Task("recall_conversation", "environment_agent", environment.plan_recall,
         ("dialogues", "sounds", "scenes"), "an answer from at least three rounds before",
         says=reactions.RULES, traits=("long_dialogue",)),
)  # fmt: skip

TASKS: dict[str, Task] = {task.name: task for task in _TABLE}

# Offline samples, one answer to a whole recording (protocol, section 5): form -> ability, needs.
#     a_t_t   audio, question in text ─▶ answer
#     a_t     audio ─▶ transcript
#     t_t     question in text ─▶ answer
FORMS: dict[Form, tuple[str, tuple[Need, ...]]] = {
    "a_t_t": ("audio_understanding", ("sounds",)),
    "a_t": ("real_time_asr", ("speech",)),
    "t_t": ("voice_chat", ("dialogues",)),
}


def plan_stream(stream_id: str, task: str, system: str, ctx: PlannerContext) -> StreamPlan:
    """The plan of one stream.

    Raises:
        Dropped: if an item that was drawn turns out to be unusable, or the split has none that
            the plan could use.
    """
    about = TASKS[task]
    planned = about.plan(ctx)
    place = planned.place
    least = planned.least
    if least is None:
        least = sum(item.track == "foreground" for item in planned.items)
    return StreamPlan(
        id=stream_id,
        ability=about.ability,
        task=task,
        system=f"{system} {planned.system}".strip(),
        instruction=planned.instruction,
        items=planned.items,
        least=least,
        notes=planned.notes | ({"scene": place.scene.provenance()} if place else {}),
        scene=place.scene.scene.sentence if place else "",
        language=planned.language or ctx.words.language,
    )


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
        clip = ctx.spoken(ctx.any_of(ctx.pools.speech, "speech"), USER)
        return OfflinePlan(sample_id, ability, form, system, clip, None, clip.text)
    clip = ctx.any_of(ctx.pools.sounds, "sound")
    question, answer = understanding.question_about(clip, ctx.words)
    return OfflinePlan(sample_id, ability, form, system, clip, question, answer)


def needs_of(tasks: Mapping[str, float], offline: Mapping[str, float]) -> frozenset[Need]:
    """What the tasks and forms with a positive weight draw from."""
    needed: set[Need] = set()
    for name, weight in tasks.items():
        needed.update(TASKS[name].needs if weight > 0 else ())
    for form, (_, needs) in FORMS.items():
        needed.update(needs if offline.get(form, 0) > 0 else ())
    return frozenset(needed)


def needs_word_times(tasks: Mapping[str, float]) -> tuple[str, ...]:
    """The tasks with a positive weight whose speech needs the time of every word."""
    return tuple(name for name, weight in tasks.items() if weight > 0 and TASKS[name].word_times)


def traits_needed(tasks: Mapping[str, float]) -> dict[Trait, list[str]]:
    """The traits that tasks with a positive weight are impossible without -> these tasks."""
    needed: dict[Trait, list[str]] = {}
    for name, weight in tasks.items():
        for trait in TASKS[name].traits if weight > 0 else ():
            needed.setdefault(trait, []).append(name)
    return needed


def rules_of(tasks: Mapping[str, float], offline: Mapping[str, float]) -> dict[str, str]:
    """The rules of the wording that tasks and forms with a positive weight use -> one that does."""
    used = {rule: form for form in FORMS if offline.get(form, 0) > 0
            for rule in (_LATEST if form == "a_t_t" else ())}  # fmt: skip
    return used | {rule: n for n, weight in tasks.items() if weight > 0 for rule in TASKS[n].says}


def user_speaks(tasks: Mapping[str, float]) -> bool:
    """Whether the user says something in a task, beside the cues and texts of the recipe: turns of
    a dialogue, an instruction, a question."""
    said = ("ask.", "react.")
    return any(
        name == "count_sounds"
        or "dialogues" in TASKS[name].needs
        or any(rule.endswith(".spoken") or rule.startswith(said) for rule in TASKS[name].says)
        for name, weight in tasks.items()
        if weight > 0
    )


def is_conversation(task: str) -> bool:
    """Whether the assistant speaks the language of a dialogue in it, whatever the stream's is."""
    return "dialogues" in TASKS[task].needs


def may_warn(task: str) -> bool:
    """Whether sounds are heard in it that the intervention policy may answer."""
    return TASKS[task].interleaved or not {"sounds", "judged", "scenes"}.isdisjoint(
        TASKS[task].needs
    )


def uses_judged_sounds(tasks: Mapping[str, float]) -> bool:
    """Whether a task needs to know which sounds deserve a reply."""
    return any(
        weight > 0 and ({"judged", "silence"} & set(TASKS[name].needs) or TASKS[name].interleaved)
        for name, weight in tasks.items()
    )
