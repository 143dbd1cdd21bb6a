"""Which commands the daemon runs for the members of its group."""

import pytest

from chatvault.control.reading import check_reading, is_reading
from chatvault.errors import NotPermitted


@pytest.mark.parametrize(
    "line",
    ["usage", "usage --since 7d --by model --json", "usage tail -n 5", "audit verify --full", "users list"],
)
def test_reports_are_open(line: str) -> None:
    assert is_reading(line.split())
    check_reading(line.split())


@pytest.mark.parametrize(
    "line",
    [
        "tokens add x",
        "audit verify --against /etc/shadow",
        "--config /etc/shadow usage",
        "usage tail -f",
        "usage export",
        "serve",
        "",
    ],
)
def test_what_changes_things_or_names_files_is_not(line: str) -> None:
    with pytest.raises(NotPermitted):
        check_reading(line.split(" "))
