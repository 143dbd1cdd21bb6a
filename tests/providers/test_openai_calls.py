"""Tool calls that are told apart however their server numbers them."""

import pytest

from tests.support.answers import cut
from tests.support.openai_events import DONE, HI, ROLE, THERE, event, pass_on
from tests.support.streams import hear


def piece(*calls: dict[str, object]) -> bytes:
    return event({"tool_calls": list(calls)})


def call(id: str | None, name: str, arguments: object, **more: object) -> dict[str, object]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def going_on(arguments: str, **more: object) -> dict[str, object]:
    return {"function": {"arguments": arguments}, **more}


F, G = call("c_1", "f", '{"a":1}'), call("c_2", "g", '{"b":2}')


@pytest.mark.parametrize(
    "pieces",
    [
        [piece(F | {"index": 0}), piece(G | {"index": 1})],
        [piece(F, G)],
        [piece(F), piece(G)],
        [piece(call("c_1", "f", '{"a"')), piece(going_on(":1}")), piece(G)],
        [piece(call("c_1", "f", "")), piece(going_on('{"a":1}', id="c_1")), piece(G)],
        [piece(F | {"index": 0}), piece(call("c_2", "g", "", index=0)), piece(going_on('{"b":2}', index=0))],
        [piece(F | {"index": 1}), piece(call("c_2", "g", "", index=3)), piece(going_on('{"b":2}', index=3))],
        [piece(call("c_1", "f", {"a": 1}, index=0)), piece(call("c_2", "g", {"b": 2}, index=1))],
        [piece(call("c_1", "f", '{"a"', index=0)), piece(call("c_1", "f", ":1}", index=0)), piece(G)],
        [piece(call("c_1", "f", None, index=0)), piece(going_on('{"a":1}', id="c_1", index=0)), piece(G)],
        [piece(F | {"index": None}), piece(G | {"index": [1]})],
        [
            piece(F | {"index": 0}, call("c_2", "g", "", index=1)),
            piece({"index": 0, **going_on("")}, {"index": 1, **going_on('{"b"')}),
            piece({"index": 1, **going_on("")}, going_on(":2}")),
        ],
        [
            piece(call("c_1", "", "", index=0)),
            piece(call(None, "f", '{"a":1}', index=0)),
            piece(G | {"index": 1}),
        ],
    ],
)
@pytest.mark.parametrize("before", [ROLE, ROLE + HI + THERE, b""])
@pytest.mark.parametrize("is_burst", [True, False])
def test_tool_calls_come_apart_however_they_are_numbered(pieces, before, is_burst) -> None:
    sent = [before, *pieces, event({}, "tool_calls"), DONE]
    whole, stream, _ = pass_on(*([b"".join(sent)] if is_burst else sent))
    assert hear(whole).tools == {
        0: {"id": "c_1", "name": "f", "arguments": '{"a":1}'},
        1: {"id": "c_2", "name": "g", "arguments": '{"b":2}'},
    }
    assert stream.meter.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    "pieces",
    [
        [piece(call(None, "f", '{"a":1}', index=0)), piece(call("", "g", '{"b":2}', index=1))],
        [piece(call(None, "f", '{"a":1}', index=0)), piece(call(None, "g", '{"b":2}', index=0))],
        [piece(call("", "f", '{"a":1}')), piece(call("", "g", '{"b":2}'))],
        [piece(call("", "f", '{"a"')), piece(call("", "f", ":1}")), piece(call("", "g", '{"b":2}'))],
    ],
)
def test_a_tool_call_without_an_id_gets_one(pieces) -> None:
    tools = hear(pass_on(ROLE, HI, *pieces, event({}, "tool_calls"), DONE)[0]).tools
    assert [(t["name"], t["arguments"]) for t in tools.values()] == [("f", '{"a":1}'), ("g", '{"b":2}')]
    assert len({t["id"] for t in tools.values()} - {""}) == 2


def test_tool_calls_in_openais_shape_go_out_as_they_came() -> None:
    more = [piece(going_on(text, index=0)) for text in ('{\\"id\\":', '"name"', "}")]
    sent = ROLE + HI + THERE + piece(call("c_1", "f", "", index=0)) + b"".join(more) + event({}, "tool_calls")
    assert pass_on(sent + DONE)[0] == sent + DONE
    assert pass_on(*cut(sent + DONE, [7, 300, 700, 900]))[0] == sent + DONE


def test_each_choice_counts_its_own_calls() -> None:
    choices = [{"index": at, "delta": {"tool_calls": [{**F, "index": 0, "id": f"c_{at}"}]}} for at in (0, 1)]
    sent = [event({}, choices=[choice]) for choice in choices]
    whole, _, _ = pass_on(ROLE, HI, *sent, event({}, "tool_calls"), DONE)
    assert whole == ROLE + HI + b"".join(sent) + event({}, "tool_calls") + DONE
