"""Token rows beside the reference's: every id and every label."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from soundflow.interop.conversations import is_silent, read_offline
from soundflow.interop.published import PUBLISHED_SYSTEM
from soundflow.interop.training_rows import TrainingRow, read_training_rows
from soundflow.model.weights import Checkpoint
from soundflow.protocol import layout
from soundflow.protocol.timebase import TimeBase
from soundflow.text.tokenizer import TextTokenizer
from tests.parity.reference.reply_chunks import ReplyChunks, exact, published
from tests.parity.reference.rows import Row

TIME = TimeBase()


def choices(goldens: Path, prefix: str) -> list[dict[str, Any]]:
    """What the reference's builder drew for each stream."""
    lines = (goldens / f"online/{prefix}step2.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def placed(choice: dict[str, Any]) -> tuple[list[int], int]:
    """Where each turn ends, in slots, and the slots behind the last one."""
    turns = choice["turns"]
    ends = accumulate(t["leading_silence_frames"] + t["audio_frames"] for t in turns)
    return list(ends), choice["tail_silence_frames_actual"]


def lay_out(choice: dict[str, Any], rule: ReplyChunks, text: TextTokenizer) -> layout.Piece:
    """A published stream in our layout, its replies where ``rule`` puts them."""
    replies = {
        chunk: (text.encode(turn["assistant"]), turn["emotion"].lower())
        for chunk, turn in zip(rule.chunks, choice["turns"], strict=True)
        if chunk is not None and not is_silent(turn["assistant"])
    }
    system = text.encode(PUBLISHED_SYSTEM)
    return layout.online_stream(text.table, 10, system, rule.n_chunks, replies)


def _differing(piece: layout.Piece, row: TrainingRow) -> int:
    """Ids and labels that differ; a row of another length differs in all of them."""
    if len(piece) != len(row.ids):
        return 2 * len(row.ids)
    ids = np.array(piece.ids, np.int32)
    labels = layout.labels(ids, np.array(piece.roles, np.int8))
    return int((ids != row.ids).sum() + (labels != row.labels).sum())


def layout_rows(goldens: Path, checkpoint: Checkpoint) -> Iterator[Row]:
    text = checkpoint.tokenizer
    differ = {"": 0, "edge_": 0, "ours": 0}
    for prefix in ("", "edge_"):
        rows = list(read_training_rows(goldens / f"online/{prefix}step4.jsonl", text.table))
        for choice, row in zip(choices(goldens, prefix), rows, strict=True):
            ends, tail = placed(choice)
            rule = published(ends, tail, TIME)
            differ[prefix] += _differing(lay_out(choice, rule, text), row)
            if not prefix and rule == exact(ends, tail, TIME):
                differ["ours"] += _differing(lay_out(choice, exact(ends, tail, TIME), text), row)
    yield Row("online rows, published reply rule", "reference, step 4", differ[""], 0, "ids")
    yield Row("online rows, faulty corner", "reference, edge_*", differ["edge_"], 0, "ids")
    yield Row("online rows, our rule, where no turn ends on a boundary",
              "reference, step 4", differ["ours"], 0, "ids")  # fmt: skip
    yield Row("offline rows (A_T_T, A_T, T_T)", "reference", _offline(goldens, text), 0, "ids")


def _offline(goldens: Path, text: TextTokenizer) -> int:
    table = text.table
    rows = list(read_training_rows(goldens / "offline/output.jsonl", table))
    differ = 0
    with safe_open(goldens / "offline/features.safetensors", "np") as features:
        for example, row in zip(read_offline(goldens / "offline/input.jsonl"), rows, strict=True):
            pieces = [layout.offline_prefix(table, text.encode(PUBLISHED_SYSTEM))]
            if example.audio_path is not None:
                slots = features.get_slice(str(example.index)).get_shape()[0]
                pieces.append(layout.offline_audio(table, slots))
            if example.user is not None:
                pieces.append(layout.offline_user(table, text.encode(example.user)))
            pieces.append(layout.offline_answer(table, text.encode(example.assistant)))
            differ += _differing(layout.join(pieces), row)
    return differ


def reply_chunk_lines(goldens: Path) -> Iterator[str]:
    """For the documentation: every golden stream in which the two rules differ."""
    for prefix in ("", "edge_"):
        for choice in choices(goldens, prefix):
            ends, tail = placed(choice)
            theirs, ours = published(ends, tail, TIME), exact(ends, tail, TIME)
            if theirs != ours:
                yield (
                    f"| {prefix}{choice['idx']} | {', '.join(map(str, ends))} "
                    f"| {_show(theirs)} | {_show(ours)} |"
                )


def _show(rule: ReplyChunks) -> str:
    return ", ".join("dropped" if c is None else str(c) for c in rule.chunks)
