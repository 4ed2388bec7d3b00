"""What the clients of a process that was killed are sent by the one that holds their sockets."""

from __future__ import annotations

import socket

from inference.serve.held_sessions import HeldSession, tell_killed


def test_a_client_reads_its_last_frames_though_its_audio_was_not_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    client.sendall(b"audio" * 1000)
    thread = tell_killed([HeldSession(server, b"last")])
    assert client.recv(100) == b"last"
    assert client.recv(100) == b""
    client.close()
    thread.join()
    assert server.fileno() == -1


def test_nothing_follows_a_message_that_may_be_half_written() -> None:
    server, client = socket.socketpair()
    server.setblocking(False)
    written = 0
    while True:
        try:
            written += server.send(b"message" * 1000)
        except BlockingIOError:
            break
    tell_killed([HeldSession(server, b"last")]).join()
    read = 0
    while data := client.recv(1 << 20):
        read += len(data)
    client.close()
    assert read == written
