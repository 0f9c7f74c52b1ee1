"""What ``bench`` measured as the Markdown tables of ``docs/performance.md``."""

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]


def markdown(report: Row) -> str:
    """The report as the tables of ``docs/performance.md``."""
    return "\n\n".join(part for part in (_about(report["machine"]), *_tables(report)) if part)


def _about(facts: Row) -> str:
    rates = ", ".join(f"{rate:,.0f} GFLOP/s in {name}" for name, rate in facts["gflops"].items())
    return (
        f"{facts['processor']}, {facts['cores']} cores, {facts['threads']} threads, torch {facts['torch']}; "
        f"2048 x 2048 matrix product: {rates}. Precision: {facts['precision']}, since {facts['reason']}. "
        f"Threads wait with {facts['waiting']}."
        f"{facts['excess'] and ' There are ' + facts['excess'] + '.'}"
    )


def _tables(report: Row) -> list[str]:
    """One a part of the report that has rows."""
    parts = {
        "same_network": _same_network,
        "compact_zoo": _compact_zoo,
        "neighbours": _neighbours,
        "atrous_rate": _atrous_rate,
        "crf": _crf,
        "peak": _peak,
        "growth": _growth,
    }
    return [draw(report[name]) for name, draw in parts.items() if report.get(name)]


def _same_network(rows: Sequence[Row]) -> str:
    return table(
        f"Same network, same weights, {_photo(rows)}",
        ("network", "input", "precision", "torchvision", "ours", "times faster", "target", "same pixels"),
        [(*_sides(row), f"{row['agreement']:.2%} ({row['weights']} weights, {row['agreement_of']})") for row in rows],
    )


def _compact_zoo(rows: Sequence[Row]) -> str:
    return table(
        f"Compact zoo beside LRASPP-MobileNetV3, {_photo(rows)}",
        ("network", "input", "precision", "LRASPP", "ours", "times faster", "target", "same as in float32"),
        [(*_sides(row), f"{row['agreement']:.2%}") for row in rows],
    )


def _neighbours(rows: Sequence[Row]) -> str:
    one, two = rows[0]["targets"][1:]
    return table(
        f"Beside other programs that keep a processor busy each, {_photo(rows)}",
        ("network", "alone", f"one (target: {one:g} times)", f"two ({two:g} times)", "LRASPP", "one", "two"),
        [(f"`{row['model']}`", *_slowed(row["ours"]), *_slowed(row["theirs"])) for row in rows],
    )


def _slowed(times: Sequence[float]) -> tuple[str, ...]:
    """Milliseconds, and how many times the first of them each is."""
    return (_ms(times[0]), *(f"{_ms(each)}, **{each / times[0]:.2f}**" for each in times[1:]))


def _atrous_rate(rows: Sequence[Row]) -> str:
    return table(
        "Another atrous rate on a photo already seen",
        ("network", "whole run", "rate moved", "share", "target", "up to"),
        [
            (f"`{row['model']}`", _ms(row["whole"]), _ms(row["moved"]), f"{row['share']:.0%}", "25%", row["up_to"])
            for row in rows
        ],
    )


def _crf(rows: Sequence[Row]) -> str:
    return table(
        f"The fully connected CRF, {rows[0]['classes']} classes, {_photo(rows)}",
        (
            *("beside", "theirs", "ours", "of which on a moved rate (20 ms)", "times faster", "target", "same pixels"),
            *("new photo of a megapixel (60 ms)", "its rate moved"),
        ),
        [
            (
                row["beside"],
                _ms(row["theirs"]),
                _ms(row["ours"]),
                _ms(row["moved"]),
                f"**{row['times']:.2f}**",
                f"{row['target']:g}",
                f"{row['agreement']:.2%}",
                _ms(row["new_megapixel"]),
                _ms(row["moved_megapixel"]),
            )
            for row in rows
        ],
    )


def _peak(rows: Sequence[Row]) -> str:
    return table(
        "The network alone, beside a product of matrices",
        ("network", "precision", "GMACs", "time", "GFLOP/s", "matrix product", "share"),
        [
            (
                f"`{row['model']}`",
                row["precision"],
                f"{row['gmacs']:.1f}",
                _ms(row["milliseconds"]),
                f"{row['gflops']:,.0f}",
                f"{row['peak_gflops']:,.0f}",
                f"{row['share']:.0%}",
            )
            for row in rows
        ],
    )


def _growth(rows: Sequence[Row]) -> str:
    return table(
        f"Growth with the photo, `{rows[0]['model']}`",
        ("megapixels", "after decoding", "peak memory over idle"),
        [(f"{row['megapixels']:g}", _ms(row["milliseconds"]), f"{row['gigabytes']:.2f} GB") for row in rows],
    )


def _photo(rows: Sequence[Row]) -> str:
    """The size of the photo that was taken for all of them."""
    width, height = rows[0]["photo"]
    return f"{width} x {height} photo"


def _sides(row: Row) -> tuple[str, ...]:
    width, height = row["input"]
    times = (_ms(row["theirs"]), _ms(row["ours"]), f"**{row['times']:.2f}**", f"{row['target']:g}")
    return (f"`{row['model']}`", f"{width} x {height}", row["precision"], *times)


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:,.0f} ms"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table under a heading."""
    lines = [f"### {title}", "", _line(columns), _line(["---"] * len(columns)), *map(_line, rows)]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
