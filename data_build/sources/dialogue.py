"""Texts: conversations, instructions, and questions with short answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_build.drops import Report
from data_build.records import Origin
from data_build.sources.json_stream import array_items, object_items
from data_build.sources.rows import BREAKS_OFF, Row, open_binary
from data_build.sources.source import BadRow
from data_build.sources.text_files import (
    alternating,
    dialogue_corpus,
    field_text,
    messages_of,
    text_rows,
)

Messages = list[tuple[str, str]]

_TAG = re.compile(r"^<\|(?:Human|MOSS)\|>:\s*|<eo[hm]>\s*$")
_PLAIN_TURN = re.compile(r"\[(Human|MOSS)\]:\s*(.*?)\s*<eo[ha]>", re.DOTALL)
_SPEAKER = re.compile(r"^(Human|Assistant)\s*[:：]", re.MULTILINE)


def moss(row: Row) -> Messages:
    """MOSS (github.com/OpenMOSS/MOSS), the three forms in circulation::

        002          {"id", "prefix", "num_turns",
                      "plain_text": "[Human]: ...<eoh> [MOSS]: ...<eoa> ..."}
        003          {"conversation_id", "meta_instruction", "num_turns", "category", "chat":
                      {"turn_1": {"Human": "<|Human|>: ...<eoh>\\n", "Inner Thoughts", "Commands",
                                  "Tool Responses", "MOSS": "<|MOSS|>: ...<eom>\\n"}, ...}}
        003, fixed   {"conversation_id", "category",
                      "conversation": [{"human", "assistant"}, ...]}

    as JSON lines, as one array, or one conversation a file. ``split`` picks files by name
    ("en_helpfulness"). Thoughts and tool calls of MOSS are left out.
    """
    if "plain_text" in row.data:
        return _PLAIN_TURN.findall(row.text("plain_text"))
    if "conversation" in row.data:
        return [
            pair
            for turn in row.children("conversation")
            for pair in (("human", turn.text("human")), ("assistant", turn.text("assistant")))
        ]
    chat = row.data.get("chat")
    if not isinstance(chat, dict):
        raise BadRow("has none of plain_text, chat, conversation")
    messages = []
    for number in range(1, len(chat) + 1):
        turn = chat.get(f"turn_{number}")
        if not isinstance(turn, dict):
            raise BadRow("its chat lacks a turn", f"turn_{number}")
        for who in ("Human", "MOSS"):
            messages.append((who, _TAG.sub("", field_text(turn, who).strip())))
    return messages


def ultrachat(row: Row) -> Messages:
    """UltraChat (github.com/thunlp/UltraChat) and UltraChat-200k::

    train_0.jsonl                {"id": "0", "data": ["question", "answer", ...]}
    data/train_sft-*.parquet     prompt, prompt_id, messages: [{"content", "role"}]
    """
    if "messages" in row.data:
        return messages_of(row, "messages", "role", "content")
    return alternating(row.data.get("data"))


def magpie_pro(row: Row) -> Messages:
    """Magpie-Pro (github.com/magpie-align/magpie), single- and multi-turn::

    data/train-00000-of-00010.parquet    uuid, model, ..., conversations: [{"from", "value"}]
    """
    return messages_of(row, "conversations", "from", "value")


def belle(row: Row) -> Messages:
    """BELLE (github.com/LianjiaTech/BELLE), JSON lines in files called ``.json``::

    train_2M_CN.json             {"instruction", "input", "output"}
    multiturn_chat_0.8M.json     {"instruction": "Human:...\\nAssistant:...\\nHuman:...\\n
                                   Assistant:", "input": "", "output"}
    train_3.5M_CN.json           {"id", "conversations": [{"from", "value"}]}
    """
    if "conversations" in row.data:
        return messages_of(row, "conversations", "from", "value")
    return [*_rounds(_instruction(row)), ("assistant", row.text("output"))]


def coig_cqia(row: Row) -> Messages:
    """COIG-CQIA (hub: m-a-p/COIG-CQIA)::

        <domain>/<name>.jsonl    {"instruction", "input", "output", "task_type": {"major", "minor"},
                                  "domain", "answer_from", "human_verified", "copyright"}

    ``subset`` chooses a domain folder (zhihu, wiki, ruozhiba, ...). The joined
    ``COIG-CQIA-full.jsonl`` repeats the folders, so it is read only where it stands alone or is
    named as the root.
    """
    return [("user", _instruction(row)), ("assistant", row.text("output"))]


def _instruction(row: Row) -> str:
    given = row.text_or("", "input")
    return f"{row.text('instruction')}\n{given}" if given else row.text("instruction")


def _rounds(instruction: str) -> Messages:
    """The rounds written into one instruction; an ordinary instruction is one round."""
    if not instruction.startswith("Human"):
        return [("human", instruction)]
    pieces = _SPEAKER.split(instruction)[1:]
    rounds = list(zip(pieces[0::2], pieces[1::2], strict=True))
    if rounds and rounds[-1][0] == "Assistant" and not rounds[-1][1].strip():
        rounds.pop()
    if not rounds or rounds[-1][0] != "Human":
        raise BadRow("its rounds do not end with the user")
    return rounds


_QUESTION = ("question", "query", "utterance", "RawQuestion")
_ANSWERS = ("answer", "answers", "targetValue", "response")
_NO_ANSWER = frozenset(("no_answer", "no answer", "noanswer", "无答案"))
_DESCRIPTION = re.compile(r'\(description (?:"((?:[^"\\]|\\.)*)"|([^\s()]+))\)')


def question_and_answer(row: Row) -> list[tuple[str, str]]:
    """Any record of a question with answers, for example of GammaCorpus or WebQuestions::

        {"question" | "query" | "utterance": "...", "answer" | "answers" | "targetValue": ...}

    where answers are a text, a list of texts, a list of {"text": ...}, {"text": [...]}, or the
    list expression of WebQuestions, ``(list (description "Jamaican Creole") ...)``. The first
    answer is spoken.
    """
    answers = [text for key in _ANSWERS for text in _texts(row.data.get(key))]
    if not answers:
        raise BadRow("has no answer")
    return [("user", row.text(*_QUESTION)), ("assistant", answers[0])]


def dureader_questions(path: Path, report: Report) -> Iterator[Row]:
    """DuReader (github.com/baidu/DuReader)::

        dureader_robust-data/train.json         {"data": [{"paragraphs": [{"context", "qas":
                                                 [{"id", "question", "answers": [{"text"}]}]}]}]}
        raw/trainset/zhidao.train.json          one a line: {"question_id", "question",
                                                 "question_type", "answers": [...], "documents"}

    Questions without an answer (the test sets) are reported.
    """
    squad = _is_squad(path)
    return _squad_questions(path, report) if squad else text_rows(path, report)


def _is_squad(path: Path) -> bool:
    """Whether the document begins as ``{"data": [``; a probe only, errors show when reading."""
    try:
        with open_binary(path) as file:
            head = b"".join(file.read(256).split())
    except BREAKS_OFF:
        return False
    return head.startswith((b'{"data":[', b'{"version":'))


def _squad_questions(path: Path, report: Report) -> Iterator[Row]:
    """Every question of a document in the SQuAD form."""
    for index, article in array_items(path, report, key="data"):
        where = f"{path}[{index}]"
        try:
            paragraphs = Row(where, _mapping(article)).children("paragraphs")
        except BadRow as error:
            report(error.drop(where))
            continue
        for paragraph in paragraphs:
            try:
                yield from paragraph.children("qas")
            except BadRow as error:
                report(error.drop(paragraph.where))


def webqa_questions(path: Path, report: Report) -> Iterator[Row]:
    """WebQA (Baidu, 2016), one object a file::

    me_train.json             {"Q_TRN_000001": {"question", "evidences": {"Q_TRN_000001#00":
                                {"answer": ["..."], "evidence": "..."}, ...}}, ...}
    me_validation.ann.json    the same; "no_answer" marks evidence that does not tell
    """
    for key, value in object_items(path, report):
        yield Row(f"{path}:{key}", _mapping(value))


def most_given_answer(row: Row) -> list[tuple[str, str]]:
    """The answer that most of the evidence of a question of WebQA gives."""
    evidences = row.data.get("evidences")
    if not isinstance(evidences, dict):
        raise BadRow("has no evidences")
    votes: dict[str, int] = {}
    for evidence in evidences.values():
        for answer in _texts(_mapping(evidence).get("answer")):
            votes[answer] = votes.get(answer, 0) + 1
    if not votes:
        raise BadRow("has no answer")
    # Ties go to the answer met first, so the choice is the same in every run.
    best = max(votes, key=lambda answer: votes[answer])
    return [("user", row.text("question")), ("assistant", best)]


def _texts(value: Any, depth: int = 0) -> list[str]:
    """The answers in whichever of the known shapes they come, without "no answer"."""
    if isinstance(value, str):
        listed = [(a or b).replace('\\"', '"') for a, b in _DESCRIPTION.findall(value)]
        found = listed if value.lstrip().startswith("(list") else [value]
    elif isinstance(value, list) and depth <= 2:
        found = [text for item in value for text in _texts(item, depth + 1)]
    elif isinstance(value, dict) and depth <= 2:
        found = _texts(value.get("text"), depth + 1)
    else:
        found = []
    return [text.strip() for text in found if text.strip() and text.strip() not in _NO_ANSWER]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


CORPORA = {
    "moss": dialogue_corpus(
        Origin("MOSS", "CC-BY-NC-4.0 (hub: CC-BY-4.0)", "Fudan University; Sun et al. 2024"),
        "moss-002-sft-data/*.json or moss-003-sft-data/*.jsonl (unpacked)",
        "hub: fnlp/moss-002-sft-data, fnlp/moss-003-sft-data",
        moss,
    ),
    "ultrachat": dialogue_corpus(
        Origin("UltraChat", "MIT", "Tsinghua University; Ding et al. 2023"),
        "train_0.jsonl ... or data/train_sft-*.parquet",
        "hub: stingning/ultrachat or HuggingFaceH4/ultrachat_200k",
        ultrachat,
    ),
    "magpie_pro": dialogue_corpus(
        Origin("Magpie-Pro", "see the model it came from: Llama 3 / Qwen", "Xu et al. 2024"),
        "data/train-*.parquet",
        "hub: Magpie-Align/Llama-3-Magpie-Pro-1M-v0.1 and its siblings",
        magpie_pro,
    ),
    "belle": dialogue_corpus(
        Origin("BELLE", "GPL-3.0; research use only", "BelleGroup, KE Holdings; Ji et al. 2023"),
        "train_2M_CN.json, multiturn_chat_0.8M.json, train_3.5M_CN.json, ...",
        "hub: BelleGroup/train_2M_CN, BelleGroup/multiturn_chat_0.8M, ...",
        belle,
    ),
    "coig_cqia": dialogue_corpus(
        Origin("COIG-CQIA", "no licence stated; research use", "M-A-P; Bai et al. 2024"),
        "COIG-CQIA-full.jsonl or <domain>/*.jsonl",
        "hub: m-a-p/COIG-CQIA",
        coig_cqia,
        repeats="COIG-CQIA-full.jsonl",
    ),
    "gammacorpus_fact_qa": dialogue_corpus(
        Origin("GammaCorpus-Fact-QA", "Apache-2.0", "Ruben Roy 2025"),
        "gammacorpus-fact-qa-450k.jsonl",
        "hub: rubenroy/GammaCorpus-Fact-QA-450k",
        question_and_answer,
    ),
    "dureader": dialogue_corpus(
        Origin("DuReader", "Apache-2.0", "Baidu; He et al. 2018, Tang et al. 2021"),
        "dureader_robust-data/{train,dev}.json or raw/trainset/{search,zhidao}.train.json",
        "github.com/baidu/DuReader",
        question_and_answer,
        dureader_questions,
    ),
    "webqa": dialogue_corpus(
        Origin("WebQA", "research use only", "Baidu; Li et al. 2016"),
        "WebQA.v1.0/me_train.json, me_validation.ann.json, me_test.ann.json",
        "Baidu WebQA 1.0 (arXiv 1607.06275)",
        most_given_answer,
        webqa_questions,
    ),
    "qa_json": dialogue_corpus(
        None,
        "*.json, *.jsonl or *.parquet",
        "any questions with answers, for example WebQuestions",
        question_and_answer,
    ),
}
