"""What a server counts, in the exposition format of Prometheus.

The processes of one server count in files of a folder (`counted_together`), as prometheus_client
does: whichever of them is asked, it answers for all.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from inference.events import (
    ChunkDropped,
    Decided,
    ReplyEnded,
    ReplyText,
    SessionEvent,
)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus_client when it is imported
_BUCKETS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)


@contextmanager
def counted_together() -> Iterator[None]:
    """The processes that are started inside the block count together."""
    before = os.environ.get(_FOLDER)
    with tempfile.TemporaryDirectory(prefix="soundflow-metrics-") as folder:
        os.environ[_FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[_FOLDER]
            if before is not None:
                os.environ[_FOLDER] = before


def forget_process(pid: int) -> None:
    """Takes one that has ended out of what is open now; what it counted stays."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]


class Metrics:
    """One registry a server.

    Args:
        chunk_s: a decision that takes longer misses its deadline.
    """

    def __init__(self, chunk_s: float) -> None:
        self._chunk_s = chunk_s
        registry = self._registry = CollectorRegistry()
        engines = Gauge(
            "soundflow_engines", "Engines that serve.", registry=registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        engines.set(1)
        starts = Counter(
            "soundflow_engine_starts", "Engines started: each once, and again when it had ended.",
            registry=registry,
        )  # fmt: skip
        starts.inc()
        self.sessions = Gauge(
            "soundflow_sessions", "Open sessions.", registry=registry, multiprocess_mode="livesum"
        )
        self.ended = Counter(
            "soundflow_sessions_ended", "Sessions by how they ended.", ["how"], registry=registry
        )
        self.refused = Counter(
            "soundflow_refused", "Connections and messages refused, by code.", ["code"],
            registry=registry,
        )  # fmt: skip
        self.waiting_chunks = Gauge(
            "soundflow_waiting_chunks", "Chunks that wait for a decision.", registry=registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self._audio_s = Counter("soundflow_audio_seconds", "Audio received.", registry=registry)
        self._chunks = Counter(
            "soundflow_chunks", "Chunks by decision.", ["decision"], registry=registry
        )
        self._missed = Counter(
            "soundflow_deadlines_missed",
            "Chunks decided on more than a chunk after they were complete, or after a reply that "
            "they arrived during.",
            registry=registry,
        )  # fmt: skip
        self._replies = Counter(
            "soundflow_replies", "Replies by how they ended.", ["how"], registry=registry
        )
        self._tokens = Counter("soundflow_tokens", "Text tokens of replies.", registry=registry)
        self._decision_s = Histogram(
            "soundflow_decision_seconds", "From a complete chunk to its decision.",
            registry=registry, buckets=_BUCKETS_S,
        )  # fmt: skip
        self._first_text_s = Histogram(
            "soundflow_first_text_seconds", "From a complete chunk to the first text of its reply.",
            registry=registry, buckets=_BUCKETS_S,
        )  # fmt: skip

    def heard(self, seconds: float) -> None:
        self._audio_s.inc(seconds)

    def follow(self) -> Callable[[SessionEvent], None]:
        """A function that counts the events of one session."""
        arrived_s: dict[int, float] = {}  # of the chunk whose reply has no text yet
        spoke_until_s = 0.0

        def count(event: SessionEvent) -> None:
            nonlocal spoke_until_s
            match event:
                case Decided():
                    took_s = event.wall_s - event.arrived_wall_s
                    self._decision_s.observe(took_s)
                    # A chunk that arrived during a reply could not be decided on before its end.
                    late_s = event.wall_s - max(event.arrived_wall_s, spoke_until_s)
                    if late_s > self._chunk_s:
                        self._missed.inc()
                    decision = "speak" if event.speak else "stale" if event.stale else "silent"
                    self._chunks.labels(decision).inc()
                    if event.speak:
                        arrived_s[event.chunk] = event.arrived_wall_s
                case ReplyText():
                    self._tokens.inc()
                    spoke_until_s = event.wall_s
                    began_s = arrived_s.pop(event.chunk, None)
                    if began_s is not None:
                        self._first_text_s.observe(event.wall_s - began_s)
                case ReplyEnded():
                    arrived_s.pop(event.chunk, None)
                    self._replies.labels(event.reason).inc()
                case ChunkDropped():
                    self._chunks.labels("dropped").inc()
                case _:
                    pass

        return count

    @property
    def engines(self) -> int:
        """How many serve, of all processes."""
        return int(self._of_all.get_sample_value("soundflow_engines") or 0)

    def page(self) -> bytes:
        return generate_latest(self._of_all)

    @property
    def _of_all(self) -> CollectorRegistry:
        if _FOLDER not in os.environ:
            return self._registry
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return registry
