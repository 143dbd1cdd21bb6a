"""Tests of the usage report, against sums made the slow way."""

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatvault.core.ledger import CostBasis, LedgerRow, Status
from chatvault.errors import UsageError
from chatvault.store import adjustments, tokens
from chatvault.store.daily_sums import DAY_MS
from chatvault.store.reader import Reader
from chatvault.store.rows import LEDGER_COLUMNS
from chatvault.store.sums import Sums
from chatvault.store.usage import DIMENSIONS, Report, report
from tests.support.databases import filled, opened, rows_of, tamper
from tests.support.ledger import NOON, a_hold, a_refusal, a_row
from tests.support.tokens import a_token, secret

UTC = ZoneInfo("UTC")
_DAY = NOON // DAY_MS * DAY_MS


def _rows() -> list[LedgerRow]:
    """Requests of ten days, one every two hours and a bit, of every kind there is."""
    rows = []
    for number in range(110):
        hold = a_hold(
            number,
            at_ms=_DAY - 5 * DAY_MS + number * 7_907_000,
            token_id=f"tok_{number % 3}",
            user_id=("me", "anna")[number % 2],
            model_name=("claude", "fast", "local")[number % 3],
            provider=("anthropic", "deepseek", "ollama")[number % 3],
            client=("curl", "python")[number % 2],
        )
        status = list(Status)[number % 5]
        row = a_row(hold, status=status, input_tokens=number, cached_tokens=number // 2, cost_picousd=number)
        if number % 7 == 0:
            row = replace(row, cost_picousd=None, cost_basis=CostBasis.UNPRICED, output_tokens=None)
        if status is Status.REFUSED:
            row = replace(row, provider=None, upstream_model=None)
        rows.append(row)
    return rows


_ROWS = _rows()
_ADJUSTED = {_ROWS[10].id: 999, _ROWS[14].id: 5, _ROWS[55].id: 0}


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    """A database of many kinds of requests, some of them repriced."""
    with tempfile.TemporaryDirectory() as folder:
        path = filled(Path(folder) / "chatvault.db", _ROWS)
        with opened(path) as store:
            for number in range(3):
                token = a_token(id=f"tok_{number}", name=f"device{number}")
                store.run(lambda tx, token=token, number=number: tokens.add(tx, token, secret(number)))
            for request_id, cost in _ADJUSTED.items():
                # The last one counts.
                for amount in (123_456, cost):
                    store.run(
                        lambda tx, request_id=request_id, amount=amount: adjustments.adjust(
                            tx, request_id, cost_picousd=amount, rate_card_id=None, reason="test"
                        )
                    )
        with Reader.open(path) as reader:
            yield reader


def _value(row: LedgerRow, dimension: str, zone: ZoneInfo) -> str | None:
    at = datetime.fromtimestamp(row.started_at / 1000, zone)
    return {
        "model": row.model_name,
        "provider": row.provider,
        "token": row.token_id.replace("tok_", "device"),
        "user": row.user_id,
        "client": row.client,
        "status": row.status.value,
        "day": at.date().isoformat(),
        "hour": at.replace(minute=0, second=0, microsecond=0).isoformat(timespec="minutes"),
    }[dimension]


def _slowly(since: int, until: int, by: Sequence[str], zone: ZoneInfo) -> dict[tuple[str | None, ...], Sums]:
    groups: dict[tuple[str | None, ...], list[LedgerRow]] = defaultdict(list)
    for row in _ROWS:
        if since <= row.started_at < until:
            adjusted = _ADJUSTED.get(row.id, row.cost_picousd)
            groups[tuple(_value(row, name, zone) for name in by)].append(replace(row, cost_picousd=adjusted))
    return {key: _sum(rows) for key, rows in groups.items()}


def _sum(rows: Sequence[LedgerRow]) -> Sums:
    def count(*statuses: Status) -> int:
        return sum(row.status in statuses for row in rows)

    return Sums(
        requests=len(rows),
        errors=count(Status.ERROR, Status.INTERRUPTED),
        cancelled=count(Status.CANCELLED),
        interrupted=count(Status.INTERRUPTED),
        refused=count(Status.REFUSED),
        input_tokens=sum(row.input_tokens or 0 for row in rows),
        cached_tokens=sum(row.cached_tokens or 0 for row in rows),
        output_tokens=sum(row.output_tokens or 0 for row in rows),
        cost_picousd=sum(row.cost_picousd or 0 for row in rows),
        unpriced_requests=sum(row.cost_picousd is None for row in rows),
    )


def _fast(found: Report) -> dict[tuple[str | None, ...], Sums]:
    return {tuple(row.values.values()): row.sums for row in found.rows}


_MOMENTS = st.integers(-6 * DAY_MS, 6 * DAY_MS).map(lambda offset: _DAY + offset)


@settings(max_examples=60)
@given(
    since=_MOMENTS,
    until=_MOMENTS,
    by=st.lists(st.sampled_from(DIMENSIONS), max_size=3, unique=True),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kolkata"]).map(ZoneInfo),
)
def test_any_report_is_exact_to_the_request(
    reader: Reader, since: int, until: int, by: list[str], zone: ZoneInfo
) -> None:
    found = report(reader, since_ms=since, until_ms=until, by=by, timezone=zone)
    wanted = _slowly(since, until, by, zone)
    assert _fast(found) == wanted
    assert found.total == _slowly(since, until, [], zone).get((), Sums())
    assert all(list(row.values) == by for row in found.rows)


@pytest.mark.parametrize("edge", [-1, 0, 1])
def test_the_start_belongs_to_a_span_and_its_end_does_not(reader: Reader, edge: int) -> None:
    at = _ROWS[40].started_at
    kept = report(reader, since_ms=at + edge, until_ms=at + 1000, by=[], timezone=UTC)
    assert kept.total.requests == (1 if edge <= 0 else 0)
    before = report(reader, since_ms=at - 1000, until_ms=at + edge, by=[], timezone=UTC)
    assert before.total.requests == (1 if edge > 0 else 0)


@pytest.mark.parametrize("token", ["device1", "tok_1"])
def test_a_token_is_found_by_name_and_by_id(reader: Reader, token: str) -> None:
    found = report(reader, since_ms=0, until_ms=NOON + 30 * DAY_MS, by=["token"], timezone=UTC, token=token)
    (row,) = found.rows
    assert (row.values, row.token_id) == ({"token": "device1"}, "tok_1")
    assert row.sums.requests == sum(each.token_id == "tok_1" for each in _ROWS)


def test_a_model_can_be_asked_for_alone(reader: Reader) -> None:
    found = report(
        reader, since_ms=_DAY, until_ms=_DAY + 3 * DAY_MS, by=["model"], timezone=UTC, model="fast"
    )
    wanted = _slowly(_DAY, _DAY + 3 * DAY_MS, ["model"], UTC)
    assert _fast(found) == {("fast",): wanted[("fast",)]}


def test_what_is_not_there_is_told(reader: Reader) -> None:
    with pytest.raises(UsageError, match="no access token"):
        report(reader, since_ms=0, until_ms=1, by=[], timezone=UTC, token="toaster")
    with pytest.raises(UsageError, match="can't be shown by"):
        report(reader, since_ms=0, until_ms=1, by=["colour"], timezone=UTC)


@pytest.mark.parametrize("until", [0, -5, 2**60])
def test_spans_without_bounds_are_no_trouble(reader: Reader, until: int) -> None:
    found = report(reader, since_ms=-(10**15), until_ms=until, by=["day"], timezone=UTC)
    assert found.total.requests == (len(_ROWS) if until > 0 else 0)


def test_the_two_hours_of_the_night_when_clocks_go_back_differ(tmp_path: Path) -> None:
    zone = ZoneInfo("Europe/Berlin")
    first = int(datetime(2026, 10, 25, 2, 30, tzinfo=zone).timestamp() * 1000)
    rows = [a_refusal(at_ms=first), a_refusal(at_ms=first + 3_600_000)]
    with Reader.open(filled(tmp_path / "chatvault.db", rows)) as reader:
        found = report(reader, since_ms=first - DAY_MS, until_ms=first + DAY_MS, by=["hour"], timezone=zone)
        assert [row.values["hour"] for row in found.rows] == [
            "2026-10-25T02:00+02:00",
            "2026-10-25T02:00+01:00",
        ]


def test_a_report_tells_what_it_is_about(reader: Reader) -> None:
    found = report(reader, since_ms=5, until_ms=NOON, by=["model"], timezone=ZoneInfo("Europe/Berlin"))
    assert (found.since_ms, found.until_ms, found.timezone, found.by) == (
        5,
        NOON,
        "Europe/Berlin",
        ("model",),
    )


def test_the_dearest_comes_first_and_time_goes_forward(reader: Reader) -> None:
    found = report(reader, since_ms=0, until_ms=NOON + 9 * DAY_MS, by=["day", "model"], timezone=UTC)
    order = [(row.values["day"], -row.sums.cost_picousd) for row in found.rows]
    assert order == sorted(order)


def test_a_report_is_not_kept_waiting_by_what_it_does_not_need() -> None:
    import subprocess
    import sys

    probe = (
        "import sys, chatvault.store.usage, chatvault.store.reader;"
        "sys.exit(','.join(m for m in ('peewee', 'asyncio', 'msgspec') if m in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_daily_sums_are_those_of_the_ledger(reader: Reader) -> None:
    (path,) = [row[2] for row in reader.select("PRAGMA database_list")]
    days = rows_of(
        Path(path), "SELECT sum(requests), sum(cost_picousd), sum(unpriced_requests) FROM usage_day"
    )
    assert days == rows_of(
        Path(path), "SELECT count(*), sum(cost_picousd), count(*) - count(cost_picousd) FROM ledger"
    )


def test_a_row_with_an_id_of_no_time_breaks_no_report(tmp_path: Path) -> None:
    path = filled(tmp_path / "chatvault.db", [a_refusal()])
    columns = ",".join(f"'{name}'" if name == "zz" else name for name in ("zz", *LEDGER_COLUMNS[1:]))
    tamper(path, f"INSERT INTO ledger SELECT {columns} FROM ledger")
    with Reader.open(path) as reader:
        found = report(reader, since_ms=0, until_ms=NOON + DAY_MS, by=["day"], timezone=UTC)
    assert found.total.requests == 1
