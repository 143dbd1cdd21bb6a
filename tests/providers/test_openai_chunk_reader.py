"""Chunks of one stream, read one by one."""

import json

import pytest

from chatvault.providers.openai_chunk_reader import ChunkReader
from tests.support.openai_events import DONE, HI, ROLE, STOP, THERE, USAGE_CHUNK, event, pass_on

NAMES = ("id", "object", "created", "model")


def without(sent: bytes, *names: str) -> bytes:
    told = json.loads(sent[6:])
    return b"data: " + json.dumps({k: v for k, v in told.items() if k not in names}).encode() + b"\n\n"


def test_a_chunk_in_openais_shape_stays_the_same_object() -> None:
    payload = HI[6:-2]
    chunk, same = ChunkReader().read(payload, has_begun=False)
    assert same is payload and chunk.choices is not None


@pytest.mark.parametrize("missing", [*((name,) for name in NAMES), NAMES])
@pytest.mark.parametrize("is_burst", [True, False])
def test_what_every_chunk_has_to_say_is_said(missing: tuple[str, ...], is_burst: bool) -> None:
    sent = [without(each, *missing) for each in (ROLE, HI, THERE, STOP, USAGE_CHUNK)] + [DONE]
    whole, stream, _ = pass_on(*([b"".join(sent)] if is_burst else sent), include_usage=True)
    told = [json.loads(each[6:]) for each in whole.split(b"\n\n")[:-2]]
    assert len(told) == 5
    for name in NAMES:
        values = {chunk[name] for chunk in told}
        assert None not in values and (name == "created" or len(values) == 1)
    assert {chunk["object"] for chunk in told} == {"chat.completion.chunk"}
    assert stream.meter.upstream_request_id == (None if "id" in missing else "c1")
    assert stream.meter.upstream_model == (None if "model" in missing else "m-1")


def test_a_chunk_of_another_kind_is_one_of_openais_all_the_same() -> None:
    whole, _, _ = pass_on(
        *(each.replace(b"completion.chunk", b"completion") for each in (ROLE, HI, STOP)), DONE
    )
    assert whole.count(b'"object":"chat.completion.chunk"') == 3


def test_a_choice_without_an_index_is_the_first() -> None:
    choice = {"delta": {"content": "x"}, "finish_reason": None}
    chunk, _ = ChunkReader().read(event({}, choices=[choice])[6:-2], has_begun=True)
    assert chunk.choices is not None and chunk.choices[0].index == 0


def test_what_can_not_be_read_costs_nothing_where_nobody_looks() -> None:
    payload = b'{"choices":[{"index":0,"delta":{"content":"x"}}],"x":1e400}'
    chunk, same = ChunkReader().read(payload, has_begun=True)
    assert same is payload and chunk.choices is not None and chunk.choices[0].delta is not None
