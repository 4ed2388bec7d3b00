"""Splits: what belongs together stays together, and every kind is spread by the weights."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_build.collect.split_assignment import SplitAssignment, furthest_behind
from data_build.records import Clip, Dialogue, DialogueTurn, Origin, Recorded

OWN = Origin("test", "CC0-1.0")
WEIGHTS = {"train": 0.75, "test": 0.25}


def clip(path: str, speaker: str = "", group: str = "", start_s: float = 0.0) -> Clip:
    audio = Recorded(path, None, start_s)
    return Clip(f"{path}{start_s}", "speech", audio, OWN, speaker=speaker, group=group, text="x")


def test_kinds_are_spread_by_weight() -> None:
    splits = SplitAssignment(WEIGHTS, by_recording=False)
    homes = [splits.clip(clip(f"{k}{i}"), k) for i in range(40) for k in ("dog", "cat")]
    assert Counter(homes[::2]) == Counter(homes[1::2]) == {"train": 30, "test": 10}


def test_a_speaker_stays_on_one_side() -> None:
    splits = SplitAssignment(WEIGHTS, by_recording=False)
    homes: dict[str, set[str]] = {}
    for i in range(60):
        homes.setdefault(f"s{i % 6}", set()).add(splits.clip(clip(f"{i}", f"s{i % 6}"), "speech"))
    assert all(len(sides) == 1 for sides in homes.values())
    assert set().union(*homes.values()) == {"train", "test"}


def test_a_file_listed_twice_and_segments_of_a_recording_do_not_part() -> None:
    for by_recording in (False, True):
        splits = SplitAssignment({"a": 1.0, "b": 1.0}, by_recording=by_recording)
        for i in range(20):
            first = splits.clip(clip(f"f{i}", f"s{2 * i}"), "speech")
            assert splits.clip(clip(f"f{i}", f"s{2 * i}"), "speech") == first
            assert splits.clip(clip(f"f{i}", f"s{2 * i + 1}", start_s=9.0), "other") == first
            grouped = splits.clip(clip(f"x{i}", group=f"g{i}"), "speech")
            assert splits.clip(clip(f"y{i}", group=f"g{i}"), "speech") == grouped


def test_one_speaker_is_divided_by_recording_where_that_is_asked_for() -> None:
    splits = SplitAssignment(WEIGHTS, by_recording=True)
    homes = Counter(splits.clip(clip(f"{i}", "me"), "speech") for i in range(40))
    assert homes == {"train": 30, "test": 10}


def test_texts_are_spread_within_their_kind() -> None:
    splits = SplitAssignment(WEIGHTS, by_recording=False)
    short = [Dialogue(f"d{i}", (DialogueTurn("a", "b"),), OWN) for i in range(8)]
    long = [Dialogue(f"e{i}", (DialogueTurn("a", "b"),) * 3, OWN) for i in range(8)]
    homes = [splits.text(d) for pair in zip(short, long, strict=True) for d in pair]
    assert Counter(homes[::2]) == Counter(homes[1::2]) == {"train": 6, "test": 2}


@given(st.integers(4, 200))
def test_rare_things_reach_every_split(n: int) -> None:
    shares = {"train": 0.75, "test": 0.25}
    counts: Counter[str] = Counter()
    for _ in range(n):
        counts[furthest_behind(shares, counts)] += 1
    assert counts["test"] >= 1
    assert abs(counts["train"] - 0.75 * n) <= 1
    with pytest.raises(ValueError):
        furthest_behind({"a": 0.0}, {})
