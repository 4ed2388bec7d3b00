"""What OMP_NUM_THREADS says goes; without it the number of threads is measured and said."""

from __future__ import annotations

import logging

import pytest
import torch

from inference import engine as module
from inference.engine import use_threads
from tests.inference.engines import make_engine


def test_the_user_decides_how_many_threads(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine, before = make_engine(), torch.get_num_threads()
    caplog.set_level(logging.INFO, "inference.engine")
    monkeypatch.setattr(module, "cores", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", str(before))
    use_threads(engine)
    assert torch.get_num_threads() == before
    assert "OMP_NUM_THREADS says" in caplog.text
    monkeypatch.delenv("OMP_NUM_THREADS")
    try:
        use_threads(engine, sessions=4)
        assert torch.get_num_threads() in (1, 2)
    finally:
        torch.set_num_threads(before)
    assert "for 2 core(s)" in caplog.text
