"""YAML recipe -> frozen dataclasses, strictly; every mistake at once (spec: Config).

A recipe is refused before any work starts when a key is unknown, a type is wrong or a value is
impossible; the message names file, key, value and the nearest right name.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from soundflow.errors import UserError, nearest

T = TypeVar("T")


def load(
    path: str | Path, schema: type[T], overrides: Sequence[str] = (), *, command: str | None = None
) -> T:
    """Reads a recipe.

    Args:
        path: a YAML file; ``${...}`` interpolation works as in OmegaConf.
        schema: a frozen dataclass; its ``__post_init__`` may raise ValueError for impossible
            values.
        overrides: ``key.sub=value`` words from the command line, applied last.
        command: the command that will run it; a recipe may say ``command:`` to be kept from
            running under another.

    Raises:
        UserError: listing every mistake, one a line.
    """
    file = Path(path)
    tree = read_tree(file, overrides)
    meant = tree.pop("command", None)
    if meant is not None and command is not None and meant != command:
        raise UserError(f"{file}: is a recipe for `soundflow {meant}`", f"not for `{command}`")
    return build(schema, tree, str(file))


def read_tree(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The plain tree of a recipe after interpolation and overrides, not validated yet."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder, a recipe is a YAML file", "name the file")
    try:
        tree = OmegaConf.load(path)
        if not isinstance(tree, DictConfig):
            raise UserError(f"{path}: a recipe is a mapping of keys to values", "see recipes/")
        words = [_check_override(word) for word in overrides]
        merged = OmegaConf.merge(tree, OmegaConf.from_dotlist(words))
        plain = OmegaConf.to_container(merged, resolve=True)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such recipe", "see the folder recipes/") from error
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}", "mend the YAML") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})", "check the path") from error
    return typing.cast(dict[str, Any], plain)


def build(schema: type[T], tree: Mapping[str, Any], where: str) -> T:
    """A dataclass from a plain tree. ``where`` stands before every mistake.

    Raises:
        UserError: listing every mistake, one a line.
    """
    mistakes: list[str] = []
    value = _dataclass(schema, tree, "", mistakes)
    if mistakes:
        lines = "\n".join(f"{where}: {m}" for m in mistakes)
        raise UserError(lines, "`soundflow check RECIPE` resolves a recipe without running it")
    return typing.cast(T, value)


def _check_override(word: str) -> str:
    key, equals, _ = word.partition("=")
    if not equals or not key:
        raise UserError(f"override {word!r} is not key.sub=value", "for example: train.lr=1e-4")
    return word


def _dataclass(schema: type[Any], tree: Any, key: str, mistakes: list[str]) -> Any:
    if not isinstance(tree, Mapping):
        mistakes.append(f"{key or 'the recipe'}: wants a mapping, got {tree!r}")
        return None
    fields = {f.name: f for f in dataclasses.fields(schema) if f.init}
    hints = get_type_hints(schema)
    before = len(mistakes)
    for name in tree:
        if name not in fields:
            close = nearest(str(name), fields)
            did_you_mean = f"did you mean {close!r}?" if close else f"known: {', '.join(fields)}"
            mistakes.append(
                f"{_join(key, name)}: unknown key (value {tree[name]!r}); {did_you_mean}"
            )
    values = {}
    for name, field in fields.items():
        if name in tree:
            values[name] = _value(hints[name], tree[name], _join(key, name), mistakes)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            mistakes.append(f"{_join(key, name)}: is missing")
    if len(mistakes) > before:
        return None
    try:
        return schema(**values)
    except ValueError as error:
        mistakes.append(f"{key + ': ' if key else ''}{error}")
        return None


def _value(hint: Any, value: Any, key: str, mistakes: list[str]) -> Any:
    origin = get_origin(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _union(get_args(hint), value, key, mistakes)
    if origin is typing.Literal:
        options = get_args(hint)
        if value not in options or isinstance(value, bool) not in {
            isinstance(o, bool) for o in options
        }:
            close = nearest(str(value), [str(o) for o in options])
            tail = f"; did you mean {close!r}?" if close else ""
            mistakes.append(f"{key}: {value!r} is not one of {list(options)}{tail}")
        return value
    if dataclasses.is_dataclass(hint):
        return _dataclass(typing.cast(type[Any], hint), value, key, mistakes)
    if origin in (tuple, list, Sequence):
        return _sequence(hint, value, key, mistakes)
    if origin in (dict, Mapping):
        return _mapping(hint, value, key, mistakes)
    return _scalar(hint, value, key, mistakes)


def _union(options: tuple[Any, ...], value: Any, key: str, mistakes: list[str]) -> Any:
    if value is None and type(None) in options:
        return None
    found: list[list[str]] = []
    for option in options:
        if option is type(None):
            continue
        tried: list[str] = []
        result = _value(option, value, key, tried)
        if not tried:
            return result
        found.append(tried)
    # The option that came furthest explains best: a mapping that fits a dataclass but for a key.
    mistakes.extend(sorted(found, key=len)[0])
    return None


def _sequence(hint: Any, value: Any, key: str, mistakes: list[str]) -> Any:
    if not isinstance(value, list | tuple):
        mistakes.append(f"{key}: wants a list, got {value!r}")
        return None
    args = get_args(hint)
    fixed = get_origin(hint) is tuple and not (len(args) == 2 and args[1] is Ellipsis)
    if fixed and len(value) != len(args):
        mistakes.append(f"{key}: wants {len(args)} values, got {value!r}")
        return None
    kinds = args if fixed else (args[0],) * len(value)
    pairs = zip(kinds, value, strict=True)
    items = [_value(k, v, f"{key}[{i}]", mistakes) for i, (k, v) in enumerate(pairs)]
    return tuple(items) if get_origin(hint) is tuple else items


def _mapping(hint: Any, value: Any, key: str, mistakes: list[str]) -> Any:
    if not isinstance(value, Mapping):
        mistakes.append(f"{key}: wants a mapping, got {value!r}")
        return None
    key_hint, value_hint = get_args(hint)
    return {
        _value(key_hint, k, f"{key} (key)", mistakes): _value(
            value_hint, v, _join(key, k), mistakes
        )
        for k, v in value.items()
    }


def _scalar(hint: Any, value: Any, key: str, mistakes: list[str]) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str):
        try:  # YAML 1.1 reads 1e-4 as a string
            return float(value)
        except ValueError:
            pass
    if hint is Path and isinstance(value, str):
        return Path(value)
    if not isinstance(value, hint) or (hint in (int, float) and isinstance(value, bool)):
        mistakes.append(f"{key}: wants {hint.__name__}, got {value!r} ({type(value).__name__})")
        return None
    return value


def _join(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)
