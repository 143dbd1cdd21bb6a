import dataclasses
import logging

import pytest

from chatvault.core.ledger import CostBasis, LedgerRow, Status
from chatvault.core.usage import UsageBasis
from chatvault.errors import ProviderRefused
from chatvault.gateway.request_log import RequestRecord, log_failed_login, log_provider_error, log_request
from chatvault.providers.refusals import refusal

ROW = LedgerRow(
    id="01JD3ZZZZZZZZZZZZZZZZZZZZZ",
    started_at=1_795_000_000_000,
    finished_at=1_795_000_010_100,
    user_id="me",
    token_id="tok_7Fq2aa",
    client_ip="203.0.113.50",
    via="tunnel",
    client="curl",
    endpoint="/v1/chat/completions",
    model_name="claude-opus-5-5",
    provider="anthropic",
    upstream_model="claude-opus-5-5",
    stream=True,
    status=Status.OK,
    http_status=200,
    error_code=None,
    input_tokens=1_204,
    cached_tokens=980,
    cache_write_tokens=0,
    output_tokens=412,
    reasoning_tokens=None,
    usage_basis=UsageBasis.PROVIDER,
    cost_picousd=13_100_000_000,
    cost_basis=CostBasis.EXACT,
    rate_card_id="0123456789abcdef",
    ttft_ms=812,
    duration_ms=10_100,
    upstream_request_id="req_1",
)


def text(caplog: pytest.LogCaptureFixture, row: LedgerRow) -> str:
    with caplog.at_level(logging.INFO):
        log_request(row, token_name="phone")
    return caplog.messages[-1]


def test_a_request_is_one_line_for_people(caplog: pytest.LogCaptureFixture) -> None:
    assert text(caplog, ROW) == (
        "phone      claude-opus-5-5          200  1 204→412 tok (cached 980)  0.8 s to first  10.1 s  $0.0131"
    )


def test_a_refused_request_says_why_and_nothing_of_tokens(caplog: pytest.LogCaptureFixture) -> None:
    row = dataclasses.replace(
        ROW,
        status=Status.REFUSED,
        http_status=404,
        error_code="model_not_found",
        input_tokens=None,
        cached_tokens=None,
        output_tokens=None,
        ttft_ms=None,
        duration_ms=3,
        cost_picousd=0,
    )
    assert text(caplog, row).split("  ")[-3:] == ["model_not_found", "0.0 s", "$0.0000"]


@pytest.mark.parametrize(
    ("picousd", "basis", "expected"),
    [
        (0, CostBasis.LOCAL, "$0 local"),
        (None, CostBasis.UNPRICED, "no price"),
        (13_100_000_000, CostBasis.UPPER_BOUND, "≤$0.0131"),
        (13_100_000_000, CostBasis.ESTIMATED, "~$0.0131"),
        (3_000, CostBasis.EXACT, "$0.000000003"),
    ],
)
def test_the_cost_says_what_it_rests_on(
    caplog: pytest.LogCaptureFixture, picousd: int | None, basis: CostBasis, expected: str
) -> None:
    row = dataclasses.replace(ROW, cost_picousd=picousd, cost_basis=basis)
    assert text(caplog, row).endswith(f"  {expected}")


def test_the_record_carries_the_facts_for_programs(caplog: pytest.LogCaptureFixture) -> None:
    text(caplog, ROW)
    record = caplog.records[-1]
    assert isinstance(record, RequestRecord)
    assert record.created == ROW.finished_at / 1000
    fields = record.fields
    assert fields["event"] == "request"
    assert fields["token"] == "phone"
    assert (fields["model"], fields["status"], fields["outcome"]) == ("claude-opus-5-5", 200, "ok")
    assert (fields["input_tokens"], fields["cached_tokens"], fields["output_tokens"]) == (1_204, 980, 412)
    assert (fields["ttft_ms"], fields["duration_ms"], fields["cost_picousd"]) == (812, 10_100, 13_100_000_000)
    assert {type(value) for value in fields.values()} <= {str, int, bool, type(None)}


def test_nothing_is_made_up_for_a_log_that_nobody_reads(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        log_request(ROW, token_name="phone")
    assert caplog.records == []


def test_a_providers_error_names_the_route_and_what_it_answered(caplog: pytest.LogCaptureFixture) -> None:
    error = ProviderRefused("prompt is too long", status=400, upstream_request_id="req_9")
    log_provider_error(error, request_id="01JD", route="anthropic/claude-opus-5-5")
    assert caplog.messages == ["anthropic/claude-opus-5-5: prompt is too long (it answered 400)"]
    fields = caplog.records[0].__dict__["fields"]
    assert (fields["request_id"], fields["upstream_request_id"]) == ("01JD", "req_9")


def test_what_the_provider_said_is_in_the_log_where_clients_do_not_see_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = refusal("up", 500, b'{"error":{"message":"shard 7 is down","type":"api_error"}}')
    log_provider_error(error, request_id="01JD", route="up/m")
    assert caplog.messages == ["up/m: up failed (api_error, 500) (it answered 500): shard 7 is down"]
    assert caplog.records[0].__dict__["fields"]["detail"] == "shard 7 is down"


def test_a_failed_login_names_the_address_and_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    log_failed_login("203.0.113.50", "no valid access token", request_id="01JD")
    assert caplog.messages[0].endswith("401  203.0.113.50 no valid access token")
    fields = caplog.records[0].__dict__["fields"]
    assert (fields["event"], fields["client_ip"], fields["reason"]) == (
        "failed_login",
        "203.0.113.50",
        "no valid access token",
    )
    assert caplog.records[0].levelno == logging.WARNING
