"""Counts of shards add up exactly, in any order, also after JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from data_build.statistics import Statistics, TaskCount, merged

counts = st.dictionaries(st.integers(0, 40), st.integers(1, 9), max_size=5)
statistics = st.builds(
    Statistics,
    tasks=st.dictionaries(
        st.sampled_from(["a/b", "a/c"]),
        st.builds(TaskCount, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
    ),
    turns=counts, chunks=counts, silence=counts, snr=counts, reply_tokens=counts,
    emotions=st.dictionaries(st.sampled_from(["normal", "urgent"]), st.integers(1, 5)),
    refused=st.dictionaries(st.sampled_from(["1 to 3 words"]), st.integers(1, 5)),
    spoken=st.dictionaries(st.sampled_from(["1 to 3 words"]), st.integers(1, 5)),
    events=st.integers(0, 9), silences=st.integers(0, 9), limited=st.integers(0, 9),
    preprocessed=st.integers(0, 9), hit_limit=st.integers(0, 9),
)  # fmt: skip


@given(st.lists(statistics, max_size=4), st.randoms())
def test_shards_add_up_in_any_order_and_through_json(
    parts: list[Statistics], random: object
) -> None:
    whole = merged(parts)
    stored = [Statistics.from_json(json.loads(json.dumps(asdict(p)))) for p in parts]
    random.shuffle(stored)  # type: ignore[attr-defined]
    assert merged(stored) == whole
    assert whole.streams == sum(p.streams for p in parts)
    assert sum(whole.turns.values()) == sum(sum(p.turns.values()) for p in parts)


def test_the_share_of_each_class_of_text_that_is_refused() -> None:
    counted = Statistics(spoken={"a": 10, "b": 4, "c": 2}, refused={"a": 3, "b": 4})
    assert list(counted.refusals().items()) == [("b", (4, 4)), ("a", (3, 10))]
