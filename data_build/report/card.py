"""The card of a data set: Markdown with a YAML head, as dataset hubs read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from omegaconf import OmegaConf

from data_build.recipe import BuildRecipe
from data_build.statistics import Statistics

_TEMPLATE = "card_template.md"
_ATTRIBUTIONS = 40  # names on the card; credits.tsv has all


def data_card(recipe: BuildRecipe, manifest: Mapping[str, Any], statistics: Statistics) -> str:
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
    names = sorted({c.clip.attribution for c in statistics.clips.values() if c.clip.attribution})
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
        attributions=names[:_ATTRIBUTIONS],
        more=max(0, len(names) - _ATTRIBUTIONS),
        vocabulary=recipe.vocabulary,
        cell=_cell,
    )


def size_category(streams: int) -> str:
    """The hub's word for a number of rows."""
    steps = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"),
             (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))  # fmt: skip
    return next((name for limit, name in steps if streams < limit), "n>10M")


def _cell(text: str) -> str:
    """Text that stays inside its cell of a Markdown table."""
    return " ".join(text.replace("|", "\\|").split())
