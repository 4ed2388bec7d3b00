"""Matching by the timing protocol."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inference.evaluate.outcome import TimedReply
from inference.evaluate.timing.triggers import Windows, match
from soundflow.protocol.turns import Event

W = Windows(late_samples=20, early_samples=20)


def event(ready: int, on: int | None = None, respond: bool = True) -> Event:
    start = ready - 5 if on is None else on
    return Event("x", start, ready, ready + 3, respond, ("yes",) if respond else ())


@st.composite
def scenes(draw: st.DrawFn) -> tuple[list[Event], list[TimedReply]]:
    readies = draw(st.lists(st.integers(6, 200), max_size=8))
    respond = draw(st.lists(st.booleans(), min_size=len(readies), max_size=len(readies)))
    onsets = draw(st.lists(st.integers(0, 230), max_size=12))
    events = [event(r, respond=d) for r, d in zip(readies, respond, strict=True)]
    return events, [TimedReply(o) for o in onsets]


@given(scenes())
def test_every_onset_gets_one_verdict_and_every_event_one_at_most(scene):
    events, onsets = scene
    found = match(events, onsets, W)
    judged = [j for pairs in (found.hits, found.early, found.repeats) for _, j in pairs]
    judged += found.strays
    assert sorted(judged) == list(range(len(onsets)))
    answered = [i for i, _ in found.hits]
    assert len(set(answered)) == len(answered)
    wanted = {i for i, e in enumerate(events) if e.must_respond}
    assert wanted == set(answered) | set(found.misses)
    assert not set(answered) & set(found.misses)
    assert found.n_false == len(onsets) - len(found.hits)


@given(scenes())
def test_hits_lie_in_the_window_and_are_as_many_as_can_be(scene):
    events, onsets = scene
    found = match(events, onsets, W)
    for i, j in found.hits:
        assert 0 <= onsets[j].at_samples - events[i].ready_samples <= W.late_samples
    assert len(found.hits) == _largest_matching(events, onsets)


def _largest_matching(events: list[Event], onsets: list[TimedReply]) -> int:
    """Augmenting paths: slow, and right."""
    partner: dict[int, int] = {}

    def assign(i: int, seen: set[int]) -> bool:
        for j, onset in enumerate(onsets):
            reach = 0 <= onset.at_samples - events[i].ready_samples <= W.late_samples
            if reach and j not in seen:
                seen.add(j)
                if j not in partner or assign(partner[j], seen):
                    partner[j] = i
                    return True
        return False

    return sum(assign(i, set()) for i, e in enumerate(events) if e.must_respond)


@given(scenes())
def test_the_order_of_onsets_does_not_matter(scene):
    events, onsets = scene
    there, back = match(events, onsets, W), match(events, onsets[::-1], W)
    assert len(there.hits) == len(back.hits)
    assert there.n_false == back.n_false
    assert there.misses == back.misses


def test_each_event_takes_the_earliest_free_onset():
    found = match([event(10), event(15)], [TimedReply(16), TimedReply(12), TimedReply(30)], W)
    assert found.hits == ((0, 1), (1, 0))
    assert found.repeats == ((0, 2),)


def test_window_edges_are_inside():
    assert match([event(10)], [TimedReply(10)], W).hits == ((0, 0),)
    assert match([event(10)], [TimedReply(30)], W).hits == ((0, 0),)
    assert match([event(10)], [TimedReply(31)], W).strays == (0,)


def test_before_ready_is_early_and_false():
    found = match([event(50, on=20)], [TimedReply(19), TimedReply(20), TimedReply(49)], W)
    assert found.strays == (0,)
    assert [j for _, j in found.early] == [1, 2]
    assert found.misses == (0,)


def test_an_event_that_deserves_nothing_is_no_excuse():
    found = match([event(50, respond=False)], [TimedReply(52)], W)
    assert found.strays == (0,)
    assert not found.misses
