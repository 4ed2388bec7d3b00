"""Builds one scene in one setting from sounds that go with the setting and with each other."""

from __future__ import annotations

import graphlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data_build.records import TrackRole
from data_build.scenes.config import PlanConfig
from data_build.scenes.ontology import TIMES_OF_DAY, Ontology, Setting, SoundClass
from data_build.scenes.scene import (
    MIN_EVENTS,
    Annotation,
    Scene,
    SubEvent,
    describe,
    sentence,
)

Rng = np.random.Generator
# A scene of the fewest events does not survive the loss of one that finds no clip.
COMFORTABLE_EVENTS = MIN_EVENTS + 1
LEAST_FOREGROUND, MOST_BACKGROUND = 2, 2


@dataclass(frozen=True, eq=False)
class ProposedSound:
    """A sound that may become an event of a scene, and the annotation it was proposed for."""

    sound: SoundClass
    duration_s: float
    annotation: Annotation | None = None

    @property
    def name(self) -> str:
        return self.sound.name


def propose(
    sound: SoundClass,
    known: float | None,
    config: PlanConfig,
    rng: Rng,
    annotation: Annotation | None = None,
) -> ProposedSound:
    """A sound with the length that a scene reserves for it: the ``known`` one of clips in seconds,
    or a usual one."""
    shortest, longest = sound.seconds
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
        available: classes of which there are clips, for `complete`, and how long those usually are,
            where it is known; None: any can be had.
    """

    def __init__(
        self,
        setting: Setting,
        world: Ontology,
        config: PlanConfig,
        rng: Rng,
        available: Mapping[str, float | None] | None = None,
    ) -> None:
        self._available = available
        self._setting, self._world, self._config, self._rng = setting, world, config, rng
        self._ambient: ProposedSound | None = None
        self._foreground: list[ProposedSound] = []
        self._background: list[ProposedSound] = []
        self._held: ProposedSound | None = None
        self._times = setting.times

    @property
    def sounds(self) -> list[ProposedSound]:
        return [*self._foreground, *self._background, *([self._ambient] if self._ambient else [])]

    def hold(self, proposed: ProposedSound) -> bool:
        """Adds the first sound, which stays in the foreground; False: it does not belong there."""
        if not (self._belongs(proposed, "foreground") and self._compatible(proposed)):
            return False
        self._foreground.append(proposed)
        self._held = proposed
        self._times &= self._world.times(proposed.name)
        return self._fits_in_sequence()

    def offer(self, proposed: ProposedSound) -> bool:
        """Adds the sound where it belongs in this setting, unless something speaks against it."""
        if proposed is self._held:
            return True
        most = self._config.max_events - (0 if self._ambient else 1)
        if len(self.sounds) >= most or not self._compatible(proposed):
            return False
        if self._ambient is None and self._belongs(proposed, "ambient"):
            self._ambient = proposed
        elif self._belongs(proposed, "foreground") and self._fits_in_sequence(proposed):
            self._foreground.append(proposed)
        elif self._may_be_behind(proposed):
            self._background.append(proposed)
        else:
            return False
        self._times &= self._world.times(proposed.name)
        return True

    def complete(self) -> bool:
        """Adds what a scene must have: an ambient texture and enough sounds; False: there are too
        few that go together."""
        if self._ambient is None:
            for proposed in self._drawn(self._setting.ambient):
                if self._compatible(proposed) and self._belongs(proposed, "ambient"):
                    self._ambient = proposed
                    self._times &= self._world.times(proposed.name)
                    break
        self._cause()
        enough = min(COMFORTABLE_EVENTS, self._config.max_events)
        for proposed in self._drawn(self._setting.front):
            if len(self.sounds) >= enough and len(self._foreground) >= LEAST_FOREGROUND:
                break
            if self._belongs(proposed, "foreground") and not self._lacks_cause(proposed):
                self.offer(proposed)
        return (
            self._ambient is not None
            and bool(self._foreground)
            and (self._held is None or self._held in self._foreground)
            and (len(self.sounds) >= MIN_EVENTS)
        )

    def _cause(self) -> None:
        """Sounds that never happen by themselves get a cause, or are taken out."""
        for sound in [p for p in self._foreground if self._lacks_cause(p)]:
            for proposed in self._drawn(self._setting.front):
                if self._world.precedes(proposed.name, sound.name) and self.offer(proposed):
                    break
            else:
                self._foreground.remove(sound)

    def _lacks_cause(self, sound: ProposedSound) -> bool:
        before = (self._world.precedes(p.name, sound.name) for p in self._foreground)
        return self._world.is_any(sound.name, self._world.caused) and not any(before)

    def scene(self) -> Scene:
        """The scene of a completed builder, its foreground in an order that keeps every rule."""
        ordered = self._order(self._foreground, self._rng)
        assert self._ambient is not None
        assert ordered is not None
        front = self._at_once(ordered)
        moved: set[int] = set()
        for proposed in front[1:]:
            spare = len(front) - len(moved) > LEAST_FOREGROUND
            wanted = self._rng.random() < self._config.background_share
            free = proposed is not self._held and self._may_be_behind(proposed, len(moved))
            if spare and wanted and free:
                moved.add(id(proposed))
        behind = [*self._background, *(p for p in front if id(p) in moved)]
        front = [p for p in front if id(p) not in moved]
        gaps_s = self._config.gap_s * (len(front) + 1)
        duration_s = round(max(sum(p.duration_s for p in front) + gaps_s, 4.0), 2)
        times = [time for time in TIMES_OF_DAY if time in self._times]
        time_of_day = times[int(self._rng.integers(len(times)))]
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

    def _drawn(self, branches: Sequence[str]) -> Iterator[ProposedSound]:
        """A sound of each branch of which there are clips, in any order."""
        for i in self._rng.permutation(len(branches)):
            names = self._had(branches[i])
            if names:
                sound = self._world.classes[names[int(self._rng.integers(len(names)))]]
                usual_s = (self._available or {}).get(sound.name)
                yield propose(sound, usual_s, self._config, self._rng)

    def _had(self, branch: str) -> list[str]:
        """The classes of a branch of which there are clips, else itself if other clips may stand
        for it."""
        if self._available is None:
            return [branch]
        had = [name for name in self._world.instances(branch) if name in self._available]
        stands = any(name in self._available for name in self._world.evidence(branch))
        return had or ([branch] if stands else [])

    def _belongs(self, proposed: ProposedSound, role: TrackRole) -> bool:
        """Whether the setting has such a sound on a track, and nothing binds it to another one."""
        lists = {
            "foreground": self._setting.front,
            "background": self._setting.behind,
            "ambient": self._setting.ambient,
        }
        sound = proposed.sound
        return (
            role in sound.roles
            and sound.place in ("any", self._setting.place)
            and self._world.is_instance(sound.name, lists[role])
            and (role == "foreground" or not self._ordered(proposed))
        )

    def _may_be_behind(self, proposed: ProposedSound, moved: int = 0) -> bool:
        room = len(self._background) + moved < MOST_BACKGROUND
        return room and self._belongs(proposed, "background")

    def _compatible(self, new: ProposedSound) -> bool:
        """Whether it fits the setting, the time of day, and all sounds already added.

        Every sound is in a scene once: no class twice, none with a kind of it.
        """
        if self._world.is_any(new.name, self._setting.unwelcome):
            return False
        if self._times.isdisjoint(self._world.times(new.name)):
            return False
        in_sequence = {id(p) for p in self._foreground}
        return not any(
            self._world.clashes(new.name, other.name)
            or self._world.related(new.name, other.name)
            or (id(other) not in in_sequence and self._world.ordered(new.name, other.name))
            for other in self.sounds
        )

    def _ordered(self, proposed: ProposedSound) -> bool:
        """Whether it has to come before or after another one, which only a sequence can show."""
        others = (p for p in self.sounds if p is not proposed)
        return any(self._world.ordered(proposed.name, other.name) for other in others)

    def _fits_in_sequence(self, *new: ProposedSound) -> bool:
        foreground = [*self._foreground, *new]
        gaps_s = self._config.gap_s * (len(foreground) + 1)
        lasts_s = sum(p.duration_s for p in foreground) + gaps_s
        return lasts_s <= self._config.max_duration_s and self._order(foreground) is not None

    def _order(
        self, sounds: Sequence[ProposedSound], rng: Rng | None = None
    ) -> list[ProposedSound] | None:
        """An order that keeps every rule, random if ``rng`` is given; None if there is none."""
        after = {
            j: {i for i, one in enumerate(sounds) if self._world.precedes(one.name, other.name)}
            for j, other in enumerate(sounds)
        }
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

    def _at_once(self, ordered: Sequence[ProposedSound]) -> list[ProposedSound]:
        """The same order, but what only happens with a cause follows it at once."""
        out = list(ordered)
        for sound in ordered:
            if self._world.is_any(sound.name, self._world.caused):
                out.remove(sound)
                causes = [p for p in out if self._world.precedes(p.name, sound.name)]
                out.insert(out.index(causes[-1]) + 1, sound)
        return out

    def _event(self, proposed: ProposedSound, role: TrackRole, duration_s: float) -> SubEvent:
        caption = proposed.annotation.caption if proposed.annotation else ""
        return SubEvent(
            sound=proposed.name,
            role=role,
            duration_s=duration_s,
            description=describe(proposed.sound, role, caption, self._rng),
            source=proposed.annotation.id if proposed.annotation else None,
        )
