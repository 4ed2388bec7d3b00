"""The table of the intervention policy: which class of sound deserves what.

The rows of ``interventions.tsv``, and those of a file of the user's with the same columns.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import get_args

from data_build.records import PlannedReply, Verdict
from data_build.scenes.ontology import ontology
from data_build.wording.grammar import GrammarFault, parse
from soundflow.errors import UserError
from soundflow.protocol.tokens import EMOTIONS

CATEGORIES = ("distress", "hazard", "damage", "safety")
TABLE = Path(__file__).parent / "interventions.tsv"
_COLUMNS = ("class", "verdict", "category", "emotion", "words", "reason")


@dataclass(frozen=True)
class Row:
    """A row of the policy: a verdict and, where it is "respond", the reply.

    The text of the reply is a line of the grammar (`data_build.wording`).
    """

    verdict: Verdict
    category: str = ""
    reply: PlannedReply | None = None
    by: str = "rules"


@lru_cache(maxsize=1)
def built_in_rows() -> dict[str, Row]:
    """The rows of the project, by class."""
    return read_rows(TABLE, own=False)


def read_rows(path: Path, *, own: bool) -> dict[str, Row]:
    """The rows of a table; one of the user's ``own`` may name labels that are no classes.

    Raises:
        UserError: if the file cannot be read or a row of it is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"policy: {path}: cannot be read ({error})", "name a TSV file") from error
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    table: dict[str, Row] = {}
    for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
        fault = _fault(row)
        sound = ontology().find(row["class"]) if not fault else None
        name = sound.name if sound else row["class"]
        if not fault and sound is None and not own:
            fault = "is no class"
        if not fault and name in table:
            fault = "is given twice"
        if fault:
            columns = " ".join(_COLUMNS)
            raise UserError(
                f"policy: {path}: {row.get('class')!r} {fault}",
                f"the columns, between tabs, are: {columns}; see {TABLE}",
            )
        respond = row["verdict"] == "respond"
        table[name] = Row(
            row["verdict"],  # type: ignore[arg-type]
            row["category"] if respond else "",
            PlannedReply(row["words"], row["emotion"]) if respond else None,
            path.name if own else "rules",
        )
    return table


def _fault(row: Mapping[str, str | None]) -> str | None:
    if any(not isinstance(row.get(column), str) for column in _COLUMNS[:-1]):
        return f"lacks one of its {len(_COLUMNS) - 1} columns"
    if row["verdict"] not in get_args(Verdict):
        return f"has the verdict {row['verdict']!r}, not one of {', '.join(get_args(Verdict))}"
    if (row["category"] in CATEGORIES) != (row["verdict"] == "respond"):
        return f"has the category {row['category']!r}; it takes {', '.join(CATEGORIES)}, or -"
    if row["verdict"] == "respond":
        if row["emotion"] not in EMOTIONS or (row["words"] or "-") == "-":
            return "responds: it needs an emotion and words"
        try:
            parse(row["words"] or "")
        except GrammarFault as fault:
            return f"has words that are not of the grammar of data_build/wording: {fault}"
    return None
