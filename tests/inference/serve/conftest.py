from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.inference.serve.servers import Running, serving, write_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("serve") / "model")


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    """A server with the default limits, for all tests of this folder."""
    with serving() as found:
        yield found
