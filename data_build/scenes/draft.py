"""One scene while it is put together: a setting, and the sounds that go with it and each other."""

from __future__ import annotations

import graphlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_build.records import TrackRole
from data_build.scenes.describe import describe, sentence
from data_build.scenes.ontology import Ontology, Setting, SoundClass
from data_build.scenes.scene import (
    MAX_EVENTS,
    MIN_EVENTS,
    TIMES_OF_DAY,
    Annotation,
    Scene,
    SubEvent,
)

Rng = np.random.Generator
# A scene of the fewest events does not survive the loss of one that finds no clip.
COMFORTABLE_EVENTS = MIN_EVENTS + 1


@dataclass(frozen=True)
class PlanConfig:
    """How full a scene may be.

    ``max_duration_s`` bounds foreground and gaps (24 s: the longest stream of the published
    training), ``gap_s`` is reserved around every foreground event, ``background_share`` of the
    sounds that could lie on either track goes behind.
    """

    max_events: int = MAX_EVENTS
    max_duration_s: float = 24.0
    gap_s: float = 1.6
    background_share: float = 0.3

    def __post_init__(self) -> None:
        if not MIN_EVENTS <= self.max_events <= MAX_EVENTS:
            raise ValueError(f"max_events must lie in [3, 15], got {self.max_events}")
        if self.gap_s < 0.0:
            raise ValueError(f"gap_s must not be negative, got {self.gap_s}")
        if self.max_duration_s < 8.0 + 4.0 * self.gap_s:
            raise ValueError(
                f"max_duration_s must be at least 8 + 4 gap_s = {8.0 + 4.0 * self.gap_s:g}, "
                f"got {self.max_duration_s}"
            )
        if not 0.0 <= self.background_share <= 1.0:
            raise ValueError(f"background_share must lie in [0, 1], got {self.background_share}")


@dataclass(frozen=True)
class Part:
    """A sound on its way into a scene."""

    sound: SoundClass
    annotation: Annotation | None = None


