"""How fast curation plans and retrieves, and what a large clip library costs.

python -m tests.benchmarks.bench_curation [CLIPS]        a minute for 100 000 clips
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from data_build.pools.table import Table, TableWriter
from data_build.randomness import generator
from data_build.records import Clip, Origin, Recorded
from data_build.scenes.ontology import ontology
from data_build.scenes.plan import RulePlanner
from data_build.scenes.refine import RuleRefiner
from data_build.scenes.retrieval import ClipLibrary, write_clip_library
from data_build.scenes.scene import Annotation

NAMES = [name for name, sound in ontology().classes.items() if sound.id]
WORDS = ("near", "far", "loud", "soft", "metal", "wooden", "old", "small", "steady", "two", "room")


def clips(n: int) -> Iterator[Clip]:
    rng = generator("bench", n)
    for i in range(n):
        names = rng.choice(NAMES, int(rng.integers(1, 4)), replace=False)
        caption = " ".join(rng.choice(WORDS, 8))
        yield Clip(
            f"clip-{i:08d}", "event", Recorded(f"{i}.flac"), Origin("bench", "CC0"),
            float(rng.uniform(0.5, 10.0)), labels=tuple(map(str, names)), caption=caption,
        )  # fmt: skip


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as above:
        folder, table = Path(above) / "library", Path(above) / "sounds.jsonl"
        with TableWriter(table) as writer:
            for clip in clips(n):
                writer.add(clip)
        sounds = Table(table, Clip)
        began = time.process_time()
        write_clip_library(folder, sounds)
        took = time.process_time() - began
        library = ClipLibrary(folder, sounds)
        size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        print(f"library of {n} clips: {n / took:.0f} indexed a second, {size / n:.0f} bytes each")

        planner, refiner = RulePlanner(), RuleRefiner()
        bags = [
            [Annotation(c.id, c.labels, c.caption, c.duration_s) for c in clips(8 + i % 5)]
            for i in range(200)
        ]
        began = time.process_time()
        plans = [planner.plan(bag, generator("plan", i)) for i, bag in enumerate(bags)]
        took = time.process_time() - began
        scenes = [scene for plan in plans for scene in plan.scenes]
        print(f"planner: {len(scenes) / took:.0f} scenes a second")

        queries = [refiner.refine(e, s).query for s in scenes[:20] for e in s.events]
        library.search(queries[0])
        began = time.process_time()
        for i, query in enumerate(queries):
            library.search(query, seed=str(i))
        took = time.process_time() - began
        print(f"search: {1000 * took / len(queries):.1f} ms a query")
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"peak memory {peak_mb:.0f} MB (CPU times of one process)")


if __name__ == "__main__":
    main()
