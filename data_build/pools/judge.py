"""Sounds sorted by the intervention policy: those that call for help, those that deserve nothing.

What lies between is discarded (method, section 2.5) and goes on record as a drop by design.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace

from data_build.chat.client import ChatClient
from data_build.drops import Drop
from data_build.labelling.silence_llm import model_judgements
from data_build.labelling.silence_policy import judge
from data_build.records import Clip, Intervention
from data_build.sources.source import Report

ALARM, BENIGN = "alarm", "benign"


def judged(
    clips: Iterable[Clip], client: ChatClient | None, report: Report
) -> Iterator[tuple[str, Clip]]:
    """(ALARM or BENIGN, clip); an alarm carries its `Intervention`.

    Raises:
        ServerGone: if the server of the chat model has stopped answering.
    """
    if client is None:
        pairs = ((clip, judge(clip)) for clip in clips)
    else:
        asked, kept = itertools.tee(clips)
        pairs = zip(kept, model_judgements(asked, client), strict=True)  # type: ignore[assignment]
    for clip, verdict in pairs:
        if isinstance(verdict, Drop):
            report(verdict)
        elif verdict.reply is None:
            yield BENIGN, clip
        else:
            warning = Intervention(
                verdict.category or "", verdict.reply.text, verdict.reply.emotion, verdict.made_by
            )
            yield ALARM, replace(clip, intervention=warning)
