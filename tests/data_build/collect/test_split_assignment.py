"""Splits: what shares a key stays together, and every stratum is spread by the weights."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_build.collect.split_assignment import SET_ASIDE, SplitAssignment

WEIGHTS = {"train": 0.75, "test": 0.25}


@dataclass(frozen=True)
class Row:
    name: str
    strata: tuple[str, ...] = ("speech",)
    always: tuple[str, ...] = ()
    speaker: str = ""
    texts: tuple[str, ...] = ()


def homes(
    rows: Sequence[Row], needs: dict[str, Iterable[str]] | None = None, seed: int = 1
) -> tuple[list[int], str]:
    """The split of each row, and the rule of their scope."""
    splits = SplitAssignment(WEIGHTS, seed, {k: set(v) for k, v in (needs or {}).items()})
    for row in rows:
        splits.add(
            row.name, "all", row.strata, always=row.always, speaker=row.speaker, texts=row.texts
        )
    dealt = splits.deal()
    return dealt.homes.tolist(), dealt.rules["all"]


def test_every_stratum_is_spread_by_weight() -> None:
    rows = [Row(f"{k}{i}", (k,)) for i in range(40) for k in ("dog", "cat")]
    found, _ = homes(rows)
    assert Counter(found[::2]) == Counter(found[1::2]) == {0: 30, 1: 10}


keys = st.lists(st.integers(0, 12), max_size=2).map(lambda found: tuple(f"k{n}" for n in found))
listed = st.lists(keys, min_size=1, max_size=40).map(
    lambda found: [Row(f"r{n}", always=keys) for n, keys in enumerate(found)]
)


@given(listed, st.randoms(use_true_random=False))
def test_no_two_splits_share_a_key_and_the_order_makes_no_difference(
    rows: list[Row], rng: random.Random
) -> None:
    found, _ = homes(rows)
    where: dict[str, set[int]] = {}
    for row, home in zip(rows, found, strict=True):
        for key in row.always:
            where.setdefault(key, set()).add(home)
    assert all(len(sides) == 1 for sides in where.values())
    order = list(range(len(rows)))
    rng.shuffle(order)
    again, _ = homes([rows[i] for i in order])
    assert [found[i] for i in order] == again


def test_the_seed_decides_which_groups_go_where() -> None:
    rows = [Row(f"r{i}") for i in range(40)]
    assert homes(rows, seed=1) != homes(rows, seed=2)


def test_a_speaker_stays_on_one_side() -> None:
    rows = [Row(f"{i}", speaker=f"s{i % 6}") for i in range(60)]
    found, rule = homes(rows)
    assert rule == "all"
    sides = {(row.speaker, home) for row, home in zip(rows, found, strict=True)}
    assert len(sides) == 6
    assert set(found) == {0, 1}


def test_a_chain_of_keys_is_one_group() -> None:
    chain = [Row(f"{i}", always=(f"a{i}", f"a{i + 1}")) for i in range(8)]
    found, _ = homes([*chain, *(Row(f"x{i}") for i in range(24))])
    assert len(set(found[:8])) == 1


def test_a_split_gets_what_it_needs_however_rare_it_is() -> None:
    rows = [Row(f"s{i}", ("sounds",)) for i in range(30)]
    rows += [Row(f"a{i}", ("sounds", "alarm")) for i in range(2)]
    found, _ = homes(rows, {"alarm": WEIGHTS})
    assert set(found[-2:]) == {0, 1}


def test_one_speaker_is_divided_by_recording() -> None:
    found, rule = homes([Row(f"{i}", speaker="me") for i in range(40)])
    assert rule == "share_speakers"
    assert Counter(found) == {0: 30, 1: 10}


def test_a_few_common_texts_are_set_aside_rather_than_speakers_shared() -> None:
    rows = [Row(f"{i}", speaker=f"s{i % 20}", texts=(f"t{i}",)) for i in range(400)]
    rows += [Row(f"c{i}", speaker=f"s{i}", texts=("common",)) for i in range(20)]
    found, rule = homes(rows)
    assert rule == "set_aside"
    assert 0 < found.count(SET_ASIDE) < 20
    for kind in ("speaker", "texts"):
        sides: dict[object, set[int]] = {}
        for row, home in zip(rows, found, strict=True):
            if home != SET_ASIDE:
                sides.setdefault(getattr(row, kind), set()).add(home)
        assert all(len(homes) == 1 for homes in sides.values())


def test_texts_that_everybody_reads_are_divided_by_text() -> None:
    rows = [Row(f"{i}", speaker=f"s{i % 5}", texts=(f"t{i // 5}",)) for i in range(100)]
    found, rule = homes(rows)
    assert rule == "share_speakers"
    assert len({(row.texts, home) for row, home in zip(rows, found, strict=True)}) == 20


def test_a_weight_must_be_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        SplitAssignment({"a": 0.0}, 1).deal()
