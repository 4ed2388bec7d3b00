"""Any Hugging Face dataset, from the hub or a local folder, streamed."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_build.drops import Report
from data_build.records import Clip, Dialogue, Origin, Recorded
from data_build.sources.audio_refs import audio_file, written_path
from data_build.sources.dialogue import question_and_answer
from data_build.sources.manifest import clip_of, span_of
from data_build.sources.rows import Row, usable
from data_build.sources.source import (
    AS_STATED,
    FIELDS,
    BadRow,
    Corpus,
    SourceConfig,
)
from data_build.sources.text_files import dialogue, messages_of
from soundflow.atomic import atomic_write
from soundflow.audio.files import AUDIO_SUFFIXES
from soundflow.errors import UserError

_MAGIC = (
    (b"RIFF", ".wav"), (b"fLaC", ".flac"), (b"OggS", ".ogg"), (b"ID3", ".mp3"),
    (b"\xff\xfb", ".mp3"), (b"\xff\xf3", ".mp3"), (b"\xff\xf2", ".mp3"),
)  # fmt: skip


def huggingface(config: SourceConfig, report: Report) -> Iterator[Clip | Dialogue]:
    """A dataset for the `datasets` library.

    ``root`` is a hub name ("owner/name"), a folder of Parquet, JSON, CSV or audio files, or what
    ``save_to_disk`` wrote; ``subset`` its configuration, ``split`` its split (default "train").
    A row with audio becomes a clip: columns by their usual names or by ``columns``, class labels
    by name, the rest in ``notes``. A row of text becomes a dialogue: ``messages`` (role, content),
    ``conversations`` (from, value), or a question with its answer. Audio is never decoded here;
    audio inside a Parquet or Arrow file is written once to ``cache`` under the hash of its bytes.
    """
    dataset = _open(config)
    features: Mapping[str, Any] = dataset.features or {}
    kinds = {name: type(feature).__name__ for name, feature in features.items()}
    typed = [name for name, kind in kinds.items() if kind == "Audio"]
    for name in typed:
        from datasets import Audio

        dataset = dataset.cast_column(name, Audio(decode=False))
    classes = {n: features[n] for n, kind in kinds.items() if kind == "ClassLabel"}
    origin = Origin(Path(config.root).name, config.licence or _licence(dataset))
    label = f"{Path(config.root).name}:{config.split or 'train'}"

    def make(row: Row) -> Clip | Dialogue:
        data = {**row.data, **{n: _class_name(c, row.data.get(n)) for n, c in classes.items()}}
        named = Row(row.where, data)
        column = _audio_column(config, data, typed)
        if column is None:
            return _text(named, origin)
        start_s, end_s, length_s = span_of(config, named)
        audio, name = _audio(config, data.pop(column), start_s, end_s)
        # Rows may share a file name; the place in the dataset is unique.
        place = row.where.removeprefix(f"{label} ")
        return clip_of(config, named, audio, f"{place}/{name}" if name else place, origin, length_s)

    yield from usable(_rows(dataset, label, report), make, report)


def _open(config: SourceConfig) -> Any:
    import datasets

    root = Path(config.root).expanduser()
    split = config.split or "train"
    hint = "check root, subset and split; a hub name needs the network and access rights"
    try:
        if (root / "state.json").is_file():
            return datasets.load_from_disk(str(root)).to_iterable_dataset()
        if (root / "dataset_dict.json").is_file():
            return datasets.load_from_disk(str(root))[split].to_iterable_dataset()
        place = str(root) if root.exists() else config.root
        return datasets.load_dataset(place, config.subset, split=split, streaming=True)
    except Exception as error:  # the library raises many kinds, each for a wrong root or name
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"huggingface: {config.root} ({split}): {reason[:300]}", hint) from error


def _rows(dataset: Any, label: str, report: Report) -> Iterator[Row]:
    for shard in range(dataset.num_shards):
        index = -1
        items = iter(dataset.shard(dataset.num_shards, shard))
        while True:
            try:
                item = next(items)
            except StopIteration:
                break
            except ImportError as error:
                raise UserError(
                    f"huggingface: {label}: {error}",
                    "install it, or read a folder of audio with metadata.csv or metadata.jsonl by "
                    "corpus: manifest",
                ) from error
            except Exception as error:  # damaged files raise whatever their decoder raises
                where = f"{label} {shard}-{index + 1}"
                report(BadRow("the shard is truncated", error).drop(where))
                break
            index += 1
            yield Row(f"{label} {shard}-{index}", item)


def _audio_column(config: SourceConfig, row: Mapping[str, Any], typed: Sequence[str]) -> str | None:
    """The column with the audio: the recipe's, a typed one, or a usual name that holds a file."""
    chosen = config.columns.get("path")
    if chosen:
        if chosen not in row:
            raise BadRow(f"has no column {chosen!r}")
        return chosen
    if any(isinstance(v, Mapping) and "array" in v for v in row.values()):
        raise BadRow("its audio is an array of samples; save the dataset with its audio as files")
    usual = (n for n in FIELDS["path"] if _names_audio(row.get(n)))
    return next(itertools.chain(typed, usual), None)


def _names_audio(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "bytes" in value or "path" in value
    return isinstance(value, str) and Path(value).suffix.lower() in AUDIO_SUFFIXES


def _audio(
    config: SourceConfig, value: Any, start_s: float, end_s: float | None
) -> tuple[Recorded, str]:
    """(reference, file name without suffix or "") of an audio cell."""
    content = value.get("bytes") if isinstance(value, Mapping) else None
    path = value.get("path") if isinstance(value, Mapping) else value
    written = path if isinstance(path, str) else ""
    name = Path(written.split("::")[0]).stem
    if isinstance(content, bytes) and content:
        return audio_file(_materialised(config, content), start_s, end_s), name
    if not written:
        raise BadRow("its audio has neither bytes nor a path")
    base = Path(config.audio_root or config.root).expanduser()
    return audio_file(written_path(written, base), start_s, end_s), name


def _materialised(config: SourceConfig, content: bytes) -> Path:
    if config.cache is None:
        raise UserError(
            f"huggingface: the audio of {config.root} is stored inside its data files",
            "set cache to a folder for the extracted recordings",
        )
    digest = hashlib.sha256(content).hexdigest()
    suffix = next((s for magic, s in _MAGIC if content.startswith(magic)), ".audio")
    path = Path(config.cache).expanduser() / digest[:2] / f"{digest}{suffix}"
    if not path.is_file():
        with atomic_write(path) as file:
            file.write(content)
    return path


def _text(row: Row, origin: Origin) -> Dialogue:
    name = row.where
    if isinstance(row.data.get("messages"), list):
        return dialogue(name, messages_of(row, "messages", "role", "content"), origin)
    if isinstance(row.data.get("conversations"), list):
        return dialogue(name, messages_of(row, "conversations", "from", "value"), origin)
    return dialogue(name, question_and_answer(row), origin)


def _class_name(feature: Any, value: Any) -> Any:
    if isinstance(value, int) and 0 <= value < len(feature.names):
        return feature.names[value]
    return None


def _licence(dataset: Any) -> str:
    info = getattr(dataset, "info", None)
    return str(getattr(info, "license", "") or "") or "not stated"


CORPORA = {
    "huggingface": Corpus(
        huggingface, ("speech", "event", "music", "noise", "dialogue"), AS_STATED,
        "a hub name or a local dataset", "huggingface.co/datasets",
    ),
}  # fmt: skip
