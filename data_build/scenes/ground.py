"""Grounds a planned event in audio: retrieve, verify, reprocess once, or generate (paper: Clip
grounding).

::

    query ─▶ top 3 ─▶ verify ─┬─ accept ──────────────────────────────▶ clip
                              ├─ reprocess ─▶ TFJP ─▶ verify ─ accept ─▶ clip
                              └─ reject: the next one
             three rejected ─▶ generate ─▶ the same gate ─ accept ────▶ clip
                                                         └─ reject ───▶ Dropped
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from data_build.clip_cache import ClipStore
from data_build.drops import Drop, Dropped, Report
from data_build.randomness import digest
from data_build.records import Clip
from data_build.scenes.generate import Generator
from data_build.scenes.measure import Float32, measure
from data_build.scenes.refine import Refined
from data_build.scenes.retrieval import ClipLibrary
from data_build.scenes.scene import SubEvent
from data_build.scenes.verify import Candidate, Verification, Verifier

GROUND_STEP = "ground"
TOP = 3

How = Literal["retrieved", "generated"]


class Tagger(Protocol):
    """Classifies the sounds of a clip; see `data_build.scenes.onnx_models`."""

    def tags(self, samples: Float32) -> dict[str, float]:
        """Ontology class -> score in [0, 1], of (n,) float32 samples at 16 kHz."""


@dataclass(frozen=True)
class Attempt:
    """A clip that was tried, for the provenance."""

    clip: str
    how: How
    reprocessed: bool
    decision: str
    why: str


@dataclass(frozen=True)
class Grounded:
    """An event with its clip, the origin of the clip, and what was tried before."""

    event: SubEvent
    refined: Refined
    clip: Clip
    how: How
    reprocessed: bool
    verification: Verification
    attempts: tuple[Attempt, ...] = ()

    def provenance(self) -> dict[str, Any]:
        return {
            "event": asdict(self.event),
            "refined": asdict(self.refined),
            "how": self.how,
            "reprocessed": self.reprocessed,
            "verification": asdict(self.verification),
            "attempts": [asdict(attempt) for attempt in self.attempts],
        }


@dataclass(frozen=True)
class Grounder:
    """The cascade and its parts.

    Attributes:
        prepare: the samples of a clip as a stream uses them, (n,) float32 at 16 kHz; raises
            `Dropped` for a damaged one.
        reprocess: TFJP once more, (n,) float32 -> (m,) float32.
        store: for reprocessed audio.
        generator: None: an event without a recording is dropped.
        tagger: its scores are evidence for the verifier; None: there are none.
    """

    library: ClipLibrary
    verifier: Verifier
    prepare: Callable[[Clip], Float32]
    reprocess: Callable[[Float32], Float32]
    store: ClipStore
    generator: Generator | None = None
    tagger: Tagger | None = None

    def ground(
        self,
        event: SubEvent,
        refined: Refined,
        seed: str,
        report: Report,
        preferred: Clip | None = None,
    ) -> Grounded:
        """The clip for an event.

        Args:
            seed: decides takes and ties.
            report: takes the drops of damaged clips that were met.
            preferred: tried before all others.

        Raises:
            Dropped: if no clip passes.
        """
        search = _Search(self, event, refined, report)
        if preferred is not None:
            grounded = search.attempt(preferred, "retrieved")
            if grounded is not None:
                return grounded
        length_s = None if event.role == "ambient" else event.duration_s
        classes = (event.sound, *(tag for tag in refined.tags if tag != event.sound))
        for found in self.library.search(
            refined.query, TOP, seed=seed, length_s=length_s, classes=classes
        ):
            grounded = search.attempt(found.clip, "retrieved")
            if grounded is not None:
                return grounded
        if self.generator is None:
            raise search.given_up(seed, "no recording passes")
        try:
            made = self.generator.generate(event, refined, seed)
        except Dropped as dropped:
            raise search.given_up(seed, f"no recording passes; {dropped.drop.reason}") from dropped
        grounded = search.attempt(made, "generated")
        if grounded is None:
            raise search.given_up(seed, "neither a recording nor a generated clip passes")
        return grounded


class _Search:
    """The attempts to ground one event."""

    def __init__(self, parts: Grounder, event: SubEvent, refined: Refined, report: Report) -> None:
        self._parts, self._event, self._refined, self._report = parts, event, refined, report
        self._attempts: list[Attempt] = []

    def attempt(self, clip: Clip, how: How) -> Grounded | None:
        """Verifies a clip, and once more after TFJP if the verifier asks for it."""
        try:
            samples = self._parts.prepare(clip)
        except Dropped as dropped:
            self._report(dropped.drop)
            self._attempts.append(Attempt(clip.id, how, False, "reject", dropped.drop.reason))
            return None
        verification = self._verify(clip, samples, how, reprocessed=False)
        reprocessed = verification.decision == "reprocess"
        if reprocessed:
            samples = self._parts.reprocess(samples)
            verification = self._verify(clip, samples, how, reprocessed=True)
        if verification.decision != "accept":
            return None
        if reprocessed:
            content = hashlib.sha256(samples.tobytes()).hexdigest()
            clip = self._parts.store.put(clip, samples, digest("reprocessed", clip.id, content))
        before = tuple(self._attempts[:-1])
        return Grounded(self._event, self._refined, clip, how, reprocessed, verification, before)

    def _verify(self, clip: Clip, samples: Float32, how: How, reprocessed: bool) -> Verification:
        tags = self._parts.tagger.tags(samples) if self._parts.tagger else {}
        candidate = Candidate(clip, samples, measure(samples), tags, reprocessed)
        verification = self._parts.verifier.verify(candidate, self._event, self._refined)
        self._attempts.append(
            Attempt(clip.id, how, reprocessed, verification.decision, verification.why())
        )
        return verification

    def given_up(self, seed: str, reason: str) -> Dropped:
        tried = "; ".join(f"{attempt.clip}: {attempt.why}" for attempt in self._attempts)
        item = f"{seed}/{self._event.sound} ({tried or 'nothing found'})"
        return Dropped(Drop(GROUND_STEP, item, reason, "choice"))
