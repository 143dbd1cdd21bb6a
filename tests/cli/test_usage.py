"""Reports of use."""

import csv
import io
import json
import time
from dataclasses import replace

import pytest

from chatvault.core.ledger import CostBasis, LedgerRow, Status
from chatvault.core.ulid import ulid
from chatvault.core.usage import UsageBasis
from chatvault.store.writer import Store
from tests.support.program import Program

NOW_MS = time.time_ns() // 1_000_000
HOUR_MS = 3_600_000
ROW = LedgerRow(
    id="",
    started_at=NOW_MS,
    finished_at=NOW_MS + 900,
    user_id="me",
    token_id="",
    client_ip="192.0.2.1",
    via="local",
    client="curl",
    endpoint="/v1/chat/completions",
    model_name="claude",
    provider="anthropic",
    upstream_model="claude-sonnet-5-5",
    stream=True,
    status=Status.OK,
    http_status=200,
    error_code=None,
    input_tokens=100,
    cached_tokens=40,
    cache_write_tokens=0,
    output_tokens=20,
    reasoning_tokens=None,
    usage_basis=UsageBasis.PROVIDER,
    cost_picousd=13_100_000_000,
    cost_basis=CostBasis.EXACT,
    rate_card_id=None,
    ttft_ms=300,
    duration_ms=900,
    upstream_request_id="req_1",
)


def row(number: int, *, hours_ago: int = 1, **changes: object) -> LedgerRow:
    started = NOW_MS - hours_ago * HOUR_MS
    values: dict[str, object] = {"id": ulid(started, number), "started_at": started}
    return replace(ROW, **(values | {"finished_at": started + 900} | changes))  # type: ignore[arg-type]


@pytest.fixture
def ledger(chatvault: Program) -> list[LedgerRow]:
    """A database with a token and four requests, one of them nine days old."""
    token_id = chatvault.run("tokens", "add", "phone", "--json").json["id"]
    rows = [
        row(1, token_id=token_id),
        row(
            2, token_id=token_id, model_name="=evil\x1b[2J", cost_picousd=None, cost_basis=CostBasis.UNPRICED
        ),
        row(3, token_id=token_id, status=Status.REFUSED, http_status=429, cost_picousd=0, input_tokens=None),
        row(4, token_id=token_id, hours_ago=9 * 24),
    ]
    store = Store.open(chatvault.places.database, now_ms=lambda: NOW_MS)
    for each in rows:
        store.settle(each, durable=True)
    store.close()
    return rows


def test_json_says_what_the_ledger_holds(chatvault: Program, ledger: list[LedgerRow]) -> None:
    found = chatvault.run("usage", "--json").json

    by_model = {each["model"]: each for each in found["rows"]}
    claude = by_model["claude"]
    assert (found["by"], found["timezone"]) == (["model"], "UTC")
    assert (claude["requests"], claude["input_tokens"], claude["cached_tokens"]) == (2, 100, 80)
    assert (claude["cost_usd"], claude["cost_picousd"]) == ("0.0131", 13_100_000_000)
    assert by_model["=evil\x1b[2J"]["unpriced_requests"] == 1
    assert found["total"]["requests"] == 3
    assert found["total"]["cost_picousd"] == 13_100_000_000


def test_no_money_is_a_float(chatvault: Program, ledger: list[LedgerRow]) -> None:
    def floats(text: str) -> None:
        raise AssertionError(f"a float: {text}")

    json.loads(chatvault.run("usage", "--json").out, parse_float=floats)


def test_csv_says_the_same_and_holds_no_formula(chatvault: Program, ledger: list[LedgerRow]) -> None:
    rows = list(csv.DictReader(io.StringIO(chatvault.run("usage", "--csv", "--by", "model,token").out)))
    total = chatvault.run("usage", "--json").json["total"]

    assert sum(int(each["cost_picousd"]) for each in rows) == total["cost_picousd"]
    assert sum(int(each["requests"]) for each in rows) == total["requests"]
    assert "'=evil\\x1b[2J" in [each["model"] for each in rows]
    assert {each["token"] for each in rows} == {"phone"}


