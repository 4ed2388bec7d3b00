"""Refinement by rule: every class gets a query, a caption and evidence that hold the rules."""

from __future__ import annotations

import pytest

from data_build.scenes.ontology import ontology
from data_build.scenes.refine import Refined, RuleRefiner, check_refined
from data_build.scenes.scene import SubEvent
from tests.data_build.scenes.test_plan import GOOD

WORLD = ontology()


def refined(sound: str, description: str = "", duration_s: float = 2.0) -> Refined:
    event = SubEvent(sound, "foreground", duration_s, description or f"{sound.lower()}, close by")
    return RuleRefiner().refine(event, GOOD)


def test_every_class_is_refined_within_the_rules():
    for name in WORLD.classes:
        event = SubEvent(name, "foreground", 2.0, f"{name.lower()}, close by")
        assert check_refined(RuleRefiner().refine(event, GOOD), event, WORLD) == ()


def test_near_confusables_are_told_apart():
    smoke, clock = refined("Smoke detector, smoke alarm"), refined("Alarm clock")
    assert {"smoke", "detector"} <= set(smoke.query.split())
    assert "clock" in clock.query.split()
    assert "smoke" not in clock.query.split()
    assert "Alarm clock" not in smoke.tags


def test_a_caption_reaches_the_query_and_the_material_the_generator():
    made = refined("Bark", "an old terrier barks twice, in the distance")
    assert {"terrier", "barks", "twice"} <= set(made.query.split())
    assert "distance" not in made.query
    assert "mid-sized dog" in made.caption
    assert refined("Bark", duration_s=0.5).caption.startswith("short ")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"query": "dog"}, "words"),
        ({"query": " ".join("abcdefghijklmn")}, "words"),
        ({"caption": "dog"}, "caption"),
        ({"tags": ("Unicorn",)}, "no class"),
        ({"tags": ("Cat",)}, "no tag is evidence"),
    ],
)
def test_what_breaks_a_rule_is_named(changes, problem):
    good = {"query": "dog barks in yard", "caption": "a dog barks", "tags": ("Dog",)}
    event = SubEvent("Bark", "foreground", 1.0, "a bark")
    assert check_refined(Refined(**good), event, WORLD) == ()
    assert any(problem in p for p in check_refined(Refined(**(good | changes)), event, WORLD))
