"""English read aloud: amounts, dates, times, units, abbreviations and symbols as words."""

from __future__ import annotations

import re
from decimal import Decimal

from data_build.speech.rewriting import english_words as table
from data_build.speech.rewriting.english_words import digits, words, year
from data_build.speech.rewriting.rules import Rule, apart, rule


def english_rules() -> list[Rule]:
    """In order: what has a meaning as a whole comes before its parts."""
    return [*_dates_and_times(), *_amounts(), *_shortened_words(), *_numbers(), *_symbols()]


def _dates_and_times() -> list[Rule]:
    day = r"(?P<day>0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
    tail = r"(?:,?\s+(?P<year>[12]\d{3}))?(?!\d)"
    return [
        rule(
            "date",
            r"(?<![\w-])(?P<year>[12]\d{3})-(?P<month>0?[1-9]|1[0-2])-" + day + r"(?![\w-])",
            _date,
        ),
        rule(
            "date",
            r"(?<![\w/])(?P<a>\d{1,2})/(?P<b>\d{1,2})/(?P<year>[12]\d{3})(?![\w/])",
            _slashed,
        ),
        rule("date", rf"\b(?P<name>{table.MONTH_NAME})\s+{day}\b{tail}", _date),
        rule(
            "date",
            rf"(?<!\d)(?<!\d[.,:]){day}\s+(?:of\s+)?(?P<name>{table.MONTH_NAME})(?!\w){tail}",
            _date,
        ),
        rule(
            "time",
            r"(?<![\d:.])(?P<h>[01]?\d|2[0-4]):(?P<m>[0-5]\d)(?::[0-5]\d)?(?:\s?"
            + table.HALF
            + r")?(?![\d:])",
            _time,
        ),
        rule("time", r"(?<![\d:.,])(?P<h>1[0-2]|0?[1-9])(?P<m>)\s?" + table.HALF, _time),
        rule("time", r"\b([ap])\.m\.(?=\s|$|[,;])", lambda f: f[1].upper() + "M"),
        rule(
            "decade",
            r"(?<![\d,.])(?P<y>1[1-9]\d0|20\d0)['’]?s\b",
            lambda f: _plural(year(int(f["y"]))),
        ),
        rule(
            "years",
            rf"(?<![\d,.$€£])(?P<a>{table.YEAR})\s?[-–—]\s?(?P<b>{table.YEAR})(?![\d%]|,\d|\.\d)",
            lambda f: f"{year(int(f['a']))} to {year(int(f['b']))}",
        ),
        rule(
            "year",
            rf"(?i)\b(?P<before>{table.YEAR_BEFORE},?\s+)(?P<y>{table.YEAR})(?!\d|,\d|\.\d|\s?%|\s+(?:{table.COUNTED}))\b",
            lambda f: f["before"] + year(int(f["y"])),
        ),
    ]


def _amounts() -> list[Rule]:
    codes = "|".join(re.escape(c) for c in table.CURRENCY)
    marks = "".join(table.FRACTIONS)
    units = "|".join(re.escape(u) for u in sorted(table.UNITS, key=len, reverse=True))
    return [
        rule(
            "currency",
            rf"(?<!\w)(?:(?:US|C|A)(?=\$))?(?P<sign>{codes})\s?(?P<n>{table.NUMBER}){table.SCALE}(?![\d])",
            _currency,
        ),
        rule(
            "currency",
            rf"(?<![\w.,])(?P<n>{table.NUMBER}){table.SCALE}\s?(?P<sign>{codes})(?!\w)",
            _currency,
        ),
        rule(
            "percent",
            rf"(?P<n>(?<![\w.,]){table.NUMBER})\s?%",
            lambda f: f"{words(f['n'])} percent",
        ),
        rule(
            "temperature",
            rf"(?<![\w.])[-−](?P<n>{table.NUMBER})\s?(?P<unit>°[CF]?)(?!\w)",
            lambda f: f"minus {_unit(f)}",
        ),
        rule(
            "range",
            rf"(?<![\w.,-])(?P<a>{table.NUMBER})\s?[–—]\s?(?P<b>{table.NUMBER})(?![\w-])",
            lambda f: f"{f['a']} to {f['b']}",
        ),
        rule(
            "range",
            r"(?<![\w.,-])(?P<a>\d{1,3})-(?P<b>\d{1,3})(?![\w-]|\.\d)",
            lambda f: f"{f['a']} to {f['b']}",
        ),
        rule("unit", rf"(?<![\w.,])(?P<n>{table.NUMBER})\s?(?P<unit>{units})(?![\w/²³])", _unit),
        rule("fraction", r"(?<![\w./])(?P<a>\d{1,2})/(?P<b>\d{1,2})(?![\w/]|\.\d)", _fraction),
        rule(
            "fraction",
            rf"(?<![\w.,])(?P<n>\d+)\s?(?P<f>[{marks}])",
            lambda f: f"{words(f['n'])} and {table.FRACTIONS[f['f']]}",
        ),
        rule(
            "height",
            r"(?<![\w.,])(\d{1,2})['′’]\s?(\d{1,2})(?:[\"″”]|'')",
            lambda f: f"{words(f[1])} foot {words(f[2])}",
        ),
        rule("fraction", f"[{marks}]", lambda f: apart(f, table.FRACTIONS[f[0]])),
        rule(
            "score",
            r"(?<![\w:.])(\d{1,3}):(\d{1,3})(?![\w:])",
            lambda f: f"{words(f[1])} to {words(f[2])}",
        ),
    ]


