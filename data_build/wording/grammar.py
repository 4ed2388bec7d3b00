"""A small grammar: one line of it stands for many texts.

::

    (Tell me|Say) when {sound} (is heard|can be heard)[, please].

    (a|b)      one of these            [a]     this or nothing
    {slot}     a value of the caller   {slot.the}         another form of it
    {s:is/are} by the number of the slot s
    <rule>     one of the texts of a rule of the language; its name may hold a slot: <pace_{pace}>
    a/an       "an" before a vowel     \\(      a character that has a meaning above

What needs a slot that the caller has not given is left out: an option, or one of the choices.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

SPECIAL = "()[]{}<>|\\"
_CHOICE_END = {"(": ")", "[": "]"}
_SLOT = re.compile(r"\{(?P<name>\w+)(?:\.(?P<form>\w+)|:(?P<one>[^/{}]*)/(?P<many>[^/{}]*))?\}")


class GrammarFault(ValueError):
    """A text that is not of the grammar."""


class Unavailable(Exception):
    """What a text needs has not been given."""


@dataclass(frozen=True)
class Words:
    """The value of a slot.

    Attributes:
        forms: others of its forms, as ``the``.
        many: whether a verb that goes with it is a plural.
    """

    text: str
    forms: Mapping[str, str] = field(default_factory=dict)
    many: bool = False


Slots = Mapping[str, Words]


@dataclass(frozen=True)
class Slot:
    """``{name}``; with ``one`` and ``many``, whichever goes with the number of the slot."""

    name: str
    form: str | None = None
    one: str = ""
    many: str = ""
    by_number: bool = False

    def of(self, slots: Slots) -> str:
        words = slots.get(self.name)
        if words is None:
            raise Unavailable(self.name)
        if self.by_number:
            return self.many if words.many else self.one
        if self.form is None:
            return words.text
        if self.form not in words.forms:
            raise Unavailable(f"{self.name}.{self.form}")
        return words.forms[self.form]


@dataclass(frozen=True)
class Reference:
    """``<name>``; the parts of the name are text and slots."""

    parts: tuple[str | Slot, ...]

    def name(self, slots: Slots) -> str:
        return "".join(part if isinstance(part, str) else part.of(slots) for part in self.parts)

    def __str__(self) -> str:
        """As a text has it."""
        parts = (p if isinstance(p, str) else f"{{{p.name}}}" for p in self.parts)
        return f"<{''.join(parts)}>"


@dataclass(frozen=True)
class Choice:
    """One of the options; the first is the plainest."""

    options: tuple[Line, ...]


Part = str | Slot | Reference | Choice
Line = tuple[Part, ...]


class Rules(dict[str, Choice]):
    """The rules of a language by name."""

    def __init__(self, rules: Mapping[str, Choice]) -> None:
        super().__init__(rules)
        self._sizes: dict[Line, int] = {}

    def size(self, line: Line) -> int:
        """How many texts a line stands for, as `count` has it."""
        if line not in self._sizes:
            self._sizes[line] = count(line, self)
        return self._sizes[line]

    def weight(self, line: Line) -> float:
        """How often a line is chosen among others: by the square root of what it stands for.

        A line of one text among lines of thousands would else be most, or none, of what is said.
        """
        return math.sqrt(self.size(line))


def choice(texts: Sequence[str]) -> Choice:
    """The rule that ``texts`` are the alternatives of.

    Raises:
        GrammarFault: naming the text that cannot be read.
    """
    return Choice(tuple(parse(text) for text in texts))


@lru_cache(maxsize=4096)
def parse(text: str) -> Line:
    """The parts of a text.

    Raises:
        GrammarFault: if a bracket is not closed, or not opened, or a slot has no name.
    """
    parts, at = _sequence(text, 0, "")
    if at != len(text):
        raise GrammarFault(f"{text!r}: {text[at]!r} at character {at} closes nothing")
    return parts


def literal(text: str) -> str:
    """The text that stands for ``text`` itself."""
    return re.sub(f"[{re.escape(SPECIAL)}]", lambda found: "\\" + found[0], text)


def expand(parts: Line, rules: Rules, slots: Slots, rng: random.Random | None) -> str:
    """One text; without a generator the plainest: the first choices, no options.

    Raises:
        Unavailable: if it needs a slot that is not given, or a rule that there is not.
    """
    out = []
    for part in parts:
        if isinstance(part, str):
            out.append(part)
        elif isinstance(part, Slot):
            out.append(part.of(slots))
        elif isinstance(part, Reference):
            name = part.name(slots)
            if name not in rules:
                raise Unavailable(name)
            out.append(_chosen(rules[name], rules, slots, rng))
        else:
            out.append(_chosen(part, rules, slots, rng))
    return "".join(out)


def count(parts: Line, rules: Rules) -> int:
    """How many expansions there are where every slot has one value; a few of them may be equal."""
    return math.prod(_count(part, rules) for part in parts)


def references(parts: Line) -> list[Reference]:
    """The rules that a text refers to by itself, in order."""
    found: list[Reference] = []
    for part in parts:
        if isinstance(part, Reference):
            found.append(part)
        elif isinstance(part, Choice):
            for option in part.options:
                found += references(option)
    return found


def named(reference: Reference, rules: Mapping[str, Choice]) -> dict[str, Choice]:
    """The rules that a reference may mean, whatever the value of a slot in its name."""
    pattern = "".join(re.escape(p) if isinstance(p, str) else r"\w+" for p in reference.parts)
    return {name: rule for name, rule in rules.items() if re.fullmatch(pattern, name)}


def slot_names(parts: Line, rules: Rules) -> set[str]:
    """The names of the slots that any expansion uses."""
    found: set[str] = set()
    for part in parts:
        if isinstance(part, Slot):
            found.add(part.name)
        elif isinstance(part, Reference):
            found |= {p.name for p in part.parts if isinstance(p, Slot)}
            for choice_ in named(part, rules).values():
                found |= set[str]().union(*(slot_names(o, rules) for o in choice_.options))
        elif isinstance(part, Choice):
            found |= set[str]().union(*(slot_names(o, rules) for o in part.options))
    return found


def _chosen(of: Choice, rules: Rules, slots: Slots, rng: random.Random | None) -> str:
    options = list(of.options)
    while options:
        at = 0
        if rng is not None:
            weights = [rules.weight(option) for option in options]
            (at,) = rng.choices(range(len(options)), weights)
        try:
            return expand(options.pop(at), rules, slots, rng)
        except Unavailable as missing:
            last = missing
    raise last


def _count(part: Part, rules: Rules) -> int:
    if isinstance(part, Choice):
        return sum(count(option, rules) for option in part.options)
    if isinstance(part, Reference):
        return sum(sum(count(o, rules) for o in c.options) for c in named(part, rules).values())
    return 1


def _sequence(text: str, at: int, closing: str) -> tuple[Line, int]:
    parts: list[Part] = []
    plain = ""
    while at < len(text) and text[at] not in closing:
        character = text[at]
        if character == "\\" and at + 1 < len(text):
            plain, at = plain + text[at + 1], at + 2
            continue
        if character not in SPECIAL:
            plain, at = plain + character, at + 1
            continue
        if plain:
            parts.append(plain)
            plain = ""
        part, at = _part(text, at)
        parts.append(part)
    if plain:
        parts.append(plain)
    return tuple(parts), at


def _part(text: str, at: int) -> tuple[Part, int]:
    opening = text[at]
    if opening in _CHOICE_END:
        end = _CHOICE_END[opening]
        options: list[Line] = [()] if opening == "[" else []
        start = at
        at += 1
        while True:
            option, at = _sequence(text, at, end + "|")
            options.append(option)
            if at >= len(text):
                raise GrammarFault(f"{text!r}: {opening!r} at character {start} is not closed")
            at += 1
            if text[at - 1] == end:
                return Choice(tuple(options)), at
    if opening == "{":
        return _slot(text, at)
    if opening == "<":
        return _reference(text, at)
    raise GrammarFault(f"{text!r}: {opening!r} at character {at} closes nothing")


def _slot(text: str, at: int) -> tuple[Slot, int]:
    found = _SLOT.match(text, at)
    if found is None:
        raise GrammarFault(f"{text!r}: no slot at character {at}; write {{name}} or {{name.form}}")
    one, many = found["one"], found["many"]
    slot = Slot(found["name"], found["form"], one or "", many or "", one is not None)
    return slot, found.end()


def _reference(text: str, at: int) -> tuple[Reference, int]:
    end = text.find(">", at)
    if end < 0:
        raise GrammarFault(f"{text!r}: '<' at character {at} is not closed")
    parts: list[str | Slot] = []
    inner, place = text[at + 1 : end], 0
    while place < len(inner):
        if inner[place] == "{":
            slot, place = _slot(inner, place)
            parts.append(slot)
        else:
            stop = inner.find("{", place)
            stop = len(inner) if stop < 0 else stop
            parts.append(inner[place:stop])
            place = stop
    return Reference(tuple(parts)), end + 1
