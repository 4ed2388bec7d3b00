"""A signal ends the audio; the session ends in good order."""

from __future__ import annotations

import signal

import numpy as np
import pytest

from inference.infer.recipe import InferRecipe
from inference.infer.run import Devices, infer
from inference.infer.stopping import StopRequest
from inference.sources.microphone import OpenedMicrophone
from soundflow.errors import Stopped
from soundflow.signals import Interrupted
from tests.inference.engines import make_engine

ENGINE = make_engine()


def test_a_signal_ends_a_wait_and_is_noted_at_any_other_time():
    request = StopRequest()

    def blocks():
        yield 1
        request.note(signal.SIGINT)
        yield 2

    assert list(request.until(blocks())) == [1]
    assert request()
    with pytest.raises(Interrupted):  # the second time
        request.note(signal.SIGTERM)
    assert request.asked == signal.SIGINT
    noted = StopRequest()
    found = noted.until(iter((1, 2, 3)))
    assert next(found) == 1
    noted.note(signal.SIGTERM)  # while the model computes
    assert list(found) == []


@pytest.fixture
def takes_ctrl_c():
    """Ctrl-C as at a terminal: a job in the background of a shell has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("takes_ctrl_c")
def test_ctrl_c_at_a_microphone_ends_the_session_with_its_summary(tmp_path, capsys):
    def device(name, rate_hz, packet_s):
        def packets():
            for _ in range(7):
                yield np.zeros(1600, np.float32)
            signal.raise_signal(signal.SIGINT)
            yield np.zeros(1600, np.float32)

        return OpenedMicrophone("fake", packets(), rate_hz)

    devices = Devices(lambda *_: ENGINE, open_microphone=device)
    recipe = InferRecipe(checkpoint=tmp_path, audio=("microphone",))
    with pytest.raises(Stopped) as stopped:
        infer(recipe, devices=devices)
    assert stopped.value.number == signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    printed = capsys.readouterr().out
    assert "2 chunks, 0.7 s received" in printed
    assert "real-time factor" in printed
