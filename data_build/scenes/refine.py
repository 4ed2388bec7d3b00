"""Refines a planned sound into a search query, a caption and tags (paper: Event refinement).

A refined event has a retrieval query of 4-12 words that separates similar sounds, a caption
for a sound generator (material, surface, intensity) and the tags whose presence is evidence. Here
the ontology decides; `data_build.scenes.chat_model` refines with a chat model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Protocol

from data_build.scenes.ontology import Ontology, SoundClass, material, ontology, spoken_name
from data_build.scenes.scene import Scene, SubEvent

REFINE_STEP = "refine_event"
MIN_QUERY_WORDS, MAX_QUERY_WORDS = 4, 12
MAX_CAPTION_WORDS = 40


@dataclass(frozen=True)
class Refined:
    """The search query, the caption for a generator, and the tags that count as evidence.

    ``tags`` are ontology classes. ``made_by`` as in `Scene`.
    """

    query: str
    caption: str
    tags: tuple[str, ...]
    made_by: dict[str, Any] = field(default_factory=dict)


class Refiner(Protocol):
    """Refines one event of a scene."""

    def refine(self, event: SubEvent, scene: Scene) -> Refined:
        """The refined event; it passes `check_refined`.

        Raises:
            Dropped: if there is no valid refinement.
        """


def check_refined(refined: Refined, event: SubEvent, world: Ontology) -> tuple[str, ...]:
    """The faults of a refinement; empty for a usable one."""
    problems: list[str] = []
    words = len(refined.query.split())
    if not MIN_QUERY_WORDS <= words <= MAX_QUERY_WORDS:
        problems.append(f"the query has {words} words, not 4 to 12")
    if not 3 <= len(refined.caption.split()) <= MAX_CAPTION_WORDS:
        problems.append(f"the caption has {len(refined.caption.split())} words, not 3 to 40")
    problems += [f"{tag!r} is no class" for tag in refined.tags if tag not in world.classes]
    if not any(tag in world.evidence(event.sound) for tag in refined.tags):
        problems.append(f"no tag is evidence for {event.sound}")
    return tuple(problems)


@dataclass(frozen=True)
class RuleRefiner:
    """Refines by the ontology: names, evidence and materials."""

    def refine(self, event: SubEvent, scene: Scene) -> Refined:
        world = ontology()
        sound = world.classes[event.sound]
        made = material(sound)
        length = "short" if event.duration_s < 1.5 else "long" if event.duration_s > 6 else ""
        caption = (
            f"{length + ' ' if length else ''}sound of {spoken_name(sound.name)}: {made.material}, "
            f"{made.surface}, {made.intensity}"
        )
        return Refined(
            query=_query(sound, event, made.material, world),
            caption=caption,
            tags=world.evidence(sound.name),
            made_by={"refiner": "rules"},
        )


def _query(sound: SoundClass, event: SubEvent, source: str, world: Ontology) -> str:
    """The class's own names first, then what it is described as, its kind and what makes it.

    Words of one class rank before words it shares with its siblings, which is what separates "smoke
    alarm" from "alarm clock".
    """
    described = event.description.rsplit(",", 1)[0]  # without where the sound is
    # Classes without an id only group others; no recording is described by them.
    kinds = [name for name in sound.lineage[1:] if world.classes[name].id]
    words: dict[str, None] = {}
    for text in (sound.name, described, *kinds[:1], source, *kinds[1:], "sound recording clip"):
        for word in re.findall(r"[a-z0-9'-]+", text.lower()):
            if word not in ("a", "an", "the", "and", "of", "or", "etc"):
                words.setdefault(word)
    own = len(dict.fromkeys(re.findall(r"[a-z0-9'-]+", f"{sound.name} {described}".lower())))
    return " ".join(list(words)[: max(6, min(own, MAX_QUERY_WORDS))])
