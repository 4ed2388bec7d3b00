"""What is done next, as a pure function."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inference.sessions.scheduler import Decode, Encode, PassLimits, Reanchor, Waiting, next_work

LIMITS = PassLimits(encode_chunks=4, listen_chunks=4)


def test_nothing_to_do():
    assert next_work([], LIMITS, None) is None
    assert next_work([Waiting(1), Waiting(2)], LIMITS, None) is None


def test_encoding_comes_first_and_takes_turns_in_a_backlog():
    sessions = [Waiting(1, audio=2), Waiting(2, speaking=True)]
    assert next_work(sessions, LIMITS, None) == Encode((1, 1))
    assert next_work(sessions, LIMITS, Encode((1,))) == Decode((), (2,))
    assert isinstance(next_work(sessions, LIMITS, Decode((), (2,))), Encode)
    assert isinstance(next_work([Waiting(1, audio=9)], LIMITS, Encode((1,))), Encode)


def test_an_encoder_batch_takes_one_chunk_of_everyone_before_two_of_anyone():
    flood = Waiting(1, audio=50, oldest_audio_s=0.0)
    others = [Waiting(i, audio=1, oldest_audio_s=float(i)) for i in (2, 3)]
    assert next_work([*others, flood], LIMITS, None) == Encode((1, 2, 3, 1))


def test_listeners_and_speakers_share_a_pass():
    sessions = [
        Waiting(1, chunks=1, oldest_chunk_s=2.0), Waiting(2, speaking=True, chunks=3),
        Waiting(3, chunks=2, oldest_chunk_s=1.0), Waiting(4),
    ]  # fmt: skip
    assert next_work(sessions, LIMITS, None) == Decode(((3, 2), (1, 1)), (2,))


def test_a_long_queue_does_not_take_the_places_of_others():
    sessions = [Waiting(1, chunks=90), *(Waiting(i, chunks=1, oldest_chunk_s=9) for i in (2, 3))]
    assert next_work(sessions, LIMITS, None) == Decode(((1, 2), (2, 1), (3, 1)), ())


def test_long_queues_share_a_pass_equally():
    sessions = [Waiting(i, chunks=30) for i in (1, 2)]
    assert next_work(sessions, LIMITS, None) == Decode(((1, 2), (2, 2)), ())


def test_room_is_made_when_there_is_time():
    crowded = Waiting(1, crowded=True)
    assert next_work([crowded, Waiting(2, chunks=1)], LIMITS, None) == Decode(((2, 1),), ())
    assert next_work([crowded], LIMITS, None) == Reanchor(1)


waiting = st.builds(
    Waiting, st.integers(1, 99), st.integers(0, 9), st.floats(0, 9), st.integers(0, 9),
    st.floats(0, 9), st.booleans(), st.booleans(),
)  # fmt: skip


@given(st.lists(waiting, max_size=12, unique_by=lambda s: s.session), st.booleans())
def test_nobody_is_left_out_and_nobody_is_asked_for_more_than_waits(sessions, encoded):
    work = next_work(sessions, LIMITS, Encode((1,)) if encoded else None)
    by_id = {s.session: s for s in sessions}
    if isinstance(work, Encode):
        assert len(work.sessions) <= LIMITS.encode_chunks
        assert all(work.sessions.count(i) <= by_id[i].audio for i in work.sessions)
        oldest = min(s.oldest_audio_s for s in sessions if s.audio)
        assert by_id[work.sessions[0]].oldest_audio_s == oldest
    elif isinstance(work, Decode):
        assert set(work.speak) == {s.session for s in sessions if s.speaking}
        assert sum(n for _, n in work.listen) <= LIMITS.listen_chunks
        assert all(1 <= n <= by_id[i].chunks and not by_id[i].speaking for i, n in work.listen)
    else:
        assert not any(s.audio or s.speaking or s.chunks for s in sessions)
        assert (work is None) == (not any(s.crowded for s in sessions))
