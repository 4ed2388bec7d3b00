"""The latency figures, against values worked out by hand."""

from __future__ import annotations

import pytest

from inference.evaluate.benchmarks.emission import atd, aware, emitted, laal
from inference.evaluate.outcome import Outcome, Piece, TimedReply


def test_a_word_is_emitted_with_its_last_piece() -> None:
    pieces = (Piece("Hel", 6400, 0.1), Piece("lo wor", 12_800, 0.3), Piece("ld", 19_200, 0.05))
    words = emitted(Outcome((TimedReply(6400, "Hello world", pieces=pieces),)))
    assert [(w.text, w.at_s) for w in words] == [("Hello", 0.8), ("world", 1.2)]
    assert aware(words) == pytest.approx([1.1, 1.25])


def test_han_is_emitted_character_by_character() -> None:
    pieces = (Piece("你好", 6400), Piece(" ok吗", 12_800))
    words = emitted(Outcome((TimedReply(6400, "你好 ok吗", pieces=pieces),)))
    assert [(w.text, w.at_s) for w in words] == [("你", 0.4), ("好", 0.4), ("ok", 0.8), ("吗", 0.8)]
    assert aware(words) is None, "no computation was measured"


def test_a_system_without_pieces_emits_its_reply_at_once() -> None:
    words = emitted(Outcome((TimedReply(16_000, "two words"), TimedReply(32_000))))
    assert [(w.text, w.at_s) for w in words] == [("two", 1.0), ("words", 1.0)]


def test_laal() -> None:
    # 4 s of source, 4 words: one a second is ideal. A word behind all the time: lagging 1 s.
    assert laal([1.0, 2.0, 3.0, 4.0], 4.0, 4) == pytest.approx(1.0)
    # All at the end: the first word alone counts (tau = 1).
    assert laal([4.0, 4.0, 4.0, 4.0], 4.0, 4) == pytest.approx(4.0)
    # Too short a hypothesis is measured against the length of the reference, not its own.
    assert laal([2.0, 4.0], 4.0, 4) == pytest.approx((2.0 + (4.0 - 1.0)) / 2)
    # Too long a one against its own.
    assert laal([1.0, 2.0, 3.0, 4.0], 4.0, 2) == pytest.approx(1.0)
    assert laal([], 4.0, 4) is None


def test_atd() -> None:
    # 0.9 s of source = 3 units; each word right after its unit: no delay.
    assert atd([0.3, 0.6, 0.9], [0.3, 0.6, 0.9], 0.9) == pytest.approx(0.0)
    # All after the end: word t belongs to unit t.
    assert atd([0.9, 0.9, 0.9], [0.9, 0.9, 0.9], 0.9) == pytest.approx((0.6 + 0.3 + 0.0) / 3)
    # More words than units: the surplus belongs to the last unit heard.
    assert atd([0.3, 0.3], [0.3, 0.3], 0.9) == pytest.approx(0.0)
    # Two words in the first chunk of one unit: word 3 is shifted by the surplus of one, to unit 2.
    assert atd([0.3, 0.3, 0.6], [0.3, 0.3, 0.6], 0.9) == pytest.approx(0.0)
    # Chunks of 0.4 s are cut into 0.3 and 0.1 s: word 2 belongs to 0.4 s, though 0.8 s is heard.
    assert atd([0.4, 0.8], [0.4, 0.8], 0.8) == pytest.approx((0.1 + 0.4) / 2)
    # With 0.1 s of computation each.
    assert atd([0.4, 0.7, 1.0], [0.3, 0.6, 0.9], 0.9) == pytest.approx(0.1)
    assert atd([], [], 0.9) is None
