"""The wording of a build: rules of each language, and the texts of them that a split may use.

::

    en.yaml, zh.yaml ─┐
    files of the user ┼─▶ Wording ─▶ SplitWording ─▶ StreamWords ─▶ "Tell me when a dog barks."
    paraphrases       ┘   all rules   its own texts    one stream

A text belongs to the split that its hash says, whatever the rules are: no two splits share one, and
a file that grows moves none.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache

import pydantic.dataclasses
from pydantic import NonNegativeFloat

from data_build.pools.identity import identifying
from data_build.randomness import digest, hash64
from data_build.records import PlannedReply
from data_build.wording.files import BUILT_IN, Language, merged, read_language
from data_build.wording.grammar import (
    Choice,
    Unavailable,
    Words,
    expand,
    parse,
    slot_names,
)
from data_build.wording.sentences import finished, tidied
from soundflow.config.settings import SETTINGS
from soundflow.errors import UserError
from soundflow.text.normalize import primary_language

_TRIES = 400  # texts that are drawn for one of the split; a rule of fewer forms is shared
_PER_FORM = 3  # draws for each text of a small rule
_LEAST_SHARE = 0.1  # of the texts, for a split of little or no weight


@dataclass(frozen=True)
class Wording:
    """All rules of a build.

    Attributes:
        languages: code -> the rules and words of a language.
        weights: code -> share of the streams whose instructions, questions and replies are in it.
    """

    languages: Mapping[str, Language]
    weights: Mapping[str, float] = field(default_factory=lambda: {"en": 1.0})

    @property
    def key(self) -> str:
        """Changes with anything that can be said."""
        return digest(
            sorted((code, language.key) for code, language in self.languages.items()),
            dict(self.weights),
        )

    def of(self, code: str) -> Language | None:
        return self.languages.get(primary_language(code))

    def plainest(self, line: str) -> dict[str, str]:
        """Language -> the plainest text of a line without slots, where it has the rules for it."""
        found: dict[str, str] = {}
        for code, language in self.languages.items():
            with suppress(Unavailable):
                found[code] = _finished(line, expand(parse(line), language.rules, {}, None), code)
        return found

    def adding(self, code: str, rules: Mapping[str, Choice]) -> Wording:
        """With further alternatives of rules of a language, which may be a new one."""
        language = merged(self.languages.get(code) or Language(code), rules)
        return replace(self, languages={**self.languages, code: language})


@dataclass(frozen=True)
class SplitWording:
    """The texts of one split.

    Attributes:
        shares: split -> share of all texts.
    """

    wording: Wording
    split: str
    shares: Mapping[str, float]

    @staticmethod
    def of(wording: Wording, split: str, weights: Mapping[str, float]) -> SplitWording:
        """By the weights of the splits; each gets a tenth of the largest share at least."""
        most = max(weights.values())
        shares = {name: max(weight, _LEAST_SHARE * most) for name, weight in weights.items()}
        total = sum(shares.values())
        return SplitWording(wording, split, {n: share / total for n, share in shares.items()})

    def owns(self, text: str) -> bool:
        """Whether a text may be said in this split; a word or two may be said in all of them."""
        plain = identifying(text)
        return not plain or home(plain, self.shares) == self.split

    def stream(self, *seed: object) -> StreamWords:
        """The wording of a stream, in a language drawn by the weights."""
        key = digest(*seed)
        codes, weights = zip(*self.wording.weights.items(), strict=True)
        (code,) = seeded(key, "language").choices(codes, weights)
        return StreamWords(self, key, code)


def home(text: str, shares: Mapping[str, float]) -> str:
    """The split of a text: by its hash, in proportion to the shares."""
    at = hash64(text) / 2**64
    for split in sorted(shares):
        at -= shares[split]
        if at < 0:
            return split
    return max(sorted(shares))


@dataclass(frozen=True)
class StreamWords:
    """The wording of one stream: the same key, the same words.

    Attributes:
        language: of what is said to the assistant, and of its replies.
    """

    split: SplitWording
    key: str
    language: str

    def speaking(self, language: str) -> StreamWords:
        """In ``language`` where there is wording of it, else as before."""
        code = primary_language(language)
        return replace(self, language=code) if self.split.wording.of(code) else self

    def text(self, line: str, about: object = "", **slots: str | Words) -> str:
        """One of the texts of a line of the grammar that are this split's.

        Args:
            about: tells two uses in one stream apart.

        Raises:
            UserError: if the language lacks a rule, or the caller a slot, that the line needs.
        """
        own = self.own_text(line, about, _TRIES, **slots)
        return self._drawn(line, about, 0, slots) if own is None else own

    def own_text(self, line: str, about: object, tries: int, /, **slots: str | Words) -> str | None:
        """As `text`; None where none of those drawn is this split's."""
        tries = max(1, min(tries, _PER_FORM * self._words.rules.size(parse(line))))
        drawn = (self._drawn(line, about, number, slots) for number in range(tries))
        return next(filter(self.split.owns, drawn), None)

    def plainest(self, line: str, **slots: str | Words) -> str:
        """The plainest text of a line: it tells what all of them mean."""
        return _finished(line, self._expanded(line, slots, None), self.language)

    def reply(self, line: str, about: object = "", **slots: str | Words) -> PlannedReply:
        """A reply, which is as right as the plainest text of its line."""
        text, plain = self.text(line, about, **slots), self.plainest(line, **slots)
        return PlannedReply(text, plainest=plain)

    def said(self, reply: PlannedReply, about: object = "") -> PlannedReply:
        """A reply of the recipe or the policy, whose text is a line of the grammar."""
        spoken = self.reply(reply.text, about)
        return replace(reply, text=spoken.text, plainest=spoken.plain)

    def sound(self, kind: str, name: str) -> Words:
        """What a sound is called: its class where the language names it, else by ``name``."""
        return self._words.sound(kind) or self._words.sound(name) or self._unnamed(name)

    def number(self, number: int) -> Words:
        return self._words.number(number)

    def language_name(self, code: str) -> str:
        """What a language is called; its code where nothing is known."""
        return self._words.language_names.get(primary_language(code), code)

    def listed(self, texts: Sequence[str]) -> str:
        """Alternatives in a row: "a dog, a bell or rain"."""
        *first, last = texts
        if not first:
            return last
        return self._phrase("<alternatives>", first=self._words.comma.join(first), last=last)

    def _drawn(
        self, line: str, about: object, number: int, slots: Mapping[str, str | Words]
    ) -> str:
        rng = seeded(self.key, line, about, number)
        return _finished(line, self._expanded(line, slots, rng), self.language)

    def _expanded(
        self, line: str, slots: Mapping[str, str | Words], rng: random.Random | None
    ) -> str:
        values = {name: Words(s) if isinstance(s, str) else s for name, s in slots.items()}
        try:
            return expand(parse(line), self._words.rules, values, rng)
        except Unavailable as missing:
            raise UserError(
                f"wording in {self.language!r}: {line!r} needs {missing}",
                "add the rule to a file of that language under wording.files",
            ) from missing

    def _phrase(self, line: str, **slots: str) -> str:
        """The plainest text of a line that is part of a sentence."""
        return tidied(self._expanded(line, slots, None), self.language)

    @property
    def _words(self) -> Language:
        return self.split.wording.languages[self.language]

    def _unnamed(self, name: str) -> Words:
        return self._words.noun(self._phrase("<unnamed_sound>", name=name))


