"""Facts that a speaker mentions: names, numbers, choices, times, places, found by rules.

Only personal statements count ("my sister Anna", "I need three eggs", "your order number is 4471"),
so that a question about one is never answered by common knowledge. How a fact is asked for, and the
answer, are rules of the wording: ``recall.NAME.ask`` and ``recall.NAME.answer``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from data_build.records import Dialogue
from soundflow.text.normalize import primary_language

FactKind = Literal["name", "number", "choice", "time", "place", "thing", "topic"]


@dataclass(frozen=True)
class Fact:
    """A statement of round ``round``.

    Attributes:
        key: what it is about; a later fact with the same key replaces an earlier one.
        name: of the rules of the wording that ask for it and answer.
        slots: of those rules; ``v`` is the value, which the answer holds.
    """

    round: int
    kind: FactKind
    key: str
    name: str
    slots: Mapping[str, str]

    @property
    def value(self) -> str:
        return self.slots["v"]

    @property
    def yours(self) -> dict[str, str]:
        """The slots as the assistant says them: what was the speaker's is theirs."""
        return {name: _MY.sub("your", value) for name, value in self.slots.items()}


@dataclass(frozen=True)
class Rule:
    """A pattern of statements.

    Its group ``v`` is the value; others (``s``, what it belongs to; ``w``, its verb) are slots as
    well, and so is ``base``, the infinitive of the verb. ``key`` is filled with all of them.
    """

    kind: FactKind
    name: str
    pattern: re.Pattern[str]
    key: str


_MY = re.compile(r"\bmy\b")
_CAP = r"[A-Z][\w'-]+(?: [A-Z][\w'-]+)?"
_NUM = (
    r"(?:\d[\d,.]*\d|\d|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|"
    r"fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|a dozen)"
)
_DAY = r"(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday|tomorrow|tonight)"
_CLOCK = (
    r"(?:noon|midnight|\d{1,2}(?::\d\d)?(?: ?[ap]\.?m\b\.?| o'clock)?|half past \w+|" + _NUM + r")"
)
_WHEN = rf"(?:(?:on |next )?{_DAY}(?: at {_CLOCK})?|(?:at|for) {_CLOCK}(?: on {_DAY})?)"
_KIN = (
    r"(?:older |younger |little |big |best )?(?:brother|sister|mother|father|mom|dad|son|daughter|"
    r"wife|husband|partner|friend|boss|neighbou?r|teacher|doctor|dentist|dog|cat|horse|parrot|"
    r"hamster|uncle|aunt|cousin|colleague|roommate|grandmother|grandfather)"
)
_EVENT = (
    r"(?:train|flight|bus|ferry|meeting|appointment|class|exam|party|interview|dinner|lunch|"
    r"concert|game|lesson|shift|wedding)"
)
_OWN = (
    r"(?:favou?rite \w+|(?:phone|room|flight|order|seat|locker|booking|reservation|gate|ticket|"
    r"case|account|license|table) number|address|budget|job|hometown|hobby|team)"
)
_SHORT = r"[\w$€£'-][\w$€£'.:-]*(?: [\w$€£'.:-]+){0,3}?"
_END = r"(?=[.,;!?]|$| and | but | so | because )"

_I = re.IGNORECASE


def _rule(kind: FactKind, name: str, pattern: str, key: str, flags: int = 0) -> Rule:
    return Rule(kind, name, re.compile(pattern, flags), key)


