"""Builds one scene in one setting from sounds that go with the setting and with each other."""

from __future__ import annotations

import graphlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_build.records import TrackRole
from data_build.scenes.config import PlanConfig
from data_build.scenes.ontology import Ontology, Setting, SoundClass
from data_build.scenes.scene import (
    MIN_EVENTS,
    TIMES_OF_DAY,
    Annotation,
    Scene,
    SubEvent,
    describe,
    sentence,
)

Rng = np.random.Generator
# A scene of the fewest events does not survive the loss of one that finds no clip.
COMFORTABLE_EVENTS = MIN_EVENTS + 1
_NIGHT = ("Owl", "Snoring", "Cricket", "Fireworks")
_MORNING = ("Crowing, cock-a-doodle-doo", "Alarm clock")


@dataclass(frozen=True, eq=False)
class ProposedSound:
    """A sound that may become an event of a scene, and the annotation it was proposed for."""

    sound: SoundClass
    duration_s: float
    annotation: Annotation | None = None

    @property
    def name(self) -> str:
        return self.sound.name

    @property
    def in_sequence(self) -> bool:
        """Whether it may happen in the foreground, where sounds follow one another."""
        return "foreground" in self.sound.roles


def propose(
    sound: SoundClass, annotation: Annotation | None, config: PlanConfig, rng: Rng
) -> ProposedSound:
    """A sound with the length that a scene reserves for it: that of its clip, or a usual one."""
    shortest, longest = sound.seconds
    known = annotation.duration_s if annotation else None
    if known is None:
        known = float(np.exp(rng.uniform(np.log(shortest), np.log(longest))))
    elif "ambient" not in sound.roles:
        # Recordings of short sounds are often padded: the length of the file is an upper bound.
        known = min(known, 1.5 * float(np.sqrt(shortest * longest)))
    # Two sounds and the gaps around them always fit.
    most_s = (config.max_duration_s - 3.0 * config.gap_s) / 2.0
    duration_s = float(np.clip(known, shortest, max(min(longest, most_s), shortest)))
    return ProposedSound(sound, round(duration_s, 2), annotation)


