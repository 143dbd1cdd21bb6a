"""Tests of repricing: rows that explain their cost get another, and nothing is rewritten."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from chatvault.core.ledger import CostBasis, LedgerRow
from chatvault.core.pricing import PriceBook, RateCard, cost, override
from chatvault.core.usage import Usage
from chatvault.store import repricing
from chatvault.store.adjustments import adjusted_cost
from chatvault.store.reader import Reader
from chatvault.store.repricing import Repricing
from tests.support.databases import opened, rows_of
from tests.support.ledger import NOON, a_hold, a_row

OLD = PriceBook([override("claude-sonnet-5-5", input=Decimal(2), output=Decimal(10))])
NEW = PriceBook([override("claude-sonnet-5-5", input=Decimal(1), output=Decimal(5))])
DAY = 86_400_000


def card(book: PriceBook) -> RateCard:
    found = book.find("anthropic", "anthropic", "claude-sonnet-5-5", at_ms=NOON)
    assert found is not None
    return found


def a_priced_row(number: int, at_ms: int = NOON) -> LedgerRow:
    row = a_row(a_hold(number, at_ms=at_ms))
    usage = Usage(row.input_tokens, row.cached_tokens, row.cache_write_tokens, None, row.output_tokens)
    price = cost(card(OLD), usage, started_ms=row.started_at, finished_ms=row.finished_at)
    return replace(row, cost_picousd=price.picousd, cost_basis=price.basis, rate_card_id=price.rate_card_id)


def written(path: Path, rows: list[LedgerRow]) -> Path:
    async def write() -> None:
        old = card(OLD)
        store.remember_rate_card(
            old.id, old.canonical_json(), provider=old.provider, model=old.model, source=old.source
        )
        for row in rows:
            await store.hold(a_hold(id=row.id, at_ms=row.started_at))
            store.settle(row, durable=False)
        await store.flush()

    with opened(path) as store:
        asyncio.run(write())
    return path


def look(path: Path, book: PriceBook = NEW, *, since_ms: int = 0, model: str | None = None) -> Repricing:
    with Reader.open(path) as reader:
        return repricing.reprice(
            reader.connection,
            lambda provider, name, at_ms: book.find(provider, "anthropic", name, at_ms=at_ms),
            since_ms=since_ms,
            until_ms=NOON + DAY,
            model=model,
        )


def test_a_new_price_is_appended_and_counts_once(tmp_path: Path) -> None:
    row = a_priced_row(1)
    path = written(tmp_path / "chatvault.db", [row])
    before = rows_of(path, "SELECT * FROM ledger")
    found = look(path)
    (change,) = found.changes
    assert row.cost_picousd is not None
    assert (change.before, change.after) == (row.cost_picousd, row.cost_picousd // 2)
    new = card(NEW)
    with opened(path) as store:
        store.remember_rate_card(
            new.id, new.canonical_json(), provider=new.provider, model=new.model, source=new.source
        )
        store.run(lambda tx: repricing.write_down(tx, found.changes, reason="test"))
    assert rows_of(path, "SELECT * FROM ledger") == before
    with Reader.open(path) as reader:
        assert adjusted_cost(reader, row.id) == change.after
    again = look(path)
    assert (again.changes, again.unchanged) == ((), 1)
    # Back to where it was.
    assert [change.after for change in look(path, OLD).changes] == [row.cost_picousd]


def test_a_row_without_a_price_gets_one(tmp_path: Path) -> None:
    row = replace(a_priced_row(1), cost_picousd=None, cost_basis=CostBasis.UNPRICED, rate_card_id=None)
    (change,) = look(written(tmp_path / "chatvault.db", [row])).changes
    assert (change.before, change.difference) == (None, change.after)


def test_a_row_whose_cost_its_columns_dont_explain_stays_and_is_counted(tmp_path: Path) -> None:
    with_search = replace(a_priced_row(1), cost_picousd=(a_priced_row(1).cost_picousd or 0) + 10**10)
    part_unpriced = replace(a_priced_row(2), cost_picousd=None, cost_basis=CostBasis.UNPRICED)
    found = look(written(tmp_path / "chatvault.db", [with_search, part_unpriced]))
    assert (found.changes, found.unexplained) == ((), 2)


def test_only_the_span_and_the_model_that_were_asked_for_are_looked_at(tmp_path: Path) -> None:
    path = written(tmp_path / "chatvault.db", [a_priced_row(1, NOON - DAY), a_priced_row(2)])
    assert len(look(path, since_ms=NOON).changes) == 1
    assert len(look(path, model="anthropic/claude-sonnet-5-5").changes) == 2
    assert len(look(path, model="claude-sonnet-5-5").changes) == 2
    assert look(path, model="claude-haiku").changes == ()


def test_what_has_no_price_now_keeps_its_cost(tmp_path: Path) -> None:
    found = look(written(tmp_path / "chatvault.db", [a_priced_row(1)]), PriceBook([]), model=None)
    assert all(change.card.source == "builtin" for change in found.changes)
