"""When each word of a reply was emitted, and the latency figures that follow from it.

Delays are in seconds of stream time, as the policy could emit them: the end of the newest chunk
heard. The computation-aware ones add the measured time from that chunk's arrival to the token, and
never run backwards; they exist only where items are decoded one by one (``streams_at_once: 1``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from inference.evaluate.outcome import Outcome, Piece
from soundflow.protocol.timebase import to_seconds

# A Han or kana character, or a run of anything else without white space.
_UNIT = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\s\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+"
)
SOURCE_UNIT_S = 0.3


@dataclass(frozen=True)
class Emitted:
    """One word, or one Han character, of a reply.

    Attributes:
        at_s: stream time at which its last part could be emitted.
        aware_s: the same with the computation; None where it was not measured.
    """

    text: str
    at_s: float
    aware_s: float | None = None


def emitted(outcome: Outcome) -> list[Emitted]:
    """The words of all replies in their order. A system without pieces emits a reply at once."""
    found = []
    for reply in outcome.replies:
        pieces = reply.pieces or (Piece(reply.text or "", reply.at_samples),)
        text = "".join(piece.text for piece in pieces)
        ends = list(accumulate(len(piece.text) for piece in pieces))
        for match in _UNIT.finditer(text):
            piece = next(p for p, end in zip(pieces, ends, strict=True) if match.end() <= end)
            at_s = to_seconds(piece.at_samples)
            aware_s = None if piece.wall_s is None else at_s + piece.wall_s
            found.append(Emitted(match[0], at_s, aware_s))
    return found


def aware(words: Sequence[Emitted]) -> list[float] | None:
    """Computation-aware emission times; None unless all were measured."""
    times = [w.aware_s for w in words if w.aware_s is not None]
    return list(accumulate(times, max)) if times and len(times) == len(words) else None


def laal(delays_s: Sequence[float], source_s: float, reference_units: int) -> float | None:
    """Length-adaptive average lagging in seconds (Papi et al. 2022, arXiv 2206.05807).

    ::

        LAAL = 1/tau * sum_{i=1..tau} (d_i - (i-1) * |X| / max(|Y|, |Y*|))

    d_i: delays of the words of the hypothesis Y; |X|: the length of the source; Y*: the reference;
    tau: the first word whose delay reaches |X|, or the last one. None without a hypothesis.
    """
    if not delays_s or source_s <= 0.0:
        return None
    step_s = source_s / max(len(delays_s), reference_units)
    total, tau = 0.0, 0
    for i, delay in enumerate(delays_s):
        total += delay - i * step_s
        tau = i + 1
        if delay >= source_s:
            break
    return total / tau


def atd(delays_s: Sequence[float], heard_s: Sequence[float], source_s: float) -> float | None:
    """Average token delay in seconds (Kano et al. 2023, arXiv 2211.13173), for text output.

    ::

        ATD = 1/|Y| * sum_t (T(y_t) - T(x_a(t)))
        a(t) = min(t - max(0, accY - accX), units of X heard so far)

    Words that were emitted with the same audio heard form a chunk, together with the audio since
    the chunk before. As in SimulEval, the audio of each chunk is cut into units of 0.3 s, the last
    one shorter. accX and accY are the units of X and the words of Y up to the chunk before. A text
    word takes no time to be emitted.

    Args:
        delays_s: when each word was emitted; with computation for the computation-aware figure.
        heard_s: stream time heard when it was emitted, the same for words of one chunk.
    """
    if not delays_s or source_s <= 0.0:
        return None
    total = 0.0
    ends: list[float] = []
    before_x = before_y = 0
    chunk_s = 0.0
    for t, (delay, heard) in enumerate(zip(delays_s, heard_s, strict=True), start=1):
        if heard != chunk_s:
            before_x, before_y = len(ends), t - 1
            ends += _unit_ends(min(chunk_s, source_s), min(heard, source_s))
            chunk_s = heard
        a = min(t - max(0, before_y - before_x), len(ends))
        total += delay - (ends[a - 1] if a > 0 else 0.0)
    return total / len(delays_s)


def _unit_ends(start_s: float, end_s: float) -> list[float]:
    whole = int((end_s - start_s) / SOURCE_UNIT_S + 1e-9)
    ends = [start_s + SOURCE_UNIT_S * (k + 1) for k in range(whole)]
    return [*ends, end_s] if end_s - start_s - whole * SOURCE_UNIT_S > 1e-9 else ends