class SceneBuilder:
    """A scene in one setting while sounds are added; at any time its sounds go together.

    Args:
        available: classes that `complete` may add; None: all.
    """

    def __init__(
        self,
        setting: Setting,
        world: Ontology,
        config: PlanConfig,
        rng: Rng,
        available: frozenset[str] | None = None,
    ) -> None:
        self._available = world.classes.keys() if available is None else available
        self._setting, self._world, self._config, self._rng = setting, world, config, rng
        self._ambient: ProposedSound | None = None
        self._foreground: list[ProposedSound] = []
        self._background: list[ProposedSound] = []

    @property
    def sounds(self) -> list[ProposedSound]:
        return [*self._foreground, *self._background, *([self._ambient] if self._ambient else [])]

    def offer(self, proposed: ProposedSound) -> float:
        """Adds the sound unless something speaks against it.

        Returns:
            How well it suits the setting: 1 if it belongs there, 0.25 if it may happen there, 0 if
            it was not added.
        """
        most = self._config.max_events - (0 if self._ambient else 1)
        if len(self.sounds) >= most or not self._compatible(proposed):
            return 0.0
        if self._ambient is None and self._suits_as_ambient(proposed):
            self._ambient = proposed
            return 1.0
        if proposed.in_sequence:
            if not self._fits_in_sequence(proposed):
                return 0.0
            self._foreground.append(proposed)
        elif "background" in proposed.sound.roles and self._at_home(proposed.sound):
            if len(self._background) >= self._config.max_events - 2:  # keeps room for a foreground
                return 0.0
            self._background.append(proposed)
        else:
            return 0.0
        return 1.0 if self._world.is_any(proposed.name, self._setting.welcome) else 0.25

    def complete(self) -> None:
        """Adds what a scene must have: an ambient texture and enough sounds."""
        if self._ambient is None:
            self._add_ambient()
        pool = [
            name
            for branch in self._setting.welcome
            for name in self._world.under(branch)
            if self._world.classes[name].id and name in self._available
        ]
        enough = min(COMFORTABLE_EVENTS, self._config.max_events)
        for i in self._rng.permutation(len(pool)):
            if len(self.sounds) >= enough and self._foreground:
                break
            proposed = self._proposed(pool[i])
            if proposed.in_sequence:
                self.offer(proposed)

    def scene(self) -> Scene:
        """The scene of a completed builder, its foreground in an order that keeps every rule."""
        front = self._order(self._foreground, self._rng)
        assert self._ambient is not None
        assert front is not None
        moved = {
            id(p)
            for p in front[1:]
            if self._may_go_behind(p) and self._rng.random() < self._config.background_share
        }
        behind = [*self._background, *(p for p in front if id(p) in moved)]
        front = [p for p in front if id(p) not in moved]
        gaps_s = self._config.gap_s * (len(front) + 1)
        duration_s = round(max(sum(p.duration_s for p in front) + gaps_s, 4.0), 2)
        time_of_day = self._time_of_day()
        events = [
            *(self._event(p, "foreground", p.duration_s) for p in front),
            *(self._event(p, "background", p.duration_s) for p in behind),
            self._event(self._ambient, "ambient", duration_s),
        ]
        return Scene(
            sentence=sentence(self._setting.phrase, time_of_day, events, self._rng),
            location=self._setting.phrase,
            place=self._setting.place,
            time_of_day=time_of_day,
            duration_s=duration_s,
            events=tuple(events),
            made_by={"planner": "rules", "setting": self._setting.name},
        )

    def _add_ambient(self) -> None:
        had = [name for name in self._setting.ambient if name in self._available]
        textures = [self._proposed(name) for name in had or self._setting.ambient]
        for i in self._rng.permutation(len(textures)):
            if self._compatible(textures[i]) and self._suits_as_ambient(textures[i]):
                self._ambient = textures[i]
                return
        # Every texture of the setting is refused: the sounds that refuse the first one leave.
        kept = self._foreground, self._background
        self._foreground, self._background, self._ambient = [], [], textures[0]
        for proposed in (*kept[0], *kept[1]):
            self.offer(proposed)

    def _proposed(self, name: str) -> ProposedSound:
        return propose(self._world.classes[name], None, self._config, self._rng)

    def _compatible(self, new: ProposedSound) -> bool:
        """Whether it fits the setting and all sounds already added."""
        if self._world.is_any(new.name, self._setting.unwelcome):
            return False
        for other in self.sounds:
            if self._world.excluded(new.name, other.name):
                return False
            both_in_sequence = new.in_sequence and other.in_sequence
            if not both_in_sequence and self._world.ordered(new.name, other.name):
                return False
            # Sounds that differ in the tracks they may lie on would end up on two tracks.
            if self._world.related(new.name, other.name) and (
                other is self._ambient or not both_in_sequence
            ):
                return False
        return True

    def _suits_as_ambient(self, new: ProposedSound) -> bool:
        """Whether it can be the ambient track; also a foreground sound, if the setting names it."""
        return (
            "ambient" in new.sound.roles
            and (not new.in_sequence or self._world.is_any(new.name, self._setting.ambient))
            and self._at_home(new.sound)
            and not any(self._bound(new.name, other.name) for other in self.sounds)
        )

    def _fits_in_sequence(self, new: ProposedSound) -> bool:
        foreground = [*self._foreground, new]
        gaps_s = self._config.gap_s * (len(foreground) + 1)
        lasts_s = sum(p.duration_s for p in foreground) + gaps_s
        return lasts_s <= self._config.max_duration_s and self._order(foreground) is not None

    def _at_home(self, sound: SoundClass) -> bool:
        return sound.place in ("any", self._setting.place)

    def _bound(self, one: str, other: str) -> bool:
        """Whether two sounds have to be on the same track, or in an order."""
        return self._world.related(one, other) or self._world.ordered(one, other)

    def _order(
        self, sounds: Sequence[ProposedSound], rng: Rng | None = None
    ) -> list[ProposedSound] | None:
        """An order that keeps every rule, random if ``rng`` is given; None if there is none.

        Rules: doorbell before footsteps; inside, then a doorway, then outside.
        """
        crosses = any(not self._at_home(p.sound) for p in sounds)
        if crosses and not any(p.sound.doorway for p in sounds):
            return None
        side = [self._side(p.sound) if crosses else None for p in sounds]
        after: dict[int, set[int]] = {i: set() for i in range(len(sounds))}
        for i, one in enumerate(sounds):
            for j, other in enumerate(sounds):
                a, b = side[i], side[j]
                crossed = a is not None and b is not None and a < b
                if i != j and (crossed or self._world.precedes(one.name, other.name)):
                    after[j].add(i)
        sorter = graphlib.TopologicalSorter(after)
        try:
            sorter.prepare()
        except graphlib.CycleError:
            return None
        order: list[int] = []
        ready: list[int] = []
        while sorter.is_active():
            ready = sorted([*ready, *sorter.get_ready()])
            order.append(ready.pop(int(rng.integers(len(ready))) if rng else 0))
            sorter.done(order[-1])
        return [sounds[i] for i in order]

    def _side(self, sound: SoundClass) -> int | None:
        """Before, at and after the doorway; None for sounds at home everywhere."""
        if sound.doorway:
            return 1
        if sound.place == "any":
            return None
        return 0 if sound.place == self._setting.place else 2

    def _may_go_behind(self, proposed: ProposedSound) -> bool:
        """Whether no rule depends on the position of a foreground sound."""
        sequenced = (*self._foreground, *self._background)
        return (
            "background" in proposed.sound.roles
            and not proposed.sound.doorway
            and self._at_home(proposed.sound)
            and not any(self._bound(proposed.name, p.name) for p in sequenced if p is not proposed)
        )

    def _time_of_day(self) -> str:
        if any(self._world.is_any(p.name, _NIGHT) for p in self.sounds):
            return "night"
        if any(self._world.is_any(p.name, _MORNING) for p in self.sounds):
            return "early morning"
        return TIMES_OF_DAY[int(self._rng.integers(len(TIMES_OF_DAY)))]

    def _event(self, proposed: ProposedSound, role: TrackRole, duration_s: float) -> SubEvent:
        caption = proposed.annotation.caption if proposed.annotation else ""
        return SubEvent(
            sound=proposed.name,
            role=role,
            duration_s=duration_s,
            description=describe(proposed.sound, role, caption, self._rng),
            source=proposed.annotation.id if proposed.annotation else None,
        )
