"""Error bodies of all shapes, read."""

import pytest

from chatvault.providers.error_body import Said, read_said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error":{"message":"m","type":"t","code":"c","param":"p"}}', Said("m", "t", "c", "p")),
        (b'{"type":"error","error":{"type":"t","message":"m"}}', Said("m", "t")),
        (b'{"error":"m"}', Said("m")),
        (b'{"error":"{\\"error\\":{\\"message\\":\\"m\\"}}"}', Said("m")),
        (b'{"object":"error","message":"m","code":404}', Said("m", status=404)),
        (b'{"detail":"m"}', Said("m")),
        (b'[{"error":{"message":"m","code":400}}]', Said("m", status=400)),
        (b'{"error":{"message":"m","code":"no word"}}', Said("m")),
        (b"m", Said("m")),
        (b"<html>m</html>", Said()),
        (b"", Said()),
        (b"[]", Said()),
        (b"1", Said()),
        (b'{"error":{"message":1}}', Said()),
    ],
)
def test_what_is_said_is_found_and_nothing_else(body, said):
    assert read_said(body) == said
