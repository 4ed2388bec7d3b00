"""What people's tables, tars and folders look like: read right, or dropped with a reason."""

from __future__ import annotations

import json
import os
import tarfile
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest

from data_build.drops import Drop, count_drops
from data_build.records import Clip
from data_build.sources.source import BadRow, SourceConfig
from soundflow.errors import UserError
from tests.data_build.sources.making import (
    add_member,
    tone,
    tone_bytes,
    write,
    write_json_lines,
)
from tests.data_build.sources.miniatures import ReadAll


def manifest(folder: Path, *rows: dict[str, object], **about: object) -> SourceConfig:
    write(folder / "manifest.jsonl", *(json.dumps(row) for row in rows))
    return SourceConfig("manifest", str(folder), **about)  # type: ignore[arg-type]


def texts(items: Sequence[object]) -> list[str]:
    return [i.text for i in items if isinstance(i, Clip)]


def tar_of(path: Path, names: Sequence[str]) -> SourceConfig:
    """A tar whose texts repeat the name of their member."""
    with tarfile.open(path, "w") as tar:
        for name in names:
            is_text = name.endswith((".json", ".txt"))
            text = json.dumps({"text": name}) if name.endswith(".json") else name
            add_member(tar, name, text.encode() if is_text else tone_bytes("wav"))
    return SourceConfig("webdataset", str(path))


def pairs(items: Sequence[object]) -> list[tuple[str | None, str]]:
    return [(i.audio.member, i.text) for i in items if isinstance(i, Clip)]  # type: ignore[union-attr]


def test_names_with_dots_never_lend_their_text_to_others(tmp_path: Path, read_all: ReadAll) -> None:
    names = [f"Track 2.{n} (Clean).{s}" for n in range(3) for s in ("wav", "json")]
    items, drops = read_all(tar_of(tmp_path / "a.tar", names))
    assert pairs(items) == [
        (f"Track 2.{n} (Clean).wav", f"Track 2.{n} (Clean).json") for n in range(3)
    ]
    assert not drops
    # The audio of 2.0 and the text of 2.1 are no sample.
    items, drops = read_all(tar_of(tmp_path / "b.tar", [names[0], names[3]]))
    assert not items
    assert [d.reason for d in drops] == [
        "has neither text nor label nor caption; for noise, set kind: noise",
        "has no audio member of its name",
    ]


def test_parts_of_a_sample_have_names(tmp_path: Path, read_all: ReadAll) -> None:
    names = ["utt.en.txt", "utt.wav", "v1.0/x.wav", "v1.0/x.json", "late.wav", "y.wav", "y.json"]
    items, drops = read_all(tar_of(tmp_path / "a.tar", [*names, "late.json"]))
    assert pairs(items) == [
        ("utt.wav", "utt.en.txt"), ("v1.0/x.wav", "v1.0/x.json"), ("late.wav", "late.json"),
        ("y.wav", "y.json"),
    ]  # fmt: skip
    assert not drops
    _, drops = read_all(tar_of(tmp_path / "b.tar", ["z.wav", "z.flac", "z.json"]))
    assert [d.reason for d in drops] == ["has several audio members"]


@pytest.mark.parametrize("empty", ["", "  ", None, float("nan"), "nan", "None", "<NA>"])
def test_speech_without_a_text_never_becomes_noise(
    empty: object, tmp_path: Path, read_all: ReadAll
) -> None:
    tone(tmp_path / "a.wav")
    rows: list[dict[str, object]] = [
        {"path": "a.wav", "text": "said"}, {"path": "a.wav", "text": empty},
        {"path": "a.wav", "text": empty, "kind": "speech"}, {"path": "a.wav"},
        {"path": "a.wav", "text": empty, "label": "dog"}, {"path": "a.wav", "kind": "noise"},
    ]  # fmt: skip
    items, drops = read_all(manifest(tmp_path, *rows))
    assert [(i.kind, i.text) for i in items if isinstance(i, Clip)] == [
        ("speech", "said"), ("event", ""), ("noise", ""),
    ]  # fmt: skip
    assert [d.reason.partition(";")[0] for d in drops] == [
        "its text is empty", "is speech without a text", "has neither text nor label nor caption",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("\u200b\u200d\ufeff", "has no letter or digit"),
        (" ... ", "has no letter or digit"),
        ("\U0001f600", "has no letter or digit"),
        ("bell \a and \x1b[31mred", "control characters"),
    ],
)
def test_texts_that_nobody_can_say(
    text: str, reason: str, tmp_path: Path, read_all: ReadAll
) -> None:
    tone(tmp_path / "a.wav")
    items, drops = read_all(manifest(tmp_path, {"path": "a.wav", "text": text}))
    assert not items
    assert reason in drops[0].reason
    for said in ("\u0645\u0631\u062d\u0628\u0627", "\u4eca\u5929", "12:30", "tab\tand\nline"):
        (clip,), drops = read_all(manifest(tmp_path, {"path": "a.wav", "text": said}))
        assert (clip.text, drops) == (said, [])  # type: ignore[union-attr]


