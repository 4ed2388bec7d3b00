"""Cues that deserve a reply among cues that do not: when to speak, decided from meaning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_build.abilities.config import SceneConfig
from data_build.material.library import Cue
from data_build.records import Item, PlannedReply, StreamPlan


def take_of(cue: Cue, rng: np.random.Generator, replies: bool = True) -> Item:
    """A random take of ``cue``, with its reply if it has one."""
    clip = cue.takes[int(rng.integers(len(cue.takes)))]
    config = cue.config
    planned: tuple[PlannedReply, ...] = ()
    if replies and config.reply is not None:
        ready_s = config.ready_s if config.ready_s is not None else clip.extra.get("ready_s")
        planned = (PlannedReply(config.reply, config.emotion, ready_s, config.answers),)
    return Item(clip, config.name, replies=planned)


def plan_cues(
    stream_id: str,
    system: str,
    cues: Sequence[Cue],
    config: SceneConfig,
    rng: np.random.Generator,
    *,
    quiet: bool = False,
) -> StreamPlan:
    """A stream of cues in random order.

    Args:
        quiet: only cues without a reply: a stream in which nothing has to be said.
    """
    speaking = [c for c in cues if c.config.reply is not None and not quiet]
    silent = [c for c in cues if c.config.reply is None] or speaking
    items = []
    for _ in range(int(rng.integers(config.items[0], config.items[1] + 1))):
        pool = speaking if speaking and rng.random() < config.respond_share else silent
        items.append(take_of(pool[int(rng.integers(len(pool)))], rng))
    task = "stay_silent" if quiet else "answer_cues"
    return StreamPlan(stream_id, "proactive_response", task, system, tuple(items))
