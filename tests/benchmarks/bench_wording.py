"""How many forms of each task are said or written, without a language model: prints a table.

    python -m tests.benchmarks.bench_wording        about a minute

A form is a distinct text of a stream of the task, in English: the instruction (written or spoken),
the questions, the assistant's own replies; for conversations the turns of the texts that come with
the project, and their replies. They are drawn as a build draws them, not multiplied out. Texts of
corpora (transcripts, translations) do not count.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import yaml

from data_build.collect.text_rules import written_texts
from data_build.records import Dialogue
from data_build.scenes.ontology import ontology
from data_build.tasks.config import TasksConfig
from data_build.tasks.table import TASKS
from data_build.wording.grammar import Words
from data_build.wording.wording import SplitWording, StreamWords, wording

BAR = 2_000
DRAWS = 3_000  # of each line
_RECIPES = Path(__file__).resolve().parents[2] / "recipes" / "build"
_SHARES = {"train": 0.75, "test": 0.25}
# Rules of parts of a sentence, and of replies that are the words of a corpus.
_PARTS = ("alternatives", "unnamed_sound", "speaker", "answer.caption", "describe.caption")


def warnings() -> tuple[str, ...]:
    return tuple(f"<{name}>" for name in wording().languages["en"].rules if name[:5] == "warn.")


def cue_lines() -> tuple[str, ...]:
    cues = yaml.safe_load((_RECIPES / "all_abilities.yaml").read_text())["cues"]
    return tuple(cue[key] for cue in cues for key in ("say", "reply") if key in cue)


def lines_of(task: str) -> tuple[str, ...]:
    """The lines of the grammar that streams of a task say."""
    about = TASKS[task]
    lines = tuple(f"<{rule}>" for rule in about.says if rule not in _PARTS)
    if task == "count_sounds":
        counting = TasksConfig().counting
        lines += (counting.instruction, counting.reply, *counting.words)
    if task in ("answer_cues", "stay_silent"):
        lines += tuple(line for line in cue_lines() if task == "answer_cues" or "<warn" not in line)
    return lines + (warnings() if "judged" in about.needs else ())


def texts_of(task: str) -> set[str]:
    """Turns and replies of the texts that come with the project, for tasks of conversations."""
    if "dialogues" not in TASKS[task].needs:
        return set()
    single = task in ("answer_facts", "carry_out_instruction")
    file = _RECIPES / "material" / ("questions.rules" if single else "dialogues.rules")
    found: set[str] = set()
    for split in _SHARES:
        for item in written_texts(file, SplitWording.of(wording(), split, _SHARES), 1):
            if isinstance(item, Dialogue):
                found |= {text for turn in item.turns for text in (turn.user, turn.assistant)}
    return found


def drawn(lines: Iterable[str], draws: int = DRAWS) -> set[str]:
    """Distinct texts of the lines, with any sound, number, language and place."""
    sounds, settings = list(ontology().classes), [s.name for s in ontology().settings]
    split = SplitWording.of(wording(), "train", {"train": 1.0})
    found: set[str] = set()
    for number in range(draws):
        rng = random.Random(number)
        words = StreamWords(split, str(number), "en")
        for line in lines:
            found.add(words.text(line, **_slots(words, rng, sounds, settings)))
    return found


def _slots(
    words: StreamWords, rng: random.Random, sounds: list[str], settings: list[str]
) -> dict[str, str | Words]:
    one, two = (words.language_name(code) for code in rng.sample(["en", "de", "fr", "zh", "es"], 2))
    named = [words.sound(name, name).text for name in rng.sample(sounds, rng.randint(2, 4))]
    slots: dict[str, str | Words] = {
        "s": words.sound(rng.choice(sounds), ""), "n": words.number(rng.randint(1, 4)),
        "k": words.number(3), "language": one, "other": two, "names": words.listed(named),
        "setting": rng.choice(settings).replace(" ", "_"),
        "where": rng.choice(["near", "far", "around"]),
    }  # fmt: skip
    for name, values in (
        ("pattern", ["once", "twice", "often"]),
        ("length", ["brief", "long"]),
        ("trend", ["rising", "fading"]),
    ):
        if rng.random() < 0.3:
            slots[name] = rng.choice(values)
    return slots


def forms(task: str, draws: int = DRAWS) -> int:
    return len(drawn(lines_of(task), draws) | texts_of(task))


def main() -> None:
    print(f"forms of each task, {DRAWS} draws a line; the bar is {BAR}")
    for task in TASKS:
        count = forms(task)
        print(f"{task:24} {count:7,} {'met' if count >= BAR else 'NOT MET'}", flush=True)


if __name__ == "__main__":
    main()
