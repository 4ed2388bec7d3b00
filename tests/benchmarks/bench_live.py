"""The live engine against its bars: one table, every row with what it is compared to.

    python tests/benchmarks/bench_live.py [PART ...] [--hours 8]

Random weights of the quickstart's size on one core. Costs are CPU time of the worker's thread, so
that other work on the machine does not count; schedules are simulated with the costs measured.

    chunks        cost at 5 min, 1 h and the end of a session over that at its beginning, with a
                  full memory and with one that is not; the worst chunk
    fifo          latency and stalls while replies of 50 to 200 tokens are spoken, against a
                  session that answers every chunk in turn and whose encoder waits for its decoder
    sessions      how many keep up with real time on one core in ragged batches, against a loop of
                  single sessions
    overhead      a decode step of the engine over transformers' forward and head, batch 1 and 16
    agreement     decisions and tokens of 16 sessions together against each alone
"""

from __future__ import annotations

import argparse
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from inference.dialogue_decoder import Drain, InTurn, Step
from inference.engine import Engine
from inference.events import Decided, MemoryTrimmed, ReplyEnded, ReplyText, SessionEvent
from inference.executor import Executor
from inference.latency import hardware
from inference.limits import Limits
from inference.model_runner import ModelRunner, Request
from inference.sampling import Draw, SamplingConfig
from inference.scheduler import Encode, Work
from inference.session import SessionConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.tiny import tiny_config
from soundflow.text.presets import stream_spec
from soundflow.text.tiny import tiny_tokenizer
from tests.inference.engines import make_engine as smallest_engine

LIMIT_POSITIONS = 512  # about 15 s: as a model that was trained on streams of that length
SPEAKING_TOKENS_A_SECOND = 4.0
ROW = "| {:44} | {:>34} | {:>26} |"


def make_engine() -> Engine:
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    model = AudioInteractionModel(tiny_config(), tokenizer.table).eval()
    return Engine(model, tokenizer, stream_spec(tokenizer), "Listen.", 0.5, LIMIT_POSITIONS)


