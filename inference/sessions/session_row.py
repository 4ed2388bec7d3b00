"""What a session remembers: its token ids, and their keys and values in a row of the pool.

Both change here, and alike.
"""

from __future__ import annotations

from inference.limits import memory_needed
from inference.passes.model_runner import ModelRunner
from inference.sessions.memory import SessionMemory


class SessionRow:
    """A session's memory in a row of its own.

    Args:
        memory: of the instruction alone.

    Attributes:
        index: of the row.

    Raises:
        OutOfMemoryError: here, and where a method says so: the memory of the machine is not enough.
    """

    def __init__(self, runner: ModelRunner, memory: SessionMemory) -> None:
        self._runner = runner
        self._memory = memory
        with memory_needed("for another session"):
            self.index = runner.prefill(memory.prefix)

    @property
    def memory(self) -> SessionMemory:
        """The token ids; `SessionMemory.append` is for what a pass is about to compute."""
        return self._memory

    def forget(self, n: int) -> None:
        """Drops the newest ``n`` positions."""
        self._memory.forget(n)
        self._runner.pool.rollback(self.index, self._memory.length)

    def make_room(self, positions: int = 0) -> int | None:
        """Drops the oldest blocks, so that so many positions more fit.

        Returns:
            How many whole blocks left; None where nothing had to.

        Raises:
            OutOfMemoryError: some layers may hold what was dropped: the session cannot go on.
        """
        evicted = self._memory.evict(positions)
        if evicted is None:
            return None
        self._give_up(*evicted.spans)
        return evicted.blocks

    def cut_reply(self, chunk: int, surplus: int) -> bool:
        """Takes the last ``surplus`` text tokens out of a reply that has ended; False where it is
        no longer remembered.

        Raises:
            OutOfMemoryError: as `make_room`.
        """
        span = self._memory.cut_reply(chunk, surplus)
        if span is not None:
            self._give_up(span)
        return span is not None

    def _give_up(self, *spans: tuple[int, int]) -> None:
        with memory_needed("to trim what the session remembers"):
            self._runner.pool.evict(self.index, spans)

    def instruct(self, prefix: tuple[int, ...]) -> int | None:
        """Puts another instruction in place of the present one, and computes the memory anew.

        Returns:
            How many whole blocks left for it; None where all of them could stay.

        Raises:
            OutOfMemoryError: everything is as it was.
        """
        memory = self._memory.instructed(prefix)
        evicted = memory.evict() if memory.length > memory.limit_positions else None
        with memory_needed("to read the new instruction"):
            self._runner.rewrite(self.index, prefix, memory.as_step())
        self._memory = memory
        return None if evicted is None else evicted.blocks

    def release(self) -> None:
        """Leaves the row to another session."""
        self._runner.pool.release(self.index)