def _shortened_words() -> list[Rule]:
    known = "|".join(re.escape(a) for a in sorted(table.ABBREVIATIONS, key=len, reverse=True))
    return [
        rule(
            "e-mail",
            r"\b([\w.+-]+)@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)\b",
            lambda f: f"{_dotted(f[1])} at {_dotted(f[2])}",
        ),
        rule("abbreviation", rf"(?<![\w.])(?:{known})(?=[\s,;:)]|$)", _abbreviation),
        rule("abbreviation", r"\bSt\.(?=\s+[A-Z])", "Saint"),
        rule("abbreviation", r"\bSt\.", "Street"),
        rule("abbreviation", r"\b[Nn]os?\.\s?(?=\d)", "number "),
        rule("abbreviation", r"(?<!\w)[Ww]/o(?!\w)", "without"),
        rule("abbreviation", r"(?<!\w)[Ww]/(?=\s)", "with"),
        rule("and or", r"\band/or\b", "and or"),
        rule(
            "Roman numeral",
            rf"\b(?P<word>{table.ROMAN_AFTER})\s+(?P<n>{'|'.join(table.ROMAN)})\b(?!['’.]\w)",
            _roman,
        ),
    ]


def _numbers() -> list[Rule]:
    return [
        rule(
            "ordinal",
            r"(?<![\w.,])(\d{1,3}(?:,\d{3})+|\d{1,12})(?:st|nd|rd|th)\b",
            lambda f: words(f[1].replace(",", ""), "ordinal"),
        ),
        rule(
            "telephone",
            r"(?<![\w.])(?:\+?\d{1,3}[\s.-])?(?:\(\d{2,4}\)\s?|\d{3}[\s.-])\d{3,4}[\s.-]\d{3,4}(?![\w.-]*\d)",
            _telephone,
        ),
        rule(
            "version",
            r"(?<![\w.])\d+(?:\.\d+){2,}(?!\w)",
            lambda f: " point ".join(
                words(p) if len(p) < 4 else digits(p) for p in f[0].split(".")
            ),
        ),
        rule("power", r"(?<=[\w)])\^2(?!\d)", " squared"),
        rule("power", r"(?<=[\w)])\^3(?!\d)", " cubed"),
        rule("power", r"(?<=[\w)])\^", " to the power of "),
        rule(
            "negative",
            rf"(?<![\w.)])\s?[-−](?={table.NUMBER})",
            lambda f: " minus " if f[0][0].isspace() else "minus ",
        ),
        rule("decimal", r"(?<![\w.])\.(?=\d)", "0."),
        rule("letters and digits", r"(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])", " "),
        rule("letters and digits", r"(?<=[A-Za-z])-(?=\d)|(?<=\d)-(?=[A-Za-z\d])", " "),
        rule("digits", r"(?<![\d.,])0\d+(?![\d.,]*\d)", lambda f: digits(f[0])),
        rule(
            "number",
            r"\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?",
            lambda f: apart(f, words(f[0])),
        ),
    ]


