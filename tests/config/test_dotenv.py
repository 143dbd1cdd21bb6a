"""`.env` files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.config.dotenv import parse, read, with_value
from chatvault.errors import ConfigError

PATH = Path("/x/.env")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("export A=b", "b"),
        ("A = b ", "b"),
        ("A=", ""),
        ("A=b#c", "b#c"),
        ("A=b # c", "b"),
        ("A='b # c'", "b # c"),
        ('A="b\\nc" # d', "b\nc"),
        ("A='b\\nc'", "b\\nc"),
        ("A=$HOME", "$HOME"),
        ('A="${HOME}"', "${HOME}"),
        ("A=b=c", "b=c"),
        ("\n# A=x\n\nA=1\nA=2", "2"),
    ],
)
def test_a_line_is_read(line: str, value: str) -> None:
    assert parse(line, PATH) == {"A": value}


@pytest.mark.parametrize("text", ["A", "1A=b", "A-B=c", "A='b", 'A="b\\"', "A='b'c"])
def test_what_is_no_line_is_named(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"OK=1\n{text}", PATH)

    assert caught.value.line == 2


def test_no_file_is_no_names(tmp_path: Path) -> None:
    assert read(tmp_path / ".env") == {}


def test_setting_a_name_leaves_every_other_line() -> None:
    text = "# mine\nexport A=1\nB=2 # two\nA=3\n"

    assert with_value(text, "A", "new") == "# mine\nB=2 # two\nA=new\n"
    assert with_value(text, "C", "4") == text + "C=4\n"
    assert with_value("A=1", "B", "2") == "A=1\nB=2\n"


@pytest.mark.parametrize(("name", "value"), [("A B", "x"), ("A", "x\nB=1"), ("A", "x\r")])
def test_a_value_can_not_smuggle_a_line_in(name: str, value: str) -> None:
    with pytest.raises(ValueError):
        with_value("", name, value)


@given(st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60))
def test_what_is_written_is_read_back(value: str) -> None:
    assert parse(with_value("", "A", value), PATH) == {"A": value}
