"""What the tests of the data wing share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.data_build.chat_server import Action, Body, ChatServer


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
