"""Verifies that a clip is the sound that a scene needs (paper: Clip grounding).

::

    identity      is it the sound?           labels, caption, what a tagging model detects
    cleanliness   is it only the sound?      floor noise, clipping, other labels
    duration      0.5x to 2x the plan        length
    continuity    is it whole?               gaps, edges

Each criterion passes, fails, or asks for reprocessing. One failure rejects the clip; otherwise one
request sends it through TFJP once (`data_build.scenes.ground`); four passes accept it. Recorded and
generated clips are judged alike. Here labels and measurements decide; with a chat model
(`data_build.scenes.chat_model`) the model does, from the same facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from data_build.records import Clip
from data_build.scenes.config import VerifyLimits
from data_build.scenes.measure import Float32, Measured
from data_build.scenes.ontology import Ontology, SoundClass, ontology
from data_build.scenes.refine import Refined
from data_build.scenes.retrieval import tokens
from data_build.scenes.scene import SubEvent

Outcome = Literal["pass", "reprocess", "fail"]
Decision = Literal["accept", "reprocess", "reject"]
CRITERIA = ("identity", "cleanliness", "duration", "continuity")

# Classes that describe a room or a recording rather than a sound in it: they contradict nothing.
_SURROUNDINGS = ("Channel, environment and background", "Silence")


@dataclass(frozen=True)
class Finding:
    """The finding of one criterion on a clip, and the reason."""

    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class Verification:
    """The four findings about one clip. ``made_by`` as in `Scene`."""

    identity: Finding
    cleanliness: Finding
    duration: Finding
    continuity: Finding
    made_by: dict[str, Any] = field(default_factory=dict)

    @property
    def decision(self) -> Decision:
        outcomes = {finding.outcome for finding in self._all()}
        if "fail" in outcomes:
            return "reject"
        return "reprocess" if "reprocess" in outcomes else "accept"

    def why(self) -> str:
        """The reasons against the clip, in one line; empty for an accepted clip."""
        pairs = zip(CRITERIA, self._all(), strict=True)
        return "; ".join(f"{name}: {f.reason}" for name, f in pairs if f.outcome != "pass")

    def _all(self) -> tuple[Finding, ...]:
        return self.identity, self.cleanliness, self.duration, self.continuity


@dataclass(frozen=True)
class Candidate:
    """A clip as it would be used, with everything that a verifier may use.

    Attributes:
        samples: (n,) float32 at 16 kHz.
        measured: measurements of the samples.
        tags: what a tagging model detects, class -> [0, 1]; empty without one.
        reprocessed: it already went through TFJP once more.
    """

    clip: Clip
    samples: Float32
    measured: Measured
    tags: Mapping[str, float] = field(default_factory=dict)
    reprocessed: bool = False


class Verifier(Protocol):
    """Judges a candidate for one event of a scene."""

    def verify(self, candidate: Candidate, event: SubEvent, refined: Refined) -> Verification:
        """The findings of the four criteria.

        Raises:
            Dropped: if there are none.
        """


@dataclass(frozen=True)
class RuleVerifier:
    """Judges by labels, by measurements, and by what a tagging model detects where there is one."""

    limits: VerifyLimits = field(default_factory=VerifyLimits)

    def verify(self, candidate: Candidate, event: SubEvent, refined: Refined) -> Verification:
        world = ontology()
        sound = world.classes[event.sound]
        return Verification(
            identity=self._identity(candidate, sound, refined, world),
            cleanliness=self._cleanliness(candidate, sound, refined, world),
            duration=self._duration(candidate.measured, event),
            continuity=self._continuity(candidate.measured, sound),
            made_by={"verifier": "rules"},
        )

    def _identity(
        self, candidate: Candidate, sound: SoundClass, refined: Refined, world: Ontology
    ) -> Finding:
        clip, tags = candidate.clip, candidate.tags
        labels = [found.name for label in clip.labels if (found := world.find(label))]
        if labels and not set(labels) & set(refined.tags):
            return Finding("fail", f"labelled {', '.join(labels)}")
        labelled = bool(labels) or _caption_names(clip.caption, refined, world)
        by_label = f"labelled {', '.join(labels) or 'by its caption'}"
        score = max((tags[tag] for tag in refined.tags if tag in tags), default=None)
        if score is None:  # no tagging model, or none that knows the sound
            if labelled:
                return Finding("pass", by_label)
            return Finding("fail", "neither label nor caption names the sound")
        if score >= self.limits.detected:
            return Finding("pass", f"detected with {score:.2f}")
        other, strength = contradiction(tags, sound, refined, world)
        if labelled and strength < self.limits.contradicted:
            return Finding("pass", f"{by_label}; nothing else is detected")
        return Finding("fail", f"detected as {other} with {strength:.2f}, itself with {score:.2f}")

    def _cleanliness(
        self, candidate: Candidate, sound: SoundClass, refined: Refined, world: Ontology
    ) -> Finding:
        measured, limits = candidate.measured, self.limits
        labels = [found.name for label in candidate.clip.labels if (found := world.find(label))]
        others = [
            name
            for name in labels
            if name not in refined.tags and not world.related(name, sound.name)
        ]
        if len(others) > limits.max_other_labels:
            return Finding("fail", f"also labelled {', '.join(others)}")
        if measured.loud_dbfs < limits.min_loud_dbfs:
            return Finding("fail", f"too quiet, {measured.loud_dbfs:.0f} dBFS")
        if measured.clipped_share > limits.max_clipped_share:
            return Finding("fail", f"{measured.clipped_share:.1%} of the samples are clipped")
        noisy = (
            measured.snr_db < limits.min_snr_db
            and measured.floor_flatness > limits.noise_flatness
            and not is_texture(sound)
        )
        floor = f"floor {measured.snr_db:.0f} dB under the sound"
        return Finding("reprocess", f"noise {floor}") if noisy else Finding("pass", floor)

    def _duration(self, measured: Measured, event: SubEvent) -> Finding:
        """A texture is tiled or cut to the scene, so it only has a lower bound."""
        planned_s, length_s = event.duration_s, measured.duration_s
        lengths = f"{length_s:.1f} s for {planned_s:.1f} s"
        if event.role == "ambient":
            shortest_s = min(self.limits.shortest * planned_s, 2.0)
            return Finding("pass" if length_s >= shortest_s else "fail", lengths)
        if length_s < self.limits.shortest * planned_s:
            return Finding("fail", lengths)
        if length_s > self.limits.longest * planned_s:
            return Finding("reprocess", lengths)
        return Finding("pass", lengths)

    def _continuity(self, measured: Measured, sound: SoundClass) -> Finding:
        texture = is_texture(sound)
        allowed_s = self.limits.max_texture_gap_s if texture else self.limits.max_gap_s
        if measured.longest_gap_s > allowed_s:
            return Finding("reprocess", f"silent for {measured.longest_gap_s:.2f} s inside")
        if not texture and measured.cut_end:
            return Finding("reprocess", "ends in the middle of the sound")
        return Finding("pass", "whole")


def contradiction(
    tags: Mapping[str, float], sound: SoundClass, refined: Refined, world: Ontology
) -> tuple[str, float]:
    """The best-scored class that is no evidence for a sound, and its score.

    Broader classes of the sound and its surroundings contradict nothing.
    """
    others = {
        name: score
        for name, score in tags.items()
        if name in world.classes
        and name not in refined.tags
        and name not in sound.lineage
        and not world.is_any(name, _SURROUNDINGS)
    }
    other = max(others, key=lambda name: others[name], default="")
    return (other, others[other]) if other else ("nothing", 0.0)


def is_texture(sound: SoundClass) -> bool:
    """Whether a sound is continuous, so that its own noise is no fault."""
    return "ambient" in sound.roles


def _caption_names(caption: str, refined: Refined, world: Ontology) -> bool:
    """Whether a caption holds all the words of one of the names of a tag."""
    said = set(tokens(caption))
    names = (part for tag in refined.tags for part in world.classes[tag].name.split(","))
    return any(words <= said for name in names if (words := set(tokens(name))))
