"""One signal, and the files that real encoders make of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soundflow.audio.encoded import FORMATS, RATE, SECONDS, Float32, chirps, encode


@pytest.fixture(scope="session")
def signal() -> Float32:
    return chirps(RATE, SECONDS)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory, signal: Float32) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("encoded")
    return {
        name: encode(folder / f"{i}.bin", signal, RATE, container, codec, options)
        for i, (name, (container, codec, options, _)) in enumerate(FORMATS.items())
    }
