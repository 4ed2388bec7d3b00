"""The published conversation forms, read and written back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundflow.errors import UserError
from soundflow.interop.conversations import (
    NO_RESPONSE,
    CorpusItem,
    CorpusTurn,
    OfflineExample,
    emotion_of,
    is_silent,
    read_corpus,
    read_offline,
    read_online,
    write_corpus,
)
from soundflow.interop.json_lines import write_lines
from soundflow.protocol.tokens import EMOTIONS

TURNS = st.builds(
    CorpusTurn,
    user=st.text().filter(lambda t: t != "None"),
    assistant=st.text(),
    emotion=st.sampled_from(EMOTIONS),
    scene_type=st.text().filter(lambda t: t != "None"),
    audio_path=st.text(),
)
ITEMS = st.builds(
    CorpusItem,
    id=st.text(),
    stream_scene_type=st.text().filter(lambda t: t != "None"),
    turns=st.lists(TURNS, min_size=1, max_size=4).map(tuple),
)


@given(ITEMS)
def test_a_corpus_item_reads_back(item: CorpusItem) -> None:
    assert CorpusItem.from_json(json.loads(json.dumps(item.to_json()))) == item


def test_a_corpus_file_keeps_its_fields_and_its_text(tmp_path: Path) -> None:
    turn = CorpusTurn("会议几点?", NO_RESPONSE, "urgent", "office", "a/0.wav")
    item = CorpusItem("s-1", "voice chatting", (turn, turn))
    assert write_corpus(tmp_path / "x.jsonl", [item]) == 1
    line = (tmp_path / "x.jsonl").read_text()
    assert "会议几点" in line
    assert set(json.loads(line)) == {"id", "stream_scene_type", "num_turns", "turns"}
    assert list(read_corpus(tmp_path / "x.jsonl")) == [item]
    assert item.turns[0].silent


def test_golden_online_conversations(shared: Path) -> None:
    rows = list(read_online(shared / "goldens/online/input.jsonl"))
    assert [len(r.turns) for r in rows] == [2, 3, 1]
    assert [t.silent for t in rows[0].turns] == [False, True]
    assert [t.emotion for t in rows[1].turns] == ["normal", "surprise", "urgent"]
    assert rows[2].turns[0].audio_path == "online/clips/c1.wav"


def test_golden_offline_examples(shared: Path) -> None:
    rows = list(read_offline(shared / "goldens/offline/input.jsonl"))
    assert [r.task for r in rows] == ["A_T_T", "A_T", "T_T", "A_T_T"]
    assert [OfflineExample.from_json(r.index, r.to_json()) for r in rows] == rows


@pytest.mark.parametrize("marker", [NO_RESPONSE, " <No Need To Response> ", "no need to response"])
def test_silence_is_recognised_in_any_spelling(marker: str) -> None:
    assert is_silent(marker)
    assert not is_silent(f"There is {marker}")


@pytest.mark.parametrize(("name", "emotion"), [("Surprise", "surprise"), ("bored", "normal")])
def test_emotions_fall_back_as_published(name: str, emotion: str) -> None:
    assert emotion_of(name) == emotion
    assert emotion_of(None) == "normal"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"id": "a", "turns": []}', "turns"),
        ('{"id": "a", "num_turns": 3, "turns": [{"assistant": "x", "audio_path": "y"}]}', "3"),
        ('{"id": "a", "turns": [{"assistant": "x"}]}', "audio_path"),
        ("[1]", "object"),
        ('{"id":', "not JSON"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, why: str) -> None:
    path = tmp_path / "bad.jsonl"
    good = '{"id": 7, "turns": [{"assistant": "x", "audio_path": "y"}]}'
    path.write_text(f"{good}\n\n{line}\n{good}\n")
    with pytest.raises(UserError, match=r"bad\.jsonl:3: ") as caught:
        list(read_corpus(path))
    assert why in str(caught.value)
    bad: list[tuple[int, str]] = []
    assert len(list(read_corpus(path, lambda n, reason: bad.append((n, reason))))) == 2
    assert [n for n, _ in bad] == [3]


@given(st.binary(max_size=200))
def test_damaged_bytes_are_a_users_error_or_a_record(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "x.jsonl"
    path.write_bytes(data)
    for reader in (read_corpus, read_online, read_offline):
        bad: list[int] = []
        list(reader(path, lambda n, _, bad=bad: bad.append(n)))


def test_a_missing_file_and_a_half_written_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        list(read_online(tmp_path / "no.jsonl"))

    def rows() -> object:
        yield {"a": 1}
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_lines(tmp_path / "out.jsonl", rows())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