_ENGLISH = (
    _rule("name", "my_name", rf"\b[Mm]y name is (?P<v>{_CAP})", "my name"),
    _rule("name", "my_name", rf"\b(?:[Cc]all me|I am called|I'm called) (?P<v>{_CAP})", "my name"),
    _rule("name", "name_of", rf"\b[Mm]y (?P<s>{_KIN})(?:'s name is| is called| is named|,?) "
          rf"(?P<v>{_CAP})", "{s} name"),
    _rule("number", "my_age", rf"\bI(?:'m| am) (?P<v>{_NUM}|twenty-\w+|thirty-\w+|forty-\w+) "
          r"years old", "my age", _I),
    _rule("number", "age_of", rf"\b[Mm]y (?P<s>{_KIN}) is (?P<v>{_NUM}) years old", "{s} age"),
    _rule("number", "have", rf"\bI have (?:got )?(?P<v>{_NUM}) (?P<s>(?!(?:minute|hour|day|week|"
          r"month|year))[a-z]+s)\b", "have {s}", _I),
    _rule("number", "need", rf"\bI (?P<w>need|want) (?P<v>{_NUM}) (?P<s>[a-z]+s)\b", "{w} {s}",
          _I),
    _rule("number", "bought", rf"\bI (?:bought|ordered|got) (?P<v>{_NUM}) (?P<s>[a-z]+s)\b",
          "bought {s}", _I),
    _rule("choice", "prefer", rf"\bI prefer (?P<v>[a-z]+) (?:to|over) (?P<s>[a-z]+){_END}",
          "prefer {s}", _I),
    _rule("choice", "choice", rf"\b(?:I'll|I will|I'd like to|let's|I) (?:take|choose|pick|chose|"
          rf"picked|go with|went with) (?P<v>the [a-z]+(?: [a-z]+)?|[a-z]+ (?:one|room|car|seat|"
          rf"plan)){_END}", "my choice", _I),
    _rule("time", "leaves", rf"\b(?:[Mm]y|[Tt]he|[Oo]ur) (?P<s>{_EVENT}) (?P<w>leaves|starts|"
          rf"begins|departs) (?P<v>{_WHEN})", "{s} time"),
    _rule("time", "time_of", rf"\b(?:[Mm]y|[Oo]ur) (?P<s>{_EVENT}|birthday|anniversary) is "
          rf"(?P<v>{_WHEN}|(?:on|in) {_CAP}(?: \d+)?)", "{s} time"),
    _rule("time", "time_of", rf"\bI have (?:an?|my) (?P<s>(?:[a-z]+ )?{_EVENT}) (?P<v>{_WHEN})",
          "{s} time", _I),
    _rule("place", "home", rf"\bI live in (?P<v>{_CAP})", "my home"),
    _rule("place", "origin", rf"\bI(?:'m| am| come) from (?P<v>{_CAP})", "my origin"),
    _rule("place", "going", rf"\bI(?:'m| am) (?P<w>flying|travell?ing|moving|driving|going) to "
          rf"(?P<v>{_CAP})", "{w} to"),
    _rule("place", "left", rf"\bI (?P<w>parked|left|put|hid) my (?P<s>[a-z]+) (?P<p>(?:in|on|under|"
          rf"behind|near|next to) (?:the|my)) (?P<v>[a-z]+(?: [a-z]+)?){_END}", "where {s}", _I),
    _rule("thing", "allergy", rf"\bI(?:'m| am) allergic to (?P<v>{_SHORT}){_END}", "my allergy",
          _I),
    _rule("thing", "job", rf"\bI work as (?P<v>an? [a-z]+(?: [a-z]+)?){_END}", "my job", _I),
    _rule("thing", "own", rf"\b[Mm]y (?P<s>{_OWN}) is (?P<v>{_SHORT}){_END}", "{s}"),
)  # fmt: skip

# What the assistant states about the speaker's own affairs.
_ENGLISH_REPLY = (
    _rule("thing", "own", rf"\b[Yy]our (?P<s>{_OWN}) is (?P<v>{_SHORT}){_END}", "{s}"),
    _rule("time", "time_of", rf"\b[Yy]our (?P<s>{_EVENT}|table) is (?:booked )?(?P<v>{_WHEN})",
          "{s} time"),
    _rule("number", "total", r"\b[Tt]he total (?:is|comes to) (?P<v>[$€£]?\d[\d.,]*\d(?: \w+)?)",
          "total"),
)  # fmt: skip