def chunks_of_noise(engine: Engine, n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    samples = engine.spec.time.chunk_samples
    return [0.1 * rng.standard_normal(samples).astype(np.float32) for _ in range(n)]


def say(what: str, found: str, bar: str) -> None:
    print(ROW.format(what, found, bar), flush=True)


def resident_mb() -> float:
    with open("/proc/self/statm") as file:  # noqa: PTH123 - not a regular file
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass
class Heard:
    """What every chunk of one listening session cost."""

    costs: np.ndarray  # CPU seconds
    trimmed: np.ndarray  # whether the memory was trimmed in it
    early_mb: float  # resident after 10 minutes, or a tenth of the session


def listen(engine: Engine, n: int, limit_positions: int) -> Heard:
    """A session that hears ``n`` chunks and never speaks."""
    executor = Executor(engine, Limits(max_sessions=1))
    session = executor.open(SessionConfig(threshold=1.0, limit_positions=limit_positions))
    audio = chunks_of_noise(engine, 64)
    heard = Heard(np.zeros(n), np.zeros(n, bool), 0.0)
    for i in range(n):
        began = time.thread_time()
        executor.push(session, audio[i % 64])
        while (tick := executor.tick(0.0)).work is not None:
            heard.trimmed[i] |= any(isinstance(e, MemoryTrimmed) for _, e in tick.events)
        heard.costs[i] = time.thread_time() - began
        if i == min(1500, n // 10):
            heard.early_mb = resident_mb()
    return heard


def typical(costs: np.ndarray) -> float:
    """Mean without the dearest twentieth, which other work on the machine makes."""
    return float(np.mean(np.sort(costs, axis=None)[: round(0.95 * costs.size)]))


def chunk_costs(engine: Engine, hours: float) -> None:
    """A cost depends on the positions that are remembered: full memories are compared.

    A memory of half the positions is full within 10 s. The long session's own is full after 17 s:
    its cost is compared to that at 20 to 40 s, and to that at 10 s without a bar.
    """
    half = LIMIT_POSITIONS // 2
    starts = [listen(engine, 100, LIMIT_POSITIONS).costs for _ in range(10)]
    begun, full = (typical(np.stack(starts)[:, a:b]) for a, b in ((20, 30), (50, 100)))
    small = typical(np.stack([listen(engine, 36, half).costs[20:] for _ in range(20)]))
    late = typical(listen(engine, 1000, half).costs[500:])
    say(f"chunk at 5 min / at 10 s, {half} positions", f"{late / small:.3f} of "
        f"{1e3 * small:.2f} ms", "1.00 +- 0.05")  # fmt: skip
    n = round(hours * 9000)
    heard = listen(engine, n, LIMIT_POSITIONS)
    costs, trimmed, now_mb = heard.costs, heard.trimmed, resident_mb()
    for name, at in (("5 min", 750), ("1 h", 9000), (f"{hours:g} h", n)):
        if 750 <= at <= n:
            found = typical(costs[at - 500 : at])
            say(f"chunk at {name} / at 30 s, memory full", f"{found / full:.3f} of "
                f"{1e3 * full:.2f} ms", "1.00 +- 0.05")  # fmt: skip
            say(f"chunk at {name} / at 10 s, not yet full", f"{found / begun:.3f} of "
                f"{1e3 * begun:.2f} ms", "")  # fmt: skip
    say("worst chunk, memory trimmed in it or not", f"{1e3 * costs[5:].max():.1f} ms", "400 ms")
    share, typical_ms = 100 * trimmed.mean(), 1e3 * np.median(costs[trimmed])
    say("chunks in which the memory was trimmed", f"{share:.1f} %, {typical_ms:.2f} ms", "")
    say(f"memory after {hours:g} h / after 10 min",
        f"{now_mb / heard.early_mb:.4f} of {heard.early_mb:.0f} MB", "1.00 +- 0.02")  # fmt: skip


@dataclass
class SeededReplies:
    """Speaks at random chunks, 50 to 200 tokens, whatever the model says."""

    rng: np.random.Generator
    odds: float
    tokens: tuple[int, int]
    normal: int
    text_end: int
    _left: int = 0

    def speaks(self, chunk: int, p_response: float) -> bool:
        self._left = int(self.rng.integers(*self.tokens))
        return bool(self.rng.random() < self.odds)

    def next_token(self, chunk: int, said: tuple[int, ...], sampled: int) -> int:
        if not said:
            return self.normal
        return self.text_end if len(said) > self._left else 300


@dataclass
class Played:
    """What a schedule gave: events of every session, with the simulated clock in ``wall_s``."""

    events: dict[int, list[SessionEvent]] = field(default_factory=dict)
    busy_s: float = 0.0


def play(
    executor: Executor,
    sessions: list[int],
    audio: list[np.ndarray],
    cost: float | None,
    encode_cost: float = 0.0,
    chunk_s: float = 0.4,
) -> Played:
    """Feeds sessions in real time on a simulated clock.

    Args:
        cost: seconds of a decode pass; None takes the CPU time that it took.
    """
    played = Played({s: [] for s in sessions})
    arrivals = deque(
        sorted((chunk_s * (i + 1 + k / len(sessions)), s, i)
               for k, s in enumerate(sessions) for i in range(len(audio)))
    )  # fmt: skip
    now = 0.0
    while True:
        while arrivals and arrivals[0][0] <= now:
            at, session, i = arrivals.popleft()
            executor.push(session, audio[i], at)
        began = time.thread_time()
        tick = executor.tick(now)
        took = time.thread_time() - began
        if cost is not None:
            took = _fixed(tick.work, cost, encode_cost)
        played.busy_s += took
        now += took
        for session, event in tick.events:
            late = _stamped(event, now)
            played.events[session].append(late)
        if tick.work is None:
            if not arrivals:
                return played
            now = max(now, arrivals[0][0])


def _fixed(work: Work | None, cost: float, encode_cost: float) -> float:
    if work is None:
        return 0.0
    return encode_cost if isinstance(work, Encode) else cost


def _stamped(event: SessionEvent, now: float) -> SessionEvent:
    object.__setattr__(event, "wall_s", now)  # the end of the work, not its beginning
    return event


def fifo(engine: Engine) -> None:
    """A decoder of 60 ms a pass and an encoder of 30 ms a batch: together a quarter of a chunk.

    The clock is simulated, so a model of any size does. Five minutes, a reply every half minute:
    in turn, too, the session catches up with the clock.
    """
    found = {}
    for name, order in (("FIFO", Drain()), ("in turn", InTurn())):
        table = engine.spec.tokens
        executor = Executor(engine, Limits(max_sessions=1), order)
        policy = SeededReplies(np.random.default_rng(7), 0.015, (50, 200), table.normal,
                               table.text_end)  # fmt: skip
        sampling = SamplingConfig(max_reply_tokens=300, max_repeats=None)
        session = executor.open(SessionConfig(sampling=sampling), 0.0, policy)
        played = play(executor, [session], chunks_of_noise(engine, 750), 0.06, 0.03)
        found[name] = _latencies(played.events[session])
    (a, b) = found["FIFO"], found["in turn"]
    say("FIFO: chunk to its decision, mean", f"{b[0] / a[0]:.1f}x ({a[0]:.2f} s, {b[0]:.2f} s)",
        ">= 2.5x (paper 2.1x)")  # fmt: skip
    say("FIFO: end of reply to decision on the newest", f"{b[1] / a[1]:.1f}x "
        f"({a[1]:.2f} s, {b[1]:.2f} s)", ">= 5x (paper 4.5x)")  # fmt: skip
    say("FIFO: stalled share of speaking time", f"{100 * a[2]:.1f} % ({100 * b[2]:.1f} %)",
        "0.0 %")  # fmt: skip


def _latencies(events: list[SessionEvent]) -> tuple[float, float, float]:
    """Mean latency of decisions (those made by silence left out), of resuming, and stalls."""
    waits, resumes, gaps = [], [], []
    ended: float | None = None
    last_token: float | None = None
    for event in events:
        if isinstance(event, Decided):
            late = event.wall_s - event.arrived_wall_s
            if not event.stale:
                waits.append(late)
            # Caught up with the clock: nothing newer than a chunk waits.
            if ended is not None and not event.stale and late < 0.8:
                resumes.append(event.wall_s - ended)
                ended = None
            if event.speak:
                last_token = None
        elif isinstance(event, ReplyText):
            if last_token is not None:
                gaps.append(event.wall_s - last_token)
            last_token = event.wall_s
        elif isinstance(event, ReplyEnded) and ended is None:
            ended = event.wall_s
    stalled = sum(max(0.0, g - 1 / SPEAKING_TOKENS_A_SECOND) for g in gaps)
    spoken = sum(max(g, 1 / SPEAKING_TOKENS_A_SECOND) for g in gaps)
    return float(np.mean(waits)), float(np.mean(resumes)), stalled / max(spoken, 1e-9)


def missed(engine: Engine, n: int, seconds: float, *, batched: bool) -> float:
    """Share of decisions more than a chunk late, of ``n`` sessions on one core."""
    limits = Limits(n, listen_chunks=max(16, n)) if batched else Limits(n, 1, 1)
    executor = Executor(engine, limits) if batched else _OneByOne(engine, limits)
    table = engine.spec.tokens
    sampling = SamplingConfig(max_reply_tokens=40, max_repeats=None)
    sessions = [
        executor.open(SessionConfig(sampling=sampling), 0.0, SeededReplies(
            np.random.default_rng(i), 0.04, (10, 40), table.normal, table.text_end))
        for i in range(n)
    ]  # fmt: skip
    played = play(executor, sessions, chunks_of_noise(engine, round(seconds / 0.4)), None)
    late = [
        e.wall_s - e.arrived_wall_s > 0.4
        for events in played.events.values() for e in events
        if isinstance(e, Decided) and not e.stale
    ]  # fmt: skip
    return float(np.mean(late))


class _OneByOne(Executor):
    """The loop that everyone writes first: each session has passes of its own."""

    def _decode(self, work: object) -> None:
        from inference.scheduler import Decode

        assert isinstance(work, Decode)
        one = Decode(work.listen[:1], ()) if work.listen else Decode((), work.speak[:1])
        super()._decode(one)
        if one.speak:  # the others in turn
            state = self._sessions.pop(one.speak[0])
            self._sessions[one.speak[0]] = state


def sessions(engine: Engine) -> None:
    most = {}
    for batched in (False, True):
        n, step = 0, 16
        while step:
            if missed(engine, n + step, 8.0, batched=batched) <= 1e-3:
                n += step
            else:
                step //= 2
        most[batched] = n
    say("sessions in real time on one core, batched", f"{most[True]} / {most[False]} = "
        f"{most[True] / max(1, most[False]):.1f}x", ">= 4x, missed <= 0.1 %")  # fmt: skip


def overhead(engine: Engine) -> None:
    model, table = engine.model, engine.spec.tokens
    for batch in (1, 16):
        runner = ModelRunner(engine, batch)
        rows = [runner.prefill(tuple([300] * 300)) for _ in range(batch)]
        draw = Draw(SamplingConfig(), 0.5, False)
        requests = [Request(row, Step((300,), (), (), (0,)), draw) for row in rows]
        cache = model.new_cache()
        embeds = model.embed(torch.full((batch, 300), 300))
        with torch.inference_mode():
            model.hidden(embeds, cache=cache)
        one = torch.full((batch, 1), 300)
        place = torch.full((batch, 1), 300)

        def ours(runner=runner, rows=rows, requests=requests) -> None:
            runner.run(requests)
            for row in rows:
                runner.pool.rollback(row, 300)

        @torch.inference_mode()
        def bare(cache=cache, one=one, place=place) -> Tensor:
            logits = model.logits(model.hidden(model.lm.model.embed_tokens(one), place, cache))
            cache.crop(-1)
            return logits

        spent = {ours: [], bare: []}
        for _ in range(40):
            for run in (ours, bare):
                began = time.thread_time()
                run()
                spent[run].append(time.thread_time() - began)
        a, b = (np.median(spent[run][5:]) for run in (ours, bare))
        say(f"decode step / transformers' forward, batch {batch}",
            f"{a / b:.2f} ({1e3 * a:.2f} ms, {1e3 * b:.2f} ms)", "<= 1.15")  # fmt: skip
    assert table.vocab_size


def agreement(engine: Engine) -> None:
    def run(seeds: list[int]) -> list[list[SessionEvent]]:
        executor = Executor(engine, Limits(len(seeds)), InTurn())
        greedy = SessionConfig(sampling=SamplingConfig(0.0, max_reply_tokens=8))
        ids = [executor.open(greedy) for _ in seeds]
        events: dict[int, list[SessionEvent]] = {i: [] for i in ids}
        for at in range(40):
            for seed, session in zip(seeds, ids, strict=True):
                rng = np.random.default_rng([seed, at])
                executor.push(session, (0.2 * rng.standard_normal(6400)).astype(np.float32))
            while (tick := executor.tick(0.0)).work is not None:
                for session, event in tick.events:
                    events[session].append(event)
        return [events[i] for i in ids]

    together, gap, other = run(list(range(16))), 0.0, 0
    for seed, beside in enumerate(together):
        (alone,) = run([seed])
        for a, b in zip(alone, beside, strict=True):
            if isinstance(a, Decided) and isinstance(b, Decided):
                gap = max(gap, abs(a.p_response - b.p_response))
                other += a.speak != b.speak
            elif isinstance(a, ReplyText) and isinstance(b, ReplyText):
                other += a.token != b.token
    say("16 sessions together / alone", f"p within {gap:.1e}, {other} tokens differ", "1e-4, 0")


def main() -> None:
    torch.set_num_threads(1)
    engine = make_engine()
    parts: dict[str, Callable[[float], None]] = {
        "agreement": lambda hours: agreement(engine),
        "overhead": lambda hours: overhead(engine),
        "fifo": lambda hours: fifo(smallest_engine(max_positions=LIMIT_POSITIONS)),
        "sessions": lambda hours: sessions(engine),
        "chunks": lambda hours: chunk_costs(engine, hours),
    }
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", default=[*parts])
    parser.add_argument("--hours", type=float, default=8.0)
    arguments = parser.parse_args()
    print(f"{hardware()}; a memory of {LIMIT_POSITIONS} positions\n")
    print(ROW.format("work", "found", "bar"))
    print("|" + "-" * 46 + "|" + "-" * 36 + "|" + "-" * 28 + "|")
    for part in arguments.parts:
        parts[part](arguments.hours)


if __name__ == "__main__":
    main()
