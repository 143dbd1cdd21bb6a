"""Tests of what `--full` sees beside the ledger: accounts, prices, adjustments and holds changed behind the
chain's back."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chatvault.core.access import secret_hash
from chatvault.core.price_book import Override
from chatvault.core.rate_card import Prices
from chatvault.store import adjustments, prices, prune, tokens, users
from chatvault.store.reader import Reader
from chatvault.store.signing import Signer, TrustedKeys
from chatvault.store.verdict import Verdict
from chatvault.store.verify import verify
from chatvault.store.writer import Store
from tests.support.databases import filled, tamper
from tests.support.ledger import CARD_ID, NOON, a_hold, a_row, request_id
from tests.support.tokens import a_token

_HOUR = 3_600_000
_REQUEST = request_id(NOON, 0)
_HOLD = """INSERT INTO hold SELECT id || '', started_at, user_id, token_id, client_ip, via, client, endpoint,
    model_name, 'p', 'm', 0, 5, 0, NULL FROM ledger LIMIT 1"""

_TAMPERED = [
    ("token", "UPDATE token SET budget = NULL WHERE name = 'phone'"),
    ("token", "UPDATE token SET revoked_at = NULL WHERE name = 'lost'"),
    ("token", "UPDATE token SET models = '[]'"),
    ("token", "UPDATE token SET expires_at = NULL, concurrency = 99 WHERE name = 'phone'"),
    ("token", "UPDATE token SET content = 'full'"),
    ("token", "UPDATE token SET secret_hash = randomblob(32) WHERE name = 'phone'"),
    ("token", "UPDATE token SET previous_hash = randomblob(32) WHERE name = 'phone'"),
    ("token", "UPDATE token SET previous_until = previous_until + 1 WHERE name = 'phone'"),
    ("token", "DELETE FROM token WHERE name = 'lost'"),
    (
        "token",
        "INSERT INTO token(id, name, user, created_at, last_four, models, is_local_only, secret_hash)"
        " VALUES ('tok_mine', 'mine', 'me', 1, 'aaaa', '[]', 0, randomblob(32))",
    ),
    ("user", "UPDATE user SET budget = '999.00/day'"),
    ("user", "INSERT INTO user(name, created_at) VALUES ('eve', 1)"),
    ("adjustment", f"INSERT INTO adjustment VALUES (99, 1, '{_REQUEST}', 0, NULL, 'x')"),
    ("adjustment", f"INSERT INTO adjustment VALUES (0, 1, '{_REQUEST}', 0, NULL, 'x')"),
    ("adjustment", "UPDATE adjustment SET cost_picousd = 0"),
    ("adjustment", "DELETE FROM adjustment"),
    ("own_price", "INSERT INTO own_price VALUES (99, 1, 'p/m', 0, 0, 0, 0, 0, NULL, NULL, 'x')"),
    ("own_price", "UPDATE own_price SET input = 0"),
    ("own_price", "DELETE FROM own_price"),
    ("hold", _HOLD),
    ("hold", _HOLD.replace("id || ''", "id || '0'").replace("started_at", "started_at - 1", 1)),
]


def _open(path: Path, at_ms: int = NOON) -> Store:
    return Store.open(path, now_ms=lambda: at_ms, signer=Signer(path.parent / "keys"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Accounts that were limited, rotated and revoked, a price of one's own, and an adjusted cost."""
    path = filled(tmp_path / "chatvault.db", [a_row(a_hold(number)) for number in range(3)])
    store = _open(path)
    phone = a_token(budget="5.00/day", expires_at=NOON + 9 * _HOUR)
    store.run(lambda tx: tokens.add(tx, phone, secret_hash("one")))
    store.run(lambda tx: tokens.add(tx, a_token(id="tok_lost", name="lost"), secret_hash("two")))
    store.run(lambda tx: tokens.add(tx, a_token(id="tok_old", name="old", expires_at=NOON), secret_hash("3")))
    store.run(tokens.note_expired)
    store.run(lambda tx: tokens.revoke(tx, "lost", now_ms=NOON + 1))
    store.run(
        lambda tx: tokens.rotate(
            tx, "phone", new_hash=secret_hash("new"), last_four="new4", grace_until_ms=NOON + _HOUR
        )
    )
    store.run(lambda tx: users.set_limits(tx, "me", {"budget": "9.00/day"}))
    store.run(lambda tx: prices.add(tx, Override("p/m", Prices(1, 2, 3, 4, 5), None, None, "mine")))
    store.run(lambda tx: prices.add(tx, Override("p/n", Prices(1, 2, 3, 4, 5), NOON, None, "")))
    store.run(lambda tx: prices.take_back(tx, "p/n"))
    store.run(
        lambda tx: adjustments.adjust(
            tx, _REQUEST, cost_picousd=5, rate_card_id=CARD_ID, reason="the list price was wrong"
        )
    )
    store.run(lambda tx: tx.append("daemon.started", {"version": "1", "pid": 1}))
    store.run(store.checkpoint)
    store.close()
    return path


@pytest.fixture
def pruned(path: Path) -> Path:
    """The same, of which the chain's beginning lies in an archive."""
    keys = path.parent / "keys"
    plan = prune.prepare(
        path, path.parent / "a", before_ms=NOON + 1, signer=Signer(keys), keys=TrustedKeys.read(keys)
    )
    store = _open(path, NOON + _HOUR)
    store.run(lambda tx: prune.record(tx, plan, store.checkpoint))
    while store.run(prune.take_out):
        continue
    store.run(lambda tx: users.set_limits(tx, "me", {"concurrency": 3}))
    store.run(lambda tx: tx.append("daemon.started", {"version": "1", "pid": 1}))
    store.close()
    return path


@pytest.fixture
def shell(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def _verify(path: Path) -> Verdict:
    with Reader.open(path) as reader:
        return verify(reader, full=True, keys=TrustedKeys.read(path.parent / "keys"))


def test_books_that_nobody_touched_verify(path: Path) -> None:
    assert _verify(path).problems == ()


def test_so_they_do_when_the_beginning_was_pruned(pruned: Path) -> None:
    assert _verify(pruned).problems == ()


@pytest.mark.parametrize(("kind", "change"), _TAMPERED)
def test_what_was_changed_behind_the_chains_back_is_found(path: Path, kind: str, change: str) -> None:
    tamper(path, change)
    assert {each.kind for each in _verify(path).problems} == {kind}


@pytest.mark.parametrize(("kind", "change"), _TAMPERED)
def test_it_is_found_when_the_beginning_was_pruned(pruned: Path, kind: str, change: str) -> None:
    tamper(pruned, change)
    assert {each.kind for each in _verify(pruned).problems} == {kind}


def test_an_open_hold_is_told_and_no_problem(path: Path) -> None:
    store = _open(path, NOON + 5)
    asyncio.run(store.hold(a_hold(50, at_ms=NOON + 5)))
    store.close()
    assert (_verify(path).ok, _verify(path).open_holds) == (True, 1)


def test_a_clock_that_was_set_back_makes_no_hold_stale(path: Path) -> None:
    store = _open(path, NOON - _HOUR)
    store.run(lambda tx: tx.append("tunnel.up", {}))
    asyncio.run(store.hold(a_hold(50, at_ms=NOON - _HOUR)))
    store.close()
    assert _verify(path).ok


def test_only_a_settled_request_has_a_cost_to_adjust(shell: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="settled"):
        shell.execute("INSERT INTO adjustment VALUES (99, 1, 'nobody', 0, NULL, 'x')")
