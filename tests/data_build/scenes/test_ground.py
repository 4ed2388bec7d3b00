"""The cascade: top three, reprocess once, then make; all pass the same gate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data_build import randomness
from data_build.clip_cache import ClipStore
from data_build.drops import Drop, Dropped
from data_build.records import Clip, Origin, Prepared, Recorded, SyntheticSound
from data_build.scenes.config import VerifyLimits
from data_build.scenes.generate import SynthGenerator
from data_build.scenes.ground import Grounded, Grounder
from data_build.scenes.refine import RuleRefiner
from data_build.scenes.retrieval import ClipLibrary, write_clip_library
from data_build.scenes.scene import Scene, SubEvent
from data_build.scenes.verify import RuleVerifier
from data_build.synth.kinds import take
from data_build.tfjp.loop import tfjp
from data_build.tfjp.spectrum import TfjpConfig
from soundflow.audio.files import read_audio
from tests.data_build.scenes.sounds import RATE, barks, with_noise

SCENE = Scene("A yard at noon.", "in a yard", "out", "noon", 10.0, ())
BARK = SubEvent("Bark", "foreground", 2.0, "a dog barks, close by")
REFINED = RuleRefiner().refine(BARK, SCENE)


DAMAGED = np.zeros(0, np.float32)


@pytest.fixture
def world(tmp_path):
    """A library of clips whose samples are given, and a grounder over it."""
    reprocessed: list[int] = []

    def build(generator=None, limits=None, tagger=None, **sounds: np.ndarray) -> Grounder:
        def prepare(clip: Clip) -> np.ndarray:
            if isinstance(clip.audio, SyntheticSound):
                sound = clip.audio
                return take(sound.kind, randomness.generator(*sound.seed), sound.seconds).samples
            if clip.id not in sounds:
                return read_audio(clip.audio.path)
            if len(sounds[clip.id]) == 0:
                raise Dropped(Drop("prepare", clip.id, "is broken"))
            return sounds[clip.id]

        def reprocess(samples: np.ndarray) -> np.ndarray:
            reprocessed.append(len(samples))
            return tfjp(samples, TfjpConfig()).samples

        return Grounder(
            library=library_of(tmp_path / "library", [barking(name) for name in sounds]),
            verifier=RuleVerifier(limits or VerifyLimits()),
            prepare=prepare,
            reprocess=reprocess,
            store=ClipStore(tmp_path / "kept"),
            generator=generator,
            tagger=tagger,
        )

    build.reprocessed = reprocessed
    return build


def barking(name: str) -> Clip:
    return Clip(name, "event", Recorded(name), Origin("t", "CC0"), labels=("dog_bark",))


def library_of(folder: Path, clips: list[Clip]) -> ClipLibrary:
    write_clip_library(folder, clips)
    return ClipLibrary(folder, clips)


def ground(grounder: Grounder, seed: str = "s") -> Grounded:
    drops: list[Drop] = []
    grounded = grounder.ground(BARK, REFINED, seed, drops.append)
    assert drops == []
    return grounded


def drop_of(grounder: Grounder) -> Drop:
    with pytest.raises(Dropped) as dropped:
        grounder.ground(BARK, REFINED, "s", lambda drop: None)
    assert dropped.value.drop.kind == "choice"
    return dropped.value.drop


def test_a_good_recording_is_taken_as_it_is(world):
    found = ground(world(a=barks()))
    assert (found.how, found.reprocessed, found.clip.id) == ("retrieved", False, "a")
    assert found.attempts == ()
    assert world.reprocessed == []


def test_a_rejected_one_makes_room_for_the_next(world):
    grounder = world(a=barks(0.5), b=barks(), c=barks(0.5))
    for seed in "pqrstu":  # whatever the order of equals
        found = ground(grounder, seed)
        assert found.clip.id == "b"
        assert all(attempt.decision == "reject" for attempt in found.attempts)


def test_a_long_clip_is_reprocessed_once_and_stored(world):
    long = np.concatenate([barks(1.0), np.zeros(4 * RATE, np.float32), barks(1.0)])
    found = ground(world(a=long))
    assert (found.how, found.reprocessed) == ("retrieved", True)
    assert len(world.reprocessed) == 1
    assert [attempt.decision for attempt in found.attempts] == ["reprocess"]
    assert isinstance(found.clip.audio, Prepared)
    stored = read_audio(found.clip.audio.path)
    assert len(stored) / RATE == found.clip.duration_s <= 4.0
    assert found.clip.labels == ("dog_bark",)
    assert found.provenance()["reprocessed"] is True


def test_what_reprocessing_does_not_help_is_rejected_after_one_try(world):
    limits = VerifyLimits(min_snr_db=40.0, noise_flatness=0.0)
    drop_of(world(limits=limits, a=with_noise(barks(), 0.0)))
    assert len(world.reprocessed) == 1


def test_three_are_tried_and_no_more(world):
    drop = drop_of(world(**{f"c{i}": barks(0.5) for i in range(8)}))
    assert drop.item.count("0.5 s for 2.0 s") == 3
    assert drop.reason == "no recording passes"  # the same for every event, so that they count


def test_a_damaged_recording_is_a_loss_and_the_next_is_tried(world):
    drops: list[Drop] = []
    grounder = world(a=DAMAGED, b=barks())
    for seed in "pqrstu":  # whatever the order of equals
        assert grounder.ground(BARK, REFINED, seed, drops.append).clip.id == "b"
    assert set(drops) == {Drop("prepare", "a", "is broken", "loss")}


def test_a_damaged_recording_alone_is_reported_beside_the_event(world):
    drops: list[Drop] = []
    with pytest.raises(Dropped) as dropped:
        world(z=DAMAGED).ground(BARK, REFINED, "s", drops.append)
    assert drops == [Drop("prepare", "z", "is broken", "loss")]
    assert "z: is broken" in dropped.value.drop.item


def test_after_three_rejections_a_sound_is_made_and_judged_alike(world):
    grounder = world(SynthGenerator(), a=barks(0.4), b=barks(0.4), c=barks(0.4))
    found = ground(grounder)
    assert found.how == "generated"
    assert [attempt.decision for attempt in found.attempts][:3] == ["reject"] * 3
    assert ground(grounder) == found
    assert ground(grounder, "t").clip.id != found.clip.id


def test_what_a_generator_makes_can_be_rejected(world):
    class TooShort:
        def generate(self, event, refined, seed):
            return barking("z")

    drop = drop_of(world(TooShort(), z=barks(0.3)))
    assert drop.reason == "neither a recording nor a generated clip passes"


def test_a_tagger_judges_retrieved_and_generated_clips(world):
    class HearsCats:
        def tags(self, samples):
            return {"Bark": 0.01, "Cat": 0.9}

    drop = drop_of(world(SynthGenerator(), tagger=HearsCats(), a=barks()))
    assert drop.item.count("detected as Cat with 0.90") == 2
