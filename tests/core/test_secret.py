"""A secret stays one."""

import json
import logging
import pickle

import pytest

from chatvault.core.secret import Secret

VALUE = "sk-ant-api03-abcdefghijkl7Q4"


def test_no_way_of_printing_shows_it() -> None:
    secret = Secret(VALUE)
    record = logging.LogRecord("x", 20, "f", 1, "key %s %r", (secret, secret), None)

    for text in (str(secret), repr(secret), f"{secret}", f"{secret:>40}", "%s" % secret, record.getMessage()):  # noqa: UP031 - the old way of formatting is what is tried
        assert "abcdef" not in text


def test_it_is_not_pickled_nor_written_as_json() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(VALUE))
    with pytest.raises(TypeError):
        json.dumps({"key": Secret(VALUE)})


def test_it_has_no_dict_to_dump() -> None:
    assert not hasattr(Secret(VALUE), "__dict__")


@pytest.mark.parametrize("value", ["", " ", "\n"])
def test_an_empty_one_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="empty"):
        Secret(value)


def test_masked_it_can_be_told_apart_and_no_more() -> None:
    assert Secret(VALUE).masked() == "sk-ant…7Q4"
    assert Secret("sk-0123456789abc").masked() == "sk-0123…abc"
    assert Secret("short").masked() == "…"


def test_equal_secrets_are_equal() -> None:
    assert Secret("a-key-of-mine") == Secret("a-key-of-mine")
    assert len({Secret("a-key-of-mine"), Secret("a-key-of-mine"), Secret("another-key")}) == 2
