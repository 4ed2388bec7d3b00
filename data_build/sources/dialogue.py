"""Conversations and instructions in text: MOSS, UltraChat, Magpie-Pro, BELLE, COIG-CQIA."""

from __future__ import annotations

import re

from data_build.records import Origin
from data_build.sources.rows import Row
from data_build.sources.source import BadRow
from data_build.sources.text_files import dialogue_corpus
from data_build.sources.turns import alternating, field_text, messages_of

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
        003, mended  {"conversation_id", "category",
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
}
