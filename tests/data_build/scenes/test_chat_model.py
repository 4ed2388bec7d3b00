"""Planner, refiner and verifier through a chat model: the same types, the same rules, no trust."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

from data_build.drops import Dropped
from data_build.records import Clip, Origin, Recorded
from data_build.scenes.chat_model import PROMPTS, ChatPlanner, ChatRefiner, ChatVerifier
from data_build.scenes.measure import measure
from data_build.scenes.ontology import ontology
from data_build.scenes.refine import RuleRefiner, check_refined
from data_build.scenes.scene import Annotation, Scene, SubEvent, check
from data_build.scenes.verify import Candidate
from soundflow.endpoints.chat import ChatClient, ChatConfig
from soundflow.endpoints.http_calls import Endpoint
from soundflow.endpoints.prompts import read_prompt
from tests.data_build.scenes.sounds import barks
from tests.soundflow.endpoints.chat_server import Say

BAG = [
    Annotation("c1", ("doorbell",), "", 2.0),
    Annotation("c2", ("footsteps",), "steps on stone", 3.0),
    Annotation("c3", ("rain",), "", 20.0),
    Annotation("c4", ("sheep",), "", 1.0),
]
GOOD_PLAN: dict[str, Any] = {
    "scenes": [
        {
            "sentence": "In the evening rain falls on a quiet house while somebody calls.",
            "location": "in a living room",
            "place": "inside",
            "time_of_day": "evening",
            "events": [
                {"source": "c1", "sound": "Doorbell", "role": "foreground", "duration_s": 2.0,
                 "description": "the bell rings twice"},
                {"source": "c2", "sound": "footsteps", "role": "foreground", "duration_s": 3.0,
                 "description": "steps to the door"},
                {"source": "c3", "sound": "Rain", "role": "ambient", "duration_s": 1.0,
                 "description": "rain on the window"},
            ],
        }
    ]
}  # fmt: skip
SCENE = Scene("A yard at noon with a dog.", "in a yard", "out", "noon", 10.0, ())
BARK = SubEvent("Bark", "foreground", 2.0, "a dog barks")
GOOD_REFINEMENT = {"query": "dog barks loudly outdoors", "caption": "a dog barks", "tags": ["Dog"]}
PASSES = {
    name: {"outcome": "pass", "reason": "fine"}
    for name in ("identity", "cleanliness", "duration", "continuity")
}


def changed(plan: dict[str, Any], **event: Any) -> dict[str, Any]:
    copy = json.loads(json.dumps(plan))
    copy["scenes"][0]["events"][0] |= event
    return copy


def client_of(server, tmp_path, **endpoint) -> ChatClient:
    patience = {"backoff_s": 0.01, "retries": 2, "timeout_s": 5, "item_limit_s": 10} | endpoint
    return ChatClient(ChatConfig(Endpoint(server.url, **patience), cache_dir=str(tmp_path)))


def test_a_plan_becomes_a_scene_that_keeps_the_rules(chat_server, tmp_path):
    server = chat_server(lambda n, body: Say(GOOD_PLAN))
    planner = ChatPlanner(client_of(server, tmp_path))
    plan = planner.plan(BAG, np.random.default_rng(0))
    (scene,) = plan.scenes
    assert check(scene, ontology()) == ()
    assert [e.sound for e in scene.events] == ["Doorbell", "Walk, footsteps", "Rain"]
    assert scene.events[2].duration_s == scene.duration_s  # an ambient sound lasts the whole scene
    assert [a.id for a, _ in plan.unused] == ["c4"]
    assert scene.made_by["prompt"] == read_prompt(PROMPTS / "plan_scene.v2.md").stamp()
    assert planner.plan(BAG, np.random.default_rng(0)) == plan
    assert len(server.bodies) == 1  # the second time from the cache
    asked = server.bodies[0]["messages"][1]["content"]
    assert 'id c2: footsteps ("steps on stone"), 3.0 s' in asked


FAULTY = {
    "order": changed(GOOD_PLAN, sound="Slam", description="a door") | {},
    "no class": changed(GOOD_PLAN, sound="Unicorn"),
    "place": changed(GOOD_PLAN, sound="Sheep", source="c4", duration_s=1.0),
    "duration": changed(GOOD_PLAN, duration_s=100.0),
    "no clip of the bag": changed(GOOD_PLAN, source="c99"),
    "used twice": changed(GOOD_PLAN, source="c2"),
}
FAULTY["order"]["scenes"][0]["events"][1] |= {"sound": "Doorbell"}


@pytest.mark.parametrize("fault", sorted(FAULTY))
def test_a_plan_that_breaks_a_rule_goes_back_with_what_is_wrong(fault, chat_server, tmp_path):
    server = chat_server(lambda n, body: Say(FAULTY[fault] if n == 0 else GOOD_PLAN))
    plan = ChatPlanner(client_of(server, tmp_path)).plan(BAG, np.random.default_rng(0))
    assert len(plan.scenes) == 1
    second = server.bodies[1]["messages"][1]["content"]
    assert fault in second.split("refused")[1]


def test_a_clip_that_a_scene_has_to_hold_is_asked_for(chat_server, tmp_path):
    server = chat_server(lambda n, body: Say(GOOD_PLAN))
    planner = ChatPlanner(client_of(server, tmp_path))
    (scene,) = planner.plan(BAG, np.random.default_rng(0), "c2").scenes
    assert "c2" in {event.source for event in scene.on("foreground")}
    assert "Clip c2 has to be in the foreground" in server.bodies[0]["messages"][1]["content"]
    with pytest.raises(Dropped, match="c4 has to be in the foreground"):
        planner.plan(BAG, np.random.default_rng(0), "c4")


def test_a_planner_that_never_learns_fails_and_does_not_hang(chat_server, tmp_path):
    server = chat_server(lambda n, body: Say(FAULTY["no class"]))
    with pytest.raises(Dropped, match=r"Unicorn.*: the chat model broke the rules 3 times"):
        ChatPlanner(client_of(server, tmp_path)).plan(BAG, np.random.default_rng(0))
    assert len(server.bodies) == 3


def test_a_refinement_is_checked_and_goes_back_too(chat_server, tmp_path):
    answers = [
        {"query": "dog", "caption": "a dog barks", "tags": ["Dog"]},
        {"query": "dog barks loudly outdoors", "caption": "a dog barks", "tags": ["Cat"]},
        GOOD_REFINEMENT,
    ]
    server = chat_server(lambda n, body: Say(answers[min(n, 2)]))
    refined = ChatRefiner(client_of(server, tmp_path)).refine(BARK, SCENE)
    assert refined.query == GOOD_REFINEMENT["query"]
    assert check_refined(refined, BARK, ontology()) == ()
    assert "1 words" in server.bodies[1]["messages"][1]["content"]
    assert "no tag is evidence" in server.bodies[2]["messages"][1]["content"]
    server = chat_server(lambda n, body: Say(answers[0]))
    with pytest.raises(Dropped, match="broke the rules"):
        ChatRefiner(client_of(server, tmp_path / "other")).refine(BARK, SCENE)


@pytest.mark.parametrize(
    ("criterion", "outcome", "decision"),
    [
        (None, "pass", "accept"),
        ("identity", "fail", "reject"),
        ("cleanliness", "reprocess", "reprocess"),
        ("continuity", "fail", "reject"),
    ],
)
def test_what_follows_from_four_findings_is_decided_here(
    criterion, outcome, decision, chat_server, tmp_path
):
    said = dict(PASSES)
    if criterion:
        said[criterion] = {"outcome": outcome, "reason": "so it seems"}
    server = chat_server(lambda n, body: Say(said))
    clip = Clip("x", "event", Recorded("x"), Origin("t", "CC0"), labels=("dog_bark",))
    candidate = Candidate(
        clip, barks(), measure(barks()), {"Dog": 0.81, "Cat": 0.1, "Wind": 0.3}, reprocessed=True
    )
    refined = RuleRefiner().refine(BARK, SCENE)
    verdict = ChatVerifier(client_of(server, tmp_path)).verify(candidate, BARK, refined)
    assert verdict.decision == decision
    system, asked = (message["content"] for message in server.bodies[0]["messages"])
    assert "cleaned and cut once already" in system
    assert re.search(r"labels dog_bark.*2\.00 s long", asked, re.DOTALL)
    assert "Detected by a tagging model: Dog 0.81; Wind 0.30; Cat 0.10." in asked


def test_identity_cannot_be_mended(chat_server, tmp_path):
    said = PASSES | {"identity": {"outcome": "reprocess", "reason": "x"}}
    server = chat_server(lambda n, body: Say(said))
    clip = Clip("x", "event", Recorded("x"), Origin("t", "CC0"))
    with pytest.raises(Dropped, match=r"no usable answer of the chat model \(wrong_schema\)"):
        ChatVerifier(client_of(server, tmp_path)).verify(
            Candidate(clip, barks(), measure(barks())), BARK, RuleRefiner().refine(BARK, SCENE)
        )
