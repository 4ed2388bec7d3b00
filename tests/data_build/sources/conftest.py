"""A corpus of every kind, built once, and a reader of it that keeps what it dropped."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_build.drops import Drop
from data_build.records import Clip, Dialogue
from data_build.sources.catalogue import read
from data_build.sources.source import SourceConfig
from tests.data_build.sources.miniatures import MINIATURES, ReadAll


@pytest.fixture(scope="session")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SourceConfig]:
    root = tmp_path_factory.mktemp("corpora")
    built = {}
    for name, build in MINIATURES.items():
        folder: Path = root / name
        folder.mkdir()
        built[name] = build(folder)
    return built


@pytest.fixture(scope="session")
def read_all() -> ReadAll:
    def read_whole(config: SourceConfig) -> tuple[list[Clip | Dialogue], list[Drop]]:
        drops: list[Drop] = []
        return list(read(config, drops.append)), drops

    return read_whole