class Draft:
    """A scene while it is put together in one setting. Only ever holds what goes together."""

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
        self._ambient: Part | None = None
        self._foreground: list[tuple[Part, float]] = []
        self._behind: list[tuple[Part, float]] = []

    @property
    def parts(self) -> list[Part]:
        beside = [part for part, _ in (*self._foreground, *self._behind)]
        return [*beside, self._ambient] if self._ambient else beside

    def offer(self, part: Part) -> float:
        """Takes the sound if nothing speaks against it; how well it suits the setting."""
        suits = 1.0 if self._world.is_any(part.sound.name, self._setting.welcome) else 0.25
        room = self._config.max_events - (0 if self._ambient else 1)
        if len(self.parts) >= room or not self._agrees(part.sound):
            return 0.0
        if self._ambient is None and self._take_ambient(part):
            return 1.0
        duration_s = self._length_s(part)
        used_s = sum(s + self._config.gap_s for _, s in self._foreground) + self._config.gap_s
        if "foreground" in part.sound.roles:
            if used_s + duration_s + self._config.gap_s > self._config.max_duration_s:
                return 0.0
            self._foreground.append((part, duration_s))
            if self._order() is None:
                self._foreground.pop()
                return 0.0
        elif (
            "background" in part.sound.roles
            and self._may_lie_behind(part.sound)
            and len(self._behind) < self._config.max_events - 2  # a scene needs a foreground
        ):
            self._behind.append((part, duration_s))
        else:
            return 0.0
        return suits

    def fill(self) -> None:
        """Adds what a scene cannot do without: an ambient texture and enough sounds."""
        if self._ambient is None:
            names = self._textures()
            for i in self._rng.permutation(len(names)):
                part = Part(self._world.classes[names[i]])
                if self._agrees(part.sound) and self._take_ambient(part):
                    break
            else:
                self._make_room_for_ambient()
        pool = [
            name
            for branch in self._setting.welcome
            for name in self._world.under(branch)
            if self._world.classes[name].id and name in self._available
        ]
        wanted = min(COMFORTABLE_EVENTS, self._config.max_events)
        for i in self._rng.permutation(len(pool)):
            if len(self.parts) >= wanted and self._foreground:
                break
            sound = self._world.classes[pool[i]]
            if "foreground" in sound.roles:
                self.offer(Part(sound))

    def _textures(self) -> tuple[str, ...]:
        """Those of the setting that can be had; all of them where none can."""
        had = tuple(name for name in self._setting.ambient if name in self._available)
        return had or self._setting.ambient

    def _make_room_for_ambient(self) -> None:
        """Every texture of the setting is refused: the sounds that refuse the first one leave."""
        part = Part(self._world.classes[self._textures()[0]])
        kept = self._foreground, self._behind
        self._foreground, self._behind, self._ambient = [], [], part
        for other, _ in (*kept[0], *kept[1]):
            self.offer(other)

    def scene(self) -> Scene:
        assert self._ambient is not None
        order = self._order(self._rng)
        assert order is not None
        ordered = [self._foreground[i] for i in order]
        behind = self._behind + [pair for pair in ordered if self._goes_behind(pair, ordered)]
        ordered = [pair for pair in ordered if pair not in behind]
        duration_s = sum(s for _, s in ordered) + self._config.gap_s * (len(ordered) + 1)
        duration_s = round(max(duration_s, 4.0), 2)
        time_of_day = self._time_of_day()
        events = [
            *(self._event(part, "foreground", s) for part, s in ordered),
            *(self._event(part, "background", s) for part, s in behind),
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

    def _agrees(self, sound: SoundClass) -> bool:
        """Neither the setting nor any sound already in refuses it."""
        if self._world.is_any(sound.name, self._setting.unwelcome):
            return False
        for part in self.parts:
            other = part.sound
            if self._world.excluded(sound.name, other.name):
                return False
            if not (self._is_sequenced(sound) and self._is_sequenced(other)) and (
                self._world.precedes(sound.name, other.name)
                or self._world.precedes(other.name, sound.name)
            ):
                return False
            # Sounds that differ in the tracks they may lie on would end up on two tracks.
            if self._world.related(sound.name, other.name) and (
                part is self._ambient
                or not (self._is_sequenced(sound) and self._is_sequenced(other))
            ):
                return False
        return True

    @staticmethod
    def _is_sequenced(sound: SoundClass) -> bool:
        return "foreground" in sound.roles

    def _take_ambient(self, part: Part) -> bool:
        sound = part.sound
        wanted = self._world.is_any(sound.name, self._setting.ambient) or (
            not self._is_sequenced(sound)
        )
        ordered = any(
            self._world.precedes(sound.name, p.sound.name)
            or self._world.precedes(p.sound.name, sound.name)
            or self._world.related(sound.name, p.sound.name)
            for p in self.parts
        )
        if "ambient" in sound.roles and wanted and not ordered and self._may_lie_behind(sound):
            self._ambient = part
            return True
        return False

    def _may_lie_behind(self, sound: SoundClass) -> bool:
        return sound.place in ("any", self._setting.place)

    def _length_s(self, part: Part) -> float:
        shortest, longest = part.sound.seconds
        usual = float(np.sqrt(shortest * longest))
        known = part.annotation.duration_s if part.annotation else None
        if known is None:
            known = float(np.exp(self._rng.uniform(np.log(shortest), np.log(longest))))
        elif "ambient" not in part.sound.roles:
            # Recordings of short sounds are often padded: the length of the file is an upper bound.
            known = min(known, 1.5 * usual)
        # Two sounds and the gaps around them always fit.
        most_s = (self._config.max_duration_s - 3.0 * self._config.gap_s) / 2.0
        return round(float(np.clip(known, shortest, max(min(longest, most_s), shortest))), 2)

    def _order(self, rng: Rng | None = None) -> list[int] | None:
        """An order of the foreground that keeps every rule, random if ``rng`` is given; or None.

        Rules: doorbell before footsteps; inside, then a doorway, then outside.
        """
        sounds = [part.sound for part, _ in self._foreground]
        crosses = any(not self._may_lie_behind(sound) for sound in sounds)
        if crosses and not any(sound.doorway for sound in sounds):
            return None
        side = [self._side(sound) if crosses else None for sound in sounds]
        after: dict[int, set[int]] = {i: set() for i in range(len(sounds))}
        for i, one in enumerate(sounds):
            for j, other in enumerate(sounds):
                a, b = side[i], side[j]
                if i != j and (
                    self._world.precedes(one.name, other.name)
                    or (a is not None and b is not None and a < b)
                ):
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
        return order

    def _side(self, sound: SoundClass) -> int | None:
        """Before, at and after the doorway; None for sounds at home everywhere."""
        if sound.doorway:
            return 1
        if sound.place == "any":
            return None
        return 0 if sound.place == self._setting.place else 2

    def _goes_behind(self, pair: tuple[Part, float], ordered: Sequence[tuple[Part, float]]) -> bool:
        """A share of the sounds that could lie on either track, when nothing hangs on its order."""
        part, _ = pair
        others = [p.sound.name for p, _ in (*ordered, *self._behind) if p is not part]
        free = (
            "background" in part.sound.roles
            and pair is not ordered[0]
            and not part.sound.doorway
            and self._may_lie_behind(part.sound)
            and not any(
                self._world.related(part.sound.name, o)
                or self._world.precedes(part.sound.name, o)
                or self._world.precedes(o, part.sound.name)
                for o in others
            )
        )
        return free and float(self._rng.random()) < self._config.background_share

    def _time_of_day(self) -> str:
        names = [part.sound.name for part in self.parts]
        if any(self._world.is_any(n, ("Owl", "Snoring", "Cricket", "Fireworks")) for n in names):
            return "night"
        if any(self._world.is_any(n, ("Crowing, cock-a-doodle-doo", "Alarm clock")) for n in names):
            return "early morning"
        return TIMES_OF_DAY[int(self._rng.integers(len(TIMES_OF_DAY)))]

    def _event(self, part: Part, role: TrackRole, duration_s: float) -> SubEvent:
        return SubEvent(
            sound=part.sound.name,
            role=role,
            duration_s=duration_s,
            description=describe(
                part.sound, role, part.annotation.caption if part.annotation else "", self._rng
            ),
            source=part.annotation.id if part.annotation else None,
        )
