"""A folder of recordings without a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_build.sources.source import SourceConfig
from soundflow.errors import UserError
from tests.data_build.sources.making import tone, write
from tests.data_build.sources.miniatures import ReadAll

Corpora = dict[str, SourceConfig]


def test_folder_texts_beside_and_what_names_mean(corpora: Corpora, read_all: ReadAll) -> None:
    clips, drops = read_all(corpora["folder"])
    assert drops == []
    found = [(c.id, c.kind, c.speaker, c.text, c.audio.start_s, c.audio.end_s) for c in clips]  # type: ignore[union-attr]
    assert found == [
        ("anna/s1_a.wav", "speech", "anna", "hello there", 0.0, None),
        ("anna/s1_b.flac", "speech", "anna", "cut", 0.1, 0.3),
        ("bob/deep/s2.c d.ogg", "speech", "bob", "the last", 0.0, None),
    ]


def test_folder_labels_by_folder_and_name(tmp_path: Path, read_all: ReadAll) -> None:
    tone(tmp_path / "glass_breaking" / "x.wav")
    tone(tmp_path / "dog" / "loud-bark 3.flac")
    tone(tmp_path / "unsorted.wav")
    config = SourceConfig("folder", str(tmp_path), columns={"label": "folder", "speaker": "name.1"})
    clips, drops = read_all(config)
    assert [(c.labels, c.kind, c.speaker) for c in clips] == [  # type: ignore[union-attr]
        (("dog",), "event", "loud"),
        (("glass_breaking",), "event", "x"),
    ]
    assert [drop.reason for drop in drops] == ["its path has no folder"]
    noise, _ = read_all(SourceConfig("folder", str(tmp_path), kind="noise", split="dog"))
    assert [clip.id for clip in noise] == ["loud-bark 3.flac"]


def test_folder_texts_may_lie_elsewhere(tmp_path: Path, read_all: ReadAll) -> None:
    tone(tmp_path / "wav48" / "p1" / "a.wav")
    write(tmp_path / "txt" / "p1" / "a.txt", "spoken")
    config = SourceConfig("folder", str(tmp_path / "txt"), audio_root=str(tmp_path / "wav48"))
    clips, _ = read_all(config)
    assert [clip.text for clip in clips] == ["spoken"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("columns", "beside", "message"),
    [
        ({}, {}, "neither text nor label"),
        ({"label": "folder.2"}, {}, "its path has no folder.2"),
        ({"label": "foldr"}, {}, "neither text nor label"),
        ({"path": "folder"}, {}, "columns.path has no meaning"),
        ({}, {"txt": b"\xff\xfe\x00"}, "its .txt is not valid UTF-8"),
        ({}, {"txt": b"  \n"}, "its text is empty"),
        ({}, {"lab": b"0 1500000 sil\n1500000 2000000 a"}, "holds labels with times"),
        ({}, {"txt": b"0.00\t1.50\tdog\n"}, "holds labels with times"),
        ({}, {"json": b"[1]"}, "its .json holds no object"),
        ({}, {"json": b'{"text": "a", "end": -1}'}, "end is not a time"),
    ],
)
def test_a_folder_of_which_nothing_can_be_used_says_why(
    columns: dict[str, str],
    beside: dict[str, bytes],
    message: str,
    tmp_path: Path,
    read_all: ReadAll,
) -> None:
    tone(tmp_path / "sub" / "a.wav")
    for suffix, content in beside.items():
        (tmp_path / "sub" / f"a.{suffix}").write_bytes(content)
    with pytest.raises(UserError, match=message) as refused:
        read_all(SourceConfig("folder", str(tmp_path), columns=columns))
    assert refused.value.hint


def test_a_folder_with_a_table_is_sent_to_the_other_reader(
    tmp_path: Path, read_all: ReadAll
) -> None:
    tone(tmp_path / "a.wav")
    write(tmp_path / "metadata.csv", "file_name,text", "a.wav,hello")
    with pytest.raises(UserError) as refused:
        read_all(SourceConfig("folder", str(tmp_path)))
    assert "corpus: manifest" in str(refused.value.hint)
