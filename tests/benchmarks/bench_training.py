"""What packing and a head at the targets gain in training, over the streams of a build.

    soundflow build-data recipes/build/all_abilities.yaml
    python -m tests.benchmarks.bench_training [SPLIT] [WIDTH LAYERS]

Three ways of training on the same streams with the same language model (vocabulary 151 936): rows
padded to 4096 with the logits of all positions, as in the published code; our code with every
stream padded to 1024; our code with packed rows. The audio tower is left out of all three. Forward
and backward, one thread, float32, in turns within one process; times are those of the process
itself. Peaks come from a process for each way, above what it held with weights and gradients.

What packing can gain over rows padded to 1024 has a ceiling, which is printed from the parts of
both: the head computes the same targets in both and gains nothing, whatever is linear in the tokens
gains 1024 over the average length, attention more. Streams of 500 tokens gain 2.0 and what
attention adds, where a language model of billions of parameters makes the head a hundredth of the
work; in the one here the head is half of it. Six times needs streams of about 170 tokens.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from soundflow.data.batch import Batch, packed
from soundflow.data.config import DataConfig, DataSource
from soundflow.data.features import StreamFeatures
from soundflow.data.mixture import Mixture
from soundflow.data.plan import PlannedStream, plan_update
from soundflow.model.attention import Segments, attend
from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig
from soundflow.model.decoder import packed_hidden_states
from soundflow.model.interaction import AudioInteractionModel
from soundflow.protocol.layout import Role, block_tokens, labels
from soundflow.protocol.tokens import TokenTable
from soundflow.shards.reader import ShardSet
from soundflow.train.loss import target_nats

PUBLISHED, FAIR = 4096, 1024  # tokens that every stream is padded to
ROW_TOKENS = 4096
BATCH = 64
TURNS = 2


class TextOnly(AudioInteractionModel):
    """The audio slots keep the embedding of their filler: the tower is left out."""

    def target_loss(self, row: Batch) -> torch.Tensor:
        hidden = packed_hidden_states(
            self.lm, self.lm.model.embed_tokens(row.ids), row.positions,
            Segments.of(row.starts, row.lengths),
        )  # fmt: skip
        return target_nats(self, hidden.index_select(0, row.at), row.targets).mean()


def build(width: int, layers: int, table: TokenTable) -> TextOnly:
    torch.manual_seed(0)
    lm = LmConfig(width=width, layers=layers, heads=4, kv_heads=2, ffn_width=4 * width, tied=True)
    sizes = ModelConfig(AudioEncoderConfig(width=16, layers=1, heads=2, ffn_width=16), lm)
    return TextOnly(sizes, table).train()


def padded(stream: StreamFeatures, length: int, filler: int) -> StreamFeatures:
    short = length - len(stream.ids)
    return StreamFeatures(
        stream.id,
        np.pad(stream.ids, (0, short), constant_values=filler),
        np.pad(stream.roles, (0, short), constant_values=int(Role.CONTEXT)),
        stream.mel,
    )


class Ways:
    """One step of each way: forward and backward over some of the streams."""

    def __init__(self, split: Path, width: int, layers: int) -> None:
        shards = ShardSet(split)
        self.spec = shards.spec
        table = TokenTable(**{**vars(self.spec.tokens), "vocab_size": 151_936})
        self.model = build(width, layers, table)
        config = DataConfig(
            (DataSource(split.parent),), global_batch_size=BATCH, row_tokens=ROW_TOKENS
        )
        mixture = Mixture(0, (len(shards),), (1.0,))
        block = block_tokens(table, self.spec.time.slots_per_chunk)
        self.plan = plan_update(0, mixture, [shards.lengths], config, block)
        self.rows = [[self._read(shards, s) for s in row] for row in self.plan.ranks[0]]
        tokens = [len(s.ids) for row in self.rows for s in row]
        typical = min(
            (s for row in self.rows for s in row), key=lambda s: abs(len(s.ids) - np.mean(tokens))
        )
        self.typical, self.tokens = typical, tokens
        self.packed_row = packed(self.rows[0], self.spec)
        filler = self.spec.tokens.text_end
        self.fair_rows = [
            packed([padded(s, max(FAIR, len(s.ids)), filler)], self.spec) for s in self.rows[0]
        ]

    def _read(self, shards: ShardSet, planned: PlannedStream) -> StreamFeatures:
        sample = shards.read(planned.draw.stream)
        no_audio = np.zeros((0, self.spec.front_end.n_mels, 40), np.float32)
        return StreamFeatures(sample.record.id, sample.ids, sample.roles, no_audio)

    def published(self) -> int:
        whole = padded(self.typical, PUBLISHED, self.spec.tokens.text_end)
        ids = torch.from_numpy(whole.ids).long()[None]
        target = torch.from_numpy(labels(whole.ids, whole.roles)).long()[None]
        mask = torch.arange(PUBLISHED)[None] < len(self.typical.ids)
        loss = self.model.lm(input_ids=ids, labels=target, attention_mask=mask).loss
        torch.autograd.backward(loss)
        return len(self.typical.ids)

    def fair(self) -> int:
        for row in self.fair_rows:
            torch.autograd.backward(self.model.target_loss(row))
        return sum(self.packed_row.lengths)

    def packed(self) -> int:
        torch.autograd.backward(self.model.target_loss(self.packed_row))
        return sum(self.packed_row.lengths)


@dataclass(frozen=True)
class Parts:
    """Seconds that a row takes; ``rest`` grows with its tokens alone."""

    head: float
    attention: float
    rest: float

    @property
    def sum(self) -> float:
        return self.head + self.attention + self.rest

    def __str__(self) -> str:
        parts = {"head": self.head, "attention": self.attention, "the rest": self.rest}
        return ", ".join(f"{name} {part / self.sum:.0%}" for name, part in parts.items())


def parts_of(ways: Ways, row: Batch) -> Parts:
    lm, width = ways.model.config.lm, ways.model.config.lm.width
    states = torch.randn(len(row.at), width, requires_grad=True)
    shapes = (lm.heads, lm.kv_heads, lm.kv_heads)
    query, key, value = (
        torch.randn(len(row.ids), n, width // lm.heads, requires_grad=True) for n in shapes
    )
    segments = Segments.of(row.starts, row.lengths)

    def head_alone() -> None:
        torch.autograd.backward(target_nats(ways.model, states, row.targets).mean())

    def attention_alone() -> None:
        torch.autograd.backward(attend(query, key, value, segments).sum())

    whole = least_s(lambda: torch.autograd.backward(ways.model.target_loss(row)))
    head = least_s(head_alone)
    attention = lm.layers * least_s(attention_alone)
    return Parts(head, attention, whole - head - attention)


def least_s(work: Callable[[], object], tries: int = 2) -> float:
    """Seconds of the process."""
    took = []
    for _ in range(tries):
        started = time.process_time()
        work()
        took.append(time.process_time() - started)
    return min(took)


def rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def peak_mb(way: str, split: Path, width: int, layers: int) -> float:
    ways = Ways(split, width, layers)
    for parameter in ways.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = rss_mb()
    getattr(ways, way)()
    return high_water_mb() - before


def high_water_mb() -> float:
    """The most that this program has held; `ru_maxrss` counts what it was forked from, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def rate(step: Callable[[], int]) -> float:
    """Useful tokens in a second of the process."""
    started = time.process_time()
    tokens = step()
    return tokens / (time.process_time() - started)


