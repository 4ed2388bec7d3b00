"""Instructions with answers in Chinese: BELLE, COIG-CQIA."""

from __future__ import annotations

import re
from collections.abc import Iterator

from data_build.records import Dialogue, Origin
from data_build.sources.rows import Row, usable
from data_build.sources.source import BadRow, Report, SourceConfig, WorkerShard
from data_build.sources.text_files import row_id, text_files, text_root, text_rows
from data_build.sources.turns import dialogue, messages_of

BELLE = Origin("BELLE", "GPL-3.0; research use only", "BelleGroup, KE Holdings; Ji et al. 2023")
COIG_CQIA = Origin("COIG-CQIA", "no licence stated; research use", "M-A-P; Bai et al. 2024")

BELLE_TREE = "train_2M_CN.json, multiturn_chat_0.8M.json, train_3.5M_CN.json, ..."
COIG_TREE = "COIG-CQIA-full.jsonl or <domain>/*.jsonl"

_SPEAKER = re.compile(r"^(Human|Assistant)\s*[:：]", re.MULTILINE)


def belle(config: SourceConfig, part: WorkerShard, report: Report) -> Iterator[Dialogue]:
    """BELLE (github.com/LianjiaTech/BELLE), JSON lines in files called ``.json``::

    train_2M_CN.json             {"instruction", "input", "output"}
    multiturn_chat_0.8M.json     {"instruction": "Human:...\\nAssistant:...\\nHuman:...\\n
                                   Assistant:", "input": "", "output"}
    train_3.5M_CN.json           {"id", "conversations": [{"from", "value"}]}
    """
    root = text_root(config)

    def make(row: Row) -> Dialogue:
        if "conversations" in row.data:
            messages = messages_of(row, "conversations", "from", "value")
        else:
            messages = [*_spoken(_instruction(row)), ("assistant", row.text("output"))]
        return dialogue(row_id(row, root), messages, BELLE)

    yield from usable(text_rows(text_files(config, BELLE_TREE), part, report), make, report)


def coig_cqia(config: SourceConfig, part: WorkerShard, report: Report) -> Iterator[Dialogue]:
    """COIG-CQIA (hub: m-a-p/COIG-CQIA)::

        <domain>/<name>.jsonl    {"instruction", "input", "output", "task_type": {"major", "minor"},
                                  "domain", "answer_from", "human_verified", "copyright"}

    ``subset`` chooses a domain folder (zhihu, wiki, ruozhiba, ...). The joined
    ``COIG-CQIA-full.jsonl`` repeats the folders, so it is read only where it stands alone or is
    named as the root.
    """
    root = text_root(config)
    paths = text_files(config, COIG_TREE)
    folders = [p for p in paths if p.parent != root]
    paths = folders if folders and len(paths) > len(folders) else paths

    def make(row: Row) -> Dialogue:
        messages = [("user", _instruction(row)), ("assistant", row.text("output"))]
        return dialogue(row_id(row, root), messages, COIG_CQIA)

    yield from usable(text_rows(paths, part, report), make, report)


def _instruction(row: Row) -> str:
    given = row.text_or("", "input")
    return f"{row.text('instruction')}\n{given}" if given else row.text("instruction")


def _spoken(instruction: str) -> list[tuple[str, str]]:
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
