"""From counts to what the page says. Pure: nothing here asks a database or knows HTML."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

from airflow_provider_kaleyra.enrichment.tables import split_name
from airflow_provider_kaleyra.phone import mask_text
from airflow_provider_kaleyra.report.advice import advice, release_command
from airflow_provider_kaleyra.report.aggregates import Books, Outcome, Results, Split

MOST_BARS = 12
LONGEST_LABEL = 60
TITLES = {"rcs": "RCS capability", "number": "Number lookup"}


@dataclass(frozen=True)
class Filed:
    """Where a task filed its outcomes; the operators leave it in the XCom ``kaleyra_report``."""

    api: str
    conn_id: str | None
    result_table: str | None

    @classmethod
    def read(cls, value: Any) -> Filed | None:
        """Take it from an XCom, if it is one of ours."""
        if not isinstance(value, Mapping) or value.get("api") not in TITLES:
            return None
        places = [value.get(name) for name in ("conn_id", "result_table")]
        if not all(place is None or (isinstance(place, str) and place) for place in places):
            return None
        return cls(value["api"], *places)


@dataclass(frozen=True)
class Figure:
    """A number with its name."""

    label: str
    value: str
    tone: str = ""


@dataclass(frozen=True)
class Line:
    """One line of the outcomes' table."""

    status: str
    reason: str
    of_run: int
    rows: int
    advice: str


@dataclass(frozen=True)
class Bar:
    """One bar of a chart: its parts from left to right, as shares of the longest bar."""

    label: str
    parts: tuple[float, ...]
    value: str
    note: str


@dataclass(frozen=True)
class Chart:
    """Bars that have their parts in common."""

    title: str
    legend: tuple[str, ...]
    bars: Sequence[Bar]
    note: str = ""


@dataclass(frozen=True)
class Report:
    """What the page says, in order."""

    title: str
    figures: Sequence[Figure]
    lines: Sequence[Line]
    charts: Sequence[Chart]
    ledger: Sequence[Figure]
    doubts: Sequence[Line]


def report(filed: Filed, summary: Mapping[str, Any], results: Results | None, books: Books | None) -> Report:
    """Put a report together.

    :param summary: the XCom ``summary`` of the task.
    :param results: counts of its result table, if it has one.
    :param books: counts of its ledger, if it has one.
    """
    schema = split_name(filed.result_table or "")[0]
    release = release_command(filed.api, filed.conn_id or "…", schema)
    found = results.outcomes if results else ()
    open_claims = [
        each for each in (books.outcomes if books else ()) if each.status in ("in_doubt", "requested")
    ]
    return Report(
        title=TITLES[filed.api],
        figures=_figures(filed.api, summary),
        lines=_lines(found, release),
        charts=[chart for chart in _charts(filed.api, results, books) if chart.bars],
        ledger=_ledger(filed.api, books),
        doubts=_lines(open_claims, release),
    )


def _figures(api: str, summary: Mapping[str, Any]) -> list[Figure]:
    # RCS answers name no price.
    price = "not told" if api == "rcs" else _money(Decimal(str(summary.get("price", 0))))
    counts = ("inputs", "distinct", "reused", "asked", "requests")
    outcomes = ("ok", "invalid", "failed", "in_doubt", "not_asked")
    tones = {"failed": "bad", "in_doubt": "bad"}
    return [
        *(Figure(_words(name), f"{int(summary.get(name, 0)):,}") for name in counts),
        Figure("price", price),
        *(
            Figure(_words(name), f"{count:,}", tones.get(name, "") if count else "")
            for name in outcomes
            for count in [int(summary.get(name, 0))]
        ),
        Figure("seconds", f"{float(summary.get('seconds', 0)):,.1f}"),
    ]


def _lines(outcomes: Iterable[Outcome], release: str) -> list[Line]:
    return [
        Line(
            status=_label(each.status),
            reason=_label(each.reason) if each.reason else "",
            of_run=each.of_run,
            rows=each.rows,
            advice=advice(each.status, each.reason, release=release),
        )
        for each in outcomes
    ]


