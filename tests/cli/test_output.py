"""What is printed."""

import json

import pytest

from chatvault.cli import output


def test_text_from_outside_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "a\x1b[2Jb\u202ec\n"
    output.show(evil)
    output.show_table([output.Column("x")], [[evil]], environ={})
    output.show_facts({"x": evil, "list": [{"k": evil}], "deep": {"y": [evil]}})
    output.show_json({"x": evil})
    output.show_csv(["x"], [[evil]])
    output.complain(evil, evil)
    printed = capsys.readouterr()

    for text in (printed.out, printed.err):
        assert "\x1b" not in text and "\u202e" not in text


def test_an_error_never_holds_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    output.complain("sk-ant-api03-SECRETSECRET was refused", "Bearer SECRETSECRET")

    assert "SECRET" not in capsys.readouterr().err


def test_numbers_stand_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    columns = [output.Column("name"), output.Column("n", is_number=True)]
    output.show_table(columns, [["a", "1"], ["long name", "1,000"]], environ={})

    assert capsys.readouterr().out == "name           n\na              1\nlong name  1,000\n"


def test_a_csv_cell_is_no_formula(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_csv(["name", "n"], [["=cmd|' /C calc'!A0", -1], [None, 2]])

    assert capsys.readouterr().out == "name,n\n'=cmd|' /C calc'!A0,-1\n,2\n"


def test_json_carries_its_schema(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_json({"a": None})

    assert json.loads(capsys.readouterr().out) == {"schema": 1, "a": None}


@pytest.mark.parametrize(
    ("epoch_ms", "text"),
    [(None, None), (0, "1970-01-01T00:00:00.000Z"), (1795647932978, "2026-11-25T23:05:32.978Z")],
)
def test_an_instant_in_json_is_utc(epoch_ms: int | None, text: str | None) -> None:
    assert output.iso(epoch_ms) == text


def test_on_a_terminal_square_brackets_are_no_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    output.show_table([output.Column("name")], [["[bold]x[/bold]"], ["a\x1b[2Jb"]], environ={"NO_COLOR": "1"})
    printed = capsys.readouterr().out

    assert "[bold]x[/bold]" in printed
    assert "\x1b[2J" not in printed