_HAN = r"[\u4e00-\u9fff]"
_HAN_END = r"(?=[，。,.！!]|$)"
_HAN_NUM = r"(?:\d+|[一二两三四五六七八九十百]+)"
_MANDARIN = (
    _rule("name", "my_name", rf"我(?:的名字)?叫(?P<v>{_HAN}{{2,3}}?){_HAN_END}", "我的名字"),
    _rule("name", "name_of", r"我(?P<s>哥哥|姐姐|弟弟|妹妹|妈妈|爸爸|儿子|女儿|朋友|的狗|的猫)叫"
          rf"(?P<v>{_HAN}{{2,3}}?){_HAN_END}", "{s}的名字"),
    _rule("number", "my_age", rf"我今年(?P<v>{_HAN_NUM})岁", "年龄"),
    _rule("number", "have", rf"我(?P<w>有|买了|要|需要)(?P<v>{_HAN_NUM})(?P<c>[个只本张条台辆瓶杯])"
          rf"(?P<s>{_HAN}{{1,3}}?){_HAN_END}", "{w}{s}"),
    _rule("place", "home", rf"我住在(?P<v>{_HAN}{{2,6}}?){_HAN_END}", "住处"),
    _rule("choice", "choice", rf"我(?:选|选择|要选)(?P<v>{_HAN}{{1,6}}?){_HAN_END}", "选择"),
    _rule("thing", "allergy", rf"我对(?P<v>{_HAN}{{1,4}})过敏", "过敏"),
    _rule("thing", "favourite", rf"我最喜欢的(?P<s>{_HAN}{{1,3}})是(?P<v>{_HAN}{{1,6}}?){_HAN_END}",
          "最喜欢的{s}"),
)  # fmt: skip

# What the user says, and what the assistant says, by language.
OF_USER = {"en": _ENGLISH, "zh": _MANDARIN}
OF_ASSISTANT = {"en": _ENGLISH_REPLY}
_TOPIC = re.compile(
    r"\b(?:[Ww]hat|[Ww]ho|[Ww]hich|[Ww]here) (?:is|are|was|were) "
    r"(?P<v>(?!(?:that|this|it|those|these|there|here)\b)(?:the |an? )?[\w' -]{3,50})\?"
)
_BASE = {
    "leaves": "leave", "starts": "start", "begins": "begin", "departs": "depart",
    "parked": "park", "left": "leave", "put": "put", "hid": "hide",
}  # fmt: skip


def facts(dialogue: Dialogue) -> list[Fact]:
    """Every fact that still holds at the end of the dialogue, in the order of its rounds.

    Where a key was stated twice, only the last statement is left.
    """
    held: dict[str, Fact] = {}
    for fact in _stated(dialogue):
        held.pop(fact.key, None)
        held[fact.key] = fact
    return list(held.values())


def _stated(dialogue: Dialogue) -> Iterator[Fact]:
    code = primary_language(dialogue.language)
    for number, turn in enumerate(dialogue.turns):
        for rule in OF_USER.get(code, ()):
            yield from _matches(rule, turn.user, number)
        for rule in OF_ASSISTANT.get(code, ()):
            yield from _matches(rule, turn.assistant, number)
    first = _TOPIC.search(dialogue.turns[0].user) if dialogue.turns and code == "en" else None
    if first:
        yield Fact(0, "topic", "first question", "topic", {"v": first["v"].strip()})


def _matches(rule: Rule, text: str, number: int) -> Iterator[Fact]:
    for match in rule.pattern.finditer(text):
        slots = {name: word.strip() for name, word in match.groupdict().items() if word}
        slots["v"] = slots["v"].rstrip(".,;:")
        if base := _BASE.get(slots.get("w", "").lower()):
            slots["base"] = base
        yield Fact(number, rule.kind, rule.key.format(**slots).lower(), rule.name, slots)