def test_empty_texts_of_kaldi_and_lhotse(tmp_path: Path, read_all: ReadAll) -> None:
    tone(tmp_path / "a.wav", 0.5)
    recording = {"id": "r", "sources": [{"type": "file", "source": str(tmp_path / "a.wav")}],
                 "duration": 0.5}  # fmt: skip
    supervision = {"id": "s", "recording_id": "r", "start": 0.0, "duration": 0.5, "text": ""}
    write_json_lines(tmp_path / "m" / "recordings.jsonl", recording)
    write_json_lines(tmp_path / "m" / "supervisions.jsonl", supervision)
    items, drops = read_all(SourceConfig("lhotse", str(tmp_path / "m")))
    assert not items
    assert [d.reason for d in drops] == ["is a supervision without a text"]


def test_clips_of_one_recording_are_a_group(tmp_path: Path, read_all: ReadAll) -> None:
    tone(tmp_path / "a.wav", 2.0)
    (tmp_path / "link.wav").symlink_to(tmp_path / "a.wav")
    tone(tmp_path / "b.wav", 2.0)
    names = ("a.wav", "./a.wav", "link.wav", "b.wav")
    rows = [{"path": n, "text": "x", "start": 0.5, "end": 1.0, "id": n} for n in names]
    groups = [i.group for i in read_all(manifest(tmp_path, *rows))[0] if isinstance(i, Clip)]
    assert groups[0] == groups[1] == groups[2] != groups[3]


@pytest.mark.parametrize(
    ("columns", "span"),
    [
        ({"onset": 0.5, "offset": 1.0}, (0.5, 1.0)),
        ({"offset": 0.5, "duration": 0.25}, (0.5, 0.75)),
        ({"start_time": 0.5, "end_time": 1.0}, (0.5, 1.0)),
        ({"begin": "0.5", "end": "1.0"}, (0.5, 1.0)),
        ({"start_ms": 500, "end_ms": 1000}, (0.5, 1.0)),
        ({"start": 0.5, "end": 1.0, "duration": 0.5}, (0.5, 1.0)),
        ({"duration": 2.0}, (0.0, None)),
    ],
)
def test_times_under_their_usual_names(
    columns: dict[str, object], span: tuple[float, float | None], tmp_path: Path, read_all: ReadAll
) -> None:
    tone(tmp_path / "a.wav", 2.0)
    (clip,), drops = read_all(manifest(tmp_path, {"path": "a.wav", "text": "x", **columns}))
    assert isinstance(clip, Clip)
    assert (clip.audio.start_s, clip.audio.end_s) == span  # type: ignore[union-attr]
    assert not drops


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"segment_start": 0.5, "segment_end": 1.0}, "looks like a time"),
        ({"xmin": 0.5, "xmax": "1"}, "looks like a time"),
        ({"start_sample": 800}, "looks like a time"),
        ({"start": 0.5, "end": 1.0, "duration": 1.0}, "duration differs"),
        ({"start": 0.5, "end": 0.5}, "before or at its start"),
        ({"start": "00:01"}, "not a number"),
        ({"end": float("nan")}, "not a time"),
        ({"start": 1e308}, "not a time"),
        ({"duration": "inf"}, "not a time"),
    ],
)
def test_times_that_cannot_be_believed_are_dropped(
    columns: dict[str, object], reason: str, tmp_path: Path, read_all: ReadAll
) -> None:
    tone(tmp_path / "a.wav", 2.0)
    items, drops = read_all(manifest(tmp_path, {"path": "a.wav", "text": "x", **columns}))
    assert not items
    assert reason in drops[0].reason


