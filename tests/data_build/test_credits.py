"""Credits of many shards: one line a clip, uses added up, in the order of the ids."""

from __future__ import annotations

from data_build.credits import CreditLine, Credits, SourceCount, Terms

FREE, PAID = Terms("mine", "CC0-1.0", ""), Terms("theirs", "CC-BY-4.0", "Ann")


def test_shards_add_up() -> None:
    with Credits() as credits:
        credits.add([{**FREE._asdict(), "streams": {"b": 2}}])
        credits.add(
            [
                {**PAID._asdict(), "streams": {"é": 1, "a": 9}},
                {**FREE._asdict(), "streams": {"b": 3, "c": 1}},
            ]
        )
        assert list(credits) == [
            CreditLine("a", PAID, 9), CreditLine("b", FREE, 5),
            CreditLine("c", FREE, 1), CreditLine("é", PAID, 1),
        ]  # fmt: skip
        assert credits.sources() == [
            SourceCount("theirs", "CC-BY-4.0", 2, 10), SourceCount("mine", "CC0-1.0", 2, 6),
        ]  # fmt: skip


def test_names_are_counted_once() -> None:
    with Credits() as credits:
        for name in ("Cy", "Ann", "Bo", "Ann", ""):
            uses = {f"clip {name} {n}": 1 for n in range(2)}
            credits.add([{**FREE._replace(attribution=name)._asdict(), "streams": uses}])
        assert credits.attributions(2) == (["Ann", "Bo"], 1)
        assert credits.attributions(5) == (["Ann", "Bo", "Cy"], 0)
