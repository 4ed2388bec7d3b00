"""Sounds are judged by the rules, or by a chat model under the same contract."""

from __future__ import annotations

from data_build.drops import Drop
from data_build.labelling.judging import PROMPT, judged, model_judgements
from data_build.records import Judgement
from soundflow.endpoints.chat import ChatClient, ChatConfig
from soundflow.endpoints.http_calls import Endpoint
from soundflow.endpoints.prompts import read_prompt
from tests.data_build.labelling.test_policy import RULES, WORDS, clip
from tests.soundflow.endpoints.chat_server import Raw, Say


def test_undecided_clips_are_left_out_and_reported() -> None:
    drops: list[Drop] = []
    kept = list(
        judged([clip("Siren"), clip("Fire"), clip("Rain")], RULES, None, drops.append, ("en",))
    )
    assert [c.labels for c in kept] == [("Siren",), ("Rain",)]
    assert all(c.judgement is not None for c in kept)
    assert [d.reason for d in drops] == ["borderline: Fire"]


def test_the_chat_model_judges_under_the_same_contract(chat_server) -> None:
    clips = [
        clip("Siren", id="a"),
        clip(kind="speech", id="b"),
        clip("Rain", id="c"),
        clip("Fire", id="d"),
        clip("Gasp", id="e"),
        clip(id="f"),
    ]
    answers = [
        Say({"verdict": "respond", "reason": "a siren", "category": "safety",
             "replies": {"zh": "有 (警笛) 声。", "en": "A siren is near."}, "emotion": "urgent"}),
        Say({"verdict": "silent", "reason": "weather"}),
        Say({"verdict": "borderline", "reason": "a fireplace?"}),
        Raw(400),
    ]  # fmt: skip
    server = chat_server(lambda n, body: answers[n])
    endpoint = Endpoint(server.url, timeout_s=5, item_limit_s=5, retries=0, concurrency=1)
    with ChatClient(ChatConfig(endpoint)) as client:
        reported: list[Drop] = []
        judged = {
            c.id: j for c, j in model_judgements(clips, client, reported.append, ("zh", "en"))
        }
    stamp = read_prompt(PROMPT).stamp()
    siren = judged.pop("a")
    assert (siren.category, siren.evidence, siren.made_by) == ("safety", ("a siren",), stamp)
    for code, said in (
        ("zh", "有 (警笛) 声。"),
        ("en", "A siren is near."),
        ("de", "有 (警笛) 声。"),
    ):
        reply = siren.reply_in(code)
        assert reply is not None
        assert WORDS.said(reply).text == said
        assert reply.emotion == "urgent"
    assert judged == {"c": Judgement(None, "", ("weather",), stamp)}
    drops = {drop.item.split(":")[0]: drop.reason for drop in reported}
    assert sorted(drops) == ["b", "d", "e", "f"]
    assert "speech" in drops["b"]
    assert drops["d"] == "borderline"
    assert "refused" in drops["e"]
    assert "neither label nor caption" in drops["f"]
    assert len(server.bodies) == 4
    assert '- "zh": Mandarin Chinese\n- "en": English' in server.bodies[0]["messages"][0]["content"]
    assert "Labels: Siren" in server.bodies[0]["messages"][1]["content"]


def test_an_answer_without_its_category_is_asked_for_again(chat_server) -> None:
    half = Say({"verdict": "respond", "reason": "a siren", "replies": {"en": "Watch out."}})
    server = chat_server(lambda n, body: half)
    endpoint = Endpoint(server.url, timeout_s=5, item_limit_s=5, retries=1, backoff_s=0.01)
    with ChatClient(ChatConfig(endpoint)) as client:
        reported: list[Drop] = []
        assert list(model_judgements([clip("Siren")], client, reported.append, ("en",))) == []
    assert "wrong_schema" in reported[0].reason
    assert len(server.bodies) == 2
