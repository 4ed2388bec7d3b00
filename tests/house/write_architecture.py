"""Draws the packages and their imports into docs/architecture.md, from the import graph itself.

    python tests/house/write_architecture.py

An arrow means "imports". Arrows that follow from others (a path of arrows leads there as well) are
left out, so that a drawing shows the order of the floors and not every line of code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"
WINGS = ("soundflow", "data_build", "inference")

Edges = set[tuple[str, str]]


@dataclass(frozen=True)
class Drawing:
    """What one drawing shows.

    Attributes:
        opened: the package whose children are drawn one by one.
        beside: whether other packages that import it are drawn as well, as one box each.
        together: child -> the name of a box that it shares with others.
    """

    opened: str
    beside: bool = False
    together: dict[str, str] = field(default_factory=dict)


def _shared(box: str, *children: str) -> dict[str, str]:
    return dict.fromkeys(children, box)


DRAWINGS = {
    "everything": Drawing(
        "soundflow",
        beside=True,
        together={
            **_shared("command line", "cli", "arguments", "commands"),
            **_shared(
                "errors, logs, files",
                "errors", "logs", "signals", "atomic", "output", "stored_json",
            ),
        },
    ),
    "data_build": Drawing(
        "data_build",
        together=_shared(
            "records, drops, randomness, ...",
            "records", "drops", "randomness", "quota", "processes", "clip_cache",
            "tokenize",
        ),
    ),
    "inference": Drawing("inference"),
}  # fmt: skip


def flowchart(graph: grimp.ImportGraph, drawing: Drawing) -> str:
    """The drawing as a Mermaid flowchart."""
    edges = reduced(imports(graph, drawing))
    names = {name: f"n{i}" for i, name in enumerate(sorted({n for edge in edges for n in edge}))}
    lines = ["```mermaid", "flowchart TD"]
    lines += [f'    {node}["{name}"]' for name, node in names.items()]
    lines += [f"    {names[a]} --> {names[b]}" for a, b in sorted(edges)]
    return "\n".join([*lines, "```"])


def imports(graph: grimp.ImportGraph, drawing: Drawing) -> Edges:
    """(importer, imported) between the boxes of a drawing."""
    edges: Edges = set()
    for importer in graph.modules:
        if not drawing.beside and importer.split(".")[0] != drawing.opened:
            continue
        for imported in graph.find_modules_directly_imported_by(importer):
            a, b = _box(importer, drawing), _box(imported, drawing)
            if a and b and a != b:
                edges.add((a, b))
    return edges


def reduced(edges: Edges) -> Edges:
    """The transitive reduction: without the edges that a longer path implies.

    Raises:
        ValueError: if boxes import each other in a circle.
    """
    direct: dict[str, set[str]] = {}
    for a, b in edges:
        direct.setdefault(a, set()).add(b)
    beneath = {name: _reachable(name, direct) for name in direct}
    circle = sorted(name for name, reached in beneath.items() if name in reached)
    if circle:
        raise ValueError(f"packages import each other in a circle: {', '.join(circle)}")
    return {
        (a, b)
        for a, b in edges
        if not any(b in beneath.get(other, ()) for other in direct[a] - {b})
    }


def page(text: str, graph: grimp.ImportGraph) -> str:
    """``text`` with every drawing between its markers made anew."""
    for name, drawing in DRAWINGS.items():
        begin, end = f"<!-- drawing: {name} -->", f"<!-- end: {name} -->"
        head, _, rest = text.partition(begin)
        _, mark, tail = rest.partition(end)
        if not mark:
            raise ValueError(f"{PAGE}: has no markers {begin} ... {end}")
        text = f"{head}{begin}\n{flowchart(graph, drawing)}\n{end}{tail}"
    return text


def import_graph() -> grimp.ImportGraph:
    return grimp.build_graph(*WINGS, cache_dir=None)


def _reachable(start: str, direct: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = list(direct.get(start, ()))
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += direct.get(name, ())
    return reached


def _box(module: str, drawing: Drawing) -> str | None:
    package, _, rest = module.partition(".")
    if package != drawing.opened:
        return package
    child = rest.split(".")[0]
    return drawing.together.get(child, f"{package}.{child}") if child else None


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(), import_graph()))
