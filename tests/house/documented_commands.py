"""Every command that a page, a recipe, a script or a help text tells the reader to type.

A command stands in backquotes, or from ``soundflow`` or ``sbatch`` to the end of its line; what
follows `` # `` is a comment. Square brackets of a synopsis mark what may be left out.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from soundflow.arguments import COMMANDS, parser

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("*.md", "docs/*.md", "*/README.md", "*/*/README.md", "recipes/**/*.yaml", "examples/*.py")
_START = rf"(?:soundflow +(?:{'|'.join(COMMANDS)})|sbatch .*slurm/\w+\.sbatch)\b"
_QUOTED = re.compile(rf"`({_START}[^`]*)`")
_OPEN = re.compile(rf"{_START}.*")
_OF_SCRIPT = {"build": "build-data", "train": "train", "evaluate": "evaluate"}


def documented() -> dict[str, str]:
    """Command line -> the place that shows it first."""
    found: dict[str, str] = {}
    for place, text in [*_pages(), *help_texts()]:
        joined = re.sub(r"\\\n(# *)?", "", text)
        for line in [*_QUOTED.findall(joined), *_OPEN.findall(_QUOTED.sub("", joined))]:
            command = " ".join(re.split(r" # |;|\)$", line)[0].split())
            found.setdefault(command, place)
    return found


def words_of(line: str) -> list[str]:
    """The words of a line after ``soundflow``; those of a batch script as it passes them on."""
    words = shlex.split(re.sub(r"(?<= )\[([^\]]*)\]", r"\1", line))
    if words[0] == "soundflow":
        return words[1:]
    at, script = next((k, Path(w).stem) for k, w in enumerate(words) if w.endswith(".sbatch"))
    return [_OF_SCRIPT[script], *words[at + 1 :]]


def _pages() -> list[tuple[str, str]]:
    files = sorted({file for pattern in PAGES for file in ROOT.glob(pattern)})
    texts = [(str(file.relative_to(ROOT)), file.read_text()) for file in files]
    for script in sorted(ROOT.glob("slurm/*.sbatch")):  # its head; the rest is its own
        head = re.findall(r"^#.*", script.read_text(), re.M)
        texts.append((f"slurm/{script.name}", "\n".join(head)))
    return texts


def help_texts() -> list[tuple[str, str]]:
    """(where, text) of the program, then of each command."""
    top = parser()
    (commands,) = (a.choices for a in top._actions if isinstance(a.choices, dict))
    texts = [(f"soundflow {name} --help", c.epilog) for name, c in commands.items()]
    return [("soundflow --help", top.description or ""), *texts]
