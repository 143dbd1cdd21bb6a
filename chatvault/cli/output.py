"""What commands print: tables for people, one JSON object or CSV for programs, talk on stderr."""

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from chatvault.core.json_types import Json
from chatvault.core.redaction import redact
from chatvault.core.text import csv_text, printable

SCHEMA = 1


def complain(message: str, hint: str | None) -> None:
    """Write the two lines of an error to stderr."""
    lines = [f"Error: {_clean(message)}"]
    if hint:
        lines.append(f"Try: {_clean(hint)}")
    sys.stderr.write("\n".join(lines) + "\n")


def talk(text: str = "") -> None:
    """Write a line for people to stderr."""
    sys.stderr.write(f"{printable(text)}\n")


def show(text: str = "") -> None:
    """Write a line to stdout."""
    sys.stdout.write(f"{printable(text)}\n")


def show_raw(text: str) -> None:
    """Write text of our own to stdout as it stands: a script, to be run."""
    sys.stdout.write(text)


def show_json(value: Mapping[str, Json]) -> None:
    """Write one JSON object with its `schema` to stdout. Only ASCII goes out: no byte can move a cursor."""
    indent = 2 if sys.stdout.isatty() else None
    sys.stdout.write(json.dumps({"schema": SCHEMA, **value}, indent=indent) + "\n")


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column; numbers stand to the right."""

    title: str
    is_number: bool = False


def show_table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], *, environ: Mapping[str, str]
) -> None:
    """Write a table to stdout: drawn by rich on a terminal, in plain columns elsewhere."""
    cells = [[printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty() and environ.get("TERM") != "dumb":
        _rich_table(columns, cells, has_color="NO_COLOR" not in environ)
        return
    widths = [
        max(len(each) for each in (column.title, *(row[at] for row in cells)))
        for at, column in enumerate(columns)
    ]
    for row in ([column.title for column in columns], *cells):
        texts = [
            cell.rjust(width) if column.is_number else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ]
        sys.stdout.write("  ".join(texts).rstrip() + "\n")


def _rich_table(columns: Sequence[Column], cells: Sequence[Sequence[str]], *, has_color: bool) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold" if has_color else "")
    for column in columns:
        table.add_column(column.title, justify="right" if column.is_number else "left", overflow="fold")
    for row in cells:
        # Text objects: square brackets in a name are a name's, not markup.
        table.add_row(*(Text(cell) for cell in row))
    Console(no_color=not has_color, highlight=False).print(table)


def show_csv(titles: Sequence[str], rows: Sequence[Sequence[str | int | None]]) -> None:
    """Write CSV to stdout. Text that a spreadsheet would take for a formula gets a leading quote."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(titles)
    for row in rows:
        writer.writerow([csv_text(cell) if isinstance(cell, str) else cell for cell in row])
    sys.stdout.write(out.getvalue())


def show_facts(facts: Mapping[str, Json]) -> None:
    """Write named values, one a line; what lies below a name is indented."""
    _facts(facts, "")


def _facts(facts: Mapping[str, Json], indent: str) -> None:
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        title = printable(name.replace("_", " "))
        if isinstance(value, Mapping) and value:
            sys.stdout.write(f"{indent}{title}\n")
            _facts(value, indent + "  ")
        elif (
            isinstance(value, Sequence)
            and not isinstance(value, str)
            and any(isinstance(each, Mapping) for each in value)
        ):
            sys.stdout.write(f"{indent}{title}\n")
            for each in value:
                line = (
                    ", ".join(f"{key.replace('_', ' ')} {_plain(item)}" for key, item in each.items())
                    if isinstance(each, Mapping)
                    else _plain(each)
                )
                sys.stdout.write(f"{indent}  {line}\n")
        else:
            sys.stdout.write(f"{indent}{title:<{width}}  {_plain(value)}\n")


def _plain(value: Json) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_plain(each) for each in value) or "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items()) or "–"
    return printable(str(value))


def iso(epoch_ms: int | None) -> str | None:
    """Write an instant for JSON: UTC, ISO 8601, to the millisecond."""
    if epoch_ms is None:
        return None
    moment = datetime.fromtimestamp(epoch_ms // 1000, UTC).replace(microsecond=epoch_ms % 1000 * 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local(epoch_ms: int | None, zone: tzinfo) -> str:
    """Write an instant for people, in `zone`, with the zone's name."""
    if epoch_ms is None:
        return "–"
    return datetime.fromtimestamp(epoch_ms / 1000, zone).strftime("%Y-%m-%d %H:%M:%S %Z")


def _clean(text: str) -> str:
    return redact(printable(" ".join(text.split())))