def _finished(line: str, text: str, language: str) -> str:
    # A plain text is the user's own.
    plain = all(isinstance(part, str) for part in parse(line))
    return text if plain else finished(text, language)


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class WordingConfig:
    """What may be said, in which languages.

    Attributes:
        files: wording files of your own, which add to that of the project (data_build/README.md).
        languages: language -> share of the streams in it. A conversation is in its own language.
    """

    files: tuple[str, ...] = ()
    languages: dict[str, NonNegativeFloat] = field(default_factory=lambda: {"en": 1.0})

    @property
    def main_language(self) -> str:
        """That of most streams."""
        return max(self.languages, key=self.languages.__getitem__)

    def __post_init__(self) -> None:
        if sum(self.languages.values()) <= 0:
            raise ValueError(f"languages: one share must be positive, got {self.languages}")

    def read(self) -> Wording:
        """The rules.

        Raises:
            UserError: if a file cannot be used, or a language has no rules.
        """
        found = wording(self.files, tuple(self.languages.items()))
        for code in self.languages:
            if code not in found.languages:
                known = ", ".join(found.languages)
                raise UserError(
                    f"wording.languages: there is no wording in {code!r}",
                    f"there is {known}; add a file of your own under wording.files",
                )
        return found


@lru_cache(maxsize=8)
def wording(files: tuple[str, ...] = (), weights: tuple[tuple[str, float], ...] = ()) -> Wording:
    """The wording of the project, with files of the user.

    Raises:
        UserError: if a file cannot be used.
    """
    languages: dict[str, Language] = {}
    for path in (*BUILT_IN, *files):
        language = read_language(path, languages)
        languages[language.code] = language
    return Wording(languages, dict(weights) or {"en": 1.0})


def english_name(language: str) -> str:
    """What a prompt calls a language; its code where nothing is known."""
    return wording().languages["en"].language_names.get(primary_language(language), language)


def needed_slots(line: str, wording: SplitWording, code: str) -> set[str]:
    """The slots that a line of a language may use."""
    return slot_names(parse(line), wording.wording.languages[code].rules)


def seeded(*parts: object) -> random.Random:
    """A generator for one text, which ``parts`` name."""
    return random.Random(int(digest(*parts), 16))