def test_links_that_lead_round_in_circles(tmp_path: Path, read_all: ReadAll) -> None:
    noise = tmp_path / "musan" / "noise"
    tone(noise / "free" / "a.wav")
    (noise / "free" / "again").symlink_to(noise / "free")
    (noise / "up").symlink_to(tmp_path)
    (noise / "zzz").symlink_to(noise / "free")
    items, drops = read_all(SourceConfig("musan", str(tmp_path)))
    assert [i.id for i in items] == ["noise/free/a"]
    assert not drops


def test_what_is_no_file_is_named(tmp_path: Path, read_all: ReadAll) -> None:
    noise = tmp_path / "musan" / "noise"
    tone(noise / "good.wav")
    os.mkfifo(noise / "pipe.wav")
    (noise / "gone.wav").symlink_to(noise / "nowhere.wav")
    (noise / "empty.wav").touch()
    Path(os.fsdecode(os.fsencode(noise) + b"/\xff.wav")).touch()
    items, drops = read_all(SourceConfig("musan", str(tmp_path)))
    assert [i.id for i in items] == ["noise/good"]
    assert sorted(d.reason for d in drops) == [
        "its audio file is a pipe, socket or device", "its audio file is empty",
        "its audio file is missing", "its name is not valid UTF-8",
    ]  # fmt: skip


def test_a_folder_that_cannot_be_read(
    tmp_path: Path, read_all: ReadAll, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = tmp_path / "musan" / "noise"
    tone(noise / "a" / "a.wav")
    tone(noise / "closed" / "b.wav")
    listed = os.scandir

    def scandir(folder: Path) -> object:
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied")
        return listed(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    items, drops = read_all(SourceConfig("musan", str(tmp_path)))
    assert [i.id for i in items] == ["noise/a/a"]
    assert [d.reason for d in drops] == ["is a folder that cannot be listed"]


def test_odd_paths_are_drops(tmp_path: Path, read_all: ReadAll) -> None:
    tone(tmp_path / "~x.wav")
    composed = unicodedata.normalize("NFC", "café.wav")
    tone(tmp_path / unicodedata.normalize("NFD", composed))
    names = ["~x.wav", composed, "~nobody/x.wav", "x" * 300, "a.wav/b.wav", "."]
    items, drops = read_all(manifest(tmp_path, *({"path": n, "text": "t"} for n in names)))
    assert len(items) == 2
    assert [d.reason for d in drops] == [
        "its audio file is missing",
        "its audio file cannot be read (File name too long)",
        "its audio file is missing",
        "its audio file is a folder",
    ]
    assert all(len(d.item) < 400 for d in drops)


def test_reasons_group(tmp_path: Path, read_all: ReadAll) -> None:
    rows = [{"path": f"{n}.wav", "text": "t"} for n in range(50)]
    _, drops = read_all(manifest(tmp_path, *rows))
    assert count_drops(drops) == {"sources: its audio file is missing": 50}
    assert drops[7].item == f"{tmp_path}/manifest.jsonl:8 ({tmp_path}/7.wav)"
    assert BadRow("r", "x" * 5000).drop("w") == Drop(
        "sources", "w (" + "x" * 100 + "..." + "x" * 100 + ")", "r"
    )


def csv_file(folder: Path, content: str, encoding: str = "utf-8") -> SourceConfig:
    for name in "abcd":
        tone(folder / f"{name}.wav")
    (folder / "t.csv").write_text(content, encoding=encoding)
    return SourceConfig("manifest", str(folder / "t.csv"))


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_csv_of_any_separator(mark: str, tmp_path: Path, read_all: ReadAll) -> None:
    lines = [["path", "text"], ["a.wav", "one"], ["b.wav", '"two, three"']]
    content = "".join(mark.join(line) + "\r\n" for line in lines)
    items, drops = read_all(csv_file(tmp_path, content, "utf-8-sig"))
    assert texts(items) == ["one", "two, three"]
    assert not drops


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_named(encoding: str, tmp_path: Path, read_all: ReadAll) -> None:
    with pytest.raises(UserError, match=r"t\.csv: is UTF-16"):
        read_all(csv_file(tmp_path, "path,text\na.wav,x\n", encoding))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", b"PK\x03\x04[Content_Types].xml", "is a spreadsheet or a zip archive"),
        ("t.csv", b"\x1f\x8b\x08\x00", r"is compressed \(gzip\)"),
        ("t.jsonl", b"PAR1\x15\x04", "is Parquet"),
        ("t.tsv", "path\ttext\n".encode("utf-32"), "is UTF-32"),
        ("t.csv.gz", b"path,text\na.wav,x\n", "is not compressed"),
    ],
)
def test_other_files_under_the_name_of_a_table(
    name: str, content: bytes, said: str, tmp_path: Path, read_all: ReadAll
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}: {said}"):
        read_all(SourceConfig("manifest", str(tmp_path / name)))


