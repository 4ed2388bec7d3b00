"""Judges whether a clip is what a scene asked for (paper: Clip grounding).

::

    identity      is it the sound?           labels, caption, optionally a tagging model
    cleanliness   is it only the sound?      floor noise, clipping, other labels
    duration      0.5x to 2x the plan        length
    continuity    is it whole?               gaps, edges

Each is pass, mend or fail. One fail rejects the clip; something to mend sends it through TFJP once
(`data_build.scenes.ground`); four passes accept it. Recorded and generated clips are judged alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from data_build.records import Clip
from data_build.scenes.measure import Float32, Measured
from data_build.scenes.ontology import Ontology, SoundClass, ontology
from data_build.scenes.refine import Refined
from data_build.scenes.retrieval import tokens
from data_build.scenes.scene import SubEvent

Outcome = Literal["pass", "mend", "fail"]
Decision = Literal["accept", "reprocess", "reject"]
CRITERIA = ("identity", "cleanliness", "duration", "continuity")


@dataclass(frozen=True)
class Judgement:
    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class Verdict:
    """The four judgements of one clip. ``made_by`` as in `Scene`."""

    identity: Judgement
    cleanliness: Judgement
    duration: Judgement
    continuity: Judgement
    made_by: dict[str, Any] = field(default_factory=dict)

    @property
    def decision(self) -> Decision:
        outcomes = {judgement.outcome for judgement in self._all()}
        if "fail" in outcomes:
            return "reject"
        return "reprocess" if "mend" in outcomes else "accept"

    def why(self) -> str:
        """What stands in the way, in one line; empty for an accepted clip."""
        pairs = zip(CRITERIA, self._all(), strict=True)
        return "; ".join(f"{name}: {j.reason}" for name, j in pairs if j.outcome != "pass")

    def _all(self) -> tuple[Judgement, ...]:
        return self.identity, self.cleanliness, self.duration, self.continuity


@dataclass(frozen=True)
class Candidate:
    """A clip as it would be used: its samples, (n,) float32 at 16 kHz, and their measurement.

    ``reprocessed``: it went through TFJP once more already and cannot be mended again.
    """

    clip: Clip
    samples: Float32
    measured: Measured
    reprocessed: bool = False


class Verifier(Protocol):
    """Judges a candidate for one event of a scene."""

    def judge(self, candidate: Candidate, event: SubEvent, refined: Refined) -> Verdict: ...


class Tagger(Protocol):
    """Hears what a clip is: scores by class name; see `data_build.scenes.yamnet`."""

    def tags(self, samples: Float32) -> dict[str, float]: ...


@dataclass(frozen=True)
class VerifyLimits:
    """Where the measured criteria draw their lines.

    Published: ``shortest`` and ``longest`` (of the planned length). Ours: a floor within
    ``min_snr_db`` of the sound is noise when its spectrum is flatter than ``noise_flatness``;
    ``max_gap_s`` is the longest silence inside a sound; ``max_other_labels`` further sounds may be
    named in a clip; ``heard`` is the score at which a tagging model hears one of the tags.
    """

    shortest: float = 0.5
    longest: float = 2.0
    min_snr_db: float = 15.0
    noise_flatness: float = 0.25
    max_clipped_share: float = 0.002
    max_gap_s: float = 1.0
    max_texture_gap_s: float = 0.3
    min_loud_dbfs: float = -60.0
    max_other_labels: int = 2
    heard: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 < self.shortest < self.longest:
            raise ValueError(f"need 0 < shortest < longest, got {self.shortest}, {self.longest}")


@dataclass(frozen=True)
class RuleVerifier:
    """Judges by labels and measurements; a tagger, where given, has to agree with the labels."""

    limits: VerifyLimits = field(default_factory=VerifyLimits)
    tagger: Tagger | None = None

    def judge(self, candidate: Candidate, event: SubEvent, refined: Refined) -> Verdict:
        world = ontology()
        sound = world.classes[event.sound]
        return Verdict(
            identity=self._identity(candidate, refined, world),
            cleanliness=self._cleanliness(candidate, sound, refined, world),
            duration=self._duration(candidate.measured, event),
            continuity=self._continuity(candidate.measured, sound),
            made_by={"verifier": "rules", "tagger": self.tagger is not None},
        )

    def _identity(self, candidate: Candidate, refined: Refined, world: Ontology) -> Judgement:
        clip = candidate.clip
        named = [sound.name for label in clip.labels if (sound := world.find(label))]
        if named and not set(named) & set(refined.tags):
            return Judgement("fail", f"labelled {', '.join(named)}")
        told = bool(named) or _caption_names(clip.caption, refined, world)
        if self.tagger is None:
            if told:
                return Judgement("pass", f"labelled {', '.join(named) or 'by its caption'}")
            return Judgement("fail", "neither label nor caption names the sound")
        scores = self.tagger.tags(candidate.samples)
        best = max((scores.get(tag, 0.0) for tag in refined.tags), default=0.0)
        if best >= self.limits.heard:
            return Judgement("pass", f"heard with {best:.2f}")
        loudest = max(scores, key=lambda name: scores[name], default="nothing")
        return Judgement("fail", f"heard as {loudest}, the sound itself with {best:.2f}")

    def _cleanliness(
        self, candidate: Candidate, sound: SoundClass, refined: Refined, world: Ontology
    ) -> Judgement:
        measured, limits = candidate.measured, self.limits
        named = [found.name for label in candidate.clip.labels if (found := world.find(label))]
        others = [
            name
            for name in named
            if name not in refined.tags and not world.related(name, sound.name)
        ]
        if len(others) > limits.max_other_labels:
            return Judgement("fail", f"also labelled {', '.join(others)}")
        if measured.loud_dbfs < limits.min_loud_dbfs:
            return Judgement("fail", f"too quiet, {measured.loud_dbfs:.0f} dBFS")
        if measured.clipped_share > limits.max_clipped_share:
            return Judgement("fail", f"{measured.clipped_share:.1%} of the samples are clipped")
        noisy = (
            measured.snr_db < limits.min_snr_db
            and measured.floor_flatness > limits.noise_flatness
            and not is_texture(sound)
        )
        if noisy:
            return Judgement("mend", f"noise floor {measured.snr_db:.0f} dB under the sound")
        return Judgement("pass", f"floor {measured.snr_db:.0f} dB under the sound")

    def _duration(self, measured: Measured, event: SubEvent) -> Judgement:
        """A texture is tiled or cut to the scene, so only a lower bound of its own holds for it."""
        planned_s, length_s = event.duration_s, measured.duration_s
        told = f"{length_s:.1f} s for {planned_s:.1f} s"
        if event.role == "ambient":
            shortest_s = min(self.limits.shortest * planned_s, 2.0)
            return Judgement("pass" if length_s >= shortest_s else "fail", told)
        if length_s < self.limits.shortest * planned_s:
            return Judgement("fail", told)
        if length_s > self.limits.longest * planned_s:
            return Judgement("mend", told)
        return Judgement("pass", told)

    def _continuity(self, measured: Measured, sound: SoundClass) -> Judgement:
        texture = is_texture(sound)
        allowed_s = self.limits.max_texture_gap_s if texture else self.limits.max_gap_s
        if measured.longest_gap_s > allowed_s:
            return Judgement("mend", f"silent for {measured.longest_gap_s:.2f} s inside")
        if not texture and measured.cut_end:
            return Judgement("mend", "ends in the middle of the sound")
        return Judgement("pass", "whole")


def is_texture(sound: SoundClass) -> bool:
    """Whether a sound may go on without pause, so that its own noise is no flaw."""
    return "ambient" in sound.roles


def _caption_names(caption: str, refined: Refined, world: Ontology) -> bool:
    """Whether a caption holds all the words of one of the names of a tag."""
    said = set(tokens(caption))
    names = (part for tag in refined.tags for part in world.classes[tag].name.split(","))
    return any(words <= said for name in names if (words := set(tokens(name))))