def main() -> None:
    torch.set_num_threads(1)
    split = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/build/all_abilities/train")
    width, layers = (int(n) for n in sys.argv[2:4]) if len(sys.argv) > 3 else (256, 4)
    ways = Ways(split, width, layers)
    loads = [sum(len(s.ids) for s in row) for row in ways.rows]
    print(f"{platform.processor() or platform.machine()}: "
          f"{cpu_name()}; language model {width} x {layers}")  # fmt: skip
    print(f"{len(ways.tokens)} streams of {np.mean(ways.tokens):.0f} tokens on average; rows of "
          f"{min(loads)} to {max(loads)} tokens, padding share "
          f"{1 - sum(loads) / (len(loads) * max(loads)):.1%} against the longest row")  # fmt: skip
    names = ("published", "fair", "packed")
    rates: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(TURNS):
        for name in names:
            rates[name].append(rate(getattr(ways, name)))
            print(f"turn {turn + 1}, {name}: {rates[name][-1]:.1f} useful tokens/s", flush=True)
    best = {name: max(found) for name, found in rates.items()}
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        peaks = {name: pool.apply(peak_mb, (name, split, width, layers)) for name in names}
    for name in names:
        print(f"{name:10} {best[name]:8.1f} useful tokens/s, peak {peaks[name]:6.0f} MB; packed: "
              f"{best['packed'] / best[name]:.1f} times as fast, "
              f"{peaks['packed'] / peaks[name]:.2f} of the memory")  # fmt: skip
    print_ceiling(ways)


def print_ceiling(ways: Ways) -> None:
    """What packing gains over rows of `FAIR`, and the most that it could."""
    ours, one = parts_of(ways, ways.packed_row), parts_of(ways, ways.fair_rows[0])
    n = len(ways.fair_rows)  # they differ in their targets only, which are those of the packed row
    fair = Parts(ours.head, n * one.attention, n * one.rest)
    tokens = sum(ways.packed_row.lengths) / (n * FAIR)
    most = Parts(ours.head, ours.attention, fair.rest * tokens)
    print(f"padded to {FAIR}: {fair}; packed: {ours}")
    without_head = (fair.sum - fair.head) / (most.sum - most.head)
    print(f"packing gains {fair.sum / ours.sum:.1f}, at most {fair.sum / most.sum:.1f} with this "
          f"head and {without_head:.1f} without one; in tokens {1 / tokens:.1f}")  # fmt: skip


def cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))


if __name__ == "__main__":
    main()
