"""What pydantic found wrong with a recipe, as lines for the person who wrote it."""

from __future__ import annotations

import dataclasses
import json
import types
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from soundflow.errors import nearest

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "path_type": "a path",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "dataclass_type": "a mapping",
    "none_required": "null",
}
_UNKNOWN_KEY = "unexpected_keyword_argument"


@dataclass(frozen=True)
class _Choice:
    """One alternative of a union that pydantic tried, and how far it came (more explains better).

    ``at`` is the key of the union, ``tag`` pydantic's name of the alternative.
    """

    at: str
    tag: str
    reached: int


@dataclass(frozen=True)
class _Mistake:
    """``hint`` is the type expected at ``key``; of an unknown key, the dataclass around it."""

    key: str
    hint: Any
    choices: tuple[_Choice, ...]
    error: ErrorDetails


def mistakes(schema: type[Any], error: ValidationError) -> list[str]:
    """One line a mistake: key, value, and what would be right."""
    found = [_located(schema, e) for e in error.errors(include_url=False)]
    best: dict[str, _Choice] = {}
    for choice in (c for m in found for c in m.choices):
        if choice.at not in best or choice.reached > best[choice.at].reached:
            best[choice.at] = choice
    shown = [m for m in found if all(best[c.at].tag == c.tag for c in m.choices)]
    return list(dict.fromkeys(map(_line, shown)))


def _line(mistake: _Mistake) -> str:
    key, error = mistake.key, mistake.error
    kind, value = error["type"], _short(error["input"])
    if kind == _UNKNOWN_KEY:
        known = [f.name for f in dataclasses.fields(mistake.hint) if f.init]
        written = str(error["loc"][-1])
        close = nearest(written, known) or _in_a_block(written, mistake.hint)
        tail = f"did you mean {close!r}?" if close else f"known: {', '.join(known)}"
        return f"{key}: unknown key (value {value}); {tail}"
    if get_origin(mistake.hint) is tuple and kind in ("missing", "too_long"):
        return f"{key}: expected {len(get_args(mistake.hint))} values, got {value}"
    if kind == "missing":
        return f"{key}: is missing"
    if kind in ("too_short", "string_too_short") and error["ctx"]["min_length"] == 1:
        return f"{key}: must not be empty"
    if kind == "value_error":
        return f"{key}: {error['ctx']['error']}" if key else str(error["ctx"]["error"])
    if kind == "literal_error":
        close = nearest(str(error["input"]), map(str, get_args(mistake.hint)))
        tail = f"; did you mean {close!r}?" if close else ""
        return f"{key}: {value} is not one of {error['ctx']['expected']}{tail}"
    if kind == "json_invalid":  # the only text that JSON cannot hold
        return "a value is not UTF-8 text"
    if kind in _EXPECTED:
        return f"{key or 'the recipe'}: expected {_EXPECTED[kind]}, got {value}"
    return f"{key}: {error['msg'].replace('Input should', 'must')}, got {value}"


def _located(schema: type[Any], error: ErrorDetails) -> _Mistake:
    """Follows pydantic's location through the types of the recipe."""
    key, hint, choices = "", schema, []
    steps = list(error["loc"][1:])  # the first is the place in the list around the recipe
    while steps:
        hint, step = _plain(hint), steps.pop(0)
        if _is_union(hint):
            tag = str(step)
            choices.append(_Choice(key, tag, _reached(error["type"], len(steps))))
            hint = next((o for o in get_args(hint) if _is_tagged(o, tag)), Any)
        elif error["type"] == _UNKNOWN_KEY and not steps:
            key = _join(key, step)  # and the hint stays that of the dataclass
        elif error["type"] == "missing" and not steps and isinstance(step, int):
            pass  # a tuple with too few values
        elif step != "[key]":  # the key of a mapping is called as its value is
            key, hint = _join(key, step), _inside(hint, step)
    return _Mistake(key, _plain(hint), tuple(choices), error)


def _in_a_block(name: str, schema: type[Any]) -> str | None:
    """``block.name``, if exactly one block of a dataclass has a setting of this name."""
    found = [
        _join(block.name, name)
        for block in dataclasses.fields(schema)
        if dataclasses.is_dataclass(hint := _plain(_inside(schema, block.name)))
        and name in {f.name for f in dataclasses.fields(hint) if f.init}
    ]
    return found[0] if len(found) == 1 else None


def _reached(kind: str, steps_left: int) -> int:
    """How much an alternative of a union explains: a mistake within it, a wrong value, a type."""
    if steps_left:
        return 3
    return 0 if kind in _EXPECTED else 1 if kind == "literal_error" else 2


def _plain(hint: Any) -> Any:
    """Without bounds, and without ``| None``."""
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    options = [o for o in get_args(hint) if o is not type(None)]
    if _is_union(hint) and len(options) == 1:
        return _plain(options[0])
    return hint


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _is_tagged(hint: Any, tag: str) -> bool:
    hint = _plain(hint)
    origin = get_origin(hint)
    name = "literal" if origin is Literal else getattr(origin or hint, "__name__", "")
    return tag == name or tag.startswith(f"{name}[")


def _inside(hint: Any, step: int | str) -> Any:
    if dataclasses.is_dataclass(hint):
        return get_type_hints(hint, include_extras=True)[str(step)]
    args = get_args(hint)
    if get_origin(hint) is tuple and isinstance(step, int) and args[-1] is not Ellipsis:
        return args[step]
    if isinstance(step, int):
        return args[0] if args else Any
    return args[1] if len(args) == 2 else Any


def _join(key: str, step: int | str) -> str:
    if isinstance(step, int):
        return f"{key}[{step}]"
    return f"{key}.{step}" if key else step


def _short(value: Any) -> str:
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 100 else f"{text[:70]} ... {text[-20:]}"
