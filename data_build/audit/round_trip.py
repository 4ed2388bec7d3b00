"""Whether the tokens of every stream say what its record says."""

from __future__ import annotations

from collections.abc import Iterator

from data_build.audit.limits import AuditLimits
from data_build.audit.measure import AuditedStream, Figure, Limit
from data_build.tokenize import Vocabulary
from soundflow.protocol.layout import parse_online

_SHOWN = 5


class RoundTrip:
    """Walks the ids of every stream back to its turns."""

    def __init__(self, limits: AuditLimits, vocabulary: Vocabulary) -> None:
        self._limit = Limit("at_most", limits.round_trip_faults)
        self._vocabulary = vocabulary
        self._streams, self._wrong = 0, list[str]()

    def add(self, stream: AuditedStream) -> None:
        record, spec = stream.record, stream.spec
        if record.kind != "online":
            return
        self._streams += 1
        try:
            parsed = parse_online(
                spec.tokens, spec.time.slots_per_chunk, stream.sample.ids.tolist()
            )
        except ValueError as error:
            self._wrong.append(f"{stream.name}: {error}")
            return
        decode = self._vocabulary.tokenizer.decode
        said = [(t.chunk, t.emotion, decode(t.text_ids)) for t in parsed.turns]
        if said != [(r.chunk, r.emotion, r.text) for r in record.replies]:
            self._wrong.append(f"{stream.name}: its tokens say {said}")

    def figures(self) -> Iterator[Figure]:
        share = len(self._wrong) / self._streams if self._streams else 0.0
        of = f"{self._streams} streams"
        yield Figure(
            "round trip faults", share, self._streams, self._limit, of, tuple(self._wrong[:_SHOWN])
        )
