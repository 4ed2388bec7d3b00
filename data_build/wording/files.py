"""Wording files: the rules of one language, and what it calls sounds, numbers and languages."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import pydantic.dataclasses

from data_build.randomness import digest
from data_build.wording.check import REMEDY, check_rules
from data_build.wording.grammar import Choice, GrammarFault, Rules, Words, choice
from soundflow.config.load import build, read_tree
from soundflow.config.settings import SETTINGS
from soundflow.errors import UserError
from soundflow.text.normalize import primary_language

T = TypeVar("T")
_FOLDER = Path(__file__).parent
BUILT_IN = tuple(str(_FOLDER / name) for name in ("en.yaml", "zh.yaml"))
_SOUNDS = _FOLDER / "sounds.tsv"
# What a noun may begin with to say that it is one of its kind; "how often" goes without it.
_ARTICLES = {"en": ("a ", "an "), "zh": ("一声", "一阵")}


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class WordingFile:
    """A wording file; every rule is a block of lines, one alternative a line.

    Attributes:
        rules: name -> alternatives, added to those there are.
        instead: the same, in place of those there are.
        numbers: "word/how often" for 0, 1, 2, ...; ``beyond`` for larger ones, with {n}.
        languages: code -> name.
        sounds: class or label -> name; one that begins with + is a plural.
        comma: between alternatives.
    """

    language: str
    rules: dict[str, str] = field(default_factory=dict)
    instead: dict[str, str] = field(default_factory=dict)
    numbers: tuple[str, ...] = ()
    beyond: str = ""
    languages: dict[str, str] = field(default_factory=dict)
    sounds: dict[str, str] = field(default_factory=dict)
    comma: str = ""


@dataclass(frozen=True)
class Language:
    """The rules and words of a language."""

    code: str
    rules: Rules = field(default_factory=lambda: Rules({}))
    sounds: Mapping[str, str] = field(default_factory=dict)
    numbers: tuple[str, ...] = ()
    beyond: str = "{n}/{n}"
    language_names: Mapping[str, str] = field(default_factory=dict)
    comma: str = ", "

    @cached_property
    def key(self) -> str:
        return digest(
            self.code, sorted(self.rules.items()), sorted(self.sounds.items()), self.numbers,
            self.beyond, sorted(self.language_names.items()), self.comma,
        )  # fmt: skip

    def sound(self, name: str) -> Words | None:
        """The name of a class or label, if the language has one."""
        found = self.sounds.get(name)
        return None if found is None else self.noun(found)

    def noun(self, text: str) -> Words:
        """A noun as "a bell", "rain" or "+steps", with its forms: ``the`` bell, ``bare`` bell."""
        many, plain = text.startswith("+"), text.removeprefix("+")
        article = next((a for a in _ARTICLES.get(self.code, ()) if plain.startswith(a)), "")
        bare = plain.removeprefix(article)
        definite = self.code == "en" and not plain.startswith(("the ", "somebody"))
        return Words(plain, {"the": f"the {bare}" if definite else plain, "bare": bare}, many)

    def number(self, number: int) -> Words:
        """A number as a word, with the forms ``figure`` and ``times``."""
        known = number < len(self.numbers)
        line = self.numbers[number] if known else self.beyond.replace("{n}", str(number))
        word, _, times = line.partition("/")
        return Words(word, {"figure": str(number), "times": times}, number != 1)


def read_language(path: str, before: Mapping[str, Language]) -> Language:
    """A language with a file added to it.

    Args:
        before: the languages so far.

    Raises:
        UserError: if the file is no wording file, naming the rule that is wrong.
    """
    file = parsed(path, WordingFile)
    code = primary_language(file.language)
    language = before.get(code) or Language(code, sounds=_sound_names(code))
    added, instead = rules_of(path, file.rules), rules_of(path, file.instead)
    rules = {**merged(language, added).rules, **instead}
    check_rules(path, rules, (*added, *instead))
    return replace(
        language,
        rules=Rules(rules),
        sounds={**language.sounds, **file.sounds},
        numbers=file.numbers or language.numbers,
        beyond=file.beyond or language.beyond,
        language_names={**language.language_names, **file.languages},
        comma=file.comma or language.comma,
    )


def merged(language: Language, added: Mapping[str, Choice]) -> Language:
    """With further alternatives of rules, behind those there are."""
    rules = dict(language.rules)
    for name, more in added.items():
        known = rules[name].options if name in rules else ()
        rules[name] = Choice((*known, *(o for o in more.options if o not in known)))
    return replace(language, rules=Rules(rules))


def _lines(block: str) -> list[str]:
    lines = [line.strip() for line in block.splitlines() if line.strip()]
    if not lines:
        raise GrammarFault("a rule has no line")
    return lines


def parsed(path: str, schema: type[T]) -> T:
    """A YAML file as ``schema``.

    Raises:
        UserError: if it cannot be read, or is not of the schema.
    """
    if not Path(path).exists():
        raise UserError(f"{path}: no such file", REMEDY)
    return build(schema, read_tree(Path(path)), path, REMEDY)


def rules_of(path: str, blocks: Mapping[str, str]) -> dict[str, Choice]:
    """Blocks of lines as rules.

    Raises:
        UserError: naming the line that is not of the grammar.
    """
    try:
        return {name: choice(_lines(block)) for name, block in blocks.items()}
    except GrammarFault as fault:
        raise UserError(f"{path}: {fault}", REMEDY) from fault


def _sound_names(code: str) -> dict[str, str]:
    """What a language calls the classes of the ontology, as far as the table says."""
    with _SOUNDS.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(
            (line for line in lines if not line.startswith("#")),
            delimiter="\t", quoting=csv.QUOTE_NONE,
        )  # fmt: skip
        return {row["class"]: row[code] for row in rows if row.get(code)}