def test_a_table_without_the_column_says_which_it_has(tmp_path: Path, read_all: ReadAll) -> None:
    items, drops = read_all(csv_file(tmp_path, "Path,text\na.wav,x\nb.wav,y\n"))
    assert not items
    assert len({d.reason for d in drops}) == 1
    assert drops[0].reason.startswith("has no column 'path', but Path, text; ")


@pytest.mark.parametrize(
    "tail", ['c.wav,"quoted"\nd.wav,four\n', "c.wav,three\nd.wav,four\n"], ids=["quote", "end"]
)
def test_an_unclosed_quote_costs_its_own_row_alone(
    tail: str, tmp_path: Path, read_all: ReadAll
) -> None:
    content = f'path,text\na.wav,"one\nb.wav,two\n{tail}'
    items, drops = read_all(csv_file(tmp_path, content))
    assert [i.audio.path[-5] for i in items if isinstance(i, Clip)] == ["b", "c", "d"]  # type: ignore[union-attr]
    assert [(d.item, d.reason) for d in drops] == [(f"{tmp_path}/t.csv:2", "has an unclosed quote")]


def test_a_text_of_several_lines_is_one_row(tmp_path: Path, read_all: ReadAll) -> None:
    content = 'path,text\na.wav,"one\ntwo ""three"""\nb.wav,four\nc.wav\n'
    items, drops = read_all(csv_file(tmp_path, content))
    assert texts(items) == ['one\ntwo "three"', "four"]
    assert drops[0].item.startswith(f"{tmp_path}/t.csv:5 ")


def test_columns_named_twice_and_empty_tables(tmp_path: Path, read_all: ReadAll) -> None:
    with pytest.raises(UserError, match="column 'text' twice"):
        read_all(csv_file(tmp_path, "path,text,text\na.wav,x,y\n"))
    for empty in ("path,text\n", "path,text\n\n\n"):
        with pytest.raises(UserError, match="holds no row"):
            read_all(csv_file(tmp_path, empty))
    with pytest.raises(UserError, match="no header line"):
        read_all(csv_file(tmp_path, ""))
    with pytest.raises(UserError, match=r"holds no row of split 'test'"):
        read_all(manifest(tmp_path, {"path": "a.wav", "text": "x", "split": "dev"}, split="test"))


def test_tables_that_data_frames_write(tmp_path: Path, read_all: ReadAll) -> None:
    import pandas

    for name in "abc":
        tone(tmp_path / f"{name}.wav")
    said = ['He said "go".', "A\u00a0b, c", None]
    frame = pandas.DataFrame({"path": ["a.wav", "b.wav", "c.wav"], "text": said})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    frame.to_csv(tmp_path / "t.csv.gz", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    frame.to_json(tmp_path / "t.json", orient="records")
    for name in ("t.csv", "t.tsv", "t.csv.gz", "t.parquet", "t.jsonl", "t.json"):
        items, drops = read_all(SourceConfig("manifest", str(tmp_path / name)))
        assert texts(items) == said[:2], name
        assert [d.reason for d in drops] == ["its text is empty"], name
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    with pytest.raises(UserError, match="not named like a table"):
        read_all(SourceConfig("manifest", str(tmp_path / "t.xlsx")))


def test_kaldi_columns_may_be_separated_by_tabs(tmp_path: Path, read_all: ReadAll) -> None:
    tone(tmp_path / "a.wav")
    write(tmp_path / "wav.scp", f"a\t{tmp_path / 'a.wav'}")
    write(tmp_path / "text", "a\thello  there")
    items, drops = read_all(SourceConfig("kaldi", str(tmp_path)))
    assert texts(items) == ["hello  there"]
    assert not drops


def test_two_tables_in_a_folder_are_not_chosen_from(tmp_path: Path, read_all: ReadAll) -> None:
    for name in ("manifest.jsonl", "manifest.csv"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"manifest\.jsonl and manifest\.csv"):
        read_all(SourceConfig("manifest", str(tmp_path)))
