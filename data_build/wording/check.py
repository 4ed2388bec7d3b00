"""Checks of lines of the grammar: every rule that they name is there, every slot is given."""

from __future__ import annotations

from collections.abc import Mapping

from data_build.wording.grammar import (
    Choice,
    GrammarFault,
    Line,
    Rules,
    Slots,
    Unavailable,
    expand,
    named,
    parse,
    references,
)
from soundflow.errors import UserError, nearest

REMEDY = "data_build/README.md tells how to write wording of your own"


def check_rules(where: str, rules: Mapping[str, Choice], new: tuple[str, ...]) -> None:
    """Every rule that the ``new`` ones name is there, and none leads back to itself.

    Args:
        where: the file of the new rules.

    Raises:
        UserError: naming the rule that is wrong.
    """

    def walk(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            circle = " -> ".join((*above, name))
            raise UserError(f"{where}: rules lead in a circle: {circle}", REMEDY)
        for option in rules[name].options:
            for wanted in _wanted(f"{where}: {name}", option, rules):
                walk(wanted, (*above, name))

    for name in new:
        walk(name, ())


def check_line(where: str, line: str, rules: Rules, slots: Slots) -> None:
    """A line of the grammar can be said by these rules.

    Args:
        where: names the line: its file or setting.
        slots: an example of each that the line gets.

    Raises:
        UserError: if it is not of the grammar, names a rule that there is not, or needs another
            slot.
    """
    try:
        parts = parse(line)
    except GrammarFault as fault:
        raise UserError(f"{where}: {fault}", REMEDY) from fault
    _wanted(where, parts, rules)
    try:
        expand(parts, rules, slots, None)
    except Unavailable as missing:
        given = ", ".join(f"{{{name}}}" for name in slots) or "no slot"
        raise UserError(f"{where}: {line!r} needs {missing}; given is {given}", REMEDY) from missing


def _wanted(where: str, parts: Line, rules: Mapping[str, Choice]) -> dict[str, None]:
    """The names of the rules that a line may use by itself."""
    found: dict[str, None] = {}
    for reference in references(parts):
        meant = named(reference, rules)
        if not meant:
            close = nearest(str(reference), [f"<{name}>" for name in rules])
            tail = f"; did you mean {close}?" if close else ""
            raise UserError(f"{where}: there is no rule {reference}{tail}", REMEDY)
        found |= dict.fromkeys(meant)
    return found
