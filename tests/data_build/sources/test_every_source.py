"""What holds for every reader: limits, missing roots, flat memory, the recipe's words."""

from __future__ import annotations

import json
import re
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from data_build.drops import Drop
from data_build.sources.catalogue import CORPORA, corpus_named, read
from data_build.sources.source import SourceConfig
from soundflow.config.load import build
from soundflow.errors import UserError
from tests.data_build.sources.miniatures import MINIATURES, ReadAll

Corpora = dict[str, SourceConfig]


@pytest.mark.parametrize("corpus", CORPORA)
def test_a_limit_is_the_beginning_of_the_corpus(
    corpus: str, corpora: Corpora, read_all: ReadAll
) -> None:
    whole, _ = read_all(corpora[corpus])
    limited, _ = read_all(replace(corpora[corpus], limit=2))
    assert limited == whole[:2]


@pytest.mark.parametrize("corpus", sorted(set(CORPORA) - {"huggingface"}))
def test_a_missing_or_empty_root_is_the_users_mistake(
    corpus: str, tmp_path: Path, read_all: ReadAll
) -> None:
    with pytest.raises(UserError) as missing:
        read_all(SourceConfig(corpus, str(tmp_path / "absent")))  # type: ignore[arg-type]
    assert "absent" in missing.value.message
    assert missing.value.hint
    if corpus in ("wham", "dns_noise"):
        return  # any folder of noise is one of theirs, an empty one is merely empty
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError) as empty:
        read_all(SourceConfig(corpus, str(tmp_path / "empty")))  # type: ignore[arg-type]
    assert empty.value.hint


def test_huggingface_missing_root_is_the_users_mistake(
    tmp_path: Path, read_all: ReadAll, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    for root in (tmp_path / "absent", tmp_path):
        with pytest.raises(UserError, match="huggingface"):
            read_all(SourceConfig("huggingface", str(root)))


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"corpus": "musan", "root": ""}, "root: must not be empty"),
        ({"corpus": "musan", "root": "x", "limit": 0}, "limit: must be greater than 0, got 0"),
        ({"corpus": "musan", "root": "x", "kind": "voice"}, "'voice' is not one of"),
        ({"corpus": "manifest", "root": "x", "columns": {"txt": "a"}}, "did you mean 'text'"),
        ({"corpus": "manifest", "rot": "x"}, "did you mean 'root'"),
    ],
)
def test_mistakes_in_a_recipe_name_the_right_word(recipe: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(SourceConfig, recipe, "recipe.yaml")


def test_an_unknown_corpus_names_its_neighbour() -> None:
    with pytest.raises(UserError, match="did you mean 'gigaspeech'"):
        corpus_named("gigaspech")


def test_a_long_index_is_read_in_flat_memory(tmp_path: Path) -> None:
    """A GigaSpeech index of some 40 MB; holding it parsed would take several times that."""
    MINIATURES["gigaspeech"](tmp_path)
    path = tmp_path / "GigaSpeech" / "GigaSpeech.json"
    audio = json.loads(path.read_text())["audios"][0]
    audio["title"] = "x" * 4000
    text = json.dumps(audio)
    with path.open("w") as file:
        file.write('{"dataset": "GigaSpeech", "audios": [')
        file.write(",\n".join([text] * 8000))
        file.write("]}")
    assert path.stat().st_size > 35e6
    tracemalloc.start()
    try:
        drops: list[Drop] = []
        config = SourceConfig("gigaspeech", str(tmp_path))
        count = sum(1 for _ in read(config, drops.append))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (count, drops) == (8000, [])
    assert peak < 4e6


def test_the_documents_name_every_corpus_with_its_tree_and_licence() -> None:
    page = (Path(__file__).parents[3] / "docs" / "sources.md").read_text()
    for name, corpus in CORPORA.items():
        assert f"`{name}`" in page
        assert corpus.licence in page, name
        assert corpus.download in page, name


def test_every_line_of_recipe_in_the_documents_loads() -> None:
    page = (Path(__file__).parents[3] / "docs" / "sources.md").read_text()
    snippets = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(snippets) == 8
    named = set()
    for snippet in snippets:
        tree = yaml.safe_load(snippet)
        for entry in tree["sources"] if isinstance(tree, dict) else tree:
            named.add(build(SourceConfig, entry, "docs/sources.md").corpus)
    assert len(named) >= len(CORPORA) - 1
