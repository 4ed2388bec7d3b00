"""The cascade: top three, mend once, then make; retrieved and made clips pass the same gate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data_build.drops import Drop
from data_build.http_calls import Endpoint
from data_build.pools.synthetic_clips import make
from data_build.records import Clip, Origin, Prepared, Recorded, SyntheticSound
from data_build.scenes.generate import (
    CannotGenerate,
    HttpGenerator,
    HttpGeneratorConfig,
    SynthGenerator,
)
from data_build.scenes.ground import Grounded, Grounder
from data_build.scenes.keep import ClipKeeper
from data_build.scenes.refine import RuleRefiner
from data_build.scenes.retrieval import ClipLibrary
from data_build.scenes.scene import Scene, SubEvent
from data_build.scenes.verify import RuleVerifier, VerifyLimits
from data_build.tfjp.config import TfjpConfig
from data_build.tfjp.loop import tfjp
from soundflow.audio.files import read_audio
from soundflow.shards.schema import quantise
from soundflow.shards.writer import flac_bytes
from tests.data_build.chat_server import ChatServer, Cut, Raw
from tests.data_build.scenes.sounds import RATE, barks, with_noise

SCENE = Scene("A yard at noon.", "in a yard", "out", "noon", 10.0, ())
BARK = SubEvent("Bark", "foreground", 2.0, "a dog barks, close by")
REFINED = RuleRefiner().refine(BARK, SCENE)


@pytest.fixture
def world(tmp_path):
    """A library of clips whose samples are given, and a grounder over it."""
    sounds: dict[str, np.ndarray] = {}
    reprocessed: list[int] = []

    def hear(clip: Clip) -> np.ndarray:
        if isinstance(clip.audio, SyntheticSound):
            return make(clip.audio)[0]
        if clip.id in sounds:
            if len(sounds[clip.id]) == 0:
                raise ValueError("is broken")
            return sounds[clip.id]
        return read_audio(clip.audio.path)

    def reprocess(samples: np.ndarray) -> np.ndarray:
        reprocessed.append(len(samples))
        return tfjp(samples, TfjpConfig()).samples

    def build(generator=None, limits=None, **clips: np.ndarray) -> Grounder:
        sounds.update(clips)
        library = ClipLibrary(tmp_path / f"library-{len(sounds)}")
        library.add(
            Clip(name, "event", Recorded(name), Origin("t", "CC0"), labels=("dog_bark",))
            for name in clips
        )
        return Grounder(
            library=library,
            verifier=RuleVerifier(limits or VerifyLimits()),
            hear=hear,
            reprocess=reprocess,
            keeper=ClipKeeper(tmp_path / "kept"),
            generator=generator,
        )

    build.reprocessed = reprocessed
    return build


def test_a_good_recording_is_taken_as_it_is(world):
    found = world(a=barks()).ground(BARK, REFINED, "s")
    assert isinstance(found, Grounded)
    assert (found.how, found.clip.id, found.trials) == ("retrieved", "a", ())
    assert world.reprocessed == []


def test_a_rejected_one_makes_room_for_the_next(world):
    grounder = world(a=barks(0.5), b=barks(), c=barks(0.5))
    for seed in "pqrstu":  # whatever the order of equals
        found = grounder.ground(BARK, REFINED, seed)
        assert found.clip.id == "b"
        assert all(trial.decision == "reject" for trial in found.trials)


def test_a_clip_to_mend_is_mended_once_and_kept(world, tmp_path):
    long = np.concatenate([barks(1.0), np.zeros(4 * RATE, np.float32), barks(1.0)])
    grounder = world(a=long)
    found = grounder.ground(BARK, REFINED, "s")
    assert found.how == "reprocessed"
    assert len(world.reprocessed) == 1
    assert [trial.decision for trial in found.trials] == ["reprocess"]
    assert isinstance(found.clip.audio, Prepared)
    kept = read_audio(found.clip.audio.path)
    assert len(kept) / RATE == found.clip.duration_s <= 4.0
    assert found.clip.labels == ("dog_bark",)
    assert found.provenance()["how"] == "reprocessed"


def test_what_cannot_be_mended_is_rejected_after_one_try(world):
    limits = VerifyLimits(min_snr_db=40.0, noise_flatness=0.0)
    found = world(limits=limits, a=with_noise(barks(), 0.0)).ground(BARK, REFINED, "s")
    assert isinstance(found, Drop)
    assert len(world.reprocessed) == 1


def test_three_are_tried_and_no_more(world):
    short = barks(0.5)
    found = world(**{f"c{i}": short for i in range(8)}).ground(BARK, REFINED, "s")
    assert isinstance(found, Drop)
    assert found.reason.count("0.5 s for 2.0 s") == 3
    assert "no generator" in found.reason


def test_an_unreadable_recording_is_a_rejection_not_a_crash(world):
    found = world(a=np.zeros(0), b=barks()).ground(BARK, REFINED, "s")
    assert found.clip.id == "b"
    only = world(z=np.zeros(0))
    only = replace(only, library=ClipLibrary(only.keeper.folder / "none"))
    assert isinstance(only.ground(BARK, REFINED, "s"), Drop)


def test_after_three_rejections_a_sound_is_made_and_judged_alike(world):
    grounder = world(SynthGenerator(), a=barks(0.4), b=barks(0.4), c=barks(0.4))
    found = grounder.ground(BARK, REFINED, "s")
    assert isinstance(found, Grounded)
    assert found.how.startswith("generated")
    assert [t.decision for t in found.trials][:3] == ["reject"] * 3
    assert grounder.ground(BARK, REFINED, "s") == found
    assert grounder.ground(BARK, REFINED, "t").clip.id != found.clip.id


def test_what_a_generator_makes_can_be_rejected(world):
    class TooShort:
        def generate(self, event, refined, seed):
            return Clip("z", "event", Recorded("z"), Origin("t", "CC0"), labels=("dog_bark",))

    grounder = world(TooShort(), z=barks(0.3))
    grounder = replace(grounder, library=ClipLibrary(grounder.keeper.folder / "none"))
    found = grounder.ground(BARK, REFINED, "s")
    assert isinstance(found, Drop)
    assert "generated clip is rejected" in found.reason


def test_what_has_no_procedural_sound_says_so():
    sheep = SubEvent("Sheep", "foreground", 1.0, "a sheep")
    with pytest.raises(CannotGenerate, match="Sheep"):
        SynthGenerator().generate(sheep, RuleRefiner().refine(sheep, SCENE), "s")


def served(*actions) -> ChatServer:
    return ChatServer(lambda n, body: actions[min(n, len(actions) - 1)])


def generator_of(server: ChatServer, keeper: ClipKeeper) -> HttpGenerator:
    endpoint = Endpoint(server.url, backoff_s=0.01, retries=2, timeout_s=5, item_limit_s=10)
    return HttpGenerator(HttpGeneratorConfig(endpoint, licence="CC0"), keeper)


def test_a_server_makes_the_sound_once(tmp_path, world):
    audio = Raw(200, flac_bytes(quantise(barks()), RATE))
    with served(Cut(), Raw(503), audio) as server:
        generator = generator_of(server, ClipKeeper(tmp_path / "made"))
        clip = generator.generate(BARK, REFINED, "s")
        assert server.bodies[-1]["prompt"] == REFINED.caption
        assert server.bodies[-1]["duration_s"] == 2.0
        assert clip.origin.licence == "CC0"
        assert isinstance(clip.audio, Prepared)
        assert len(read_audio(clip.audio.path)) == 2 * RATE
        assert generator.generate(BARK, REFINED, "s") == clip
        assert (generator.counts.requests, generator.counts.cache_hits) == (3, 1)
        found = replace(
            world(generator, q=barks(0.2)), library=ClipLibrary(tmp_path / "none")
        ).ground(BARK, REFINED, "s")
        assert (found.how, found.clip) == ("generated", clip)
        generator.close()


@pytest.mark.parametrize("action", [Raw(200, b"RIFF no audio"), Raw(200, b""), Raw(500)])
def test_a_server_that_gives_no_audio_costs_one_event(action, tmp_path, world):
    with served(action) as server:
        generator = generator_of(server, ClipKeeper(tmp_path / "made"))
        grounder = replace(world(generator, q=barks(0.2)), library=ClipLibrary(tmp_path / "none"))
        found = grounder.ground(BARK, REFINED, "s")
        assert isinstance(found, Drop)
        assert len(server.bodies) == 3
        assert sum(generator.counts.failures.values()) == 1
        generator.close()
    assert not list((tmp_path / "made").rglob("*.flac"))
