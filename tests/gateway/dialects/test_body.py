"""Bodies as they are decoded: no deeper than whoever reads them later can follow."""

from collections.abc import Callable

import pytest

from chatvault.errors import RequestError
from chatvault.gateway.dialects.body import decoded
from chatvault.gateway.dialects.openai_chat import parse
from chatvault.providers.openai_wire import encode

CALL = '{"id":"c","type":"function","function":{"name":"f","arguments":%s}}'
FIELDS = {
    "a schema": '"tools":[{"type":"function","function":{"name":"f","parameters":%s}}],"messages":[%s]',
    "arguments": f'"messages":[{{"role":"assistant","tool_calls":[{CALL}]}},%s]',
    "a format": '"response_format":{"type":"json_schema","json_schema":{"schema":%s}},"messages":[%s]',
}


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def far_down(calls: int, then: Callable[[], object]) -> object:
    """Do something where as many calls are on their way already."""
    return then() if calls == 0 else far_down(calls - 1, then)


@pytest.mark.parametrize("field", FIELDS)
def test_what_is_taken_can_be_sent_on(field: str) -> None:
    taken = 0
    for levels in (*range(1, 300, 23), *range(300, 1000, 7)):
        inner = FIELDS[field] % (nested(levels), '{"role":"user","content":"x"}')
        try:
            request = parse(f'{{"model":"m",{inner}}}'.encode()).request
        except RequestError as exc:
            assert (exc.status, exc.code) == (400, "invalid_json")
        else:
            far_down(200, lambda request=request: encode(request, "m", stream=True))
            taken = levels
    assert taken > 200


@pytest.mark.parametrize("opening", ['{"a":', "["])
def test_levels_are_counted_of_lists_and_objects_alike(opening: str) -> None:
    def body(levels: int) -> bytes:
        closing = "}" if opening[0] == "{" else "]"
        return f'{{"a":{opening * (levels - 1)}1{closing * (levels - 1)}}}'.encode()

    assert decoded(body(256))
    with pytest.raises(RequestError, match="nested too deeply: 256 levels"):
        decoded(body(257))


def test_many_that_stand_beside_each_other_are_not_deep() -> None:
    assert decoded(b'{"a":[' + b"{}," * 9_999 + b"[]]}")


def test_braces_in_a_text_are_no_levels() -> None:
    assert decoded(b'{"a":"' + b"{[" * 9_999 + b'"}')
