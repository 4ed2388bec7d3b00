"""Tables of English reading, and numbers as words."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from num2words import num2words

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
MONTH_NAME = "|".join(f"{m}|{m[:3]}\\.?" for m in MONTHS) + r"|Sept\.?"
NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
SCALES = {"k": "thousand", "m": "million", "mn": "million", "bn": "billion", "b": "billion",
           "tn": "trillion", "t": "trillion"}  # fmt: skip
SCALE = r"(?:\s?(?P<scale>thousand|million|billion|trillion)\b|(?P<letter>[kmbtKMBT]|mn|bn|tn)\b)?"
CURRENCY = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "USD": ("US dollar", "US dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "EUR": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "GBP": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "sen", "sen"),
    "JPY": ("yen", "yen", "sen", "sen"),
    "CNY": ("yuan", "yuan", "fen", "fen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}
UNITS = {
    "km": "kilometer", "cm": "centimeter", "mm": "millimeter", "m": "meter", "mi": "mile",
    "ft": "foot", "yd": "yard", "kg": "kilogram", "g": "gram", "mg": "milligram",
    "lb": "pound", "lbs": "pound", "oz": "ounce", "l": "liter", "L": "liter", "ml": "milliliter",
    "mL": "milliliter", "s": "second", "sec": "second", "ms": "millisecond", "min": "minute",
    "mins": "minute", "h": "hour", "hr": "hour", "hrs": "hour", "Hz": "hertz", "kHz": "kilohertz",
    "MHz": "megahertz", "GHz": "gigahertz", "KB": "kilobyte", "kB": "kilobyte", "MB": "megabyte",
    "GB": "gigabyte", "TB": "terabyte", "W": "watt", "kW": "kilowatt", "kWh": "kilowatt hour",
    "V": "volt", "mph": "mile per hour", "km/h": "kilometer per hour", "kmh": "kilometer per hour",
    "m/s": "meter per second", "km²": "square kilometer", "m²": "square meter",
    "m2": "square meter", "km2": "square kilometer", "m³": "cubic meter", "dB": "decibel",
    "°C": "degree Celsius", "°F": "degree Fahrenheit", "°": "degree", "kcal": "kilocalorie",
    "Mbps": "megabit per second", "px": "pixel", "pt": "point", "K": "kelvin",
}  # fmt: skip
IRREGULAR = {"foot": "feet", "hertz": "hertz", "kelvin": "kelvin"}
ABBREVIATIONS = {
    "Mr.": "Mister", "Mrs.": "Missus", "Ms.": "Miz", "Dr.": "Doctor", "Prof.": "Professor",
    "Jr.": "Junior", "Sr.": "Senior", "Gen.": "General", "Capt.": "Captain", "Lt.": "Lieutenant",
    "e.g.": "for example", "i.e.": "that is", "etc.": "and so on", "vs.": "versus",
    "approx.": "approximately", "dept.": "department", "Dept.": "Department",
    "Inc.": "Incorporated", "Ltd.": "Limited", "Corp.": "Corporation", "Co.": "Company",
    "et al.": "and others", "a.k.a.": "also known as", "w.r.t.": "with respect to",
    "Ave.": "Avenue",
    "Blvd.": "Boulevard", "Rd.": "Road", "Mt.": "Mount", "Ph.D.": "PhD", "U.S.": "US", "U.K.": "UK",
    "E.g.": "For example", "I.e.": "That is",
}  # fmt: skip
ROMAN_AFTER = r"Chapter|Part|Volume|Book|Act|Scene|War|Phase|Type|Class|Section|Article|Episode"
ROMAN = {
    "I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6, "VII": 7, "VIII": 8, "IX": 9, "X": 10,
    "XI": 11, "XII": 12, "XIII": 13, "XIV": 14, "XV": 15, "XVI": 16, "XVII": 17, "XVIII": 18,
}  # fmt: skip
YEAR_BEFORE = (
    r"(?:in|since|by|from|until|till|during|after|before|around|circa|year|early|late|mid|of|and|to"
    r"|January|February|March|April|May|June|July|August|September|October|November|December"
    r"|spring|summer|autumn|fall|winter)"
)
# Nouns after which 1100-2099 is a quantity and not a year.
COUNTED = "people|years|days|times|dollars|euros|words|items|units|pages|steps"
YEAR = r"1[1-9]\d\d|20\d\d"
# am, pm, a.m., p.m.; the last point stays where it ends the sentence.
HALF = r"(?P<half>[AaPp])\.?[Mm]\b(?:\.(?!\s+[A-Z]|\s*\Z))?"
FRACTIONS = {"½": "one half", "⅓": "one third", "⅔": "two thirds", "¼": "one quarter",
              "¾": "three quarters", "⅛": "one eighth"}  # fmt: skip
SYMBOLS = {
    "&": "and", "@": "at", "+": "plus", "=": "equals", "<": "less than", ">": "greater than",
    "≤": "at most", "≥": "at least", "≠": "is not", "≈": "about", "~": "about",
    "±": "plus or minus",
    "×": "times", "÷": "divided by", "→": "to", "§": "section", "°": "degrees", "%": "percent",
    "$": "dollars", "€": "euros", "£": "pounds", "¥": "yen", "₹": "rupees", "/": "or",
    "#": "number",
    "²": "squared", "³": "cubed", "√": "square root of", "∞": "infinity", "π": "pi", "µ": "micro",
}  # fmt: skip


def words(value: str | int | Decimal, to: str = "cardinal") -> str:
    """A number as it is read in American English, without "and" and inner commas.

    Digits that are too many to be a quantity are read one by one.
    """
    text = str(value).replace(",", "")
    if not re.fullmatch(r"-?\d+(\.\d+)?", text) or len(text.split(".")[0]) > 15:
        return digits(text)
    if "." in text:
        whole, part = text.split(".")
        return f"{words(whole)} point {digits(part)}"
    said: Any = num2words(int(text), lang="en", to=to)
    return str(said).replace(",", "").replace(" and ", " ")


def digits(text: str) -> str:
    return " ".join(num2words(int(d), lang="en") for d in text if d.isdecimal())


def year(value: int) -> str:
    return str(num2words(value, lang="en", to="year")).replace(" and ", " ")
