"""The whole curation by rule on real recordings, prepared as a build prepares them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data_build.drops import Dropped
from data_build.pools.prepare import PrepareConfig, Preparer
from data_build.randomness import generator
from data_build.records import Clip, Origin, Recorded
from data_build.scenes.curator import Curator
from data_build.scenes.generate import SynthGenerator
from data_build.scenes.ground import Grounder
from data_build.scenes.keep import ClipKeeper
from data_build.scenes.measure import measure
from data_build.scenes.ontology import ontology
from data_build.scenes.plan import RulePlanner
from data_build.scenes.refine import RuleRefiner
from data_build.scenes.retrieval import ClipLibrary, groundable
from data_build.scenes.scene import SubEvent, check
from data_build.scenes.verify import RuleVerifier
from data_build.synth.kinds import KINDS
from data_build.tfjp.config import TfjpConfig
from data_build.tfjp.loop import tfjp


@pytest.fixture(scope="module")
def recordings(shared: Path) -> list[Clip]:
    rows = [json.loads(line) for line in (shared / "data/manifest.jsonl").open()]
    return [
        Clip(
            id=row["path"],
            kind=row["kind"],
            audio=Recorded(str(shared / "data" / row["path"])),
            origin=Origin(row["source"], row["licence"]),
            duration_s=row["duration_s"],
            labels=(row["label"],),
        )
        for row in rows
        if row["kind"] != "speech"
    ]


def test_every_label_is_retrieved_by_its_refined_query(recordings, tmp_path):
    library = ClipLibrary(tmp_path)
    library.add(recordings)
    world = ontology()
    for label in sorted({clip.labels[0] for clip in recordings}):
        sound = world.find(label)
        event = SubEvent(sound.name, "foreground", 2.0, f"{sound.name.lower()}, close by")
        refined = RuleRefiner().refine(event, None)
        (best, *_) = library.search(refined.query)
        assert world.find(best.clip.labels[0]).name in refined.tags, label


def test_bags_of_recordings_become_scenes_with_audio(recordings, tmp_path):
    library = ClipLibrary(tmp_path / "library")
    library.add(recordings)
    preparer = Preparer(tmp_path / "cache", PrepareConfig())
    keeper = ClipKeeper(tmp_path / "kept")
    grounder = Grounder(
        library=library,
        verifier=RuleVerifier(),
        hear=lambda clip: preparer.prepare(clip).samples,
        reprocess=lambda samples: tfjp(samples, TfjpConfig()).samples,
        keeper=keeper,
        generator=SynthGenerator(),
        unusable=(Dropped,),
    )
    had = library.classes | {kind.label for kind in KINDS.values()}
    curator = Curator(RulePlanner(available=groundable(had)), RuleRefiner(), grounder)
    planned = survived = 0
    ways: set[str] = set()
    for n in range(6):
        draw = generator("bag", n).choice(len(recordings), 8, replace=False)
        curated = curator.curate([recordings[i] for i in draw], str(n))
        survived += len(curated.scenes)
        planned += len(curated.scenes) + sum("too little" in d.reason for d in curated.drops)
        for scene in curated.scenes:
            assert check(scene.scene, ontology()) == ()
            for grounded in scene.grounded:
                ways.add(grounded.how)
                assert grounded.verdict.decision == "accept"
                heard = measure(preparer.prepare(grounded.clip).samples)
                if grounded.event.role != "ambient":
                    ratio = heard.duration_s / grounded.event.duration_s
                    assert 0.5 <= ratio <= 2.0
    assert survived >= 0.8 * planned
    assert survived >= 8
    assert "retrieved" in ways
