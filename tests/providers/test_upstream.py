"""Requests sent, and their answers judged."""

import asyncio

import pytest

from chatvault.errors import ProviderBroke, ProviderFailed, ProviderOverloaded, ProviderRefused
from chatvault.providers.upstream import broken_off, fetch, open_answer, open_stream, request_id, without_key
from tests.support.answers import FakeAnswer, FakeClient


def test_an_accepted_answer_is_handed_over_open():
    answer = FakeAnswer(b"x", headers=[(b"request-id", b"req_1")])
    got = asyncio.run(open_answer(FakeClient([answer]), "POST", "/p", provider="up", headers=[], body=b"b"))
    assert got is answer
    assert not answer.is_closed
    assert request_id(answer) == "req_1"


def test_a_refusal_is_read_closed_and_raised():
    answer = FakeAnswer(b'{"error":"', b'no"}', status=429, headers=[(b"retry-after", b"7")])
    with pytest.raises(ProviderOverloaded) as caught:
        asyncio.run(open_answer(FakeClient([answer]), "POST", "/p", provider="up", headers=[]))
    assert caught.value.retry_after == 7
    assert caught.value.message == "up: no"
    assert answer.is_closed


def test_a_refusal_that_breaks_off_is_a_refusal():
    answer = FakeAnswer(b'{"err', ProviderBroke("gone"), status=400)
    with pytest.raises(ProviderRefused):
        asyncio.run(open_answer(FakeClient([answer]), "POST", "/p", provider="up", headers=[]))


@pytest.mark.parametrize(
    "header",
    [(b"authorization", b"Bearer xai-4f1c00d5"), (b"x-api-key", b"xai-4f1c00d5")],
    ids=lambda h: h[0],
)
def test_a_refusal_that_repeats_the_key_is_told_without_it(header):
    answer = FakeAnswer(b'{"error":{"message":"xai-4f1c00d5 may not ask for this model"}}', status=404)
    with pytest.raises(ProviderRefused) as caught:
        asyncio.run(open_answer(FakeClient([answer]), "POST", "/p", provider="up", headers=[header]))
    assert caught.value.message == "… may not ask for this model"


def test_a_key_of_a_letter_or_two_is_none():
    assert without_key(b"an apple", [(b"x-api-key", b"a"), (b"authorization", b"Bearer ")]) == b"an apple"


def test_a_whole_answer_closes_itself():
    answer = FakeAnswer(b"a", b"b")
    said, _ = asyncio.run(fetch(FakeClient([answer]), "GET", "/p", provider="up", headers=[]))
    assert said == b"ab"
    assert answer.is_closed


def test_a_stream_says_itself_what_counts_as_a_sign_of_life():
    client = FakeClient([FakeAnswer(headers=[(b"content-type", b"text/event-stream; charset=utf-8")])])
    asyncio.run(open_stream(client, "/p", provider="up", headers=[], body=b"b"))
    assert client.asked[0].manual_clock


@pytest.mark.parametrize(
    ("rest", "kind"),
    [
        (b'{"error":{"message":"m","type":"rate_limit_error"}}\n\n', ProviderOverloaded),
        (b"\n{}\n\n", ProviderFailed),
        (b"", ProviderBroke),
        (b"data: {\n\n", ProviderBroke),
    ],
)
def test_json_in_place_of_events_is_an_error_and_nothing_is_a_break(rest, kind):
    error = broken_off("up", rest, request_id="req_1")
    assert type(error) is kind
    assert error.upstream_request_id == "req_1"
