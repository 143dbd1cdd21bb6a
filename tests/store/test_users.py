"""Tests of users."""

import json
from pathlib import Path

import pytest

from chatvault.errors import UsageError
from chatvault.store import users
from chatvault.store.models import TokenModel, UserModel
from chatvault.store.reader import Reader
from chatvault.store.users import User
from tests.support.databases import opened, rows_of
from tests.support.ledger import NOON


def test_a_user_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "chatvault.db"
    with opened(path) as store:
        for _ in range(2):
            store.run(lambda tx: users.ensure(tx, "anna"))
    with Reader.open(path) as reader:
        assert reader.users() == [User("anna", NOON)]
    assert rows_of(path, "SELECT kind FROM audit") == [("user.added",)]


def test_limits_replace_those_before_and_are_told_to_the_chain(tmp_path: Path) -> None:
    path = tmp_path / "chatvault.db"
    with opened(path) as store:
        for rpm in (5, None):
            store.run(
                lambda tx, rpm=rpm: users.set_limits(
                    tx,
                    "anna",
                    {
                        "budget": "1/day",
                        "requests_per_minute": rpm,
                        "tokens_per_minute": 7,
                        "concurrency": 2,
                    },
                )
            )
        store.run(lambda tx: users.set_limits(tx, "anna", {}))
    with Reader.open(path) as reader:
        assert reader.users() == [User("anna", NOON, "1/day", None, 7, 2)]
    *_, (kind, body) = rows_of(path, "SELECT kind, body FROM audit")
    assert kind == "user.changed"
    assert json.loads(body) == {
        "user": "anna",
        "budget": "1/day",
        "requests_per_minute": None,
        "tokens_per_minute": 7,
        "concurrency": 2,
    }


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "chatvault.db") as store, pytest.raises(UsageError):
        store.run(lambda tx: users.ensure(tx, "\t"))


@pytest.mark.parametrize("model", [TokenModel, UserModel])
def test_a_model_has_the_columns_of_its_table(tmp_path: Path, model: type) -> None:
    path = tmp_path / "chatvault.db"
    with opened(path):
        pass
    meta = model._meta
    found = rows_of(path, f"SELECT name FROM pragma_table_info('{meta.table_name}')")
    assert [name for (name,) in found] == [field.column_name for field in meta.sorted_fields]
