"""The report of a build: ``report.html``, one file that refers to nothing outside itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from data_build.audit.audit import Scorecard
from data_build.collect.transcripts import QUARANTINE, read_quarantine
from data_build.context import MATERIAL
from data_build.credits import SourceCount
from data_build.recipe import BuildRecipe
from data_build.report.audited import audit_section
from data_build.report.streams import figures, long_text, plain_words
from data_build.report.summary import BuildSummary
from data_build.report.tfjp import pictures
from data_build.statistics import SILENCE_BIN_PERCENT, Statistics, TaskCount
from data_build.tasks.table import FORMS
from soundflow.config.record import recipe_hash
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.timebase import TimeBase
from soundflow.report.chart import CELL_WIDTH, cell_bar, histogram
from soundflow.report.markup import MISSING, join, number, percent, table, tag, tiles
from soundflow.report.page import Section, write_page

REPORT_FILE = "report.html"
_MOST_REASONS, _MOST_QUARANTINED = 30, 100


def write_report(
    recipe: BuildRecipe,
    summary: BuildSummary,
    statistics: Statistics,
    sources: Sequence[SourceCount],
    card: Scorecard,
    spec: StreamSpec,
) -> Path:
    """Draws the report of a finished build into its output folder.

    Raises:
        UserError: if the output cannot be read or written.
    """
    output = Path(recipe.output)
    sections = [
        _headline(recipe, summary, statistics),
        _abilities(statistics, spec.time),
        _distributions(statistics, spec.time),
        Section(
            "streams", "Sample streams",
            "One of each task first. Green boxes are events that deserve a reply, from the "
            "thick line on; grey boxes deserve none; blue bars are the chunks after which the "
            "assistant speaks. Click into a stream to play it from there.",
            figures(
                output, list(recipe.splits), recipe.intervention_policy(), recipe.read_wording()
            ),
        ),
        audit_section(card),
        *_tfjp(recipe, statistics),
        _drops(recipe, summary),
        *_refused(statistics),
        *_quarantine(recipe),
        _sources(sources),
        _recipe(recipe, output),
    ]  # fmt: skip
    subtitle = (
        f"{summary.streams:,} streams, {summary.hours:,.2f} h, in {recipe.output}; "
        f"recipe {recipe_hash(recipe.content())}, stream spec {spec.fingerprint}"
    )
    path = output / REPORT_FILE
    write_page(path, "Data build report", subtitle, sections)
    return path


def _headline(recipe: BuildRecipe, summary: BuildSummary, statistics: Statistics) -> Section:
    splits = summary.splits.values()
    replies, silences = sum(s.replies for s in splits), sum(s.silences for s in splits)
    limited, dropped = sum(s.limited for s in splits), sum(summary.drops.values())
    per_hour = summary.bytes_per_hour
    rows = [
        ("Streams", f"{summary.streams:,}", f"{number(summary.hours)} h in {len(splits)} splits"),
        ("Responses", f"{replies:,}",
         f"{number(replies / summary.hours if summary.hours else None, 0)} per hour"),
        ("Silence", percent(silences / max(1, replies + silences), 1),
         "of the decisions are to stay silent"),
        ("Dropped", f"{dropped:,}", f"limit: {percent(recipe.max_dropped_share, 1)} of all"),
        ("Disk", f"{per_hour / 1e6:,.0f} MB/h" if per_hour else MISSING, "audio, tokens, records"),
        ("Speed", f"{summary.speed:,.0f}×" if summary.speed else MISSING,
         f"real time; {summary.shards_made} shards made, {summary.shards_kept} kept"),
        ("Peak-limited", f"{limited:,}", "streams scaled down to the peak limit"),
        ("Hit the pass limit", percent(_hit_share(statistics), 1),
         f"of {statistics.preprocessed:,} preprocessed clips in streams"),
    ]  # fmt: skip
    split_rows = [
        [name, f"{s.streams:,}", number(s.hours), f"{s.events:,}", f"{s.replies:,}",
         f"{s.silences:,}", f"{s.n_bytes / 1e6:,.1f} MB"]
        for name, s in summary.splits.items()
    ]  # fmt: skip
    head = ["split", "streams", "hours", "events", "responses", "silent chunks", "size"]
    body = join((tiles(rows), tag("p", ""), table(head, split_rows)))
    return Section("headline", "Summary", "The whole build in figures, then split by split.", body)


def _abilities(statistics: Statistics, time: TimeBase) -> Section:
    abilities: dict[str, list[tuple[str, TaskCount]]] = {}
    for name, task in sorted(statistics.tasks.items()):
        ability, _, short = name.partition("/")
        abilities.setdefault(ability, []).append((short, task))
    longest = max((t.samples for t in statistics.tasks.values()), default=0) or 1
    most = max((t.replies for t in statistics.tasks.values()), default=0) or 1
    rows: list[list[str | Markup]] = []
    for ability, tasks in abilities.items():
        whole = TaskCount(
            sum(t.streams for _, t in tasks),
            sum(t.samples for _, t in tasks),
            sum(t.replies for _, t in tasks),
        )
        space = tag("span", "", style=f"display:inline-block;width:{CELL_WIDTH + 10}px")
        rows.append([tag("b", plain_words(ability)), *_task_cells(whole, time, space, space)])
        for short, task in tasks:
            name = f"{short.upper()}, offline" if short in FORMS else plain_words(short)
            bars = cell_bar(task.samples / longest), cell_bar(task.replies / most, 1)
            indented = tag("span", name, style="padding-left:1.3em")
            rows.append([indented, *_task_cells(task, time, *bars)])
    head = ["ability and tasks", "streams", "hours", "responses", "responses per hour"]
    streamed = sum(short not in FORMS for tasks in abilities.values() for short, _ in tasks)
    lead = f"{len(abilities)} abilities, {streamed} tasks."
    return Section("abilities", "Abilities and tasks", lead, table(head, rows))


def _task_cells(
    task: TaskCount, time: TimeBase, hours_bar: Markup, replies_bar: Markup
) -> list[str | Markup]:
    hours = time.seconds(task.samples) / 3600
    return [
        f"{task.streams:,}",
        join((number(hours), hours_bar)),
        join((f"{task.replies:,}", replies_bar)),
        number(task.replies / hours if hours else None, 0),
    ]


def _distributions(statistics: Statistics, time: TimeBase) -> Section:
    chunk_tenths = round(time.chunk_s * 10)
    lengths: Counter[int] = Counter()
    for chunks, n in statistics.chunks.items():
        lengths[chunks * chunk_tenths // 10] += n
    charts = [
        ("Turns", "foreground sounds per stream", histogram(
            statistics.turns, "turns", "streams")),
        ("Length", "of a stream", histogram(
            lengths, "seconds", "streams", colour=2)),
        ("Silence", "share of a stream's chunks that are not answered", histogram(
            statistics.silence, "percent", "streams", bin_width=SILENCE_BIN_PERCENT, colour=3)),
        ("Noise", "foreground over each noise track, as drawn", histogram(
            statistics.snr, "SNR, dB", "noise tracks", colour=1)),
        ("Response length", "text tokens", histogram(
            statistics.reply_tokens, "tokens", "responses", colour=4)),
        ("Emotion", "of the responses", _emotions(statistics.emotions)),
    ]  # fmt: skip
    made = [
        tag("figure", join((tag("h3", title), tag("span", note, class_="note"), chart)),
            class_="figure")
        for title, note, chart in charts
    ]  # fmt: skip
    body = tag("div", join(made), class_="charts")
    return Section("distributions", "Distributions", "Over all splits.", body)


def _emotions(emotions: Mapping[str, int]) -> Markup:
    most = max(emotions.values(), default=1)
    rows = [
        [name, join((f"{n:,}", cell_bar(n / most, 3)))]
        for name, n in sorted(emotions.items(), key=lambda pair: -pair[1])
    ]
    return table(["emotion", "responses"], rows) if rows else tag("p", "none", class_="empty")


def _tfjp(recipe: BuildRecipe, statistics: Statistics) -> list[Section]:
    body = pictures(recipe)
    if body is None:
        return []
    lead = (
        "Recordings before (above) and after (below) joint preprocessing. Brightness is power "
        "over 80 dB; frequency goes up to 8 kHz; tinted parts were cut. "
        f"{percent(_hit_share(statistics), 1)} of the clips in "
        "streams hit the pass limit."
    )
    return [Section("tfjp", "Preprocessing, before and after", lead, body)]


def _drops(recipe: BuildRecipe, summary: BuildSummary) -> Section:
    grouped: Counter[tuple[str, str]] = Counter()
    for name, n in summary.drops.items():
        step, _, reason = name.partition(": ")
        # Figures in brackets differ from item to item; the reason is what stands before them.
        grouped[step, re.sub(r"\s*\([^()]*\)", "", reason)] += n
    rows = [
        [step, long_text(reason), f"{n:,}"]
        for (step, reason), n in grouped.most_common(_MOST_REASONS)
    ]
    body = (
        table(["step", "reason", "items"], rows)
        if rows
        else tag("p", "Nothing was dropped.", class_="empty")
    )
    missing = (
        f" No recording available for: {', '.join(summary.missing)}." if summary.missing else ""
    )
    lead = (
        f"{summary.clips:,} clips in the tables; drops.jsonl lists every dropped item with its "
        f"reason.{missing} {' '.join(summary.notes)}"
    )
    return Section("drops", "Dropped", lead, body)


def _refused(statistics: Statistics) -> list[Section]:
    """Texts that no rendering of passed the gate, where there are any."""
    rows: list[list[str | Markup]] = [
        [
            name,
            f"{asked:,}",
            f"{refused:,}",
            join((percent(refused / asked, 1), cell_bar(refused / asked, 1))),
        ]
        for name, (refused, asked) in statistics.refusals().items()
    ]
    if not rows:
        return []
    lead = (
        "Texts to be spoken of which no rendering passed the check, counted as often as a plan "
        "asked for one; the plan is then given up for another. A class that is refused often is "
        "rare in the data: a larger ASR model or other voices lose less of it."
    )
    head = ["text", "asked for", "refused", "share"]
    return [Section("refused", "Texts refused by the check of speech", lead, table(head, rows))]


def _quarantine(recipe: BuildRecipe) -> list[Section]:
    """Recordings whose text is not what is heard, where a source asks for the check."""
    checked = [source.root for source in recipe.sources if source.check]
    if not checked:
        return []
    found = read_quarantine(Path(recipe.output) / MATERIAL)
    rows: list[list[str | Markup]] = [
        [long_text(one.path), long_text(one.text), long_text(one.heard), number(one.wer)]
        for one in found[:_MOST_QUARANTINED]
    ]
    lead = (
        f"{len(found):,} recordings of {', '.join(checked)} say something else than their text, by "
        f"an ASR model, and are in no split. {MATERIAL}/{QUARANTINE} lists all."
    )
    head = ["recording", "its text", "heard", "WER"]
    return [Section("quarantine", "Quarantined transcripts", lead, table(head, rows))]


def _sources(sources: Sequence[SourceCount]) -> Section:
    rows = [
        [
            s.corpus,
            tag("span", s.licence, style="white-space:normal"),
            f"{s.clips:,}",
            f"{s.uses:,}",
        ]
        for s in sources
    ]
    lead = "credits.tsv has the attribution of every clip."
    body = table(["corpus", "licence", "clips", "uses in streams"], rows)
    return Section("sources", "Sources", lead, body)


def _recipe(recipe: BuildRecipe, output: Path) -> Section:
    text = (output / "recipe.yaml").read_text()
    body = tag(
        "details",
        join((tag("summary", "the whole recipe"), tag("pre", text, class_="scroll"))),
        class_="panel",
    )
    lead = (
        "All settings that were used. Building this recipe again gives the same bytes; --only "
        "with the id of a stream builds that stream alone."
    )
    return Section("recipe", "Recipe", lead, body)


def _hit_share(statistics: Statistics) -> float | None:
    return statistics.hit_limit / statistics.preprocessed if statistics.preprocessed else None
