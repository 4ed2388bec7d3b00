"""Retrieval: exact BM25 over the whole library, however many segments it lies in."""

from __future__ import annotations

import math
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_build.records import Clip, Origin, Recorded
from data_build.scenes import retrieval as library_module
from data_build.scenes.retrieval import (
    ClipLibrary,
    Reranker,
    clip_text,
    tokens,
    write_clip_library,
)
from soundflow.errors import UserError

ORIGIN = Origin("test", "CC0")


def clip(name: str, *labels: str, caption: str = "") -> Clip:
    return Clip(name, "event", Recorded(f"{name}.wav"), ORIGIN, 1.0, labels=labels, caption=caption)


CLIPS = [
    clip("a", "dog_bark", caption="an old dog barks at the postman"),
    clip("b", "cat", caption="a cat asks for food"),
    clip("c", "smoke_alarm"),
    clip("d", "clock_alarm"),
    clip("e", "sea_waves", caption="waves roll over pebbles"),
    clip("f", caption=""),
]


def library_of(folder: Path, clips: list[Clip], reranker: Reranker | None = None) -> ClipLibrary:
    write_clip_library(folder / "library", clips)
    return ClipLibrary(folder / "library", clips, reranker)


def test_the_right_clip_comes_first(tmp_path):
    library = library_of(tmp_path, CLIPS)
    for query, first in {
        "old dog barking at a postman": "a",
        "smoke detector alarm in the hall": "c",
        "alarm clock rings in the morning": "d",
        "waves rolling on pebbles": "e",
    }.items():
        assert library.search(query)[0].clip.id == first
    assert library.search("zebra") == []
    assert library.search("the of and") == []
    assert len(library.search("alarm", k=10)) == 2


def test_an_empty_library_finds_nothing(tmp_path):
    assert library_of(tmp_path, []).search("dog") == []


def test_it_knows_the_classes_of_its_clips_and_how_long_they_are(tmp_path):
    longer = replace(clip("g", "cat"), duration_s=4.0)
    unknown = replace(clip("h", "rain"), duration_s=None)
    library = library_of(tmp_path, [*CLIPS, longer, unknown])
    assert library.classes["Bark"] == 1.0
    assert library.classes["Cat"] == 2.5
    assert library.classes["Rain"] is None
    assert "Dog" not in library.classes


def test_labels_come_before_words(tmp_path, monkeypatch):
    monkeypatch.setattr(library_module, "SEGMENT_CLIPS", 20)
    clips = [clip(f"{i:02d}", "gong", caption="music music of a temple") for i in range(50)]
    clips[37] = clip("jazz", "Jazz")
    clips[41] = clip("music", "music")
    found = library_of(tmp_path, clips).search("music", k=4, classes=("Music", "Jazz", "Opera"))
    assert [f.clip.id for f in found[:2]] == ["music", "jazz"]
    assert {f.clip.labels for f in found[2:]} == {("gong",)}
    nothing_said = library_of(tmp_path, clips).search("zebra", classes=("Jazz",))
    assert [f.clip.id for f in nothing_said] == ["jazz"]


def by_hand(query: str, clips: list[Clip]) -> dict[str, float]:
    """BM25 written out (Robertson & Zaragoza 2009, with Lucene's idf)."""
    texts = {c.id: tokens(clip_text(c)) or ["nothing"] for c in clips}
    mean = sum(map(len, texts.values())) / len(texts)
    scores: dict[str, float] = {}
    for name, words in texts.items():
        counts, total = Counter(words), 0.0
        for word in dict.fromkeys(tokens(query)):
            holding = sum(word in other for other in texts.values())
            idf = math.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5))
            norm = 1.5 * (1 - 0.75 + 0.75 * len(words) / mean)
            total += idf * counts[word] / (counts[word] + norm)
        if total:
            scores[name] = total
    return scores


vocabulary = st.sampled_from(["dog", "cat", "door", "rain", "alarm", "bell", "wind", "glass"])


@settings(max_examples=25, deadline=None)
@given(
    captions=st.lists(st.lists(vocabulary, max_size=8).map(" ".join), min_size=1, max_size=25),
    segment_clips=st.integers(1, 26),
    query=st.lists(vocabulary, min_size=1, max_size=4).map(" ".join),
)
def test_segments_change_nothing_and_scores_are_bm25(
    tmp_path_factory, captions, segment_clips, query
):
    folder = tmp_path_factory.mktemp("library")
    clips = [clip(f"{i:02d}", caption=caption) for i, caption in enumerate(captions)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library_module, "SEGMENT_CLIPS", segment_clips)
        library = library_of(folder, clips)
    found = library.search(query, k=len(clips), among=len(clips))
    expected = by_hand(query, clips)
    assert {f.clip.id: f.score for f in found} == pytest.approx(expected, abs=2e-6)
    scores = [f.score for f in found]
    assert scores == sorted(scores, reverse=True)


def test_equal_clips_are_drawn_by_seed(tmp_path):
    clips = [clip(f"{i:03d}", "dog_bark") for i in range(200)]
    library = library_of(tmp_path, clips)
    drawn = {
        seed: tuple(f.clip.id for f in library.search("dog bark", seed=seed)) for seed in "abcdef"
    }
    assert len(set(drawn.values())) > 4
    assert drawn["a"] == tuple(
        f.clip.id for f in library_of(tmp_path, clips).search("dog bark", seed="a")
    )


def test_of_equal_clips_those_of_the_right_length_come_first(tmp_path):
    clips = [replace(clip(f"{i}", "dog_bark"), duration_s=float(i)) for i in range(1, 20)]
    library = library_of(tmp_path, clips)
    for seed in "abcd":
        found = library.search("dog bark", k=4, seed=seed, length_s=3.0)
        assert all(1.5 <= f.clip.duration_s <= 6.0 for f in found)


def test_a_large_library_is_split_and_streams(tmp_path, monkeypatch):
    monkeypatch.setattr(library_module, "SEGMENT_CLIPS", 100)
    clips = [clip(f"{i}", "rain", caption=f"number n{i}") for i in range(250)]
    library = library_of(tmp_path, clips)
    assert len(list(tmp_path.glob("library/segment-*"))) == 3
    assert library.search("number n237")[0].clip is clips[237]


class Backwards:
    """Ranks by meaning in the reverse of the order of words."""

    def scores(self, query, texts):
        return np.arange(len(texts), dtype=np.float32)


def test_a_reranker_has_its_say(tmp_path):
    clips = [clip(f"{i}", caption="dog " * (i + 1)) for i in range(5)]
    order = [f.clip.id for f in library_of(tmp_path, clips).search("dog", k=5)]
    ranked = library_of(tmp_path, clips, Backwards())
    fused = ranked.search("dog", k=5)
    # Both rankings count alike, so opposite ones meet: the ends tie and win over the middle.
    assert {fused[0].clip.id, fused[1].clip.id} == {order[0], order[-1]}
    assert fused[-1].clip.id == order[2]


def test_an_interrupted_library_is_written_anew_and_a_finished_one_kept(tmp_path, monkeypatch):
    def breaks():
        yield from CLIPS
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_clip_library(tmp_path / "library", breaks())
    assert list(tmp_path.iterdir()) == []
    library_of(tmp_path, CLIPS)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    library_of(tmp_path, CLIPS)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_an_index_of_other_clips_is_noticed(tmp_path):
    library_of(tmp_path, CLIPS)
    with pytest.raises(ValueError, match="index of 6 clips, not of 5"):
        ClipLibrary(tmp_path / "library", CLIPS[:5])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_the_users_mistake(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot be written"):
        write_clip_library(tmp_path / "library", CLIPS)
