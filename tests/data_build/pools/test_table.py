"""Tables of clips: what goes in comes out, at any position, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_build.pools.table import Table, TableWriter
from data_build.records import (
    Clip,
    Dialogue,
    DialogueTurn,
    Judgement,
    Origin,
    PlannedReply,
    Prepared,
    Question,
    Recorded,
    SyntheticSound,
    Unspoken,
    Word,
)

OWN = Origin("corpus", "CC0-1.0")


def clips(count: int) -> list[Clip]:
    return [
        Clip(
            id=f"clip/{i}",
            kind="speech",
            audio=Recorded(f"a/{i}.flac", None, 0.5, 2.25 + i),
            origin=Origin("corpus", "CC0-1.0", "somebody – ünïcode"),
            text="你好 \n tab\t" * (i % 3),
            labels=("Speech", "Dog"),
            words=(Word("a", 0.1, 0.2), Word("b", 0.2, 0.9)),
            notes={"ready_s": 0.5, "nested": {"x": [1, 2]}},
        )
        for i in range(count)
    ]


CLIPS = clips(150)


def test_any_clip_comes_back_as_it_was(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "t.jsonl") as writer:
        for clip in clips(50):
            writer.add(clip)
    table = Table(tmp_path / "t.jsonl", Clip)
    assert len(table) == 50
    assert [table[i] for i in (49, 0, 17)] == [clips(50)[i] for i in (49, 0, 17)]
    assert list(table) == clips(50)
    assert list(table[10:14]) == clips(50)[10:14]
    with pytest.raises(IndexError):
        table[50]


def test_the_digest_changes_with_any_clip(tmp_path: Path) -> None:
    digests = set()
    for name, chosen in (("a", clips(3)), ("b", clips(4)), ("c", clips(3)[::-1]), ("d", clips(3))):
        with TableWriter(tmp_path / f"{name}.jsonl") as writer:
            for clip in chosen:
                writer.add(clip)
        digests.add(writer.sha256)
    assert len(digests) == 3


def test_an_interrupted_table_is_not_there(tmp_path: Path) -> None:
    def interrupted() -> None:
        with TableWriter(tmp_path / "t.jsonl") as writer:
            writer.add(clips(1)[0])
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        interrupted()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "item",
    [
        Clip("r", "noise", Recorded("a.tar", "b.wav"), OWN, texture="ambient"),
        Clip("s", "event", SyntheticSound("bark", (3, "train", 0), 1.5), OWN),
        Clip("u", "speech", Unspoken(), OWN, text="Hallo", question=Question("Who?", ("I", "me"))),
        Clip(
            "p", "event", Prepared("c.flac"), OWN,
            judgement=Judgement(PlannedReply("Fire!", "urgent"), "hazard", ("Fire",), {"n": 1}),
        ),
        Dialogue("d", (DialogueTurn("Hi", "Hello", "happy"), DialogueTurn("So?", "So.")), OWN),
    ],
)  # fmt: skip
def test_every_kind_of_item_comes_back(item: Clip | Dialogue, tmp_path: Path) -> None:
    with TableWriter(tmp_path / "t.jsonl") as writer:
        writer.add(item)
    assert list(Table(tmp_path / "t.jsonl", type(item))) == [item]


def test_many_tables_keep_few_files_open(tmp_path: Path) -> None:
    tables = []
    for number in range(150):
        with TableWriter(tmp_path / f"{number}.jsonl") as writer:
            writer.add(CLIPS[number])
        tables.append(Table(tmp_path / f"{number}.jsonl", Clip))
    assert [table[0] for table in tables] == CLIPS
    assert len(list(Path("/proc/self/fd").iterdir())) < 300


def test_a_table_that_is_written_again_is_read_again(tmp_path: Path) -> None:
    for number in range(2):
        with TableWriter(tmp_path / "t.jsonl") as writer:
            writer.add(CLIPS[number])
        assert Table(tmp_path / "t.jsonl", Clip)[0] == CLIPS[number]
