"""Tiny corpora of dialogues and questions in their published layouts."""

from __future__ import annotations

import json
from pathlib import Path

from data_build.sources.source import SourceConfig
from tests.data_build.sources.making import (
    write,
    write_json_lines,
)


def moss(root: Path) -> SourceConfig:
    write_json_lines(
        root / "moss-003-sft-no-tools.jsonl",
        {
            "conversation_id": 1,
            "meta_instruction": "You are an AI assistant whose name is MOSS.\n",
            "num_turns": 2,
            "chat": {
                "turn_1": {
                    "Human": "<|Human|>: 你好，最近怎么样？<eoh>\n",
                    "Inner Thoughts": "<|Inner Thoughts|>: None<eot>\n",
                    "Commands": "<|Commands|>: None<eoc>\n",
                    "Tool Responses": "<|Results|>:\nNone\n<eor>\n",
                    "MOSS": "<|MOSS|>: 我很好。<eom>\n",
                },
                "turn_2": {
                    "Human": "<|Human|>: 再见<eoh>\n",
                    "MOSS": "<|MOSS|>: 再见！<eom>\n",
                },
            },
            "category": "Brainstorming",
        },
        {
            "conversation_id": 2,
            "category": "Writing",
            "conversation": [{"human": "Write a line.", "assistant": "Here it is."}],
        },
    )
    array = [
        {
            "id": "1",
            "prefix": "MOSS is an AI assistant ...",
            "num_turns": 2,
            "plain_text": "[Human]: Who are you?<eoh> [MOSS]: I am MOSS.<eoa> "
            "[Human]: Thanks.<eoh> [MOSS]: Welcome.<eoa>",
        }
    ]
    write(root / "moss-002" / "en_helpfulness.json", json.dumps(array, indent=1))
    return SourceConfig("moss", str(root))


def ultrachat(root: Path) -> SourceConfig:
    write_json_lines(
        root / "train_0.jsonl",
        {"id": "0", "data": ["How are you?", "Fine.", "And now?", "Still fine."]},
        {"id": "1", "data": ["Where is it?", "There."]},
    )
    import pyarrow
    import pyarrow.parquet

    messages = [
        {"content": "What is a chunk?", "role": "user"},
        {"content": "Four tenths of a second.", "role": "assistant"},
    ]
    table = pyarrow.Table.from_pylist(
        [{"prompt": "What is a chunk?", "prompt_id": "a", "messages": messages}]
    )
    (root / "data").mkdir(parents=True)
    pyarrow.parquet.write_table(table, root / "data" / "train_sft-00000-of-00001.parquet")
    return SourceConfig("ultrachat", str(root))


def magpie_pro(root: Path) -> SourceConfig:
    import pyarrow
    import pyarrow.parquet

    rows = [
        {
            "uuid": f"u{i}",
            "model": "Llama-3-70B-Instruct",
            "conversations": [
                {"from": "human", "value": f"Question {i}?"},
                {"from": "gpt", "value": f"Answer {i}."},
            ],
        }
        for i in range(3)
    ]
    (root / "data").mkdir(parents=True)
    table = pyarrow.Table.from_pylist(rows)
    pyarrow.parquet.write_table(table, root / "data" / "train-00000-of-00001.parquet")
    return SourceConfig("magpie_pro", str(root))


def belle(root: Path) -> SourceConfig:
    write_json_lines(
        root / "train_2M_CN.json",
        {"instruction": "给出一个同义词。", "input": "高兴", "output": "快乐"},
    )
    write_json_lines(
        root / "multiturn_chat_0.8M.json",
        {
            "instruction": "Human:你好\nAssistant:你好！\nHuman:讲个笑话\nAssistant:",
            "input": "",
            "output": "从前有座山。",
        },
    )
    write_json_lines(
        root / "train_3.5M_CN.json",
        {
            "id": "16012449",
            "conversations": [
                {"from": "human", "value": "天空是什么颜色？"},
                {"from": "assistant", "value": "蓝色。"},
            ],
        },
    )
    return SourceConfig("belle", str(root))


def coig_cqia(root: Path) -> SourceConfig:
    row = {
        "instruction": "为什么天是蓝的？",
        "input": "",
        "output": "因为瑞利散射。",
        "task_type": {"major": ["问答"], "minor": ["百科"]},
        "domain": ["物理"],
        "metadata": None,
        "answer_from": "human",
        "human_verified": True,
        "copyright": "...",
    }
    other = {**row, "instruction": "问", "input": "一", "output": "二"}
    write_json_lines(root / "wiki" / "wiki10.jsonl", row)
    write_json_lines(root / "zhihu" / "zhihu_score9.0-10.0_clean_v10.jsonl", other)
    write_json_lines(root / "COIG-CQIA-full.jsonl", row, other)
    return SourceConfig("coig_cqia", str(root))


def gammacorpus_fact_qa(root: Path) -> SourceConfig:
    write_json_lines(
        root / "gammacorpus-fact-qa-450k.jsonl",
        {"question": "What is the capital of France?", "answer": "Paris"},
        {"question": "How many legs has a spider?", "answer": "Eight"},
    )
    return SourceConfig("gammacorpus_fact_qa", str(root))


def dureader(root: Path) -> SourceConfig:
    squad = {
        "data": [
            {
                "paragraphs": [
                    {
                        "context": "仙剑奇侠传3第几集上天界？第35集雪见缓缓张开眼睛。",
                        "qas": [
                            {
                                "question": "仙剑奇侠传3第几集上天界",
                                "id": "0a25cb4bc1ab6f474c699884e04601e4",
                                "answers": [{"text": "第35集", "answer_start": 13}],
                            }
                        ],
                    },
                    {"context": "", "qas": [{"question": "没有答案的", "id": "x", "answers": []}]},
                ],
                "title": "",
            }
        ]
    }
    write(root / "dureader_robust-data" / "train.json", json.dumps(squad, indent=2))
    write_json_lines(
        root / "raw" / "trainset" / "zhidao.train.json",
        {
            "question_id": 186572,
            "question": "泰国旅游要多少钱",
            "question_type": "ENTITY",
            "fact_or_opinion": "FACT",
            "answers": ["大约五千元。", "看季节。"],
            "documents": [],
        },
    )
    return SourceConfig("dureader", str(root))


def webqa(root: Path) -> SourceConfig:
    document = {
        f"Q_TRN_00000{n}": {
            "question": f"第{n}个问题是什么",
            "evidences": {
                f"Q_TRN_00000{n}#00": {"answer": ["no_answer"], "evidence": "..."},
                f"Q_TRN_00000{n}#01": {"answer": ["乙"], "evidence": "..."},
                f"Q_TRN_00000{n}#02": {"answer": ["甲"], "evidence": "..."},
                f"Q_TRN_00000{n}#03": {"answer": ["甲"], "evidence": "..."},
            },
        }
        for n in (1, 2)
    }
    write(root / "WebQA.v1.0" / "me_train.json", json.dumps(document, ensure_ascii=False))
    return SourceConfig("webqa", str(root))


def qa_json(root: Path) -> SourceConfig:
    array = [
        {
            "url": "http://example.org",
            "targetValue": '(list (description "Jamaican \\"Creole\\"") (description English))',
            "utterance": "what does jamaican people speak?",
        },
        {"question": "who painted it?", "answers": {"text": ["Rembrandt"], "answer_start": [3]}},
    ]
    write(root / "webquestions.examples.train.json", json.dumps(array))
    return SourceConfig("qa_json", str(root), licence="CC-BY-4.0")
