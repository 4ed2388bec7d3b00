"""YAML recipe -> frozen dataclasses, strictly; every mistake at once (spec: Config).

A recipe is refused before any work starts when a key is unknown, a type is wrong or a value is
impossible. OmegaConf reads the YAML and the overrides, pydantic checks the values against the types
and bounds of the dataclass fields, `soundflow.config.mistakes` words the errors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError
from yaml import YAMLError

from soundflow.config.mistakes import mistakes
from soundflow.config.settings import SETTINGS
from soundflow.errors import UserError

T = TypeVar("T")

_OVERRIDE_HINT = "key=value, key.sub=value in a block, key.0.sub=value in the first of a list"
_RECIPE_HINT = "`soundflow check RECIPE --all` shows every setting of a recipe"


def load(
    path: str | Path, schema: type[T], overrides: Sequence[str] = (), *, command: str | None = None
) -> T:
    """Reads a recipe.

    Args:
        path: a YAML file; ``${...}`` interpolation works as in OmegaConf.
        schema: a frozen dataclass; its ``__post_init__`` may raise ValueError for values that do
            not go together.
        overrides: ``key.sub=value`` words from the command line, applied last.
        command: the command that will run it; a recipe may set ``command:`` so that no other
            command runs it.

    Raises:
        UserError: listing every mistake, one a line.
    """
    return build(schema, read_recipe(path, overrides, command), str(path))


def read_recipe(
    path: str | Path, overrides: Sequence[str] = (), command: str | None = None
) -> dict[str, Any]:
    """The plain tree of a recipe for ``command``, without the key of that name; as `read_tree`.

    Raises:
        UserError: also if the recipe is for another command.
    """
    tree = read_tree(Path(path), overrides)
    meant = tree.pop("command", None)
    if meant is not None and command is not None and meant != command:
        raise UserError(
            f"{path}: is a recipe for `soundflow {meant}`, not for `{command}`",
            f"run `soundflow {meant} {path}`",
        )
    return tree


def load_or_open(
    source: str, schema: type[T], overrides: Sequence[str], command: str, given: Mapping[str, Any]
) -> T:
    """The settings of a command that takes a recipe, or a checkpoint in its place.

    Args:
        source: a recipe; any other name is the setting ``checkpoint``.
        given: settings by options of the command, applied last.

    Raises:
        UserError: listing every mistake, one a line.
    """
    if Path(source).suffix in (".yaml", ".yml"):
        tree, where = read_recipe(source, overrides, command), source
    else:
        where = f"soundflow {command}"
        tree = {"checkpoint": source, **tree_of(overrides, where)}
    return build(schema, {**tree, **given}, where)


def read_tree(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The plain tree of a recipe after interpolation and overrides, not validated yet.

    Raises:
        UserError: if the file cannot be read, is no YAML mapping, or an override is none.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder; expected a YAML file", "name the file")
    try:
        tree = OmegaConf.load(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such recipe", "see the folder recipes/") from error
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror or error})", "check the path"
        ) from error
    except (YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        raise UserError(f"{path}: {_reason(error)}", "correct the YAML") from error
    if not isinstance(tree, DictConfig):
        raise UserError(f"{path}: expected a mapping of keys to values", "see recipes/")
    return _resolved(tree, overrides, str(path))


def tree_of(overrides: Sequence[str], where: str) -> dict[str, Any]:
    """The tree that ``key.sub=value`` words make on their own."""
    return _resolved(OmegaConf.create({}), overrides, where)


def changed(tree: Mapping[str, Any], overrides: Sequence[str], where: str) -> dict[str, Any]:
    """A plain tree with ``key.sub=value`` words applied to it."""
    return _resolved(OmegaConf.create(dict(tree)), overrides, where)


def build(schema: type[T], tree: Mapping[str, Any], where: str, hint: str = _RECIPE_HINT) -> T:
    """A dataclass from a plain tree. ``where`` precedes every error message.

    Raises:
        UserError: listing every mistake, one a line.
    """
    try:
        text = json.dumps([tree])
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{where}: {_reason(error)}", "use text, numbers and lists") from error
    try:
        # In JSON a list may stand for a tuple and text for a path; nothing else is converted.
        (value,) = _adapter(cast(Any, schema)).validate_json(text, strict=True)
    except ValidationError as error:
        lines = "\n".join(f"{where}: {line}" for line in mistakes(schema, error))
        raise UserError(lines, hint) from None
    return cast(T, value)


@cache
def _adapter(schema: Any) -> TypeAdapter[tuple[Any]]:
    # Within a tuple, because a dataclass of the standard library takes its configuration from
    # what encloses it.
    return TypeAdapter(tuple[schema], config=SETTINGS)


def _resolved(tree: DictConfig, overrides: Sequence[str], where: str) -> dict[str, Any]:
    for word in overrides:
        _override(tree, word)
    try:
        plain = OmegaConf.to_container(tree, resolve=True, throw_on_missing=True)
    except (OmegaConfBaseException, RecursionError) as error:
        raise UserError(f"{where}: {_reason(error)}", "give it a value") from error
    return cast(dict[str, Any], plain)


def _override(tree: DictConfig, word: str) -> None:
    key, equals, text = word.partition("=")
    if not equals or not all(key.split(".")):
        raise UserError(f"override {word!r} is not key=value", _OVERRIDE_HINT)
    try:
        words = OmegaConf.from_dotlist([f"value={text}"])
        # What it refers to may stand in the recipe, so it is resolved there.
        value = OmegaConf.to_container(words, resolve=False, throw_on_missing=True)["value"]  # type: ignore[index,call-overload]
    except (YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        raise UserError(f"override {word!r}: {_reason(error)}", _OVERRIDE_HINT) from error
    try:
        # A mapping takes the place of what is there, as any other value does.
        OmegaConf.update(tree, key, value, merge=False, force_add=True)
    except (IndexError, ValueError) as error:
        raise UserError(f"override {word!r}: no such entry in that list", "count from 0") from error
    except (OmegaConfBaseException, RecursionError) as error:
        raise UserError(f"override {word!r}: {_reason(error)}", _OVERRIDE_HINT) from error


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "is nested too deeply, or refers to itself"
    if isinstance(error, UnicodeError):
        return "is not UTF-8 text"
    # OmegaConf adds lines about its own objects, and the name of Python's error.
    lines = str(error).split("full_key:")[0]
    lines = lines.rpartition("raised while resolving interpolation: ")[2].strip().strip('"')
    key = getattr(error, "full_key", None)
    return " ".join(f"{key}: {lines}".split() if key else lines.split())
