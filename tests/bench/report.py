"""Tables on the terminal, the goals they are held to, and all of it as JSON."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Cell = str | float | int | None


@dataclass(frozen=True, slots=True)
class Table:
    """Figures that were measured in one run. `note` says what the columns mean where a name can't."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure held to a bound: at most it, or at least it. `measured` is None where it could not be."""

    name: str
    measured: float | None
    bound: float
    unit: str
    is_floor: bool = False

    @property
    def verdict(self) -> str:
        """Return `met`, `MISSED` or `unknown`."""
        if self.measured is None:
            return "unknown"
        is_met = self.measured >= self.bound if self.is_floor else self.measured <= self.bound
        return "met" if is_met else "MISSED"


@dataclass(slots=True)
class Report:
    """What has been measured so far; each table is shown as soon as it is there."""

    tables: list[Table] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)

    def show(self, table: Table) -> None:
        """Keep a table and write it to stdout."""
        self.tables.append(table)
        say(render(table))

    def hold(self, *goals: Goal) -> None:
        """Keep goals, for the table at the end."""
        self.goals.extend(goals)

    def show_goals(self) -> None:
        """Write all goals to stdout."""
        if not self.goals:
            return
        rows = [
            (
                goal.name,
                goal.measured,
                f"{'≥' if goal.is_floor else '≤'} {figure(goal.bound)}",
                goal.unit,
                goal.verdict,
            )
            for goal in self.goals
        ]
        say(render(Table("Goals", ("figure", "measured", "goal", "unit", ""), rows)))

    def as_json(self, circumstances: Mapping[str, object]) -> dict[str, object]:
        """Return everything as one JSON object."""
        return {
            "schema": 1,
            "circumstances": dict(circumstances),
            "tables": [
                {
                    "title": table.title,
                    "note": table.note,
                    "rows": [dict(zip(table.columns, row, strict=True)) for row in table.rows],
                }
                for table in self.tables
            ],
            "goals": [
                {
                    "name": goal.name,
                    "measured": goal.measured,
                    "bound": goal.bound,
                    "unit": goal.unit,
                    "is_floor": goal.is_floor,
                    "verdict": goal.verdict,
                }
                for goal in self.goals
            ],
        }


def say(text: str) -> None:
    """Write a line to stdout at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def talk(text: str) -> None:
    """Write a line of progress to stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def figure(value: Cell) -> str:
    """Return a number with three digits that matter, or all digits before the point."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if value == 0:
        return "0"
    size = abs(value)
    if isinstance(value, int) or size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 1 else f"{value:.3f}"


def render(table: Table) -> str:
    """Return a table as text: the first column to the left, the others to the right."""
    cells = [list(table.columns), *[[figure(cell) for cell in row] for row in table.rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(table.columns))]
    lines = [f"\n## {table.title}"]
    for row in cells:
        first, *others = row
        padded = [first.ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join(padded).rstrip())
    if table.note:
        lines.append(table.note)
    return "\n".join(lines)
