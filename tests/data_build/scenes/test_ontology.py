"""The sound ontology: complete, consistent, and known under the names that data sets use."""

from __future__ import annotations

import graphlib
import json
from pathlib import Path

import pytest

from data_build.scenes.ontology import material, ontology
from data_build.synth.kinds import KINDS

WORLD = ontology()


def test_it_is_broad_and_every_class_is_well_formed():
    assert len(WORLD.classes) > 500
    assert sum(bool(sound.id) for sound in WORLD.classes.values()) >= 527  # the released labels
    ids = [sound.id for sound in WORLD.classes.values() if sound.id]
    assert len(set(ids)) == len(ids)
    for name, sound in WORLD.classes.items():
        shortest, longest = sound.seconds
        assert 0 < shortest < longest, name
        assert sound.roles, name
        assert sound.place in ("in", "out", "any"), name
        assert sound.lineage[0] == name
        assert material(sound).material


def test_hints_are_inherited_and_overridden():
    assert WORLD.is_a("Bark", "Dog")
    assert WORLD.is_a("Bark", "Animal")
    assert not WORLD.is_a("Dog", "Bark")
    assert WORLD.classes["Caw"].place == "out"  # from "Wild animals"
    assert WORLD.classes["Smoke detector, smoke alarm"].place == "in"
    assert WORLD.classes["Slam"].doorway
    assert not WORLD.classes["Doorbell"].doorway
    assert "Bow-wow" in WORLD.under("Animal")


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("dog_bark", "Bark"),
        ("/m/0bt9lr", "Dog"),
        ("Smoke alarm", "Smoke detector, smoke alarm"),
        ("sea_waves", "Waves, surf"),
        ("clock_alarm", "Alarm clock"),
        ("Whimper (dog)", "Whimper (dog)"),
        ("whimper", "Whimper"),
        ("vacuum_cleaner", "Vacuum cleaner"),
        ("no such sound", None),
        ("", None),
    ],
)
def test_labels_are_found(label, name):
    found = WORLD.find(label)
    assert (found.name if found else None) == name


def test_every_class_is_found_by_its_own_name_and_id():
    for name, sound in WORLD.classes.items():
        assert WORLD.find(name) is sound
        assert not sound.id or WORLD.find(sound.id) is sound


ESC_50 = """
dog rooster pig cow frog cat hen insects sheep crow rain sea_waves crackling_fire crickets
chirping_birds water_drops wind pouring_water toilet_flush thunderstorm crying_baby sneezing
clapping breathing coughing footsteps laughing brushing_teeth snoring drinking_sipping
door_wood_knock mouse_click keyboard_typing door_wood_creaks can_opening washing_machine
vacuum_cleaner clock_alarm clock_tick glass_breaking helicopter chainsaw siren car_horn engine
train church_bells airplane fireworks hand_saw"""


def test_the_labels_of_esc_50_and_of_our_own_sounds_are_known():
    assert len(ESC_50.split()) == 50
    assert [label for label in ESC_50.split() if WORLD.find(label) is None] == []
    assert [kind.label for kind in KINDS.values() if WORLD.find(kind.label) is None] == []


def test_the_labels_of_the_shared_recordings_are_known(shared: Path):
    rows = [json.loads(line) for line in (shared / "data/manifest.jsonl").open()]
    labels = {row["label"] for row in rows if row["kind"] in ("event", "noise", "music")}
    assert len(labels) > 60
    assert [label for label in sorted(labels) if WORLD.find(label) is None] == []


def test_rules_and_settings_name_classes_that_exist():
    named = {
        name for pairs in (WORLD.exclude, WORLD.before, WORLD.alike) for p in pairs for name in p
    }
    named |= {*WORLD.apart, *WORLD.incidents, *WORLD.when}
    assert all(WORLD.times(name) for name in WORLD.classes)
    named |= set(WORLD.labels.values())
    for setting in WORLD.settings:
        named |= {*setting.ambient, *setting.welcome, *setting.unwelcome}
        for name in setting.ambient:
            assert "ambient" in WORLD.classes[name].roles, (setting.name, name)
            assert WORLD.classes[name].place in ("any", setting.place), (setting.name, name)
            assert not WORLD.is_any(name, setting.unwelcome), (setting.name, name)
    assert named - WORLD.classes.keys() == set()


def test_exclusion_goes_both_ways_and_down_the_branches():
    assert WORLD.excluded("Jazz", "Television")
    assert WORLD.excluded("Television", "Jazz")
    assert WORLD.excluded("Jazz", "Lullaby")
    assert not WORLD.excluded("Bark", "Doorbell")


def test_order_goes_down_the_branches_and_never_in_circles():
    assert WORLD.precedes("Ding-dong", "Walk, footsteps")
    assert not WORLD.precedes("Walk, footsteps", "Ding-dong")
    branches = {name for pair in WORLD.before for name in pair}
    involved = sorted({name for branch in branches for name in WORLD.under(branch)})
    after = {b: {a for a in involved if a != b and WORLD.precedes(a, b)} for b in involved}
    tuple(graphlib.TopologicalSorter(after).static_order())  # raises CycleError on a circle


def test_evidence_is_the_branch_and_what_is_heard_as_it():
    evidence = WORLD.evidence("Dog")
    assert {"Dog", "Bark", "Growling"} <= set(evidence)
    assert "Cat" not in evidence
    assert "Dog" in WORLD.evidence("Bark")  # the broader label, but not what else is under it
    assert "Growling" not in WORLD.evidence("Bark")
    assert "Shatter" in WORLD.evidence("Breaking")
    assert "Breaking" not in WORLD.evidence("Shatter")
    assert "Ambulance (siren)" in WORLD.evidence("Siren")
    assert "Siren" not in WORLD.evidence("Ambulance (siren)")
    assert "Gong" not in WORLD.evidence("Music")  # a sound of its own kind


def test_sounds_have_their_times_of_day():
    assert WORLD.times("Owl") == {"evening", "night"}
    assert WORLD.times("Hoot") == {"evening", "night"}
    assert len(WORLD.times("Rain")) == 6


def test_two_incidents_share_a_scene_only_where_one_leads_to_the_other():
    assert WORLD.clashes("Screaming", "Smoke detector, smoke alarm")
    assert not WORLD.clashes("Screaming", "Gunshot, gunfire")
    assert not WORLD.clashes("Siren", "Explosion")
    assert WORLD.clashes("Jazz", "Television")
