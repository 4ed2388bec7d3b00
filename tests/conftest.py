"""What every test may ask for."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from soundflow.signals import SIGNALS
from tests.soundflow.endpoints.chat_server import Action, Body, ChatServer

# A person's runs explore; continuous integration repeats itself, so a red run is about the change.
# None has a deadline: a busy machine is no fault.
settings.register_profile("person", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "person")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """A command that was stopped leaves signals ignored; its process ends, but not this one."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of test material beside the project; tests that need it skip without it."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the shared test material is not beside the project")
    return folder


@pytest.fixture
def chat_server() -> Iterator[Callable[[Callable[[int, Body], Action]], ChatServer]]:
    """Starts servers with the given behaviour; stops them when the test ends."""
    running: list[ChatServer] = []

    def start(answer: Callable[[int, Body], Action]) -> ChatServer:
        server = ChatServer(answer)
        server.__enter__()
        running.append(server)
        return server

    yield start
    for server in running:
        server.stop()
