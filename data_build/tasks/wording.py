"""The phrases of instructions and questions, and the length of replies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import yaml

_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
_PHRASES = Path(__file__).parent / "phrases.yaml"


@dataclass(frozen=True)
class InstructionWords:
    """The forms of an instruction, and the reply to a spoken one."""

    spoken: tuple[str, ...]
    reply: str
    written: tuple[str, ...] = ()


@dataclass(frozen=True)
class Phrases:
    """What is said to the assistant, by purpose."""

    instructions: dict[str, InstructionWords]
    questions: dict[str, tuple[str, ...]]
    languages: dict[str, str]


@lru_cache(maxsize=1)
def phrases() -> Phrases:
    """The phrases that come with the project."""
    tree = yaml.safe_load(_PHRASES.read_text(encoding="utf-8"))
    return Phrases(
        {
            name: InstructionWords(
                tuple(forms["spoken"]), forms["reply"], tuple(forms.get("written", ()))
            )
            for name, forms in tree["instructions"].items()
        },
        {name: tuple(forms) for name, forms in tree["questions"].items()},
        tree["languages"],
    )


def phrase(forms: Sequence[str], rng: np.random.Generator) -> str:
    """Any of ``forms``."""
    return forms[int(rng.integers(len(forms)))]


def language_name(code: str) -> str:
    """What a language is called; its code where nothing is known."""
    return phrases().languages.get(code.split("-")[0].lower(), code)


def shortened(text: str, max_words: int) -> str:
    """The leading sentences that fit ``max_words`` (at least a cut first one).

    Characters count as words where a text has no spaces.
    """
    kept = ""
    for sentence in _SENTENCE.split(text):
        longer = f"{kept} {sentence}".strip()
        if _words(longer) > max_words:
            break
        kept = longer
    if kept:
        return kept
    words = text.split()
    return " ".join(words[:max_words]) if len(words) > 1 else text[:max_words]


def _words(text: str) -> int:
    return max(len(text.split()), sum("\u4e00" <= c <= "\u9fff" for c in text))
