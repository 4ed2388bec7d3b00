"""Output folders: a command writes into a new or empty folder, or into one that it made itself.

Each output holds `soundflow.json`: which command made it, with which settings, and the names that
the command writes there. Nothing else in a folder is ever overwritten or removed.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundflow.atomic import remove_abandoned, write_text
from soundflow.errors import UserError
from soundflow.stored_json import parsed

MARKER = "soundflow.json"
_NOTED = ("command", "settings", "names", "kept")
_SHOWN = 8
_UNSET = "unset"
_DIGEST = re.compile(r"[0-9a-f]{32} [0-9a-f]{32}")  # of files that the settings name


@dataclass(frozen=True)
class Output:
    """What a command is about to write.

    Attributes:
        command: "build-data" and so on.
        settings: a plain tree of all that decides about the content.
        names: of the files and folders that it writes at the top of its output.
        kept: of these, what `claim` leaves there when it replaces: it fits any settings.
        may_grow: last names of settings whose number may rise without spoiling anything.
        results: glob of the files that other settings would spoil; before the first of them is
            there, settings may be corrected freely.
    """

    command: str
    settings: Mapping[str, Any]
    names: tuple[str, ...]
    kept: tuple[str, ...] = ()
    may_grow: tuple[str, ...] = ()
    results: str = "*"


def claim(folder: Path, output: Output, *, replace: bool = False) -> bool:
    """Makes ``folder`` the output of a command, before it writes anything else there.

    Args:
        replace: remove what the command made there with other settings.

    Returns:
        Whether the folder was the output of the same command already.

    Raises:
        UserError: as `examine`; with ``replace`` other settings are no reason.
    """
    found = examine(folder, output, replace=replace)
    if found is not None:
        remove_abandoned(folder)
    if found is not None and differences(found.settings, output.settings, output.may_grow):
        _remove(folder, found)
    noted = {k: getattr(output, k) for k in _NOTED}
    write_text(folder / MARKER, json.dumps(noted, indent=1) + "\n")
    return found is not None


def examine(folder: Path, output: Output, *, replace: bool = False) -> Output | None:
    """What the same command made in ``folder`` before, or None.

    Raises:
        UserError: if the folder holds anything foreign, belongs to another command, or was made
            with other settings.
    """
    require_a_place(folder)
    # Listed first: who shares the folder with us writes the marker before anything else.
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    found = read_output(folder)
    if found is None:
        _require_nothing_foreign(folder, entries, output.names)
        return None
    if found.command != output.command:
        raise UserError(
            f"{folder}: is the output of `soundflow {found.command}`", "choose another output"
        )
    changed = differences(found.settings, output.settings, output.may_grow)
    if changed and not replace and any(folder.glob(output.results)):
        raise UserError(
            f"{folder}: was made with other settings:{listed(changed)}",
            "choose another output, or use --replace to remove the existing output",
        )
    return found


def examined(folder: Path, output: Callable[[], Output]) -> str:
    """What `claim` would find, in words."""
    try:
        found = examine(folder, output())
    except UserError as error:
        between = "\n  " if "\n" in error.message else "; "
        return f"{error.message}{between}{error.hint}"
    return str(folder) if found is None else f"{folder}: the existing output is resumed"


def require_a_place(folder: Path) -> None:
    """Checks that ``folder`` may hold an output.

    Raises:
        UserError: if it is a file, the current folder, the home folder or a root.
    """
    if folder.parts and folder.parts[0].startswith("~"):
        raise UserError(f"output: {str(folder)!r}: '~' is not expanded here", "write it in full")
    try:
        where = folder.resolve()
    except (OSError, RuntimeError) as error:  # a link that leads to itself
        raise UserError(f"output: {str(folder)!r} cannot be reached", "name another") from error
    lived_in = {Path.cwd(): "the current folder", Path.home(): "the home folder"}
    for place, name in {**lived_in, Path(where.anchor): "the root of the file system"}.items():
        if where == place.resolve():
            raise UserError(f"output: {str(folder)!r} is {name}", "choose a subfolder")
    for part in (folder, *folder.parents):
        if part.is_symlink() and not part.exists():
            raise UserError(f"{part}: is a link to what is not there", "remove or correct the link")
        if part.exists() and not part.is_dir():
            raise UserError(f"{part}: is a file, not an output folder", "choose another output")


def require_new(folder: Path) -> None:
    """Checks that ``folder`` can be created as a whole by a result.

    Raises:
        UserError: if it is no place for an output, or is not empty.
    """
    require_a_place(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder}: is not empty", "name a new folder, or remove this one")


def _require_nothing_foreign(folder: Path, entries: list[Path], names: Sequence[str]) -> None:
    """Outputs of other commands may be in it, unless they use one of ``names``."""
    for entry in entries:
        ours = entry.name not in names and (entry / MARKER).is_file()
        if not ours and not entry.name.endswith(".partial"):
            raise UserError(
                f"{folder}: holds {entry.name!r}, which SoundFlow did not make",
                "choose a new or an empty folder",
            )


def read_output(folder: Path) -> Output | None:
    """What `claim` recorded in a folder; None if it recorded nothing.

    Raises:
        UserError: if the note is damaged.
    """
    file = folder / MARKER
    if not file.is_file():
        return None
    try:
        data = parsed(file.read_bytes())
        return Output(
            str(data["command"]), dict(data["settings"]), tuple(data["names"]), tuple(data["kept"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: cannot be read ({error})", "choose another output") from error


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], may_grow: Collection[str] = ()
) -> dict[str, str]:
    """Every setting that is not the same, as ``{"key.sub": "old -> new"}``.

    Those that both have come first: they were changed on purpose. One that a side lacks may be the
    consequence of another, or of a newer version.
    """
    old, new = dict(_flat(before, "")), dict(_flat(now, ""))
    pairs = {k: (old.get(k, _UNSET), new.get(k, _UNSET)) for k in dict.fromkeys((*old, *new))}
    changed = {
        k: "has other content" if _DIGEST.fullmatch(f"{a} {b}") else f"{_short(a)} -> {_short(b)}"
        for k, (a, b) in pairs.items()
        if a != b and not (k.rpartition(".")[2] in may_grow and _is_more(a, b))
    }
    return dict(sorted(changed.items(), key=lambda item: item[0] not in old or item[0] not in new))


def listed(changed: Mapping[str, str]) -> str:
    """The first few differences, each in a line of its own below what is said about them."""
    lines = [f"{k}: {v}" for k, v in list(changed.items())[:_SHOWN]]
    if len(changed) > _SHOWN:
        lines.append(f"and {len(changed) - _SHOWN} more")
    return "".join(f"\n  {line}" for line in lines)


def _is_more(before: Any, now: Any) -> bool:
    return isinstance(before, int | float) and isinstance(now, int | float) and now > before


def _flat(tree: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping) and tree:
        for name, value in tree.items():
            yield from _flat(value, f"{key}.{name}" if key else str(name))
    elif isinstance(tree, list | tuple) and any(isinstance(v, Mapping) for v in tree):
        # By name where all have one: then another entry before it changes no other key.
        names = [value.get("name") if isinstance(value, Mapping) else None for value in tree]
        named = None not in names and len(set(names)) == len(names)
        for index, value in enumerate(tree):
            yield from _flat(value, f"{key}[{names[index] if named else index}]")
    else:
        # As it reads back from JSON, so that a tuple equals its list.
        yield key, json.loads(json.dumps(tree))


def _short(value: Any) -> str:
    text = json.dumps(value) if not isinstance(value, str) else value or "''"
    return text if len(text) <= 60 else f"{text[:40]} ... {text[-12:]}"


def _remove(folder: Path, output: Output) -> None:
    for name in output.names:
        entry = folder / name
        if name in output.kept or name in (".", "..") or Path(name).name != name:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)
