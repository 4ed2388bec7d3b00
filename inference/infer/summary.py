"""The last line of a session: whether it kept up with the clock, and on which machine."""

from __future__ import annotations

from inference.engine import Engine
from inference.events import ReplyStarted
from inference.feed import SessionOutput
from inference.hardware import hardware
from inference.latency import CostMeter, Latency, measure, measure_live


class LatencyMeter:
    """Collects what every chunk cost.

    Args:
        real_time: whether audio arrives at the speed of the clock, so that latency is what was
            measured; otherwise the costs are laid against the clock afterwards.
    """

    def __init__(self, engine: Engine, *, real_time: bool) -> None:
        self._engine = engine
        self._costs = CostMeter()
        self.real_time = real_time
        self.replies = 0

    def show(self, output: SessionOutput) -> None:
        for event in output.events:
            self._costs.add(event)
            self.replies += isinstance(event, ReplyStarted)

    def close(self) -> None:
        """Nothing to release."""

    def latency(self) -> Latency:
        """The figures so far."""
        costs, engine = self._costs.costs, self._engine
        here = hardware(engine.model.device)
        if self.real_time:
            return measure_live(costs, engine.spec.time, here)
        return measure([costs], engine.spec, here)


def summary_line(found: Latency, meter: LatencyMeter) -> str:
    """One line: replies, real-time factor, latency, deadlines, hardware."""
    replies = "1 reply" if meter.replies == 1 else f"{meter.replies} replies"
    if found.real_time_factor is None or found.decision_p50_s is None:
        return f"{replies}; {found.hardware}"
    p50_ms, p95_ms = 1000 * found.decision_p50_s, 1000 * (found.decision_p95_s or 0.0)
    late = 100 * (found.missed_deadlines or 0.0)
    how = "measured" if meter.real_time else "as it would be in real time"
    return (
        f"{replies}; real-time factor {found.real_time_factor:.3f}; decisions {p50_ms:.0f} ms "
        f"(p50), {p95_ms:.0f} ms (p95) after their chunk, {late:.1f} % of deadlines missed "
        f"({how}); {found.hardware}"
    )
