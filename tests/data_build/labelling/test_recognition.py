"""What a listener needs: a row above every class, the longest of several labels."""

from __future__ import annotations

from dataclasses import replace

from data_build.labelling.policy import policy
from data_build.labelling.recognition import needed_s, table
from data_build.scenes.ontology import ontology
from data_build.synth.kinds import synthesised_clip

CLIP = synthesised_clip("dog_bark", 0)


def test_every_class_has_a_time() -> None:
    classes = ontology().classes
    assert set(table()) <= set(classes)
    for name in classes:
        needed = needed_s(replace(CLIP, labels=(name,)))
        assert needed is not None, name
        assert 0.2 <= needed <= 2.0, name


def test_danger_is_named_in_time() -> None:
    rules = policy()
    dangers = [s for s in ontology().classes.values() if rules.verdict(s) == "respond"]
    times = [needed_s(replace(CLIP, labels=(sound.name,))) or 9.0 for sound in dangers]
    assert max(times) <= 1.5


def test_the_slowest_of_several_labels_decides_and_no_class_means_the_whole_clip() -> None:
    both = replace(CLIP, labels=("Gunshot, gunfire", "Siren", "a label of mine"))
    assert needed_s(both) == needed_s(replace(CLIP, labels=("siren",)))
    assert needed_s(replace(CLIP, labels=("a label of mine",))) is None
