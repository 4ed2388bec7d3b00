"""The seven abilities and their tasks, by name: what a recipe may ask for."""

from __future__ import annotations

ABILITIES: dict[str, tuple[str, ...]] = {
    "real_time_asr": ("transcribe_words", "transcribe_utterances"),
    "instruction_following": ("count_sounds",),
    "proactive_response": ("answer_cues", "stay_silent"),
}

TASKS: tuple[str, ...] = tuple(task for tasks in ABILITIES.values() for task in tasks)


def ability_of(task: str) -> str:
    """Raises:
    KeyError: if there is no such task.
    """
    for ability, tasks in ABILITIES.items():
        if task in tasks:
            return ability
    raise KeyError(task)
