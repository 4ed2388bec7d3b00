"""History-review probes: fair, late, and only about what the speaker gave away."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_build.drops import Drop, Dropped
from data_build.labelling.facts import Fact, facts
from data_build.labelling.history import (
    PROMPT,
    Probe,
    earliest_late,
    insert,
    model_probe,
    problem,
    rule_probe,
)
from data_build.records import Dialogue, DialogueTurn, Origin
from data_build.wording.wording import SplitWording, StreamWords, wording
from soundflow.endpoints.chat import ChatClient, ChatConfig
from soundflow.endpoints.http_calls import Endpoint
from soundflow.endpoints.prompts import read_prompt
from tests.soundflow.endpoints.chat_server import Raw, Say

ORIGIN = Origin("test", "CC0-1.0")
SMALL_TALK = (
    "What should I cook tonight?",
    "That sounds good.",
    "How long does it take?",
    "Is it hard to make?",
    "Thanks for that.",
    "Anything to drink with it?",
)
PERSONAL = (
    ("Hello, my name is Anna Berg.", "name", "What is my name?", "Your name is Anna Berg."),
    ("My sister Clara is visiting.", "name", "What is the name of my sister?",
     "Your sister is called Clara."),
    ("I have 3 cats.", "number", "How many cats do I have?", "You have 3 cats."),
    ("I am 34 years old.", "number", "How old am I?", "You are 34 years old."),
    ("I need twelve eggs for the cake.", "number", "How many eggs do I need?",
     "You need twelve eggs."),
    ("I'll take the red one.", "choice", "Which one did I choose?", "You chose the red one."),
    ("I prefer tea to coffee.", "choice", "What do I like better than coffee?", "You prefer tea."),
    ("My train leaves at 5:40 pm.", "time", "When does my train leave?",
     "Your train leaves at 5:40 pm."),
    ("I have a dentist appointment on Friday.", "time", "When is my dentist appointment?",
     "Your dentist appointment is on Friday."),
    ("I'm flying to Lisbon with friends.", "place", "Where am I flying to?",
     "You are flying to Lisbon."),
    ("I left my keys on my desk.", "place", "Where did I leave my keys?",
     "You left your keys on your desk."),
    ("I'm allergic to peanuts.", "thing", "What am I allergic to?", "You are allergic to peanuts."),
    ("My favorite color is green.", "thing", "What is my favorite color?",
     "Your favorite color is green."),
)  # fmt: skip
MANDARIN = (
    ("我叫李明。", "我叫什么名字？", "你叫李明。"),
    ("我妹妹叫小红。", "我妹妹叫什么名字？", "你妹妹叫小红。"),
    ("我有三只猫。", "我有几只猫？", "你有三只猫。"),
    ("我住在上海。", "我住在哪里？", "你住在上海。"),
    ("我对花生过敏。", "我对什么过敏？", "你对花生过敏。"),
)


def dialogue(*said: str, language: str = "en", answer: str = "All right.") -> Dialogue:
    return Dialogue("d", tuple(DialogueTurn(s, answer) for s in said), ORIGIN, language)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def in_words(language: str = "en", number: int = 0) -> StreamWords:
    return StreamWords(SplitWording.of(wording(), "train", {"train": 1.0}), str(number), language)


def outcome(talk: Dialogue, draws: np.random.Generator, number: int = 0) -> Probe | Drop:
    """The probe by rule, or why there is none."""
    try:
        return rule_probe(talk, draws, in_words(talk.language, number))
    except Dropped as dropped:
        return dropped.drop


def plainest(fact: Fact, language: str) -> tuple[str, str]:
    """The question about a fact and its answer, in the plainest words."""
    words = in_words(language)
    ask, answer = (f"<recall.{fact.name}.{part}>" for part in ("ask", "answer"))
    return words.plainest(ask, **fact.slots), words.plainest(answer, **fact.yours)


@pytest.mark.parametrize(("said", "kind", "question", "answer"), PERSONAL)
def test_a_personal_statement_becomes_a_question(
    said: str, kind: str, question: str, answer: str
) -> None:
    talk = dialogue(said, *SMALL_TALK)
    (fact,) = facts(talk)
    assert plainest(fact, "en") == (question, answer)
    probes = [outcome(talk, rng(), number) for number in range(20)]
    assert all(isinstance(p, Probe) and p.kind == kind and p.source_round == 0 for p in probes)
    assert len({p.question for p in probes if isinstance(p, Probe)}) > 3


@pytest.mark.parametrize(("said", "question", "answer"), MANDARIN)
def test_mandarin_statements_too(said: str, question: str, answer: str) -> None:
    talk = dialogue(said, *["好的，谢谢。"] * 4, language="zh")
    (fact,) = facts(talk)
    assert plainest(fact, "zh") == (question, answer)
    probe = outcome(talk, rng())
    assert isinstance(probe, Probe)
    assert probe.question.endswith("？")


@pytest.mark.parametrize(
    "said", ["I have two minutes.", "The capital of France is Paris.", "Is my name in the list?"]
)
def test_what_is_not_personal_is_no_fact(said: str) -> None:
    assert facts(dialogue(said)) == []
    assert isinstance(outcome(dialogue(said, *SMALL_TALK), rng()), Drop)


@given(
    where=st.integers(0, 9), n_rounds=st.integers(1, 10), which=st.integers(0, 12),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_every_probe_is_late_and_three_rounds_after_its_answer(
    where: int, n_rounds: int, which: int, seed: int
) -> None:
    said = [SMALL_TALK[i % len(SMALL_TALK)] for i in range(n_rounds)]
    where = min(where, n_rounds - 1)
    said[where] = PERSONAL[which][0]
    talk = dialogue(*said)
    probe = outcome(talk, rng(seed))
    if where + 3 > n_rounds:
        assert isinstance(probe, Drop)
        return
    assert isinstance(probe, Probe)
    assert problem(talk, probe) is None
    assert probe.at - probe.source_round >= 3
    assert earliest_late(n_rounds) <= probe.at <= n_rounds
    assert probe.value in said[where]
    longer = insert(talk, probe)
    assert longer.turns[probe.at] == DialogueTurn(probe.question, probe.answer)
    rest = (*longer.turns[: probe.at], *longer.turns[probe.at + 1 :])
    assert rest == talk.turns
    assert outcome(talk, rng(seed)) == probe


def test_entities_come_before_things() -> None:
    talk = dialogue(
        "I'm allergic to peanuts.", "My room number is 12.", "I have 3 cats.", *SMALL_TALK
    )
    kinds = {outcome(talk, rng(seed)).kind for seed in range(20)}  # type: ignore[union-attr]
    assert kinds == {"number"}


def test_the_assistants_word_counts_where_it_is_about_the_speaker() -> None:
    talk = dialogue("Book it.", *SMALL_TALK, answer="Fine.")
    booked = DialogueTurn("Book it.", "Done. Your order number is 4471.")
    talk = Dialogue("d", (booked, *talk.turns[1:]), ORIGIN)
    probe = outcome(talk, rng())
    assert isinstance(probe, Probe)
    assert probe.value == "4471"
    assert "order number" in probe.question


def test_a_fact_that_changed_is_asked_for_as_it_is_now() -> None:
    talk = dialogue("My name is Anna.", "Sorry, my name is Bella.", *SMALL_TALK)
    probe = outcome(talk, rng())
    assert isinstance(probe, Probe)
    assert "Bella" in probe.answer


def test_what_was_heard_again_is_no_test_of_memory() -> None:
    talk = dialogue("My name is Anna.", "Fine.", "Fine.", "They call me Anna at work.", "Fine.")
    assert isinstance(outcome(talk, rng()), Drop)


def test_without_anything_personal_the_first_topic_serves() -> None:
    probe = outcome(dialogue("What is the boiling point of lead?", *SMALL_TALK), rng())
    assert isinstance(probe, Probe)
    assert "about the boiling point of lead" in probe.answer
    pointing = outcome(dialogue("So I heard, where is that over there?", *SMALL_TALK), rng())
    assert isinstance(pointing, Drop)


GOOD = {"at": 4, "source_round": 0, "kind": "name", "value": "Anna",
        "question": "What is my name?", "answer": "Your name is Anna."}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({}, None),
        ({"source_round": 2}, "three rounds"),
        ({"source_round": 9}, "does not exist"),
        ({"at": 9}, "three rounds"),
        ({"at": 3}, "too early"),
        ({"value": "Bella"}, "does not hold"),
        ({"answer": "I know it."}, "lacks"),
        ({"question": "My name is Anna, is it?"}, "gives the answer away"),
        ({"question": "As I said, what is my name?"}, "points back"),
        ({"question": "What is my name, do you remember?"}, "points back"),
        ({"question": "Which name is it?"}, "common knowledge"),
    ],
)
def test_an_unfair_probe_is_named_as_such(change: dict[str, object], wrong: str | None) -> None:
    talk = dialogue("My name is Anna.", *SMALL_TALK[:4])
    found = problem(talk, Probe(**(GOOD | change)))  # type: ignore[arg-type]
    assert found is None if wrong is None else found is not None and wrong in found


# the chat model


def client_of(url: str) -> ChatClient:
    return ChatClient(
        ChatConfig(Endpoint(url, timeout_s=5, item_limit_s=5, retries=1, backoff_s=0.01))
    )


def test_the_models_probe_is_held_to_the_same_rules(chat_server) -> None:
    talks = [dialogue("My name is Anna.", *SMALL_TALK[:4]) for _ in range(4)]
    talks = [Dialogue(f"d{i}", t.turns, ORIGIN) for i, t in enumerate(talks)]
    found = {k: v for k, v in GOOD.items() if k != "at"} | {"found": True}
    answers = [
        Say(found),
        Say(found | {"question": "As I said, what is my name?"}),
        Say({"found": False}),
        Raw(400),
    ]
    server = chat_server(lambda n, body: answers[n])
    client = ChatClient(
        ChatConfig(Endpoint(server.url, timeout_s=5, item_limit_s=5, retries=0, concurrency=1))
    )
    with client:
        made = model_probe(talks[0], client, rng())
        reasons = []
        for talk in talks[1:]:
            with pytest.raises(Dropped) as dropped:
                model_probe(talk, client, rng())
            assert dropped.value.drop.item.startswith(talk.id)
            reasons.append(dropped.value.drop.reason)
    assert problem(talks[0], made) is None
    assert made.made_by == read_prompt(PROMPT).stamp()
    assert "points back" in reasons[0]
    assert "found nothing" in reasons[1]
    assert "refused" in reasons[2]
    asked = server.bodies[0]["messages"][1]["content"]
    assert "Round 0\nSpeaker: My name is Anna.\nAssistant: All right." in asked


def test_a_model_that_breaks_the_schema_costs_the_item_not_the_build(chat_server) -> None:
    server = chat_server(lambda n, body: Say({"found": True, "source_round": 0}))
    with client_of(server.url) as client, pytest.raises(Dropped, match="wrong_schema"):
        model_probe(dialogue("My name is Anna.", *SMALL_TALK), client, rng())
    assert len(server.bodies) == 2  # asked once more
