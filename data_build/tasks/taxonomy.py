"""The seven abilities and their 28 tasks: what a recipe may ask for, and what each is made from.

The page docs/abilities.md shows the same table; a test keeps them together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Need = Literal[
    "cues", "instruction", "speech", "translated", "dialogues", "sounds", "judged", "scenes"
]
Form = Literal["a_t_t", "a_t", "t_t"]


@dataclass(frozen=True)
class Task:
    """One sub-task.

    Attributes:
        needs: which parts of the library it draws from.
        replies: where the replies fall and what they say, in one line.
        interleaved: conversation into which the stage-4 mix-ins go.
    """

    name: str
    needs: tuple[Need, ...]
    replies: str
    interleaved: bool = False


ABILITIES: dict[str, tuple[Task, ...]] = {
    "real_time_asr": (
        Task("transcribe_words", ("speech",), "the words that ended in a chunk, after that chunk"),
        Task("transcribe_utterances", ("speech",), "the transcript, when the utterance ends"),
        Task(
            "transcribe_in_noise", ("speech", "sounds"),
            "the words as they end, with other sounds behind the speech",
        ),
        Task(
            "transcribe_speakers", ("speech",),
            "each utterance when it ends, with the number of its speaker",
        ),
    ),
    "streaming_translation": (
        Task("translate_segments", ("translated",), "the translation, when the segment ends"),
        Task(
            "translate_wait_k", ("translated",),
            "one word of the translation for each word heard, k words behind",
        ),
        Task(
            "translate_on_request", ("translated",),
            "translations after a spoken request, nothing before it",
        ),
        Task(
            "interpret_conversation", ("translated",),
            "what each of two languages says, in the other",
        ),
    ),
    "audio_understanding": (
        Task("answer_about_sound", ("sounds",), "the answer to an open question about a sound"),
        Task("choose_sound", ("sounds",), "the right one of the sounds that a question names"),
        Task("describe_sound", ("sounds",), "a description after every sound, once asked for"),
        Task("count_events", ("sounds",), "how often a sound came, when the question ends"),
    ),
    "voice_chat": (
        Task("chat_multi_turn", ("dialogues",), "a reply after each turn of the user", True),
        Task("answer_facts", ("dialogues",), "a short answer after each question"),
        Task("chat_with_emotion", ("dialogues",), "replies in the emotion of the moment", True),
        Task(
            "chat_over_background", ("dialogues", "sounds"),
            "replies after the turns, none to the sounds behind them", True,
        ),
    ),
    "instruction_following": (
        Task(
            "count_sounds", ("cues", "instruction"),
            "the running count of a sound, once asked to count it",
        ),
        Task("alert_on_sound", ("sounds",), "a word at the sound that was asked for, no other"),
        Task("hold_replies", ("dialogues",), "no answers between 'be quiet' and 'go on'"),
        Task(
            "carry_out_instruction", ("dialogues", "speech"),
            "what a spoken instruction asks for; nothing to bystanders",
        ),
    ),
    "proactive_response": (
        Task("answer_cues", ("cues",), "the reply of every cue that has one"),
        Task("stay_silent", ("cues",), "none: nothing in the stream deserves a word"),
        Task("react_to_event", ("sounds", "judged"), "a word at the one sound that calls for help"),
        Task(
            "react_to_events", ("sounds", "judged"),
            "a word at each of several sounds of one kind of danger",
        ),
    ),
    "environment_agent": (
        Task(
            "chat_in_scene", ("dialogues", "sounds", "scenes"),
            "replies to the turns inside a planned scene, none to its sounds", True,
        ),
        Task(
            "ask_about_scene", ("sounds", "scenes"),
            "the answer to a late question about the scene around",
        ),
        Task(
            "warn_in_conversation", ("dialogues", "sounds", "judged"),
            "a warning that breaks into a conversation",
        ),
        Task(
            "recall_conversation", ("dialogues", "sounds"),
            "an answer from at least three rounds before",
        ),
    ),
}  # fmt: skip

_BY_NAME: dict[str, tuple[str, Task]] = {
    task.name: (ability, task) for ability, tasks in ABILITIES.items() for task in tasks
}
TASKS: tuple[str, ...] = tuple(_BY_NAME)

# Offline samples (protocol, section 5): form -> (ability, what it is made from).
FORMS: dict[Form, tuple[str, tuple[Need, ...]]] = {
    "a_t_t": ("audio_understanding", ("sounds",)),
    "a_t": ("real_time_asr", ("speech",)),
    "t_t": ("voice_chat", ("dialogues",)),
}


def ability_of(task: str) -> str:
    """Raises:
    KeyError: if there is no such task.
    """
    return _BY_NAME[task][0]


def task_named(name: str) -> Task:
    """Raises:
    KeyError: if there is no such task.
    """
    return _BY_NAME[name][1]


def needs_of(tasks: dict[str, float], offline: dict[str, float]) -> frozenset[Need]:
    """What the tasks and forms with a positive share draw from."""
    wanted = {need for name, share in tasks.items() if share > 0 for need in task_named(name).needs}
    for form, share in offline.items():
        if share > 0:
            wanted.update(FORMS[form][1])  # type: ignore[index]
    return frozenset(wanted)
