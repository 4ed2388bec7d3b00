"""Clips from the procedural sounds and from a real HTTP server; what each does when it cannot."""

from __future__ import annotations

import pytest

from data_build.clip_cache import ClipStore
from data_build.drops import Dropped
from data_build.records import Prepared
from data_build.scenes.config import HttpGeneratorConfig
from data_build.scenes.generate import HttpGenerator, SynthGenerator
from data_build.scenes.ontology import ontology
from data_build.scenes.refine import RuleRefiner
from data_build.scenes.scene import Scene, SubEvent
from soundflow.audio.files import read_audio
from soundflow.endpoints.http_calls import Endpoint, ServerGone
from soundflow.shards.schema import quantise
from soundflow.shards.writer import flac_bytes
from tests.data_build.scenes.sounds import RATE, barks
from tests.soundflow.endpoints.chat_server import ChatServer, Cut, Raw

SCENE = Scene("A yard at noon.", "in a yard", "out", "noon", 10.0, ())
BARK = SubEvent("Bark", "foreground", 2.0, "a dog barks, close by")
REFINED = RuleRefiner().refine(BARK, SCENE)


def test_a_procedural_sound_fits_the_event_and_its_length():
    clip = SynthGenerator().generate(BARK, REFINED, "s")
    assert ontology().find(clip.labels[0]).name in REFINED.tags
    assert clip.duration_s == 2.0
    assert SynthGenerator().generate(BARK, REFINED, "s") == clip
    assert SynthGenerator().generate(BARK, REFINED, "t").id != clip.id
    rain = SubEvent("Rain", "ambient", 60.0, "rain all around")  # repeated, so it may be shorter
    made = SynthGenerator().generate(rain, RuleRefiner().refine(rain, SCENE), "s")
    assert made.duration_s == 12.0


def test_what_has_no_procedural_sound_says_so():
    sheep = SubEvent("Sheep", "foreground", 1.0, "a sheep")
    with pytest.raises(Dropped, match="Sheep: no procedural sound"):
        SynthGenerator().generate(sheep, RuleRefiner().refine(sheep, SCENE), "s")


def served(*actions) -> ChatServer:
    return ChatServer(lambda n, body: actions[min(n, len(actions) - 1)])


def generator_of(server: ChatServer, store: ClipStore) -> HttpGenerator:
    endpoint = Endpoint(server.url, backoff_s=0.01, retries=2, timeout_s=5, item_limit_s=10)
    return HttpGenerator(HttpGeneratorConfig(endpoint, licence="CC0"), store)


def test_a_server_makes_the_sound_once(tmp_path):
    audio = Raw(200, flac_bytes(quantise(barks()), RATE))
    with served(Cut(), Raw(503), audio) as server:
        generator = generator_of(server, ClipStore(tmp_path / "made"))
        clip = generator.generate(BARK, REFINED, "s")
        assert server.bodies[-1]["prompt"] == REFINED.caption
        assert server.bodies[-1]["duration_s"] == 2.0
        assert clip.origin.licence == "CC0"
        assert isinstance(clip.audio, Prepared)
        assert len(read_audio(clip.audio.path)) == 2 * RATE
        assert generator.generate(BARK, REFINED, "s") == clip
        assert (generator.caller.counts.requests, generator.caller.counts.cache_hits) == (3, 1)
        generator.caller.close()


@pytest.mark.parametrize("action", [Raw(200, b"RIFF no audio"), Raw(200, b""), Raw(500)])
def test_a_server_that_gives_no_audio_costs_one_event(action, tmp_path):
    with served(action) as server:
        generator = generator_of(server, ClipStore(tmp_path / "made"))
        with pytest.raises(Dropped, match="no usable audio from the generator") as dropped:
            generator.generate(BARK, REFINED, "s")
        assert dropped.value.drop.kind == "choice"
        assert len(server.bodies) == 3
        assert sum(generator.caller.counts.failures.values()) == 1
        generator.caller.close()
    assert not list((tmp_path / "made").rglob("*.flac"))


def test_a_server_that_is_gone_stops_the_build(tmp_path):
    with served(Cut()) as server:
        generator = generator_of(server, ClipStore(tmp_path / "made"))
        server.stop()
        with pytest.raises(ServerGone):
            generator.generate(BARK, REFINED, "s")
        generator.caller.close()


def test_a_generator_without_a_licence_is_refused():
    with pytest.raises(ValueError, match="licence"):
        HttpGeneratorConfig(Endpoint("http://127.0.0.1:9"), licence=" ")
