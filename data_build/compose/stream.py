"""Composes a labelled plan: mix, replies on the chunk grid, PCM, tokens."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from data_build.compose.config import ComposeConfig
from data_build.compose.masking import HEARD_DB
from data_build.compose.mix import Placed, mix, source_of
from data_build.compose.responses import responses
from data_build.compose.timeline import STEP, Timeline
from data_build.drops import Drop, Dropped
from data_build.plans import Item, LabelledPlan
from data_build.randomness import StreamSeed
from data_build.tokenize import Vocabulary, online_sample
from soundflow.shards.schema import MixedItem, StreamRecord, StreamSample, quantise


def compose(
    labelled: LabelledPlan,
    timeline: Timeline,
    config: ComposeConfig,
    vocabulary: Vocabulary,
    seed: StreamSeed,
    provenance: dict[str, Any],
) -> StreamSample:
    """Mixes a plan and lays out its tokens.

    Args:
        provenance: what the caller records about the sample; what is drawn here is added.

    Raises:
        Dropped: if an item is masked by the rest, or a reply finds no free chunk before the end.
    """
    plan, placed, n_samples = labelled.plan, timeline.placed, timeline.n_samples
    time = vocabulary.spec.time
    mixed = mix(n_samples, placed, timeline.beds, config, seed)
    for item, above_db in zip(plan.items, mixed.above_rest_db, strict=True):
        if above_db is None or above_db < HEARD_DB:
            reason = "cannot be heard through the rest of the stream"
            raise Dropped(Drop(STEP, item.clip.id, reason, "choice"))
    reaction = time.samples(config.reaction_s)
    events, replies, answered = responses(labelled, placed, n_samples, time, reaction)
    record = StreamRecord(
        id=plan.id,
        kind="online",
        ability=plan.ability,
        task=plan.task,
        system=plan.system,
        n_samples=n_samples,
        replies=replies,
        events=events,
        items=tuple(
            _mixed(item, where, gain, above_db, chunks)
            for item, where, gain, above_db, chunks in zip(
                plan.items, placed, mixed.gains_db, mixed.above_rest_db, answered, strict=True
            )
        ),
        noise=mixed.noise_tracks,
        scene=plan.scene,
        any_sound=plan.any_sound,
        peak_limited=mixed.limited,
        provenance={
            **provenance,
            "notes": plan.notes,
            "left_out": timeline.left_out,
            "level_db": mixed.level_db,
            "tfjp": {
                item.clip.id: asdict(where.clip.report)
                for item, where in zip(plan.items, placed, strict=True)
                if where.clip.report
            },
        },
    )
    return online_sample(record, quantise(mixed.audio), vocabulary)


def _mixed(
    item: Item,
    placed: Placed,
    gain_db: float,
    above_rest_db: float | None,
    reply_chunks: tuple[int, ...],
) -> MixedItem:
    report = placed.clip.report
    return MixedItem(
        clip=source_of(item.clip),
        what=item.what,
        track=item.track,
        start_samples=placed.start_samples,
        n_samples=len(placed.samples),
        gain_db=gain_db,
        on_samples=placed.on_samples,
        end_samples=placed.end_samples,
        speaker=item.clip.speaker,
        text=item.clip.text,
        language=item.clip.language,
        reply_chunks=reply_chunks,
        above_rest_db=above_rest_db,
        hit_limit=report.hit_limit if report else None,
    )