def test_the_table_has_a_total_and_names_what_has_no_price(
    chatvault: Program, ledger: list[LedgerRow]
) -> None:
    outcome = chatvault.run("usage")

    assert "\x1b" not in outcome.out
    assert outcome.out.splitlines()[-1].startswith("total")
    assert "$0.0131" in outcome.out and "no price" in outcome.out
    assert "1 request without a price" in outcome.err


def test_a_span_and_a_token_narrow_the_report(chatvault: Program, ledger: list[LedgerRow]) -> None:
    assert chatvault.run("usage", "--since", "30d", "--json").json["total"]["requests"] == 4
    older = chatvault.run("usage", "--since", "30d", "--until", "2d", "--json").json
    assert older["total"]["requests"] == 1
    assert chatvault.run("usage", "--model", "claude", "--json").json["total"]["requests"] == 2
    assert chatvault.run("usage", "--token", "phone", "--json").json["total"]["requests"] == 3


@pytest.mark.parametrize("by", ["provider", "token", "user", "day", "hour", "client", "status", "user,model"])
def test_every_grouping_sums_to_the_same(chatvault: Program, ledger: list[LedgerRow], by: str) -> None:
    found = chatvault.run("usage", "--by", by, "--json").json

    assert sum(each["cost_picousd"] for each in found["rows"]) == 13_100_000_000
    assert all(name in each for name in by.split(",") for each in found["rows"])


@pytest.mark.parametrize(
    "words",
    [
        ["--since", "soon"],
        ["--since", "1d", "--until", "2d"],
        ["--by", "colour"],
        ["--tz", "Mars/Base"],
        ["--token", "nobody"],
    ],
)
def test_a_question_that_makes_no_sense_is_exit_2(
    chatvault: Program, ledger: list[LedgerRow], words: list[str]
) -> None:
    assert chatvault.run("usage", *words).code == 2


def test_one_request_is_shown_whole(chatvault: Program, ledger: list[LedgerRow]) -> None:
    found = chatvault.run("usage", "show", ledger[0].id, "--json").json

    assert found["upstream_request_id"] == "req_1"
    assert found["started_at"].endswith("Z")
    assert (found["cost_usd"], found["cost_picousd"]) == ("0.0131", 13_100_000_000)
    assert found["audit_seq"] > 0 and len(found["audit_hash"]) == 64
    assert "claude-sonnet-5-5" in chatvault.run("usage", "show", ledger[0].id).out


def test_a_request_nobody_knows_is_said(chatvault: Program, ledger: list[LedgerRow]) -> None:
    outcome = chatvault.run("usage", "show", "01ARZ3NDEKTSV4RRFFQ69G5FAV")

    assert (outcome.code, outcome.err.splitlines()[1]) == (1, "Try: chatvault usage tail")


def test_the_tail_is_the_newest_the_last_one_last(chatvault: Program, ledger: list[LedgerRow]) -> None:
    found = chatvault.run("usage", "tail", "-n", "2", "--json").json["requests"]

    assert [each["id"] for each in found] == [ledger[2].id, ledger[3].id]
    lines = chatvault.run("usage", "tail").out.splitlines()
    assert len(lines) == 4
    assert "phone" in lines[0] and "100→20 tok" in lines[0] and lines[0].endswith(ledger[0].id)
    assert "no price" in lines[1] and "\x1b" not in lines[1]


def test_no_database_yet_is_said(chatvault: Program) -> None:
    outcome = chatvault.run("usage")

    assert outcome.code == 1
    assert "there is no database" in outcome.err


def test_a_broken_chain_is_exit_1(chatvault: Program, ledger: list[LedgerRow]) -> None:
    import sqlite3

    connection = sqlite3.connect(chatvault.places.database)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f'DROP TRIGGER "{name}"')
    connection.execute("UPDATE audit SET body = replace(body, 'phone', 'other') WHERE seq = 2")
    connection.commit()
    connection.close()

    outcome = chatvault.run("audit", "verify", "--json")
    assert (outcome.code, outcome.json["ok"], outcome.json["first_bad"]) == (1, False, 2)
    assert "broken" in chatvault.run("audit", "verify").out
