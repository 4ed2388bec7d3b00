"""Facts that a speaker mentions: names, numbers, choices, times, places, found by rules.

Only personal statements count ("my sister Anna", "I need three eggs", "your order number is 4471"),
so that a question about one is never answered by common knowledge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from data_build.records import Dialogue

FactKind = Literal["name", "number", "choice", "time", "place", "thing", "topic"]


@dataclass(frozen=True)
class Fact:
    """A statement of round ``round`` as a question and its answer.

    ``key`` says what the fact is about: a later fact with the same key replaces an earlier one.
    """

    round: int
    kind: FactKind
    key: str
    value: str
    question: str
    answer: str


@dataclass(frozen=True)
class Rule:
    """``pattern`` has a group ``v`` (the value), and may have ``s`` (what it belongs to).

    Templates are filled with every group, and with ``base``, the infinitive of the verb ``w``.
    """

    kind: FactKind
    pattern: re.Pattern[str]
    key: str
    question: str
    answer: str


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


def _rule(
    kind: FactKind, pattern: str, key: str, question: str, answer: str, flags: int = 0
) -> Rule:
    return Rule(kind, re.compile(pattern, flags), key, question, answer)


_ENGLISH = (
    _rule("name", rf"\b[Mm]y name is (?P<v>{_CAP})", "my name", "What is my name?",
          "Your name is {v}."),
    _rule("name", rf"\b(?:[Cc]all me|I am called|I'm called) (?P<v>{_CAP})", "my name",
          "What is my name?", "Your name is {v}."),
    _rule("name", rf"\b[Mm]y (?P<s>{_KIN})(?:'s name is| is called| is named|,?) (?P<v>{_CAP})",
          "{s} name", "What is the name of my {s}?", "Your {s} is called {v}."),
    _rule("number", rf"\bI(?:'m| am) (?P<v>{_NUM}|twenty-\w+|thirty-\w+|forty-\w+) years old",
          "my age", "How old am I?", "You are {v} years old.", _I),
    _rule("number", rf"\b[Mm]y (?P<s>{_KIN}) is (?P<v>{_NUM}) years old", "{s} age",
          "How old is my {s}?", "Your {s} is {v} years old."),
    _rule("number", rf"\bI have (?:got )?(?P<v>{_NUM}) (?P<s>(?!(?:minute|hour|day|week|month|year)"
          rf")[a-z]+s)\b", "have {s}", "How many {s} do I have?", "You have {v} {s}.", _I),
    _rule("number", rf"\bI (?P<w>need|want) (?P<v>{_NUM}) (?P<s>[a-z]+s)\b", "{w} {s}",
          "How many {s} do I {w}?", "You {w} {v} {s}.", _I),
    _rule("number", rf"\bI (?:bought|ordered|got) (?P<v>{_NUM}) (?P<s>[a-z]+s)\b", "bought {s}",
          "How many {s} did I get?", "You got {v} {s}.", _I),
    _rule("choice", rf"\bI prefer (?P<v>[a-z]+) (?:to|over) (?P<b>[a-z]+){_END}", "prefer {b}",
          "What do I like better than {b}?", "You prefer {v}.", _I),
    _rule("choice", rf"\b(?:I'll|I will|I'd like to|let's|I) (?:take|choose|pick|chose|picked|"
          rf"go with|went with) (?P<v>the [a-z]+(?: [a-z]+)?|[a-z]+ (?:one|room|car|seat|plan))"
          rf"{_END}",
          "my choice", "Which one did I choose?", "You chose {v}.", _I),
    _rule("time", rf"\b(?:[Mm]y|[Tt]he|[Oo]ur) (?P<s>{_EVENT}) (?P<w>leaves|starts|begins|departs) "
          rf"(?P<v>{_WHEN})", "{s} time", "When does my {s} {base}?", "Your {s} {w} {v}."),
    _rule("time", rf"\b(?:[Mm]y|[Oo]ur) (?P<s>{_EVENT}|birthday|anniversary) is (?P<v>{_WHEN}|"
          rf"(?:on|in) {_CAP}(?: \d+)?)", "{s} time", "When is my {s}?", "Your {s} is {v}."),
    _rule("time", rf"\bI have (?:an?|my) (?P<s>(?:[a-z]+ )?{_EVENT}) (?P<v>{_WHEN})", "{s} time",
          "When is my {s}?", "Your {s} is {v}.", _I),
    _rule("place", rf"\bI live in (?P<v>{_CAP})", "my home", "Where do I live?",
          "You live in {v}."),
    _rule("place", rf"\bI(?:'m| am| come) from (?P<v>{_CAP})", "my origin", "Where am I from?",
          "You are from {v}."),
    _rule("place", rf"\bI(?:'m| am) (?P<w>flying|travell?ing|moving|driving|going) to "
          rf"(?P<v>{_CAP})",
          "{w} to", "Where am I {w} to?", "You are {w} to {v}."),
    _rule("place", rf"\bI (?P<w>parked|left|put|hid) my (?P<s>[a-z]+) (?P<p>(?:in|on|under|behind|"
          rf"near|next to) (?:the|my)) (?P<v>[a-z]+(?: [a-z]+)?){_END}", "where {s}",
          "Where did I {base} my {s}?", "You {w} your {s} {p} {v}.", _I),
    _rule("thing", rf"\bI(?:'m| am) allergic to (?P<v>{_SHORT}){_END}", "my allergy",
          "What am I allergic to?", "You are allergic to {v}.", _I),
    _rule("thing", rf"\bI work as (?P<v>an? [a-z]+(?: [a-z]+)?){_END}", "my job",
          "What do I do for a living?", "You work as {v}.", _I),
    _rule("thing", rf"\b[Mm]y (?P<s>{_OWN}) is (?P<v>{_SHORT}){_END}", "{s}", "What is my {s}?",
          "Your {s} is {v}."),
)  # fmt: skip

# What the assistant states about the speaker's own affairs.
_ENGLISH_REPLY = (
    _rule("thing", rf"\b[Yy]our (?P<s>{_OWN}) is (?P<v>{_SHORT}){_END}", "{s}",
          "What is my {s}?", "Your {s} is {v}."),
    _rule("time", rf"\b[Yy]our (?P<s>{_EVENT}|table) is (?:booked )?(?P<v>{_WHEN})", "{s} time",
          "When is my {s}?", "Your {s} is {v}."),
    _rule("number", r"\b[Tt]he total (?:is|comes to) (?P<v>[$€£]?\d[\d.,]*\d(?: \w+)?)", "total",
          "How much do I have to pay?", "The total is {v}."),
)  # fmt: skip

_HAN = r"[\u4e00-\u9fff]"
_HAN_END = r"(?=[，。,.！!]|$)"
_HAN_NUM = r"(?:\d+|[一二两三四五六七八九十百]+)"
_MANDARIN = (
    _rule("name", rf"我(?:的名字)?叫(?P<v>{_HAN}{{2,3}}?){_HAN_END}", "我的名字", "我叫什么名字？",
          "你叫{v}。"),
    _rule("name", r"我(?P<s>哥哥|姐姐|弟弟|妹妹|妈妈|爸爸|儿子|女儿|朋友|的狗|的猫)叫"
          rf"(?P<v>{_HAN}{{2,3}}?){_HAN_END}", "{s}的名字", "我{s}叫什么名字？", "你{s}叫{v}。"),
    _rule("number", rf"我今年(?P<v>{_HAN_NUM})岁", "年龄", "我今年多大？", "你今年{v}岁。"),
    _rule("number", rf"我(?P<w>有|买了|要|需要)(?P<v>{_HAN_NUM})(?P<c>[个只本张条台辆瓶杯])"
          rf"(?P<s>{_HAN}{{1,3}}?){_HAN_END}", "{w}{s}", "我{w}几{c}{s}？", "你{w}{v}{c}{s}。"),
    _rule("place", rf"我住在(?P<v>{_HAN}{{2,6}}?){_HAN_END}", "住处", "我住在哪里？",
          "你住在{v}。"),
    _rule("choice", rf"我(?:选|选择|要选)(?P<v>{_HAN}{{1,6}}?){_HAN_END}", "选择", "我选了什么？",
          "你选了{v}。"),
    _rule("thing", rf"我对(?P<v>{_HAN}{{1,4}})过敏", "过敏", "我对什么过敏？", "你对{v}过敏。"),
    _rule("thing", rf"我最喜欢的(?P<s>{_HAN}{{1,3}})是(?P<v>{_HAN}{{1,6}}?){_HAN_END}",
          "最喜欢的{s}", "我最喜欢的{s}是什么？", "你最喜欢的{s}是{v}。"),
)  # fmt: skip

_TOPIC = re.compile(
    r"\b(?:[Ww]hat|[Ww]ho|[Ww]hich|[Ww]here) (?:is|are|was|were) "
    r"(?P<v>(?:the |an? )?[\w' -]{3,50})\?"
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
    mandarin = dialogue.language.startswith("zh")
    for number, turn in enumerate(dialogue.turns):
        for rule in _MANDARIN if mandarin else _ENGLISH:
            yield from _matches(rule, turn.user, number)
        if not mandarin:
            for rule in _ENGLISH_REPLY:
                yield from _matches(rule, turn.assistant, number)
    first = _TOPIC.search(dialogue.turns[0].user) if dialogue.turns and not mandarin else None
    if first:
        about = first["v"].strip()
        answer = f"You asked about {about}."
        yield Fact(0, "topic", "first question", about, "What did I ask about first?", answer)


def _matches(rule: Rule, text: str, number: int) -> Iterator[Fact]:
    for match in rule.pattern.finditer(text):
        words = {name: word.strip() for name, word in match.groupdict().items() if word}
        words["v"] = words["v"].rstrip(".,;:")
        words["base"] = _BASE.get(words.get("w", "").lower(), "")
        yield Fact(
            round=number,
            kind=rule.kind,
            key=rule.key.format(**words).lower(),
            value=words["v"],
            question=rule.question.format(**words),
            answer=re.sub(r"\bmy\b", "your", rule.answer.format(**words)),
        )
