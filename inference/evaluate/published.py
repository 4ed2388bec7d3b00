"""Rows of published data sets: of the hub, of `Dataset.save_to_disk`, or of a folder of files.

::

    org/name                                of the hub, or a local folder of parquet files
    folder/state.json, dataset_dict.json    as `Dataset.save_to_disk` leaves it
    folder/metadata.jsonl                   a row for each file, with its ``file_name``

No audio is decoded, and none is held in memory: a row knows how to read its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from inference.evaluate.audio_items import AudioSource
from soundflow.errors import UserError

LISTED = "metadata.jsonl"


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        fields: its columns, without the audio.
        audio: reads its audio: the path of a file, or the bytes of one.
    """

    fields: Mapping[str, Any]
    audio: AudioSource


def read_rows(
    data: str,
    columns: Sequence[str],
    *,
    split: str = "test",
    subset: str | None = None,
    audio: str = "audio",
) -> list[Row]:
    """All rows, in the order of the data set.

    Args:
        data: a folder, or the id of a hub repository.
        columns: those that must be there.
        subset: the configuration of a hub repository that has several.
        audio: the column with the audio; folders of files name theirs ``file_name``.

    Raises:
        UserError: if there is no such data set, it has other columns, or no row.
    """
    folder = Path(data)
    if (folder / LISTED).is_file():
        listed = read_json_lines(folder / LISTED)
        _require_rows(data, len(listed))
        require_columns(data, listed[0], [*columns, "file_name"])
        return [Row(line, partial(Path, folder / line["file_name"])) for line in listed]
    stored = _stored(data, split, subset)
    _require_rows(data, len(stored))
    require_columns(data, stored.column_names, [*columns, audio])
    import datasets

    stored = stored.cast_column(audio, datasets.Audio(decode=False))
    fields = stored.remove_columns([audio])
    return [Row(f, partial(_stored_audio, stored, k, audio)) for k, f in enumerate(fields)]


def _require_rows(data: str, n: int) -> None:
    if not n:
        raise UserError(f"{data}: holds no row", "download it again, or name another split")


def require_columns(
    data: object, found: Sequence[str] | Mapping[str, Any], wanted: Sequence[str]
) -> None:
    """Raises:
    UserError: naming the columns that are not there.
    """
    missing = [name for name in wanted if name not in found]
    if missing:
        raise UserError(
            f"{data}: has no column {' and '.join(missing)}",
            f"its columns are {', '.join(found) or 'none'}; name the right ones in the recipe",
        )


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """A file with a JSON object in each line.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        return [dict(json.loads(line)) for line in lines if line.strip()]
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error!r})", "correct the file") from error


def _stored_audio(stored: Any, position: int, column: str) -> Path | bytes:
    found = stored[position][column]
    return bytes(found["bytes"]) if found["bytes"] else Path(found["path"])


def _stored(data: str, split: str, subset: str | None) -> Any:
    """A split of the hub or of a local copy."""
    import datasets

    folder = Path(data)
    if not folder.exists():
        _require_hub_id(data)
    try:
        if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
            stored = datasets.load_from_disk(data)
            return stored[split] if isinstance(stored, datasets.DatasetDict) else stored
        return datasets.load_dataset(data, subset, split=split)
    except (OSError, ValueError, KeyError, datasets.exceptions.DatasetsError) as error:
        said = " ".join(str(error).split())[:200]
        raise UserError(f"{data}: cannot be opened ({said})", "check its name and split") from error


def _require_hub_id(data: str) -> None:
    """What cannot be a repository is a folder that is not there: no server is asked for it."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(data)
    except HFValidationError as error:
        raise UserError(
            f"{data}: no such folder, and no id of a hub repository (owner/name)", "correct it"
        ) from error