def _charts(api: str, results: Results | None, books: Books | None) -> list[Chart]:
    charts = []
    if results and api == "rcs":
        legend = ("reachable by RCS", "not reachable", "unknown")
        countries = _merged(results.by_country, lambda prefix: _calling_code(prefix or ""))
        charts = [
            _split_chart("RCS reach by carrier", legend, results.by_carrier),
            _split_chart(
                "RCS reach by country", legend, countries, "By calling code: RCS answers name no country."
            ),
        ]
    elif results:
        legend = ("ported", "not ported", "unknown")
        charts = [
            _split_chart("Ported, by country", legend, results.by_country),
            _split_chart("Ported, by carrier", legend, results.by_carrier),
        ]
    if books:
        charts.append(_days(api, books))
    return charts


def _split_chart(title: str, legend: tuple[str, ...], groups: Sequence[Split], note: str = "") -> Chart:
    merged = sorted(_merged(groups, _label), key=_total, reverse=True)
    if len(merged) > MOST_BARS:
        tail = merged[MOST_BARS - 1 :]
        others = Split(
            f"{len(tail)} others", *(sum(counts) for counts in zip(*(each[1:] for each in tail), strict=True))
        )
        merged = [*merged[: MOST_BARS - 1], others]
    longest = max((_total(each) for each in merged), default=1) or 1
    bars = [
        Bar(
            label=str(each.label),
            parts=(each.yes / longest, each.no / longest, each.unknown / longest),
            value=f"{each.yes / _total(each):.0%}",
            note=f"{each.yes:,} of {_total(each):,}",
        )
        for each in merged
        if _total(each)
    ]
    answered = sum(map(_total, groups))
    share = f"{sum(each.yes for each in groups) / (answered or 1):.0%}"
    told = f"{share} of {answered:,} answered rows are {legend[0]}. {note}".strip()
    return Chart(title, legend, bars, told)


def _days(api: str, books: Books) -> Chart:
    amounts = [Decimal(day.lookups) if api == "rcs" else day.spent for day in books.days]
    longest = max(amounts, default=Decimal(0)) or Decimal(1)
    return Chart(
        "Lookups by day" if api == "rcs" else "Spend by day",
        ("lookups" if api == "rcs" else "spent",),
        [
            Bar(
                label=day.day,
                parts=(float(amount / longest),),
                value=f"{day.lookups:,}" if api == "rcs" else _money(day.spent),
                note="" if api == "rcs" else f"{day.lookups:,} lookups",
            )
            for day, amount in zip(books.days, amounts, strict=True)
        ],
        f"Each number counts, with all {'its lookups' if api == 'rcs' else 'that it ever cost'}, on the UTC "
        "day on which it was last asked about.",
    )


def _ledger(api: str, books: Books | None) -> list[Figure]:
    if books is None:
        return []
    return [
        Figure("numbers", f"{books.numbers:,}"),
        Figure("lookups", f"{books.lookups:,}"),
        Figure("spent", "not told" if api == "rcs" else _money(books.spent)),
        Figure("bought more than once", f"{books.bought_again:,}"),
    ]


def _merged(groups: Iterable[Split], name: Any) -> list[Split]:
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for each in groups:
        total = sums[name(each.label)]
        for n, count in enumerate(each[1:]):
            total[n] += count
    return [Split(label, *counts) for label, counts in sums.items()]


def _calling_code(prefix: str) -> str:
    """Name the country of a number's first digits, by its calling code."""
    digits = prefix.removeprefix("+")
    for length in (1, 2, 3):
        regions = (
            COUNTRY_CODE_TO_REGION_CODE.get(int(digits[:length])) if digits[:length].isdecimal() else None
        )
        if regions:
            name = "international" if regions[0] == "001" else regions[0]
            return f"+{digits[:length]} {name}" + (" and others" if len(regions) > 1 else "")
    return "unknown"


def _label(text: object) -> str:
    """Give a text of the database as a label: no number in it, and not without end."""
    shown = mask_text(str(text)).strip() if text is not None else ""
    return (shown if len(shown) <= LONGEST_LABEL else f"{shown[: LONGEST_LABEL - 1]}…") or "not told"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _money(amount: Decimal) -> str:
    return f"{amount:,.4f}".rstrip("0").rstrip(".")


def _total(group: Split) -> int:
    return group.yes + group.no + group.unknown
