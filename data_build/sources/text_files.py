"""Corpora of text: files of JSON, JSON lines and Parquet, and their records as `Dialogue`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from data_build.drops import Report
from data_build.records import Dialogue, DialogueTurn, Origin
from data_build.sources.audio_refs import files_below
from data_build.sources.json_stream import documents
from data_build.sources.rows import Row, encodable, usable
from data_build.sources.source import (
    AS_STATED,
    BadRow,
    Corpus,
    SourceConfig,
)
from soundflow.errors import UserError

JSON_SUFFIXES = frozenset((".json", ".jsonl", ".gz"))
TEXT_SUFFIXES = JSON_SUFFIXES | {".parquet"}
_PACKED = frozenset((".zip", ".tar", ".tgz", ".7z", ".rar"))
# What publishers put beside the data.
_NOT_DATA = frozenset(("dataset_infos.json", "dataset_info.json", "state.json", "config.json"))
_USER = frozenset(("user", "human", "prompter", "question"))
_ASSISTANT = frozenset(("assistant", "gpt", "bot", "chatgpt", "moss", "model", "answer"))
_HAN = re.compile(r"[㐀-鿿]")
_LETTER = re.compile(r"[^\W\d_]")


def text_rows(path: Path, report: Report) -> Iterator[Row]:
    """The records of a file, in order."""
    if path.suffix == ".parquet":
        return parquet_rows(path, report)
    return documents(path, report)


def dialogue_corpus(
    origin: Origin | None,
    tree: str,
    download: str,
    parse: Callable[[Row], Sequence[tuple[str, str]]],
    rows_of: Callable[[Path, Report], Iterator[Row]] = text_rows,
    repeats: str = "",
) -> Corpus:
    """A corpus of conversations, a record each: ``parse`` gives its (role, text) pairs.

    ``parse`` raises `BadRow` for a record without them; its docstring says how the record looks.
    Without an ``origin`` the corpus is named after its folder, and the recipe says its licence.
    A file called ``repeats`` repeats the others: it is read only if it is the only one.
    """

    def read(config: SourceConfig, report: Report) -> Iterator[Dialogue]:
        root = text_root(config)
        own = origin or Origin(root.name or config.corpus, config.licence or "not stated")

        def make(row: Row) -> Dialogue:
            return dialogue(row_id(row, root), parse(row), own)

        paths = text_files(config, tree, report)
        paths = [p for p in paths if p.name != repeats] or paths
        for path in paths:
            yield from usable(rows_of(path, report), make, report)

    return Corpus(read, ("dialogue",), origin.licence if origin else AS_STATED, tree, download)


def text_root(config: SourceConfig) -> Path:
    """The folder that row ids are relative to."""
    root = Path(config.root).expanduser()
    return root if root.is_dir() else root.parent


def text_files(
    config: SourceConfig,
    expected: str,
    report: Report,
    suffixes: frozenset[str] = TEXT_SUFFIXES,
) -> list[Path]:
    """The data files under the root (or the root, if it is a file), sorted.

    ``subset`` names a folder under the root; ``split`` is a part of the file's path below it.

    Raises:
        UserError: if there is none; the message names an archive that was not unpacked.
    """
    root = Path(config.root).expanduser()
    if root.is_file():
        return [root]
    folder = root / config.subset if config.subset else root
    if not folder.is_dir():
        raise UserError(f"{config.corpus}: {folder}: no such folder", f"expected {expected}")
    found = [
        path
        for path in files_below(folder, report, suffixes)
        if path.name not in _NOT_DATA
        and (config.split is None or config.split in path.relative_to(folder).as_posix())
    ]
    if found:
        return found
    packed = next(files_below(folder, report, _PACKED), None)
    if packed is not None:
        raise UserError(f"{config.corpus}: {packed} is an archive", "unpack it there")
    wanted = f" whose path contains {config.split!r}" if config.split else ""
    raise UserError(
        f"{config.corpus}: {folder} has no {', '.join(sorted(suffixes))} file{wanted}",
        f"expected {expected}",
    )


def parquet_rows(path: Path, report: Report) -> Iterator[Row]:
    """The records of a Parquet file, some at a time; a damaged file is reported."""
    import pyarrow
    import pyarrow.parquet

    index = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=256):
                for record in batch.to_pylist():
                    yield Row(f"{path}[{index}]", record)
                    index += 1
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        report(BadRow("the file is truncated", error).drop(f"{path}[{index}]"))


def row_id(row: Row, root: Path) -> str:
    """The place of a row relative to the root of the corpus: a unique and stable id."""
    return row.where.removeprefix(f"{root}/")


def dialogue(name: str, messages: Sequence[tuple[str, str]], origin: Origin) -> Dialogue:
    """A dialogue from (role, text) pairs.

    System messages are left out, and so is a last question without an answer.

    Raises:
        BadRow: if the roles do not alternate from the user on, one is unknown, or a text is empty.
    """
    said: list[str] = []
    for role, text in messages:
        who = role.strip().lower()
        if who == "system":
            continue
        wanted = _ASSISTANT if len(said) % 2 else _USER
        if who not in wanted:
            raise BadRow(
                "its roles do not alternate",
                f"message {len(said)} is by {role!r}, not {min(wanted)!r}",
            )
        said.append(encodable(text.strip(), "message"))
    turns = tuple(
        DialogueTurn(user, assistant)
        for user, assistant in zip(said[0::2], said[1::2], strict=False)
    )
    if not turns:
        raise BadRow("holds no answered question")
    if not all(turn.user and turn.assistant for turn in turns):
        raise BadRow("holds an empty message")
    return Dialogue(name, turns, origin, language_of(" ".join(t.user for t in turns)))


def messages_of(row: Row, key: str, role: str, text: str) -> list[tuple[str, str]]:
    """(role, text) pairs from a list of records under ``key``.

    Raises:
        BadRow: if a record has another form.
    """
    return [(child.text(role), child.text(text)) for child in row.children(key)]


def alternating(texts: object) -> list[tuple[str, str]]:
    """A plain list of texts, the user's first.

    Raises:
        BadRow: if it is not that.
    """
    if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts):
        raise BadRow("data is not a list of texts")
    return [("assistant" if i % 2 else "user", text) for i, text in enumerate(texts)]


def field_text(record: Mapping[str, object], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str):
        raise BadRow(f"{key} is missing or not text")
    return value


def language_of(text: str) -> str:
    """ "zh" where at least three in ten letters are Han characters, else "en"."""
    letters = len(_LETTER.findall(text))
    return "zh" if letters and len(_HAN.findall(text)) >= 0.3 * letters else "en"
