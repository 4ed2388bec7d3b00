"""The scorecard of the audit in the report of a build."""

from __future__ import annotations

from markupsafe import Markup

from data_build.audit.audit import Scorecard
from data_build.audit.measure import Figure
from soundflow.report.markup import join, table, tag
from soundflow.report.page import Section

_HEAD = ["figure", "value", "limit", "of", ""]


def audit_section(card: Scorecard) -> Section:
    """Figures with a limit first, then the others behind a click."""
    limited = [figure for figure in card.figures if figure.limit is not None]
    others = [figure for figure in card.figures if figure.limit is None]
    verdict = (
        f"{len(card.missed)} of {len(limited)} limits are missed: {', '.join(card.missed)}."
        if card.missed
        else f"All {len(limited)} limits are kept."
    )
    lead = (
        f"{verdict} Limits are set in the recipe, under audit; `soundflow audit {card.data}` also "
        "runs the recognisers that the recipe names."
    )
    more = (
        tag("summary", f"{len(others)} figures without a limit"),
        table(_HEAD, [_row(figure) for figure in others]),
    )
    body = join((table(_HEAD, [_row(figure) for figure in limited]), tag("details", join(more))))
    return Section("audit", "Audit", lead, body)


def _row(figure: Figure) -> list[str | Markup]:
    verdict = Markup(figure.verdict)
    if not figure.passed:
        examples = tag("span", "; ".join(figure.examples), class_="note")
        verdict = join((tag("b", f"{figure.verdict} "), examples))
    of = tag("span", figure.of, style="white-space:normal")
    return [figure.name, figure.shown, figure.limit.words if figure.limit else "", of, verdict]
