"""Rows of published data sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.evaluate.published import read_rows
from soundflow.errors import UserError


@pytest.mark.parametrize("where", ["{tmp}/nothing", "./nothing", "some/where/else"])
def test_a_folder_that_is_not_there_is_not_asked_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: pytest.fail("asked the hub"))
    with pytest.raises(UserError, match="no such folder"):
        read_rows(where.format(tmp=tmp_path), ["text"])