def _symbols() -> list[Rule]:
    return [
        rule("programming language", r"(?<!\w)([CF])#(?!\w)", r"\1 sharp"),
        rule("hashtag", r"(?<!\w)#(?=[A-Za-z])", ""),
        rule("slash", r"(?<=[A-Za-z])/(?=[A-Za-z])", " or "),
        rule("mark", r"[™®©†‡¶•·|\\{}\[\]^`*_]+", " "),
        rule(
            "symbol",
            "[" + re.escape("".join(table.SYMBOLS)) + "]",
            lambda f: apart(f, table.SYMBOLS[f[0]]),
        ),
        rule("minus", r"(?<=\s)[−-](?=\s)", "–"),
    ]


def _date(found: re.Match[str]) -> str | None:
    group = found.groupdict()
    if group.get("name"):
        month = next(m for m in table.MONTHS if m[:3].lower() == group["name"][:3].lower())
    else:
        month = table.MONTHS[int(group["month"]) - 1]
    said = f"{month} {words(int(group['day']), 'ordinal')}"
    return f"{said}, {year(int(group['year']))}" if group.get("year") else said


def _slashed(found: re.Match[str]) -> str | None:
    a, b = int(found["a"]), int(found["b"])
    month, day = (a, b) if a <= 12 else (b, a)
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    return f"{table.MONTHS[month - 1]} {words(day, 'ordinal')}, {year(int(found['year']))}"


def _time(found: re.Match[str]) -> str | None:
    hour, minute = int(found["h"]), int(found["m"] or 0)
    half = f" {found['half'].upper()}M" if found["half"] else ""
    if half and not 1 <= hour <= 12:
        half = ""
    if not half and (hour > 12 or hour == 0):
        half = " PM" if 12 < hour < 24 else " AM"
    said = words((hour - 1) % 12 + 1)
    if minute == 0:
        return said + (half or " o'clock")
    return f"{said} {'oh ' if minute < 10 else ''}{words(minute)}{half}"


def _currency(found: re.Match[str]) -> str:
    one, many, cent, cents = table.CURRENCY[found["sign"]]
    number = found["n"].replace(",", "")
    scale = found["scale"] or table.SCALES.get((found["letter"] or "").lower())
    if scale:
        return f"{words(number)} {scale} {many}"
    whole, _, part = number.partition(".")
    if len(part) not in (0, 2):
        return f"{words(number)} {many}"
    said = [f"{words(whole)} {one if int(whole) == 1 else many}"] if int(whole) or not part else []
    if part and int(part):
        said.append(f"{words(int(part))} {cent if int(part) == 1 else cents}")
    return " and ".join(said) or f"zero {many}"


def _unit(found: re.Match[str]) -> str:
    unit = table.UNITS[found["unit"]]
    number = found["n"].replace(",", "")
    if Decimal(number) != 1:
        first, *rest = unit.split(" ")
        if first in ("square", "cubic", "kilowatt"):
            rest[0] = _plural(rest[0])
        else:
            first = _plural(first)
        unit = " ".join((first, *rest))
    return f"{words(number)} {unit}"


def _plural(word: str) -> str:
    if word in table.IRREGULAR:
        return table.IRREGULAR[word]
    return word[:-1] + "ies" if word.endswith("y") else word + "s"


def _fraction(found: re.Match[str]) -> str | None:
    a, b = int(found["a"]), int(found["b"])
    if not 0 < a < b:
        return f"{words(a)} over {words(b)}"
    part = {2: "half", 4: "quarter"}.get(b) or words(b, "ordinal")
    if a > 1:
        part = "halves" if part == "half" else part + "s"
    return f"{words(a)} {part}"


def _telephone(found: re.Match[str]) -> str:
    parts = re.findall(r"\d+", found[0])
    return ("plus " if found[0].startswith("+") else "") + ", ".join(digits(p) for p in parts)


def _abbreviation(found: re.Match[str]) -> str:
    said = table.ABBREVIATIONS[found[0]]
    # "etc." and "Inc." may also end the sentence; the point is needed then.
    ends = found.end() == len(found.string)
    return f"{said}." if ends else said


def _roman(found: re.Match[str]) -> str | None:
    # "Part I" ends there; in "the Book I read" the I is a person.
    if found["n"] == "I" and re.match(r"\s+[a-z]", found.string[found.end() :]):
        return None
    return f"{found['word']} {words(table.ROMAN[found['n']])}"


def _dotted(name: str) -> str:
    return (
        name.replace(".", " dot ").replace("-", " dash ").replace("_", " ").replace("+", " plus ")
    )
