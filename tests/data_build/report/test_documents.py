"""What lies beside the shards says what is in them, and nothing else."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from data_build.credits import Credits
from data_build.recipe import BuildRecipe
from data_build.report.documents import size_category, write_credits
from data_build.statistics import reply_lengths
from data_build.tokenize import read_vocabulary
from soundflow.report.chart import histogram
from soundflow.shards.reader import ShardSet
from soundflow.shards.schema import StreamRecord, StreamSample


def everything(recipe: BuildRecipe) -> list[StreamSample]:
    sets = [ShardSet(Path(recipe.output) / split) for split in recipe.splits]
    return [shards.read(i) for shards in sets for i in range(len(shards))]


def heard(record: StreamRecord) -> set[str]:
    return set(record.clips)


def test_the_manifest_counts_what_lies_there(recipe: BuildRecipe) -> None:
    output = Path(recipe.output)
    manifest = json.loads((output / "manifest.json").read_text())
    assert manifest["order"] == ["train", "test"]
    samples = everything(recipe)
    for split, about in manifest["splits"].items():
        shards = ShardSet(output / split)
        assert about["streams"] == len(shards)
        assert about["hours"] == round(shards.n_samples / 16_000 / 3600, 6)
        assert about["bytes"] == sum((output / split / n).stat().st_size for n in about["shards"])
    tasks = Counter(f"{s.record.ability}/{s.record.task}" for s in samples)
    assert {name: t["streams"] for name, t in manifest["tasks"].items()} == tasks
    replies = sum(len(s.record.replies) for s in samples)
    assert sum(t["responses"] for t in manifest["tasks"].values()) == replies
    assert sum(s["responses"] for s in manifest["splits"].values()) == replies


def test_every_clip_that_is_heard_is_credited(recipe: BuildRecipe) -> None:
    with (Path(recipe.output) / "credits.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, dialect="excel-tab"))
    uses = Counter(clip for s in everything(recipe) for clip in heard(s.record))
    assert {row["clip"]: int(row["streams"]) for row in rows} == uses
    assert all(row["licence"] and row["corpus"] for row in rows)


def test_hostile_credits_stay_in_their_line(tmp_path: Path) -> None:
    hostile = {"corpus": "c\nd", "licence": 'li"cence', "attribution": "née"}
    with Credits() as credits:
        credits.add([{**hostile, "streams": {"a\tb": 3}}])
        write_credits(tmp_path / "credits.tsv", credits)
    with (tmp_path / "credits.tsv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file, dialect="excel-tab"))
    assert rows[1] == ["a\tb", "c\nd", 'li"cence', "née", "3"]


def test_the_card_has_a_head_that_hubs_read(recipe: BuildRecipe) -> None:
    card = (Path(recipe.output) / "README.md").read_text()
    _, head, body = card.split("---\n", 2)
    about = OmegaConf.to_container(OmegaConf.create(head))
    assert about["configs"][0]["data_files"] == [
        {"split": "train", "path": "train/*.tar"},
        {"split": "test", "path": "test/*.tar"},
    ]
    assert about["license"] == "apache-2.0"
    assert "| proactive response / answer cues |" in body
    assert "{{" not in card
    assert "{%" not in card


def test_the_code_of_the_card_runs(recipe: BuildRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(recipe.output)
    blocks = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(), re.S)
    assert blocks
    for block in blocks:
        names: dict[str, Any] = {}
        exec(block, names)
        record = ShardSet("train").record(0)
        assert names["record"]["id"] == record.id
        assert len(names["samples"]) == record.n_samples
        assert names["rate_hz"] == 16_000


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.players = 0

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href")]
        self.players += tag == "audio"


def test_the_report_is_one_file_with_every_task_to_listen_to(recipe: BuildRecipe) -> None:
    page = (Path(recipe.output) / "report.html").read_text()
    links = Links()
    links.feed(page)
    assert all(link.startswith(("#", "data:")) for link in links.found)
    tasks = {s.record.task for s in everything(recipe)}
    assert links.players >= max(len(tasks), 6)
    for task in tasks:
        assert re.search(f"<h3>[^<]*{task.replace('_', ' ')}", page)


def test_the_same_build_elsewhere_has_the_same_documents(
    recipe: BuildRecipe, tmp_path: Path
) -> None:
    from dataclasses import replace

    from data_build.run import build

    build(replace(recipe, output=str(tmp_path / "again")))
    for name in ("manifest.json", "credits.tsv", "README.md"):
        assert (tmp_path / "again" / name).read_bytes() == (Path(recipe.output) / name).read_bytes()


def test_reply_lengths_are_those_of_the_texts(recipe: BuildRecipe) -> None:
    encode = read_vocabulary(recipe.vocabulary).tokenizer.encode
    for sample in everything(recipe):
        assert reply_lengths(sample) == [len(encode(r.text)) for r in sample.record.replies]


@given(st.dictionaries(st.integers(-30, 5_000), st.integers(0, 10**6), max_size=300))
def test_a_histogram_keeps_every_count(drawn: dict[int, int]) -> None:
    picture = str(histogram(drawn, "x", "y"))
    shown = re.findall(r"<title>[^<]*: ([\d,]+)</title>", picture)
    assert sum(int(n.replace(",", "")) for n in shown) == sum(drawn.values())
    assert len(shown) <= 49


def test_size_categories_of_the_hub() -> None:
    assert [size_category(n) for n in (5, 1_000, 2_600_000, 10**8)] == [
        "n<1K", "1K<n<10K", "1M<n<10M", "n>10M",
    ]  # fmt: skip
