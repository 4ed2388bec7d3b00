"""Finds the audio of a planned event: retrieve, judge, mend once, or make (paper: Clip grounding).

::

    query ─▶ top 3 ─▶ judge ─┬─ accept ────────────────────────────▶ clip
                             ├─ reprocess ─▶ TFJP ─▶ judge ─ accept ─▶ clip
                             └─ reject: the next one
             three rejected ─▶ generate ─▶ the same gate ─ accept ───▶ clip
                                                         └─ reject ──▶ Drop
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from data_build.drops import Drop
from data_build.http_calls import CallFailure
from data_build.randomness import digest
from data_build.records import Clip
from data_build.scenes.generate import CannotGenerate, Generator
from data_build.scenes.keep import ClipKeeper
from data_build.scenes.measure import Float32, measure
from data_build.scenes.refine import Refined
from data_build.scenes.retrieval import ClipLibrary
from data_build.scenes.scene import SubEvent
from data_build.scenes.verify import Candidate, Verdict, Verifier

STEP = "ground"
TOP = 3

How = Literal["retrieved", "reprocessed", "generated", "generated, reprocessed"]


@dataclass(frozen=True)
class Trial:
    """One judgement on the way, for the provenance."""

    clip: str
    how: How
    decision: str
    why: str


@dataclass(frozen=True)
class Grounded:
    """An event with its clip, how it was come by and what was tried before."""

    event: SubEvent
    refined: Refined
    clip: Clip
    how: How
    verdict: Verdict
    trials: tuple[Trial, ...] = ()

    def provenance(self) -> dict[str, Any]:
        return {
            "event": asdict(self.event),
            "refined": asdict(self.refined),
            "how": self.how,
            "verdict": asdict(self.verdict),
            "trials": [asdict(trial) for trial in self.trials],
        }


@dataclass(frozen=True)
class Grounder:
    """The cascade and its parts.

    Attributes:
        hear: a clip as a stream hears it; raises an exception of ``unusable`` for one that is not.
        reprocess: TFJP once more, (n,) float32 -> (m,) float32 at 16 kHz.
        keeper: where reprocessed audio stays.
        generator: None: an event without a recording is dropped.
    """

    library: ClipLibrary
    verifier: Verifier
    hear: Callable[[Clip], Float32]
    reprocess: Callable[[Float32], Float32]
    keeper: ClipKeeper
    generator: Generator | None = None
    unusable: tuple[type[Exception], ...] = field(default=(ValueError,))

    def ground(self, event: SubEvent, refined: Refined, seed: str) -> Grounded | Drop:
        """The clip for an event, or why there is none. ``seed`` tells takes and ties apart."""
        trials: list[Trial] = []
        try:
            length_s = None if event.role == "ambient" else event.duration_s
            for found in self.library.search(refined.query, TOP, seed=seed, length_s=length_s):
                grounded = self._gate(found.clip, "retrieved", event, refined, trials)
                if grounded is not None:
                    return grounded
            if self.generator is None:
                return self._drop(event, seed, trials, "no generator")
            try:
                made = self.generator.generate(event, refined, seed)
            except CannotGenerate as error:
                return self._drop(event, seed, trials, str(error))
            grounded = self._gate(made, "generated", event, refined, trials)
            return grounded or self._drop(event, seed, trials, "the generated clip is rejected")
        except CallFailure as failure:  # a verifier that asks a server
            return failure.drop(STEP, f"{seed}/{event.sound}")

    def _gate(
        self, clip: Clip, how: How, event: SubEvent, refined: Refined, trials: list[Trial]
    ) -> Grounded | None:
        """Judges a clip, and once more after TFJP if it can be mended."""
        try:
            samples = self.hear(clip)
        except self.unusable as error:
            trials.append(Trial(clip.id, how, "reject", f"unusable: {error}"))
            return None
        verdict = self._judge(clip, samples, how, event, refined, trials)
        if verdict.decision == "reprocess":
            how = "reprocessed" if how == "retrieved" else "generated, reprocessed"
            samples = self.reprocess(samples)
            verdict = self._judge(clip, samples, how, event, refined, trials)
            if verdict.decision == "accept":
                sound = hashlib.sha256(samples.tobytes()).hexdigest()
                key = digest("reprocessed", clip.id, sound)
                clip = self.keeper.keep(clip, samples, key)
        if verdict.decision != "accept":
            return None
        return Grounded(event, refined, clip, how, verdict, tuple(trials[:-1]))

    def _judge(
        self,
        clip: Clip,
        samples: Float32,
        how: How,
        event: SubEvent,
        refined: Refined,
        trials: list[Trial],
    ) -> Verdict:
        again = how.endswith("reprocessed")
        candidate = Candidate(clip, samples, measure(samples), again)
        verdict = self.verifier.judge(candidate, event, refined)
        trials.append(Trial(clip.id, how, verdict.decision, verdict.why()))
        return verdict

    @staticmethod
    def _drop(event: SubEvent, seed: str, trials: list[Trial], why: str) -> Drop:
        tried = "; ".join(f"{trial.clip}: {trial.why}" for trial in trials) or "nothing found"
        return Drop(STEP, f"{seed}/{event.sound}", f"{why} ({tried})", "choice")
