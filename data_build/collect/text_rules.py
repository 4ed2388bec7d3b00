"""Sentences and dialogues that rules make: ``NAME.rules`` among the ``texts`` of a recipe, in YAML.

::

    language: en
    copies: 200
    lists:
      city: [Leeds, Oslo]
      country: [{name: Norway, capital: Oslo}, {name: Peru, capital: Lima}]
    rules: {thanks: "Thank you.\\nThanks[ a lot]."}
    items:
      - {text: "we (went|drove) to {city}"}
      - turns:
          - {user: "What is the capital of {country.name}?", assistant: "{country.capital}."}
          - {user: "<thanks>", assistant: "You are welcome.", emotion: happy}

Lines are of the grammar of `data_build.wording`. A value of a list is drawn once for an item. Each
split gets ``copies`` of every item, made of texts that no other split has. To the same words of the
user there is one reply.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated

import pydantic.dataclasses
from annotated_types import MinLen

from data_build.randomness import digest
from data_build.records import Clip, Dialogue, DialogueTurn, Origin, Unspoken
from data_build.scenes.ontology import place_fault
from data_build.wording.check import check_line, check_rules
from data_build.wording.files import Language, parsed, rules_of
from data_build.wording.grammar import Words
from data_build.wording.wording import SplitWording, StreamWords, needed_slots
from soundflow.config.settings import SETTINGS, Few
from soundflow.protocol.tokens import EMOTIONS
from soundflow.text.normalize import primary_language

SUFFIX = ".rules"
_ATTEMPTS = 40  # values that are drawn for a copy whose texts all belong to the split
_TRIES = 16  # texts that are drawn for a line
Value = str | Annotated[dict[str, str], MinLen(1)]


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class TurnRule:
    """What the user says, and the reply."""

    user: str
    assistant: str
    emotion: str = "normal"

    def __post_init__(self) -> None:
        if self.emotion not in EMOTIONS:
            raise ValueError(f"emotion is {self.emotion!r}, not one of {', '.join(EMOTIONS)}")


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class ItemRule:
    """A dialogue, or a sentence with its translation.

    Attributes:
        places: settings of scenes in which the dialogue makes sense; empty: anywhere.
    """

    turns: tuple[TurnRule, ...] = ()
    places: tuple[str, ...] = ()
    text: str = ""
    translation: str = ""
    translation_language: str = "en"

    def __post_init__(self) -> None:
        if bool(self.turns) == bool(self.text):
            raise ValueError("an item has either turns or a text")
        for place in self.places:
            if fault := place_fault(place):
                raise ValueError(f"places: {fault}")


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class TextRules:
    """A file of rules for texts."""

    items: tuple[ItemRule, ...]
    language: str = "en"
    copies: Few = 200
    lists: dict[str, Annotated[tuple[Value, ...], MinLen(1)]] = field(default_factory=dict)
    rules: dict[str, str] = field(default_factory=dict)
    licence: str = "Apache-2.0"
    corpus: str = ""


def written_texts(path: Path, split: SplitWording, seed: int) -> Iterator[Clip | Dialogue]:
    """The sentences and dialogues of a file for one split, each once.

    Raises:
        UserError: if the file cannot be used.
    """
    file = parsed(str(path), TextRules)
    code = primary_language(file.language)
    wording = split.wording.adding(code, rules_of(str(path), file.rules))
    _check(path, file, wording.languages[code])
    own = SplitWording(wording, split.split, split.shares)
    seen: set[str] = set()
    for number, item in enumerate(file.items):
        used = [needed_slots(line, own, code) for line in _lines(item)]
        lists = {name: file.lists[name] for name in file.lists if any(name in u for u in used)}
        for copy in range(file.copies):
            words = StreamWords(own, digest(seed, path.name, number, copy), code)
            made = _made(item, file, lists, words, f"{path.stem}/{number}-{copy}")
            if made is not None and (text := _said(made)) not in seen:
                seen.add(text)
                yield made


def _check(path: Path, file: TextRules, language: Language) -> None:
    """Every line names rules, lists and forms of their values that there are."""
    check_rules(str(path), language.rules, tuple(file.rules))
    slots = {
        name: Words(name, {form: form for form in set.intersection(*map(_forms, values))})
        for name, values in file.lists.items()
    }
    for number, item in enumerate(file.items):
        for line in _lines(item):
            check_line(f"{path}: item {number}", line, language.rules, slots)


def _forms(value: Value) -> set[str]:
    return set() if isinstance(value, str) else set(value)


def _lines(item: ItemRule) -> list[str]:
    turns = [line for turn in item.turns for line in (turn.user, turn.assistant)]
    return [*turns, item.text, item.translation]


def _made(
    item: ItemRule,
    file: TextRules,
    lists: Mapping[str, tuple[Value, ...]],
    words: StreamWords,
    name: str,
) -> Clip | Dialogue | None:
    """A copy of an item, None if none of those drawn has only texts of the split."""
    origin = Origin(file.corpus or name.split("/")[0], file.licence)
    lines = [turn.user for turn in item.turns] or [item.text]
    for attempt in range(_ATTEMPTS):
        slots = _values(lists, words.key, attempt)
        texts: list[str] = []
        for line in lines:
            text = words.own_text(line, (attempt, len(texts)), _TRIES, **slots)
            if text is None:
                break
            texts.append(text)
        if len(texts) < len(lines):
            continue
        if item.text:
            translation = words.text(item.translation, **slots) if item.translation else ""
            return Clip(
                name, "speech", Unspoken(), origin, text=texts[0], language=file.language,
                translation=translation, translation_language=item.translation_language,
            )  # fmt: skip
        theme = name.rpartition("-")[0]  # all copies of an item say nearly the same
        turns = _answered(item, texts, theme, lists, slots, words)
        return Dialogue(name, turns, origin, file.language, item.places, theme)
    return None


def _answered(
    item: ItemRule,
    texts: Sequence[str],
    theme: str,
    lists: Mapping[str, tuple[Value, ...]],
    slots: Mapping[str, Words],
    words: StreamWords,
) -> tuple[DialogueTurn, ...]:
    """The turns of a dialogue. Where the user has said the same, the reply is the same.

    Or one context would have several labels in a corpus. So replies, and the values that only they
    name, are drawn by what the user has said.
    """
    asked = (needed_slots(turn.user, words.split, words.language) for turn in item.turns)
    said = set().union(*asked)
    only_told = {k: v for k, v in _values(lists, theme, texts[0]).items() if k not in said}
    turns = []
    for n, (text, turn) in enumerate(zip(texts, item.turns, strict=True)):
        drawn = replace(words, key=digest(theme, *texts[: n + 1]))
        reply = drawn.text(turn.assistant, n, **{**slots, **only_told})
        turns.append(DialogueTurn(text, reply, turn.emotion))
    return tuple(turns)


def _values(lists: Mapping[str, tuple[Value, ...]], *seed: object) -> dict[str, Words]:
    slots, rng = {}, random.Random(int(digest(*seed), 16))
    for name, values in lists.items():
        slots[name] = _words(values[int(rng.random() * len(values))])
    return slots


def _words(value: Value) -> Words:
    return Words(value) if isinstance(value, str) else Words(next(iter(value.values())), value)


def _said(item: Clip | Dialogue) -> str:
    return item.text if isinstance(item, Clip) else "\n".join(turn.user for turn in item.turns)
