"""The documents of a finished build, next to its shards.

::

    manifest.json   counts, checksums, licences; for programs
    credits.tsv     every clip that is used: corpus, licence, attribution, in how many streams
    README.md       the data card; for people and for hubs
    report.html     statistics and sample streams with audio
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from omegaconf import OmegaConf

from data_build.audit.audit import Scorecard
from data_build.credits import Credits, SourceCount, Terms
from data_build.recipe import BuildRecipe
from data_build.report.page import write_report
from data_build.report.summary import BuildSummary
from data_build.statistics import Statistics
from soundflow.atomic import atomic_write, write_text
from soundflow.config.record import recipe_hash
from soundflow.protocol.spec import StreamSpec
from soundflow.shards.writer import IndexedShard

MANIFEST_FILE, CREDITS_FILE, CARD_FILE = "manifest.json", "credits.tsv", "README.md"
RECIPE_FILE = "recipe.yaml"  # every setting; the card says how to build from it again
MANIFEST_VERSION = 1
_TEMPLATE = "card_template.md"
_ATTRIBUTIONS = 40  # names on the card; credits.tsv has all


def write_documents(
    recipe: BuildRecipe,
    summary: BuildSummary,
    statistics: Statistics,
    credits: Credits,
    shards: Mapping[str, Sequence[IndexedShard]],
    card: Scorecard,
    spec: StreamSpec,
) -> None:
    """Writes all four.

    Args:
        statistics, credits: of all shards.
        shards: split -> its shards.
        card: of the audit.

    Raises:
        UserError: if the output cannot be written.
    """
    output = Path(recipe.output)
    manifest = manifest_of(recipe, summary, statistics, credits.sources(), shards, spec)
    write_text(output / MANIFEST_FILE, json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    write_credits(output / CREDITS_FILE, credits)
    write_text(output / CARD_FILE, data_card(recipe, manifest, credits))
    write_report(recipe, summary, statistics, credits.sources(), card, spec)


def manifest_of(
    recipe: BuildRecipe,
    summary: BuildSummary,
    statistics: Statistics,
    sources: Sequence[SourceCount],
    shards: Mapping[str, Sequence[IndexedShard]],
    spec: StreamSpec,
) -> dict[str, Any]:
    """Counts of the build. It holds no clock and no path: same data, same manifest."""
    seconds = spec.time.seconds
    return {
        "version": MANIFEST_VERSION,
        "recipe": recipe_hash(recipe.content()),
        "spec": spec.fingerprint,
        "order": list(shards),
        "splits": {
            split: {
                "streams": summary.splits[split].streams,
                "hours": round(summary.splits[split].hours, 6),
                "tokens": sum(s.n_tokens for s in listed),
                "responses": summary.splits[split].replies,
                "bytes": summary.splits[split].n_bytes,
                "shards": {s.name: s.sha256 for s in listed},
            }
            for split, listed in shards.items()
        },
        "tasks": {
            name: {
                "streams": task.streams,
                "hours": round(seconds(task.samples) / 3600, 6),
                "responses": task.replies,
            }
            for name, task in sorted(statistics.tasks.items())
        },
        "sources": [source._asdict() for source in sources],
        "notes": list(summary.notes),
    }


def write_credits(path: Path, credits: Credits) -> None:
    """Tab-separated, one clip a line, sorted by id."""
    with atomic_write(path) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="")
        writer = csv.writer(text, "excel-tab", lineterminator="\n")
        writer.writerow(("clip", *Terms._fields, "streams"))
        for line in credits:
            writer.writerow((line.clip, *line.terms, line.streams))
        text.detach()  # or it would close the file, which is not in its place yet


def data_card(recipe: BuildRecipe, manifest: Mapping[str, Any], credits: Credits) -> str:
    """The card of a finished build, from its manifest."""
    licences = sorted({s["licence"] for s in manifest["sources"]})
    streams = sum(s["streams"] for s in manifest["splits"].values())
    head = {
        "pretty_name": f"Streams with decisions ({manifest['recipe']})",
        # A mixture is under the terms of everything in it; a hub has one word for that.
        "license": licences[0].lower() if len(licences) == 1 else "other",
        "task_categories": ["automatic-speech-recognition", "audio-text-to-text"],
        "tags": ["streaming", "audio", "webdataset", "soundflow"],
        "size_categories": [size_category(streams)],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": split, "path": f"{split}/*.tar"} for split in manifest["splits"]
                ],
            }
        ],
    }
    names, more = credits.attributions(_ATTRIBUTIONS)
    environment = Environment(
        loader=PackageLoader("data_build.report", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(_TEMPLATE).render(
        head=OmegaConf.to_yaml(OmegaConf.create(head)),
        manifest=manifest,
        hours=sum(s["hours"] for s in manifest["splits"].values()),
        streams=streams,
        licences=licences,
        attributions=names,
        more=more,
        vocabulary=recipe.vocabulary,
        cell=_cell,
    )


def size_category(streams: int) -> str:
    """The hub's size category for a number of rows."""
    steps = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"),
             (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))  # fmt: skip
    return next((name for limit, name in steps if streams < limit), "n>10M")


def _cell(text: str) -> str:
    """Text that stays inside its cell of a Markdown table."""
    return " ".join(text.replace("|", "\\|").split())
