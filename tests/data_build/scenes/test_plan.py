"""The rule-based planner: whatever is in the bag, its scenes are believable."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_build.scenes.config import PlanConfig
from data_build.scenes.ontology import TIMES_OF_DAY, ontology
from data_build.scenes.plan import RulePlanner
from data_build.scenes.scene import Annotation, Plan, Scene, SubEvent, check

WORLD = ontology()
NAMES = sorted(WORLD.classes)


def bag_of(*names: str) -> list[Annotation]:
    return [Annotation(f"{i}-{name}", (name,)) for i, name in enumerate(names)]


def plan_of(*names: str, seed: int = 0, config: PlanConfig | None = None) -> Plan:
    planner = RulePlanner(config or PlanConfig())
    return planner.plan(bag_of(*names), np.random.default_rng(seed))


annotations = st.builds(
    Annotation,
    id=st.uuids().map(str),
    labels=st.lists(st.sampled_from([*NAMES, "gibberish"]), max_size=3).map(tuple),
    caption=st.sampled_from(["", "a sound in the yard", "two of them"]),
    duration_s=st.none() | st.floats(0.05, 90.0),
)


@given(
    bag=st.lists(annotations, max_size=18, unique_by=lambda a: a.id),
    seed=st.integers(0, 2**32),
    config=st.builds(
        PlanConfig,
        max_events=st.integers(3, 15),
        max_duration_s=st.floats(18.0, 60.0),
        gap_s=st.floats(0.0, 2.5),
        background_share=st.floats(0.0, 1.0),
    ),
)
@settings(max_examples=60, deadline=None)
def test_every_scene_keeps_every_rule_and_nothing_is_lost(bag, seed, config):
    plan = RulePlanner(config).plan(bag, np.random.default_rng(seed))
    assert len(plan.scenes) <= 2
    for scene in plan.scenes:
        assert check(scene, WORLD) == ()
        assert len(scene.events) <= config.max_events
        assert scene.duration_s <= config.max_duration_s + 0.01
        assert scene.location in scene.sentence
        words = scene.sentence.lower()
        assert scene.time_of_day.split()[-1] in words or "dawn" in words
    used = [e.source for scene in plan.scenes for e in scene.events if e.source]
    left = [annotation.id for annotation, _ in plan.unused]
    assert sorted(used + left) == sorted(annotation.id for annotation in bag)
    again = RulePlanner(config).plan(bag, np.random.default_rng(seed))
    assert again == plan


def test_sounds_that_exclude_each_other_are_never_in_one_scene():
    met = set()
    for seed in range(20):
        for scene in plan_of("Radio", "Television", "Cough", "Telephone bell ringing", "Bark",
                             seed=seed).scenes:  # fmt: skip
            heard = {event.sound for event in scene.events} & {"Radio", "Television"}
            assert len(heard) < 2
            met |= heard
    assert met == {"Radio", "Television"}


def test_sounds_happen_only_where_they_belong():
    names = ("Vehicle horn, car horn, honking", "Waves, surf", "Toilet flush", "Typing", "Gong",
             "Cash register", "Railroad car, train wagon", "Cricket")  # fmt: skip
    settings = {setting.name: setting for setting in WORLD.settings}
    for seed in range(40):
        for scene in plan_of(*names, seed=seed).scenes:
            setting = settings[scene.made_by["setting"]]
            lists = {"foreground": setting.front, "background": setting.behind,
                     "ambient": setting.ambient}  # fmt: skip
            assert scene.time_of_day in setting.times
            for event in scene.events:
                assert WORLD.is_instance(event.sound, lists[event.role]), setting.name
                assert scene.time_of_day in WORLD.times(event.sound)
                assert WORLD.classes[event.sound].place in ("any", scene.place)


def test_a_scream_has_a_cause():
    heard = 0
    for seed in range(60):
        for scene in plan_of("Screaming", "Bark", "Traffic noise, roadway noise", seed=seed).scenes:
            order = [event.sound for event in scene.on("foreground")]
            if "Screaming" in order:
                heard += 1
                assert WORLD.precedes(order[order.index("Screaming") - 1], "Screaming")
                assert order[0] != "Screaming"
    assert heard > 10


def test_a_scene_holds_what_it_has_to_in_its_foreground():
    held = 0
    for name in ("Siren", "Typing", "Bark", "Typewriter", "Geiger"):
        for seed in range(10):
            bag = bag_of(name, "Rain", "Cough", "Waves, surf", "Cash register", "Laughter")
            plan = RulePlanner().plan(bag, np.random.default_rng(seed), bag[0].id)
            if name in ("Siren", "Typing", "Bark"):
                (event,) = [e for e in plan.scenes[0].on("foreground") if e.source == bag[0].id]
                assert event.sound == name
                assert check(plan.scenes[0], WORLD) == ()
                held += 1
    assert held == 30


def test_the_doorbell_rings_before_the_footsteps():
    met = 0
    for seed in range(40):
        for scene in plan_of("Walk, footsteps", "Doorbell", "Growling", seed=seed).scenes:
            order = [event.sound for event in scene.on("foreground")]
            if {"Doorbell", "Walk, footsteps"} <= set(order):
                met += 1
                assert order.index("Doorbell") < order.index("Walk, footsteps")
    assert met > 10


def test_an_ambient_texture_of_the_bag_is_used_as_one():
    plan = plan_of("Rain", "Thunder", "Bark")
    (rain,) = (e for scene in plan.scenes for e in scene.events if e.sound == "Rain")
    assert rain.role == "ambient"
    assert rain.source == "0-Rain"


def test_descriptions_keep_the_captions_of_clips():
    bag = [Annotation("a", ("Bark",), "an old dog barks twice.", 1.2)]
    (scene,) = RulePlanner().plan(bag, np.random.default_rng(0)).scenes
    (bark,) = (e for e in scene.events if e.source == "a")
    assert bark.description.startswith("an old dog barks twice, ")
    assert bark.duration_s == 1.2


def test_only_what_is_available_is_added():
    available = {"Tick": 9.0, "Cough": 0.8, "Sneeze": None, "Wind": None, "Creak": 1.0}
    planner = RulePlanner(available=available)
    lengths = set()
    for seed in range(30):
        for scene in planner.plan(bag_of("Slam"), np.random.default_rng(seed)).scenes:
            added = [e for e in scene.events if e.source is None]
            assert {e.sound for e in added} <= {*available, "Tick-tock"}  # a tick stands for it
            lengths |= {e.duration_s for e in added if e.sound == "Cough"}
    assert lengths == {0.8}
    assert RulePlanner(available={}).plan(bag_of("Slam"), np.random.default_rng(0)).scenes == ()


def test_unknown_labels_are_left_out_with_a_reason():
    plan = plan_of("gibberish")
    assert plan.scenes == ()
    assert plan.unused[0][1] == "no label is a sound class"


GOOD = Scene(
    sentence="In the evening in a kitchen the rain falls while somebody cooks.",
    location="in a kitchen",
    place="in",
    time_of_day="evening",
    duration_s=12.0,
    events=(
        SubEvent("Doorbell", "foreground", 1.5, "a chime"),
        SubEvent("Walk, footsteps", "foreground", 3.0, "steps on tiles"),
        SubEvent("Bark", "background", 1.0, "a far dog"),
        SubEvent("Rain", "ambient", 12.0, "rain on the window"),
    ),
)


def with_event(at: int, **changes) -> Scene:
    events = list(GOOD.events)
    events[at] = replace(events[at], **changes)
    return replace(GOOD, events=tuple(events))


BROKEN = {
    "form": replace(GOOD, sentence="Rain."),
    "form time": replace(GOOD, time_of_day="teatime"),
    "form description": with_event(0, description=" "),
    "count": replace(GOOD, events=GOOD.events[2:]),
    "known": with_event(0, sound="Unicorn"),
    "ambient": with_event(3, role="background"),
    "ambient length": with_event(3, duration_s=5.0),
    "duration": with_event(0, duration_s=30.0),
    "order": replace(GOOD, events=(GOOD.events[1], GOOD.events[0], *GOOD.events[2:])),
    "order cause": with_event(1, sound="Screaming", duration_s=1.0),
    "order track": with_event(1, role="background"),
    "exclusion": replace(
        GOOD,
        events=(
            *GOOD.events,
            SubEvent("Jazz", "background", 8.0, "a record"),
            SubEvent("Television", "foreground", 5.0, "the news"),
        ),
    ),
    "place": with_event(2, sound="Sheep"),
    "place foreground": with_event(0, sound="Vehicle horn, car horn, honking"),
    "role": with_event(2, sound="Raindrop", role="background", duration_s=4.0),
    "role unfit": with_event(3, sound="Doorbell"),
}


def test_a_good_scene_has_no_faults():
    assert check(GOOD, WORLD) == ()
    assert GOOD.time_of_day in TIMES_OF_DAY


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_each_rule_is_checked(name):
    rules = {violation.rule for violation in check(BROKEN[name], WORLD)}
    assert name.split()[0] in rules


def test_a_doorway_makes_a_change_of_place_believable():
    door = SubEvent("Slam", "foreground", 1.0, "the front door")
    car = SubEvent("Car passing by", "foreground", 3.0, "a car")
    outside = replace(GOOD, events=(*GOOD.events[:2], car, GOOD.events[3]))
    assert {v.rule for v in check(outside, WORLD)} == {"place"}
    through = replace(GOOD, events=(GOOD.events[0], door, car, GOOD.events[3]))
    assert check(through, WORLD) == ()


@pytest.mark.parametrize(
    "wrong",
    [{"max_events": 2}, {"max_events": 16}, {"max_duration_s": 5.0}, {"background_share": 1.5}],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PlanConfig(**wrong)
