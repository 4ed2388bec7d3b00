"""Mandarin read aloud: amounts, dates, times, units and symbols as characters."""

from __future__ import annotations

import re

from data_build.speech.rewriting.rules import Rule, apart, rule
from soundflow.text.mandarin_numbers import LARGEST, say_digits, say_number

_NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_UNITS = {
    "km/h": "公里每小时", "km": "公里", "cm": "厘米", "mm": "毫米", "kg": "公斤", "mg": "毫克",
    "ml": "毫升", "mL": "毫升", "kWh": "千瓦时", "kW": "千瓦", "Hz": "赫兹", "GB": "吉字节",
    "MB": "兆字节", "m²": "平方米", "m2": "平方米", "km²": "平方公里", "°C": "摄氏度",
    "℃": "摄氏度",
    "°F": "华氏度", "°": "度", "m": "米", "g": "克", "L": "升", "W": "瓦", "V": "伏",
}  # fmt: skip
_MONEY = {
    "¥": "元",
    "￥": "元",
    "$": "美元",
    "€": "欧元",
    "£": "英镑",
    "US$": "美元",
    "HK$": "港元",
}
_MEASURES = "个只条张本件位次天年岁块元斤里家名种双对辆台杯碗瓶层间点分秒周倍口头匹棵支把座所部首"
_SYMBOLS = {
    "&": "和", "+": "加", "=": "等于", "×": "乘", "÷": "除以", "<": "小于", ">": "大于",
    "≤": "小于等于", "≥": "大于等于", "≈": "约等于", "±": "正负", "@": "艾特", "%": "百分号",
    "→": "到",
    "°": "度", "~": "到", "～": "到", "℃": "摄氏度", "#": "井号", "/": "或", "$": "美元", "¥": "元",
    "￥": "元", "€": "欧元", "£": "英镑", "²": "平方", "³": "立方", "★": "星",
}  # fmt: skip
_WIDE = {",": "，", ";": "；", ":": "：", "?": "？", "!": "！", ".": "。"}


def mandarin_rules() -> list[Rule]:
    units = "|".join(re.escape(u) for u in sorted(_UNITS, key=len, reverse=True))
    money = "|".join(re.escape(m) for m in sorted(_MONEY, key=len, reverse=True))
    scale = "(?P<scale>[十百千万亿]*)"
    return [
        rule("digits", "[０-９]+", lambda f: "".join(chr(ord(c) - 0xFEE0) for c in f[0])),
        rule(
            "date",
            r"(?<![\d-])(\d{4})[-/.](0?[1-9]|1[0-2])[-/.](0?[1-9]|[12]\d|3[01])(?![\d-])",
            lambda f: f"{say_digits(f[1])}年{say_number(int(f[2]))}月{say_number(int(f[3]))}日",
        ),
        rule(
            "years",
            r"(?<!\d)(\d{4})\s?[-–—~～至到]\s?(\d{4})\s?(?=年)",
            lambda f: f"{say_digits(f[1])}到{say_digits(f[2])}",
        ),
        rule(
            "year",
            r"(?<!\d)(\d{4}|\d{2})\s?(?=年(?!级|龄|以|之|来|后|前|内|间|的时间))",
            lambda f: say_digits(f[1]),
        ),
        rule("time", r"(?<![\d:])([01]?\d|2[0-4])[::]([0-5]\d)(?:[::][0-5]\d)?(?![\d:])", _time),
        rule(
            "telephone",
            r"(?<!\d)(?:1\d{10}|0\d{2,3}-?\d{7,8}|\d{3}-\d{4}-\d{4}|400-?\d{3}-?\d{4})(?!\d)",
            lambda f: say_digits(re.sub(r"\D", "", f[0])),
        ),
        rule(
            "percent",
            rf"(?P<minus>-)?(?P<n>{_NUMBER})\s?[%％]",
            lambda f: f"{'负' if f['minus'] else ''}百分之{_say(f['n'])}",
        ),
        rule(
            "currency",
            rf"(?P<sign>{money})\s?(?P<n>{_NUMBER}){scale}",
            lambda f: f"{_say(f['n'])}{f['scale']}{_MONEY[f['sign']]}",
        ),
        rule("range", rf"(?<![\d.])({_NUMBER})\s?[-–—~～]\s?(?={_NUMBER})(?!\d+-)", r"\1到"),
        rule(
            "fraction",
            r"(?<![\d/])(\d{1,3})/(\d{1,3})(?![\d/])",
            lambda f: f"{say_number(int(f[2]))}分之{say_number(int(f[1]))}",
        ),
        rule(
            "unit",
            rf"(?P<minus>-)?(?P<n>(?<![\d.]){_NUMBER})\s?(?P<unit>{units})(?![A-Za-z/²])",
            lambda f: f"{'负' if f['minus'] else ''}{_say(f['n'])}{_UNITS[f['unit']]}",
        ),
        rule("negative", rf"(?<![\d\w.])[-−](?={_NUMBER})", "负"),
        rule("number", rf"(?<![\d.])2\s?(?=[{_MEASURES}](?!月|日|号))", "两"),
        rule(
            "version",
            r"\d+(?:\.\d+){2,}",
            lambda f: "点".join(say_digits(p) for p in f[0].split(".")),
        ),
        rule("number", rf"{_NUMBER}", lambda f: _say(f[0])),
        rule("mark", r"[™®©†•·|\\{}\[\]^`*_]+", ""),
        rule("symbol", "[" + re.escape("".join(_SYMBOLS)) + "]", _symbol),
        rule(
            "punctuation",
            r"(?<=[\u4e00-\u9fff])\s*[,;:?!.]\s*(?=[\u4e00-\u9fff]|\Z)",
            lambda f: _WIDE[f[0].strip()],
        ),
        rule(
            "spacing", r"(?<=[\u3000-\u9fff\uff00-\uffef])\s+(?=[\u3000-\u9fff\uff00-\uffef])", ""
        ),
    ]


def _say(number: str) -> str:
    whole, _, part = number.replace(",", "").partition(".")
    spelt = len(whole) > 1 and whole.startswith("0")
    said = say_digits(whole) if spelt or int(whole) > LARGEST else say_number(int(whole))
    return f"{said}点{say_digits(part)}" if part else said


def _time(found: re.Match[str]) -> str:
    hour, minute = int(found[1]), int(found[2])
    said = ("两" if hour == 2 else say_number(hour)) + "点"
    if minute == 0:
        return said
    return f"{said}{'零' if minute < 10 else ''}{say_number(minute)}分"


def _symbol(found: re.Match[str]) -> str:
    before = found.string[found.start() - 1 : found.start()]
    # Between Latin letters a symbol is part of a name: keep the words apart there.
    return (
        apart(found, _SYMBOLS[found[0]])
        if before.isascii() and before.isalnum()
        else _SYMBOLS[found[0]]
    )
