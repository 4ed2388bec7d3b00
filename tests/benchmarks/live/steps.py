"""One decode step over the bare forward of the model, and many sessions against each alone."""

from __future__ import annotations

import time

import numpy as np
import torch

from inference.decoder.dialogue_decoder import InTurn, Step
from inference.decoder.sampling import SamplingConfig
from inference.engine import Engine
from inference.events import Decided, ReplyText, SessionEvent
from inference.limits import Limits
from inference.passes.model_runner import ModelRunner, Request
from inference.passes.sampler import Draw
from inference.sessions.config import SessionConfig
from inference.sessions.executor import Executor
from tests.benchmarks.live.table import say


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

        spent: dict[str, list[float]] = {"ours": [], "bare": []}
        for _ in range(40):
            began = time.thread_time()
            runner.run(requests)
            for row in rows:
                runner.pool.rollback(row, 300)
            spent["ours"].append(time.thread_time() - began)
            began = time.thread_time()
            with torch.inference_mode():
                model.logits(model.hidden(model.lm.model.embed_tokens(one), place, cache))
                cache.crop(-1)
            spent["bare"].append(time.thread_time() - began)
        a, b = (float(np.median(s[5:])) for s in spent.values())
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
