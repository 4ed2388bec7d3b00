"""Damaged corpora: every reader answers with drops or one message to the user, never a traceback.

The damage is done to whole miniatures: any one file of a corpus is cut, overwritten, emptied or
replaced, and then the corpus is read to its end.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_build.drops import Drop
from data_build.records import Clip
from data_build.sources import rows
from data_build.sources.audio_refs import audio_source
from data_build.sources.catalogue import CORPORA, read
from data_build.sources.json_stream import array_items, documents, json_lines, object_items
from data_build.sources.rows import csv_rows, tsv_rows, usable
from data_build.sources.source import SourceConfig
from soundflow.errors import UserError

Corpora = dict[str, SourceConfig]

_SETTINGS = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

# Bytes that mean something to one of the formats, beside plain noise.
_PIECES = st.sampled_from(
    [
        b"\xff\xfe", b"\x00", b'"', b"\n", b"\t", b",", b"{", b"[", b"}", b"]", b"null", b"\\ud800",
        b"-1", b"1e999", b"NaN", b'{"a":' * 2000, b"[" * 3000, b"\xed\xa0\x80", b"\r", b"<eoh>",
        b"9" * 5000, b"../", b" ", b"\xef\xbb\xbf",
    ]
)  # fmt: skip


@st.composite
def damages(draw: st.DrawFn) -> tuple[int, str, float, bytes]:
    """(which file, what is done, where in it, with which bytes)."""
    return (
        draw(st.integers(0, 50)),
        draw(st.sampled_from(["cut", "overwrite", "insert", "empty", "replace", "remove"])),
        draw(st.floats(0, 1)),
        draw(st.one_of(_PIECES, st.binary(max_size=40))),
    )


def damage(path: Path, how: str, where: float, piece: bytes) -> None:
    content = path.read_bytes()
    at = round(where * len(content))
    changed = {
        "cut": content[:at],
        "overwrite": content[:at] + piece + content[at + len(piece) :],
        "insert": content[:at] + piece + content[at:],
        "empty": b"",
        "replace": piece,
        "remove": content,
    }[how]
    path.write_bytes(changed)
    if how == "remove":
        path.unlink()


def read_to_the_end(config: SourceConfig) -> None:
    drops: list[Drop] = []
    message = None
    items = []
    try:
        items = list(read(config, drops.append))
    except UserError as error:
        message = error
    assert message is None or (message.message and message.hint)
    for item in items:
        item.id.encode()
        if isinstance(item, Clip):
            # What a reader lets through can be written into a record and looked for.
            json.dumps(item.notes, allow_nan=False).encode()
            assert item.audio.start_s >= 0
            assert Path(item.audio.path).is_file()
            if item.audio.member is not None:
                audio_source(item.audio)
    for drop in drops:
        assert drop.reason
        assert drop.item
        str(drop).encode(errors="strict")


@pytest.mark.parametrize("corpus", CORPORA)
@_SETTINGS
@given(damages=st.lists(damages(), min_size=1, max_size=3))
def test_damaged_files_never_end_in_a_traceback(
    corpus: str,
    damages: list[tuple[int, str, float, bytes]],
    corpora: Corpora,
    tmp_path: Path,
) -> None:
    whole = Path(corpora[corpus].root)
    root = tmp_path / corpus
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(whole, root)
    for which, how, where, piece in damages:
        files = sorted(p for p in root.rglob("*") if p.is_file())
        if files:
            # Tables are few beside recordings, and the readers open only tables.
            tables = [
                p for p in files if p.suffix not in (".wav", ".flac", ".mp3", ".ogg", ".opus")
            ]
            chosen = tables if tables and which % 5 else files
            damage(chosen[which % len(chosen)], how, where, piece)
    fields = {**vars(corpora[corpus]), "root": str(root)}
    fields["cache"] = str(tmp_path / "cache")
    read_to_the_end(SourceConfig(**fields))


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["a.wav", "..", "/", "\ud800", "turn_1", "x" * 300]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["user", "assistant", "from", "value", "role", "content", "text", "type", "source",
             "start", "end", "word", "human", "audio_path", "question", "answer"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=8,
)  # fmt: skip
_JSON_CORPORA = {
    "moss": ["plain_text", "chat", "conversation"],
    "ultrachat": ["data", "messages"],
    "magpie_pro": ["conversations"],
    "belle": ["instruction", "input", "output", "conversations"],
    "coig_cqia": ["instruction", "input", "output"],
    "qa_json": ["question", "answer", "answers", "utterance", "targetValue"],
    "manifest": ["path", "text", "label", "start", "end", "duration", "words", "kind", "id"],
    "lhotse": ["id", "start", "duration", "type", "recording", "supervisions"],
    "streamaudio": ["id", "stream_scene_type", "num_turns", "turns"],
    "online_conversation": ["conversation", "merge_path", "assistant", "emotion"],
    "offline_conversation": ["user", "assistant", "audio_path", "conversation"],
}


@pytest.mark.parametrize("corpus", _JSON_CORPORA)
@_SETTINGS
@given(data=st.data())
def test_well_formed_rows_of_the_wrong_kind(
    corpus: str, data: st.DataObject, tmp_path: Path
) -> None:
    keys = st.sampled_from(_JSON_CORPORA[corpus])
    drawn = data.draw(st.lists(st.dictionaries(keys, _VALUES, max_size=6), min_size=1, max_size=4))
    name = "cuts.jsonl" if corpus == "lhotse" else "manifest.jsonl"
    (tmp_path / name).write_text("\n".join(json.dumps(row) for row in drawn))
    read_to_the_end(SourceConfig(corpus, str(tmp_path)))  # type: ignore[arg-type]


@_SETTINGS
@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_table_readers_on_any_bytes(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "any"
    path.write_bytes(content)
    drops: list[Drop] = []
    for table in (csv_rows, tsv_rows, json_lines, documents):
        found = usable(table(path, drops.append), lambda r: r, drops.append)
        with contextlib.suppress(UserError):  # a table without a header line, or UTF-16
            assert all(row.where.startswith(str(path)) for row in found)
    with contextlib.suppress(UserError):
        list(array_items(path, drops.append))
        list(array_items(path, drops.append, key="a"))
        list(object_items(path, drops.append))


@settings(max_examples=60, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(values=st.lists(_VALUES, max_size=6), indent=st.sampled_from([None, 1]))
def test_streamed_json_is_the_json_of_the_library(
    values: list[object], indent: int | None, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    text = json.dumps({"before": values, "wanted": values, "after": 1}, indent=indent)
    path.write_text(text)
    drops: list[Drop] = []
    expected = json.loads(text)
    streamed = [v for _, v in array_items(path, drops.append, key="wanted")]
    assert repr(streamed) == repr(expected["wanted"])  # repr: NaN equals itself
    assert repr(dict(object_items(path, drops.append))) == repr(expected)
    assert not drops


def test_elements_across_the_blocks_of_the_scanner(tmp_path: Path) -> None:
    """Numbers, strings and escapes that lie on a block boundary come out whole."""
    values: list[object] = [
        12345678901,
        "é" * 70_000,
        '\\"' * 40_000,
        -1.5e10,
        True,
        {"k": "v" * 65_530},
    ]
    for shift in range(0, 12):
        path = tmp_path / "b.json"
        path.write_text(" " * (65_536 - shift) + json.dumps(values, ensure_ascii=False))
        drops: list[Drop] = []
        assert [v for _, v in array_items(path, drops.append)] == values
        assert not drops


def test_a_line_without_an_end_is_not_read_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MAX_LINE_BYTES", 100)
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n' + "x" * 101 + '\n{"a": 2}\n')
    drops: list[Drop] = []
    assert [r.data for r in json_lines(tmp_path / "x.jsonl", drops.append)] == [{"a": 1}]
    assert [d.item.rpartition(":")[2] for d in drops] == ["2"]


@pytest.mark.parametrize("corpus", _JSON_CORPORA)
@pytest.mark.parametrize(
    "content",
    [
        '{"id": ' * 5000,
        '{"data": ' + "[" * 5000 + "]" * 5000 + "}",
        "[" * 5000,
        '{"id": ' + "9" * 5000 + "}",
        '{"id": "' + "x" * 200_000,
        "null",
        "[null, 1, [], {}]",
        "[{}",
        "{}\n{}\n",
        "\x00\x00",
        "",
    ],
    ids=["deep", "deep list", "deep array", "long number", "open string", "null", "array of all",
         "cut array", "empty rows", "zeros", "nothing"],
)  # fmt: skip
def test_hostile_json(corpus: str, content: str, tmp_path: Path) -> None:
    name = "cuts.jsonl" if corpus == "lhotse" else "manifest.jsonl"
    (tmp_path / name).write_text(content)
    drops: list[Drop] = []
    try:
        assert not list(read(SourceConfig(corpus, str(tmp_path)), drops.append))  # type: ignore[arg-type]
        assert drops
    except UserError as error:
        assert "holds no row" in error.message  # noqa: PT017
        assert not content
