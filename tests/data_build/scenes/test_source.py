"""Scenes from a bag of clips, by rule and by a chat model on a server that misbehaves."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from data_build.clip_cache import ClipStore
from data_build.drops import Drop, Dropped
from data_build.records import Clip, Origin, Recorded
from data_build.scenes.chat_model import ChatPlanner, ChatRefiner, ChatVerifier
from data_build.scenes.ground import Grounder
from data_build.scenes.ontology import ontology
from data_build.scenes.plan import RulePlanner
from data_build.scenes.refine import RuleRefiner
from data_build.scenes.retrieval import ClipLibrary, write_clip_library
from data_build.scenes.scene import check
from data_build.scenes.source import SceneSource
from data_build.scenes.verify import RuleVerifier
from soundflow.endpoints.chat import ChatClient
from soundflow.endpoints.http_calls import ServerGone
from tests.data_build.scenes.sounds import barks
from tests.data_build.scenes.test_chat_model import GOOD_PLAN, PASSES, client_of
from tests.soundflow.endpoints.chat_server import Cut, Raw, Say

LABELS = ("dog_bark", "doorbell", "rain", "footsteps", "cough", "wind", "cat", "birds")


def source_of(tmp_path, client: ChatClient | None) -> SceneSource:
    """A source over synthetic clips; asks ``client`` at every stage that can."""
    clips = [
        Clip(f"{label}-{i}", "event", Recorded(label), Origin("t", "CC0"), labels=(label,))
        for label in LABELS
        for i in range(4)
    ]
    write_clip_library(tmp_path / "library", clips)
    grounder = Grounder(
        library=ClipLibrary(tmp_path / "library", clips),
        verifier=ChatVerifier(client) if client else RuleVerifier(),
        prepare=lambda clip: barks(3.0),
        reprocess=lambda samples: samples,
        store=ClipStore(tmp_path / "kept"),
    )
    if client:
        return SceneSource(ChatPlanner(client), ChatRefiner(client), grounder, clips)
    return SceneSource(RulePlanner(), RuleRefiner(), grounder, clips)


def bag(i: int) -> list[Clip]:
    rng = np.random.default_rng(i)
    return [
        Clip(f"{i}-{label}", "event", Recorded(label), Origin("t", "CC0"), 3.0, labels=(label,))
        for label in rng.choice(LABELS, 5, replace=False)
    ]


def chat(n: int, body: dict[str, Any]) -> Any:
    """A model that is right most of the time, on a server that fails in every way it can."""
    faults = (Raw(500), Raw(429, headers={"Retry-After": "0"}), Say("{no json"), Cut(),
              Say({"wrong": "schema"}), Raw(200, b"<html>"))  # fmt: skip
    if n % 3 == 1:
        return faults[n // 3 % len(faults)]
    asked = body["messages"][1]["content"]
    if asked.startswith("Wanted:"):
        return Say(PASSES)
    if asked.startswith("Scene:"):
        (sound,) = re.findall(r"^Sound: (.*) \(", asked, re.MULTILINE)
        return Say(
            {
                "query": f"{sound} sound heard here",
                "caption": f"a sound of {sound}",
                "tags": [sound],
            }
        )
    return Say(
        {
            "scenes": [
                GOOD_PLAN["scenes"][0]
                | {"events": [e | {"source": None} for e in GOOD_PLAN["scenes"][0]["events"]]}
            ]
        }
    )


def test_scenes_survive_a_server_that_misbehaves_and_stop_when_it_dies(chat_server, tmp_path):
    server = chat_server(chat)
    client = client_of(server, tmp_path / "cache", retries=4)
    source = source_of(tmp_path, client)
    before = [source.scenes(bag(i), f"s{i}") for i in range(6)]
    assert sum(len(scenes) for scenes, _ in before) >= 5
    assert client.counts.retries > 5
    for scenes, drops in before:
        assert all(drop.kind == "choice" for drop in drops)
        for scene in scenes:
            assert {g.event.role for g in scene.grounded} >= {"foreground", "ambient"}
            assert json.dumps(scene.provenance())  # plain data
    server.stop()
    with pytest.raises(ServerGone):
        source.scenes(bag(10), "t10")
    # What was answered before is still known: the same bags again ask nothing.
    again = [source.scenes(bag(i), f"s{i}") for i in range(6)]
    assert [scenes for scenes, _ in again] == [scenes for scenes, _ in before]


def test_by_rule_the_same_bag_gives_the_same_scenes(tmp_path):
    source = source_of(tmp_path, None)
    for i in range(10):
        first = source.scenes(bag(i), f"s{i}")
        assert first == source.scenes(bag(i), f"s{i}")
        for scene in first[0]:
            assert check(scene.scene, ontology()) == ()


def test_a_scene_that_lost_an_event_is_told_without_it(tmp_path):
    source = source_of(tmp_path, None)
    lost = 0
    for i in range(30):
        sneeze = Clip(
            f"{i}-sneeze", "event", Recorded("x"), Origin("t", "CC0"), 1.0, labels=("sneezing",)
        )
        scenes, drops = source.scenes([*bag(i), sneeze], f"s{i}")
        for scene in scenes:
            assert scene.scene.events == tuple(g.event for g in scene.grounded)
            assert "sneeze" not in scene.scene.sentence
            assert check(scene.scene, ontology()) == ()
        lost += any("Sneeze" in drop.item for drop in drops)
    assert lost > 10


def test_a_scene_is_drawn_from_the_sounds_and_one_that_cannot_be_had_is_a_choice(tmp_path):
    source = source_of(tmp_path, None)
    available = source.grounder.library.classes
    source = replace(source, planner=RulePlanner(available=available))
    drawn = [source.scene(f"s{i}", np.random.default_rng(i), [].append) for i in range(5)]
    again = [source.scene(f"s{i}", np.random.default_rng(i), [].append) for i in range(5)]
    assert drawn == again
    assert len({scene.scene.sentence for scene in drawn}) > 1
    unknown = Clip("x", "event", Recorded("x"), Origin("t", "CC0"), labels=("gibberish",))
    with pytest.raises(Dropped) as dropped:
        replace(source, sounds=[unknown]).scene("s", np.random.default_rng(0), [].append)
    assert dropped.value.drop.kind == "choice"


def test_a_scene_holds_a_sound_that_is_asked_for_and_nothing_undecided(tmp_path):
    source = source_of(tmp_path, None)
    source = replace(
        source,
        planner=RulePlanner(available=source.grounder.library.classes),
        decided=lambda sound: sound.name != "Wind",
    )
    bell = next(clip for clip in source.sounds if clip.labels == ("doorbell",))
    mine = replace(bell, id="mine", duration_s=2.5)
    held_scenes = []
    for i in range(12):
        with contextlib.suppress(Dropped):  # too few of the others have a clip of the right length
            held_scenes.append(source.scene(f"s{i}", np.random.default_rng(i), [].append, mine))
    assert len(held_scenes) > 5
    for scene in held_scenes:
        (held,) = [g for g in scene.grounded if g.event.source == "mine"]
        assert (held.clip.id, held.event.role) == ("mine", "foreground")
        planned = [g.event for g in scene.grounded if g.event.source]
        assert not any(event.sound == "Wind" for event in planned)
    nowhere = replace(bell, id="x", labels=("geiger_counter",))
    with pytest.raises(Dropped):
        source.scene("s", np.random.default_rng(0), [].append, nowhere)


def test_damaged_clips_that_are_met_are_reported_and_nothing_else(tmp_path):
    source = source_of(tmp_path, None)
    available = source.grounder.library.classes

    def prepare(clip: Clip) -> np.ndarray:
        if clip.id.endswith("-0"):
            raise Dropped(Drop("prepare", clip.id, "is broken"))
        return barks(3.0)

    source = replace(
        source,
        planner=RulePlanner(available=available),
        grounder=replace(source.grounder, prepare=prepare),
    )
    drops: list[Drop] = []
    for i in range(5):
        source.scene(f"s{i}", np.random.default_rng(i), drops.append)
    assert drops
    assert {drop.step for drop in drops} == {"prepare"}
    assert all(drop.item.endswith("-0") for drop in drops)
