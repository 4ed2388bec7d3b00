"""Sessions of a process that was killed: what their clients are told, by whoever holds the sockets.

A process that computes says beforehand, of every session, what its client is to be sent if it can
no longer say so itself: an error of the client's protocol and a close frame.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from websockets.frames import Close, Frame, Opcode

CLOSING_S = 2.0  # that clients may take to read it and to close


@dataclass(frozen=True)
class HeldSession:
    """A session of another process.

    Attributes:
        connection: its socket, which that process has too.
        if_killed: what its client is sent if that process ends before the session.
    """

    connection: socket.socket
    if_killed: bytes


def last_frames(message: str, code: int, reason: str) -> bytes:
    """A text message and the close of a WebSocket, as a server sends them (RFC 6455, section 5)."""
    close = Close(code, reason).serialize()
    frames = Frame(Opcode.TEXT, message.encode()), Frame(Opcode.CLOSE, close)
    return b"".join(frame.serialize(mask=False) for frame in frames)


def tell_killed(sessions: Sequence[HeldSession]) -> threading.Thread:
    """Sends every client its last frames and closes its socket, in a thread of its own."""
    thread = threading.Thread(target=_tell, args=(sessions,), daemon=True)
    thread.start()
    return thread


def _tell(sessions: Sequence[HeldSession]) -> None:
    with selectors.DefaultSelector() as waiting, contextlib.ExitStack() as sockets:
        for session in sessions:
            connection = sockets.enter_context(session.connection)
            connection.setblocking(False)
            waiting.register(connection, selectors.EVENT_WRITE, session.if_killed)
        # Where there is no room at once, a message may be half written, and nothing can follow it.
        for key, _ in waiting.select(0):
            assert isinstance(key.fileobj, socket.socket)
            with contextlib.suppress(OSError):  # the client is gone too
                key.fileobj.send(key.data)
                key.fileobj.shutdown(socket.SHUT_WR)
            waiting.modify(key.fileobj, selectors.EVENT_READ)
        for key in list(waiting.get_map().values()):
            if key.events == selectors.EVENT_WRITE:
                waiting.unregister(key.fileobj)
        # A socket that is closed before all is read is reset, and takes the last frames with it.
        until_s = time.monotonic() + CLOSING_S
        while waiting.get_map() and (left_s := until_s - time.monotonic()) > 0:
            for key, _ in waiting.select(left_s):
                assert isinstance(key.fileobj, socket.socket)
                if not _read(key.fileobj):
                    waiting.unregister(key.fileobj)


def _read(connection: socket.socket) -> bool:
    """Whether more may come."""
    try:
        return bool(connection.recv(1 << 16))
    except BlockingIOError:
        return True
    except OSError:
        return False
