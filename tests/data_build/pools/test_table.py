"""Tables of clips: what goes in comes out, at any position, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_build.pools.table import ClipTable, TableWriter
from data_build.records import Clip, Origin, Recorded, Word


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


def test_any_clip_comes_back_as_it_was(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "t.jsonl") as writer:
        for clip in clips(50):
            writer.add(clip)
    table = ClipTable(tmp_path / "t.jsonl")
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
