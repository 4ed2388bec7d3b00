"""Conversations in text: MOSS, UltraChat, Magpie-Pro."""

from __future__ import annotations

import re
from collections.abc import Iterator

from data_build.records import Dialogue, Origin
from data_build.sources.rows import Row, usable
from data_build.sources.source import BadRow, Report, SourceConfig, WorkerShard
from data_build.sources.text_files import row_id, text_files, text_root, text_rows
from data_build.sources.turns import alternating, dialogue, field_text, messages_of

MOSS = Origin("MOSS", "CC-BY-NC-4.0 (hub: CC-BY-4.0)", "Fudan University; Sun et al. 2024")
ULTRACHAT = Origin("UltraChat", "MIT", "Tsinghua University; Ding et al. 2023")
MAGPIE_PRO = Origin("Magpie-Pro", "see the model it came from: Llama 3 / Qwen", "Xu et al. 2024")

MOSS_TREE = "moss-002-sft-data/*.json or moss-003-sft-data/*.jsonl (unpacked)"
ULTRACHAT_TREE = "train_0.jsonl ... or data/train_sft-*.parquet"
MAGPIE_TREE = "data/train-*.parquet"

_TAG = re.compile(r"^<\|(?:Human|MOSS)\|>:\s*|<eo[hm]>\s*$")
_PLAIN_TURN = re.compile(r"\[(Human|MOSS)\]:\s*(.*?)\s*<eo[ha]>", re.DOTALL)


def moss(config: SourceConfig, part: WorkerShard, report: Report) -> Iterator[Dialogue]:
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
    root = text_root(config)

    def make(row: Row) -> Dialogue:
        return dialogue(row_id(row, root), _moss_messages(row), MOSS)

    yield from usable(text_rows(text_files(config, MOSS_TREE), part, report), make, report)


def _moss_messages(row: Row) -> list[tuple[str, str]]:
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
            raise BadRow(f"chat has no turn_{number}")
        for who in ("Human", "MOSS"):
            messages.append((who, _TAG.sub("", field_text(turn, who).strip())))
    return messages


def ultrachat(config: SourceConfig, part: WorkerShard, report: Report) -> Iterator[Dialogue]:
    """UltraChat (github.com/thunlp/UltraChat) and UltraChat-200k::

    train_0.jsonl                {"id": "0", "data": ["question", "answer", ...]}
    data/train_sft-*.parquet     prompt, prompt_id, messages: [{"content", "role"}]
    """
    root = text_root(config)

    def make(row: Row) -> Dialogue:
        if "messages" in row.data:
            messages = messages_of(row, "messages", "role", "content")
        else:
            messages = alternating(row.data.get("data"))
        return dialogue(row_id(row, root), messages, ULTRACHAT)

    yield from usable(text_rows(text_files(config, ULTRACHAT_TREE), part, report), make, report)


def magpie_pro(config: SourceConfig, part: WorkerShard, report: Report) -> Iterator[Dialogue]:
    """Magpie-Pro (github.com/magpie-align/magpie), single- and multi-turn::

    data/train-00000-of-00010.parquet    uuid, model, ..., conversations: [{"from", "value"}]
    """
    root = text_root(config)

    def make(row: Row) -> Dialogue:
        messages = messages_of(row, "conversations", "from", "value")
        return dialogue(row_id(row, root), messages, MAGPIE_PRO)

    yield from usable(text_rows(text_files(config, MAGPIE_TREE), part, report), make, report)
