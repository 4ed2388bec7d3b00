"""The live engine on a GPU: the same decisions as on a CPU, and one synchronisation a pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from inference.decoder.sampling import SamplingConfig
from inference.events import Decided, ReplyText
from inference.exchange import answer, prompt_of
from inference.passes.encoder_graphs import EncoderGraphs
from inference.passes.kv_pool import KvPool
from inference.passes.model_runner import ModelRunner, Request
from inference.passes.ragged_forward import ragged_forward
from inference.passes.recorded import Recorder
from inference.passes.sampler import Draw
from inference.passes.step_graphs import StepGraphs
from inference.sessions.config import SessionConfig
from inference.sessions.executor import Executor
from inference.sources.recordings import Recording
from soundflow.protocol import layout
from tests.inference.engines import make_engine

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

GREEDY = SessionConfig(sampling=SamplingConfig(temperature=0.0, max_reply_tokens=6))


def on(device: str):
    engine = make_engine()
    return replace(engine, model=engine.model.to(device))


def decode(device: str) -> list:
    executor = Executor(on(device))
    sessions = [executor.open(GREEDY) for _ in range(4)]
    events = []
    for at in range(6):
        for session in sessions:
            rng = np.random.default_rng([session, at])
            executor.push(session, (0.2 * rng.standard_normal(6400)).astype(np.float32))
        while (tick := executor.tick(0.0)).work is not None:
            events += tick.events
    return events


def test_decisions_and_words_are_those_of_a_cpu():
    found, expected = decode("cuda"), decode("cpu")
    assert [type(e) for _, e in found] == [type(e) for _, e in expected]
    for (_, a), (_, b) in zip(found, expected, strict=True):
        if isinstance(a, Decided):
            assert a.p_response == pytest.approx(b.p_response, abs=1e-3)
            assert a.speak == b.speak
        elif isinstance(a, ReplyText):
            assert a.token == b.token


def test_a_row_that_lost_blocks_is_that_of_a_cpu():
    rows = {}
    embeds = torch.randn(60, 32, generator=torch.Generator().manual_seed(0))
    for device in ("cpu", "cuda"):
        model = make_engine().model.to(device)
        pool = KvPool(model, 1, 64)
        row = pool.allocate()
        with torch.inference_mode():
            ragged_forward(model, pool, embeds.to(device), [pool.extend(row, 60)])
        pool.evict(row, [(10, 22), (40, 41)])
        rows[device] = pool.keys[1][row].cpu()
    assert torch.allclose(rows["cpu"], rows["cuda"], atol=1e-3)


def test_one_synchronisation_a_pass(monkeypatch):
    """Only the transfer of what was found may wait for the device."""
    engine = on("cuda")
    runner = ModelRunner(engine, 2)
    prefix = engine.prefix_ids()
    rows = [runner.prefill(prefix) for _ in range(2)]
    block = layout.listen(engine.spec.tokens, 0).ids
    draw = Draw(SamplingConfig(), 0.5, False)

    def requests():
        from inference.decoder.dialogue_decoder import Step

        listens = Step(block, (), (), (len(block) - 1,))
        return [Request(rows[0], listens, None), Request(rows[1], Step((300,), (), (), (0,)), draw)]

    runner.run(requests())  # what is loaded on first use
    waits = []
    stock = torch.Tensor.tolist

    def transfer(tensor):
        torch.cuda.set_sync_debug_mode("default")
        waits.append(1)
        return stock(tensor)

    monkeypatch.setattr(torch.Tensor, "tolist", transfer)
    torch.cuda.set_sync_debug_mode("error")
    try:
        runner.run(requests())
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert waits == [1]


@torch.inference_mode()
def test_recorded_passes_equal_those_that_are_not():
    model = make_engine().model.to("cuda")
    pools = [KvPool(model, 6, 200, spare=1) for _ in range(2)]
    graphs = StepGraphs(model, pools[0], 5, Recorder(model.device))
    rows = [[pool.allocate() for _ in range(3)] for pool in pools]
    generator = torch.Generator().manual_seed(0)
    for sizes in [(5, 5, 1), (1, 5, 5), (1, 1, 1), (5, 2, 5)] * 4:
        embeds = torch.randn(sum(sizes), 32, generator=generator).to("cuda")
        segments = [
            [pool.extend(row, n) for row, n in zip(those, sizes, strict=True)]
            for pool, those in zip(pools, rows, strict=True)
        ]
        read = (np.cumsum(sizes) - 1).tolist()
        found = graphs(embeds, segments[0], read)
        expected = ragged_forward(model, pools[1], embeds, segments[1], read)
        assert torch.allclose(found, expected, atol=1e-4)


def test_recorded_encoder_batches_equal_those_that_are_not():
    engine = on("cuda")
    graphs = EncoderGraphs(engine, Recorder(engine.model.device))
    rng = np.random.default_rng(0)
    for n in (3, 4, 2, 1, 1, 70):
        mels = rng.normal(size=(n, 128, 40)).astype(np.float32)
        assert torch.allclose(graphs(mels), engine.encode(mels), atol=1e-4)


@torch.inference_mode()
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_passes_are_recorded_on_the_device_that_computes():
    model = make_engine().model.to("cuda:1")  # the current device stays cuda:0
    pools = [KvPool(model, 1, 200, spare=1) for _ in range(2)]
    graphs = StepGraphs(model, pools[0], 5, Recorder(model.device))
    for pool in pools:
        pool.allocate()
    for embeds in torch.randn(4, 5, 32, generator=torch.Generator().manual_seed(0)).to("cuda:1"):
        found = graphs(embeds, [pools[0].extend(0, 5)], [4])
        expected = ragged_forward(model, pools[1], embeds, [pools[1].extend(0, 5)], [4])
        assert torch.allclose(found, expected, atol=1e-4)


def test_an_offline_exchange_is_answered_as_on_a_cpu():
    def said(device: str) -> str:
        engine = on(device)
        noise = (0.2 * np.random.default_rng(3).standard_normal(20_000)).astype(np.float32)
        prompt = prompt_of(engine, "What is it?", Recording("noise", iter([noise])))
        return answer(engine, prompt, GREEDY.sampling).text

    assert said("cuda") == said("cpu")


def test_another_instruction_is_read_as_on_a_cpu():
    def decisions(device: str) -> list[float]:
        executor = Executor(on(device))
        session = executor.open(replace(GREEDY, threshold=1.0))
        found = []
        for at, system in enumerate(("Wait.", "Say what you hear.", "Be brief.")):
            executor.configure(session, replace(GREEDY, system=system, threshold=1.0))
            noise = 0.2 * np.random.default_rng(at).standard_normal(6440)
            executor.push(session, noise.astype(np.float32))
            while (tick := executor.tick(0.0)).work is not None:
                found += [e.p_response for _, e in tick.events if isinstance(e, Decided)]
        return found

    assert decisions("cuda") == pytest.approx(decisions("cpu"), abs=1e-4)
