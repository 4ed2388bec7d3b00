"""The published conversation files: StreamAudio-2M, online and offline training conversations.

Their turns are recorded already, so a conversation is a finished plan: `stream_plans` gives it
whole; the readers give its clips, each with what the assistant said after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from data_build.records import (
    Clip,
    Dialogue,
    DialogueTurn,
    Item,
    Origin,
    PlannedReply,
    Question,
    StreamPlan,
)
from data_build.sources.audio_refs import audio_file
from data_build.sources.rows import Row, encodable, json_lines, usable
from data_build.sources.source import BadRow, Report, SourceConfig, WorkerShard
from data_build.sources.text_files import row_id, text_files, text_root
from data_build.sources.turns import language_of
from soundflow.errors import UserError
from soundflow.interop.conversations import (
    CorpusItem,
    CorpusTurn,
    HeardTurn,
    OfflineExample,
    OnlineConversation,
)

T = TypeVar("T")

STREAMAUDIO = Origin("StreamAudio-2M", "see its card", "Audio-Interaction authors, 2026")
STREAMAUDIO_TREE = "*.jsonl, with audio_path relative to the file's folder or to audio_root"

_SUFFIXES = frozenset((".jsonl", ".json", ".gz"))


def streamaudio(config: SourceConfig, part: WorkerShard, report: Report) -> Iterator[Clip]:
    """StreamAudio-2M, one conversation a line::

        {"id", "stream_scene_type", "num_turns", "turns": [{"user", "assistant", "emotion",
          "scene_type", "audio_path"}, ...]}

    Every turn is a clip; ``notes`` hold ``conversation``, ``turn``, ``assistant`` ("" where it
    stays silent), ``emotion``, ``scene_type`` and ``ability``. A conversation with a turn that
    cannot be used is reported whole. A unit of work is a line.
    """
    for plan in stream_plans(config, part, report):
        for item in plan.items:
            yield item.clip


def online_conversation(config: SourceConfig, part: WorkerShard, report: Report) -> Iterator[Clip]:
    """The online training form: ``{"conversation": [{"audio_path", "assistant", "emotion"?}]}`` or
    ``{"merge_path", "assistant", "emotion"?}``; clips as `streamaudio` gives them."""
    yield from streamaudio(config, part, report)


def stream_plans(config: SourceConfig, part: WorkerShard, report: Report) -> Iterator[StreamPlan]:
    """The conversations of `streamaudio` or `online_conversation` as plans, ready to be mixed."""
    root = text_root(config)

    def make(row: Row) -> StreamPlan:
        name = row_id(row, root)
        if config.corpus == "streamaudio":
            item = _parsed(CorpusItem.from_json, row)
            return _plan(config, row, name, item.stream_scene_type, item.turns, {"id": item.id})
        online = _parsed(lambda data: OnlineConversation.from_json(0, data), row)
        return _plan(config, row, name, "", online.turns, {})

    for path, rows_part in part.share(text_files(config, STREAMAUDIO_TREE, _SUFFIXES)):
        yield from usable(json_lines(path, report, rows_part), make, report)


def offline_conversation(
    config: SourceConfig, part: WorkerShard, report: Report
) -> Iterator[Clip | Dialogue]:
    """The offline training form: ``{"user"?, "assistant", "audio_path"?}``.

    With audio (A_T_T, A_T) a clip with its `Question` (text "" in A_T);
    without (T_T) a dialogue of one turn. A unit of work is a line.
    """
    root = text_root(config)
    origin = _origin(config)

    def make(row: Row) -> Clip | Dialogue:
        name = row_id(row, root)
        example = _parsed(lambda data: OfflineExample.from_json(0, data), row)
        answer = encodable(example.assistant.strip(), "assistant")
        question = encodable((example.user or "").strip(), "user")
        if example.audio_path is None:
            turn = DialogueTurn(question, answer)
            return Dialogue(name, (turn,), origin, language_of(question))
        return Clip(
            id=name,
            kind=config.kind or "event",
            audio=audio_file(_base(config, row) / example.audio_path),
            origin=origin,
            language=config.language or language_of(answer),
            question=Question(question, (answer,)),
            notes={"form": example.task},
        )

    for path, rows_part in part.share(text_files(config, STREAMAUDIO_TREE, _SUFFIXES)):
        yield from usable(json_lines(path, report, rows_part), make, report)


def _plan(
    config: SourceConfig,
    row: Row,
    name: str,
    ability: str,
    turns: Sequence[CorpusTurn | HeardTurn],
    notes: dict[str, str],
) -> StreamPlan:
    base, origin, items = _base(config, row), _origin(config), []
    for index, turn in enumerate(turns):
        user = encodable(turn.user.strip(), "user") if isinstance(turn, CorpusTurn) else ""
        scene = turn.scene_type if isinstance(turn, CorpusTurn) else ""
        answer = "" if turn.silent else encodable(turn.assistant.strip(), "assistant")
        clip = Clip(
            id=f"{name}/{index:02d}",
            kind=config.kind or ("speech" if user else "event"),
            audio=audio_file(base / turn.audio_path),
            origin=origin,
            text=user,
            language=config.language or (language_of(user) if user else ""),
            notes={
                "conversation": name,
                "turn": index,
                "assistant": answer,
                "emotion": turn.emotion,
                "scene_type": scene,
                "ability": ability,
            },
        )
        replies = (PlannedReply(answer, turn.emotion),) if answer else ()
        items.append(Item(clip, scene or "user turn", "foreground", replies))
    return StreamPlan(name, ability, "", "", tuple(items), notes)


def _parsed(parse: Callable[[dict[str, object]], T], row: Row) -> T:
    try:
        return parse(dict(row.data))
    except ValueError as error:
        raise BadRow(str(error)) from None


def _base(config: SourceConfig, row: Row) -> Path:
    if config.audio_root:
        return Path(config.audio_root).expanduser()
    return Path(row.where.rpartition(":")[0]).parent


def _origin(config: SourceConfig) -> Origin:
    if config.corpus == "streamaudio":
        return Origin(
            STREAMAUDIO.corpus, config.licence or STREAMAUDIO.licence, STREAMAUDIO.attribution
        )
    name = text_root(config).name
    if not name:
        raise UserError(f"{config.corpus}: root {config.root} has no name", "name a folder")
    return Origin(name, config.licence or "not stated")
