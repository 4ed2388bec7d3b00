"""Questions with short answers: GammaCorpus-Fact-QA, DuReader, WebQA and JSON like theirs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_build.records import Dialogue, Origin
from data_build.sources.json_stream import array_items, documents, object_items
from data_build.sources.rows import BREAKS_OFF, Row, open_binary, usable
from data_build.sources.source import BadRow, Corpus, Report, SourceConfig, WorkerShard
from data_build.sources.text_files import (
    JSON_SUFFIXES,
    dialogue_corpus,
    row_id,
    text_files,
    text_root,
)
from data_build.sources.turns import dialogue

DUREADER = Origin("DuReader", "Apache-2.0", "Baidu; He et al. 2018, Tang et al. 2021")
WEBQA = Origin("WebQA", "research use only", "Baidu; Li et al. 2016")

DUREADER_TREE = "dureader_robust-data/{train,dev}.json or raw/trainset/{search,zhidao}.train.json"
WEBQA_TREE = "WebQA.v1.0/me_train.json, me_validation.ann.json, me_test.ann.json"

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


def dureader(config: SourceConfig, part: WorkerShard, report: Report) -> Iterator[Dialogue]:
    """DuReader (github.com/baidu/DuReader)::

        dureader_robust-data/train.json         {"data": [{"paragraphs": [{"context", "qas":
                                                 [{"id", "question", "answers": [{"text"}]}]}]}]}
        raw/trainset/zhidao.train.json          one a line: {"question_id", "question",
                                                 "question_type", "answers": [...], "documents"}

    ``split`` picks files by name. Questions without an answer (the test sets) are reported.
    """
    root = text_root(config)
    paths = text_files(config, DUREADER_TREE, report, JSON_SUFFIXES)
    for path, rows_part in part.share(paths):
        rows = (
            _squad_questions(path, rows_part, report)
            if _is_squad(path)
            else documents(path, report, rows_part)
        )
        yield from usable(
            rows,
            lambda row: dialogue(row_id(row, root), question_and_answer(row), DUREADER),
            report,
        )


def _is_squad(path: Path) -> bool:
    """Whether the document begins as ``{"data": [``; a probe only, errors show when reading."""
    try:
        with open_binary(path) as file:
            head = b"".join(file.read(256).split())
    except BREAKS_OFF:
        return False
    return head.startswith((b'{"data":[', b'{"version":'))


def _squad_questions(path: Path, part: WorkerShard, report: Report) -> Iterator[Row]:
    """Every question of a document in the SQuAD form; a unit of work is a paragraph."""
    unit = 0
    for index, article in array_items(path, report, key="data"):
        where = f"{path}[{index}]"
        try:
            paragraphs = Row(where, _mapping(article)).children("paragraphs")
        except BadRow as error:
            report(error.drop(where))
            continue
        for paragraph in paragraphs:
            unit += 1
            if not part.takes(unit - 1):
                continue
            try:
                yield from paragraph.children("qas")
            except BadRow as error:
                report(error.drop(paragraph.where))


def webqa(config: SourceConfig, part: WorkerShard, report: Report) -> Iterator[Dialogue]:
    """WebQA (Baidu, 2016), one object a file::

        me_train.json             {"Q_TRN_000001": {"question", "evidences": {"Q_TRN_000001#00":
                                    {"answer": ["..."], "evidence": "..."}, ...}}, ...}
        me_validation.ann.json    the same; "no_answer" marks evidence that does not tell

    The answer that most of the evidence gives is taken. A unit of work is a question.
    """
    root = text_root(config)
    for path, rows_part in part.share(text_files(config, WEBQA_TREE, report, JSON_SUFFIXES)):
        rows = (
            Row(f"{path}:{key}", value if isinstance(value, dict) else {})
            for index, (key, value) in enumerate(object_items(path, report))
            if rows_part.takes(index)
        )
        yield from usable(
            rows, lambda row: dialogue(row_id(row, root), _most_given(row), WEBQA), report
        )


def _most_given(row: Row) -> list[tuple[str, str]]:
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
    "gammacorpus_fact_qa": dialogue_corpus(
        Origin("GammaCorpus-Fact-QA", "Apache-2.0", "Ruben Roy 2025"),
        "gammacorpus-fact-qa-450k.jsonl",
        "hub: rubenroy/GammaCorpus-Fact-QA-450k",
        question_and_answer,
    ),
    "dureader": Corpus(
        dureader, ("dialogue",), DUREADER.licence, DUREADER_TREE, "github.com/baidu/DuReader"
    ),
    "webqa": Corpus(
        webqa, ("dialogue",), WEBQA.licence, WEBQA_TREE, "Baidu WebQA 1.0 (arXiv 1607.06275)"
    ),
    "qa_json": dialogue_corpus(
        None,
        "*.json, *.jsonl or *.parquet",
        "any questions with answers, for example WebQuestions",
        question_and_answer,
    ),
}
