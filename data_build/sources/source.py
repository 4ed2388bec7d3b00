"""The settings of a corpus in a recipe, and the interface of a reader.

::

    SourceConfig ──▶ reader(config, report) ──▶ Clip | Dialogue, one after another
                                        └──▶ Drop for every row that cannot be used
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeVar

import pydantic.dataclasses
from annotated_types import MinLen
from pydantic import PositiveInt

from data_build.drops import Drop, Report
from data_build.records import Clip, ClipKind, Dialogue
from soundflow.config.settings import SETTINGS
from soundflow.errors import UserError, did_you_mean

T = TypeVar("T")

STEP = "sources"

# What a row of a generic corpus may say, and the names that it is looked for under.
FIELDS: dict[str, tuple[str, ...]] = {
    "path": (
        "path",
        "audio",
        "audio_path",
        "audio_filepath",
        "file",
        "file_name",
        "filename",
        "wav",
    ),
    "id": ("id", "utt_id", "key"),
    "text": ("text", "transcript", "transcription", "sentence", "normalized_text"),
    "label": ("label", "labels", "category", "class"),
    "caption": ("caption", "description"),
    "language": ("language", "lang", "locale"),
    "speaker": ("speaker", "speaker_id", "client_id", "spk"),
    "translation": ("translation",),
    "start": (
        "start",
        "start_s",
        "start_time",
        "begin",
        "begin_time",
        "onset",
        "start_ms",
        "offset",
    ),
    "end": ("end", "end_s", "end_time", "stop", "end_ms"),
    "duration": ("duration", "duration_s", "duration_ms"),
    "kind": ("kind",),
    "words": ("words",),
    "corpus": ("corpus", "source"),
    "licence": ("licence", "license"),
    "attribution": ("attribution", "author"),
}


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class SourceConfig:
    """One corpus of a recipe.

    Attributes:
        corpus: which reader; see `data_build.sources.catalogue.CORPORA`.
        root: the folder (or file) that holds the corpus; for ``huggingface`` also a hub name.
        split: the corpus' own name of a part ("train-clean-100", "XS", "dev", ...); None = all.
        subset: a further choice inside the corpus: a Hugging Face configuration, a folder.
        language: a language code, or "en_zh-CN" for a translation pair.
        limit: at most so many items, counted in corpus order.
        audio_root: where the audio is, if not under ``root``.
        cache: a folder for audio that is stored inside Parquet or Arrow files (``huggingface``).
        kind, licence: for the generic readers, whose rows may not say it themselves.
        check: whether an ASR model hears every recording of speech, and those are set aside that
            say something else than their text (`data_build.collect.transcripts`).
        columns: for the generic readers: our field -> the name it has in the corpus.

    Raises:
        ValueError: naming the field and its value.
    """

    corpus: str
    root: Annotated[str, MinLen(1)]
    split: str | None = None
    subset: str | None = None
    language: str | None = None
    limit: PositiveInt | None = None
    audio_root: str | None = None
    cache: str | None = None
    kind: ClipKind | None = None
    licence: str | None = None
    check: bool = False
    columns: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.columns:
            if name not in FIELDS:
                tail = did_you_mean(name, FIELDS)
                raise ValueError(f"columns.{name} is not a field of a clip; {tail}")


Reader = Callable[[SourceConfig, Report], Iterator[Clip | Dialogue]]


@dataclass(frozen=True)
class Corpus:
    """A reader and facts about its corpus.

    Attributes:
        yields: clip kinds, and "dialogue".
        tree: what must lie under ``root``.
        download: where it comes from.
    """

    read: Reader
    yields: tuple[str, ...]
    licence: str
    tree: str
    download: str


AS_STATED = "as the rows or the recipe say"


class BadRow(ValueError):
    """A row that cannot be used.

    Args:
        reason: becomes the reason of its `Drop`; the same words for the same fault, so that
            drops can be counted by it.
        about: what is specific to this row (a file name, a value); added to its place.
    """

    def __init__(self, reason: str, about: object = "") -> None:
        super().__init__(f"{reason}: {about}" if about != "" else reason)
        self.reason = reason
        self.about = " ".join(str(about).split())

    def drop(self, where: str) -> Drop:
        """The drop of the row at ``where``."""
        return Drop(
            STEP, f"{where} ({shortened(self.about)})" if self.about else where, self.reason
        )


def shortened(text: str, most: int = 200) -> str:
    """``text`` with its middle left out if it is long, and escaped if it cannot be written."""
    safe = text.encode(errors="backslashreplace").decode()
    return safe if len(safe) <= most else f"{safe[: most // 2]}...{safe[-most // 2 :]}"


def ignore(drop: Drop) -> None:
    """Reports nothing: another pass over the same rows does."""


def find_folder(config: SourceConfig, names: Sequence[str], expected: str) -> Path:
    """The first of ``names`` under the root that is a folder; "" means the root itself.

    Raises:
        UserError: if the root is missing or none is there; ``expected`` describes the tree.
    """
    root = Path(config.root).expanduser()
    if not root.is_dir():
        state = "is a file, not a folder" if root.exists() else "no such folder"
        raise UserError(f"{config.corpus}: root {root}: {state}", f"expected {expected}")
    for name in names:
        folder = root / name if name else root
        if folder.is_dir():
            return folder
    raise UserError(
        f"{config.corpus}: {root} holds none of {', '.join(repr(n) for n in names)}",
        f"expected {expected}",
    )


def the_only(config: SourceConfig, root: Path, what: str, found: Sequence[str], hint: str) -> str:
    """The one element of ``found``.

    Raises:
        UserError: listing what there is, if it is not one.
    """
    if len(found) != 1:
        there = ", ".join(found) or "none"
        raise UserError(f"{config.corpus}: {root} holds the {what}: {there}", hint)
    return found[0]


def find_file(config: SourceConfig, folder: Path, names: Sequence[str], expected: str) -> Path:
    """The first of ``names`` in ``folder`` that is a file.

    Raises:
        UserError: if none is there.
    """
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise UserError(
        f"{config.corpus}: {folder} has no {' or '.join(names)}", f"expected {expected}"
    )
