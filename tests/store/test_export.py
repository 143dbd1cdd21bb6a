"""Tests of exports and pruning: files that anybody can check, and a rest that stays verifiable."""

import asyncio
import csv
import io
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from chatvault.core.chain import GENESIS, canonical, entry_hash
from chatvault.core.checkpoint import Checkpoint, read_lines
from chatvault.errors import StoreError, UsageError
from chatvault.store import export, prune, pruned_rows
from chatvault.store.entries import PRUNED, Head
from chatvault.store.export import Export, Format, Stretch
from chatvault.store.migrations import MIGRATIONS
from chatvault.store.reader import Reader
from chatvault.store.signing import Signer, TrustedKeys
from chatvault.store.verdict import Verdict
from chatvault.store.verify import verify
from chatvault.store.writer import Store
from tests.support.databases import rows_of, tamper
from tests.support.ledger import NOON, a_refusal
from tests.support.readme import script

_HOUR = 3_600_000


def _fill(path: Path, numbers: range, *, at_ms: int) -> None:
    store = Store.open(path, now_ms=lambda: at_ms, signer=Signer(path.parent / "keys"))

    async def fill() -> None:
        for number in numbers:
            store.settle(a_refusal(number, at_ms=at_ms), durable=False)
        await store.flush()
        await store.submit(store.checkpoint)

    asyncio.run(fill())
    store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three hours with ten requests and a checkpoint each."""
    path = tmp_path / "chatvault.db"
    for hour in range(3):
        _fill(path, range(10 * hour, 10 * hour + 10), at_ms=NOON + hour * _HOUR)
    return path


def _keys(path: Path) -> Path:
    return path.parent / "keys"


def _export(path: Path, name: str, *, format: Format = "ndjson", **span: int) -> Export:
    with Reader.open(path) as reader:
        stretch = export.stretch_of(reader, **span)
        return export.write(reader, path.parent / name, stretch, signer=Signer(_keys(path)), format=format)


def _verify(path: Path, *, against: list[Checkpoint] | None = None, archives: Path | None = None) -> Verdict:
    keys = TrustedKeys.read(_keys(path))
    with Reader.open(path) as reader:
        return verify(reader, full=True, keys=keys, against=against, archives=archives)


def _check(done: Export, path: Path) -> subprocess.CompletedProcess[str]:
    """Run the README's script: no ChatVault is imported."""
    program = path.parent / "check.py"
    program.write_text(script("check.py"))
    return subprocess.run(
        [sys.executable, "-I", "-S", str(program), str(done.path), str(_keys(path) / "allowed_signers")],
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.mark.parametrize("format", ["ndjson", "csv"])
def test_an_export_is_checked_by_the_readmes_script(path: Path, format: Format) -> None:
    done = _export(path, f"chain.{format}", format=format)
    checked = _check(done, path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "33 entries" in checked.stdout


@pytest.mark.parametrize("format", ["ndjson", "csv"])
def test_text_from_outside_moves_no_cursor_and_is_checked_all_the_same(path: Path, format: Format) -> None:
    store = Store.open(path, now_ms=lambda: NOON + 3 * _HOUR)
    store.run(lambda tx: tx.append("user.added", {"user": "\x1b[2J\x7f\x9b\u202eé😀\u2028=1"}))
    store.close()
    done = _export(path, f"chain.{format}", format=format)
    text = done.path.read_text()
    assert text.isascii() and text.replace("\n", "").isprintable()
    checked = _check(done, path)
    assert "34 entries" in checked.stdout, checked.stderr


@pytest.mark.parametrize("format", ["ndjson", "csv"])
@pytest.mark.parametrize("change", ["429", "refused", "tok_phone1"])
def test_a_changed_export_is_found_by_it(path: Path, format: Format, change: str) -> None:
    done = _export(path, f"chain.{format}", format=format)
    text = done.path.read_text()
    done.path.write_text(text.replace(change, change[::-1], 1))
    assert _check(done, path).returncode != 0


def test_an_export_signed_by_another_key_is_not_believed(path: Path, tmp_path: Path) -> None:
    with Reader.open(path) as reader:
        other = Signer(tmp_path / "other")
        done = export.write(reader, tmp_path / "x.ndjson", Stretch(1, 5), signer=other, format="ndjson")
    checked = _check(done, path)
    assert checked.returncode != 0


def test_an_export_holds_what_the_hashes_are_made_of(path: Path) -> None:
    done = _export(path, "chain.ndjson", since_ms=NOON + _HOUR, until_ms=NOON + 2 * _HOUR)
    assert done.stretch == (12, 22)
    assert done.path.stat().st_mode & 0o777 == 0o600
    ((before,),) = rows_of(path, "SELECT hash FROM audit WHERE seq = 11")
    previous = before
    for line in done.path.read_text().splitlines():
        entry = json.loads(line)
        assert entry["previous"] == previous.hex()
        body = entry["body"].encode()
        previous = entry_hash(previous, seq=entry["seq"], ts_ms=entry["ts_ms"], kind=entry["kind"], body=body)
        assert entry["hash"] == previous.hex()


def test_both_formats_say_the_same(path: Path) -> None:
    with Reader.open(path) as reader:
        stretch = export.stretch_of(reader)
        objects = [json.loads(line) for line in export.lines(reader, stretch, "ndjson")]
        text = b"".join(export.lines(reader, stretch, "csv")).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    as_text = [
        {name: "" if value is None else str(value) for name, value in each.items()} for each in objects
    ]
    assert rows == as_text
    assert objects[0]["previous"] == GENESIS.hex()


def test_an_export_of_nothing_says_so_and_leaves_no_file(path: Path) -> None:
    with pytest.raises(StoreError, match="no entry"):
        _export(path, "chain.ndjson", since_ms=NOON + 9 * _HOUR)
    _export(path, "chain.ndjson")
    with pytest.raises(StoreError, match="there already"):
        _export(path, "chain.ndjson")


def _prune(path: Path, before_ms: int) -> Export:
    keys = _keys(path)
    plan = prune.prepare(
        path, path.parent / "archive", before_ms=before_ms, signer=Signer(keys), keys=TrustedKeys.read(keys)
    )
    store = Store.open(path, now_ms=lambda: NOON + 4 * _HOUR, signer=Signer(keys))
    store.run(lambda tx: prune.record(tx, plan, store.checkpoint))
    while store.run(prune.take_out):
        continue
    store.run(store.checkpoint)
    store.close()
    return plan.archive


class TestPruning:
    """Tests of a chain whose beginning was taken out."""

    def test_the_rest_is_verifiable_and_the_archive_is_too(self, path: Path) -> None:
        archive = _prune(path, NOON + _HOUR)
        assert archive.stretch == (1, 10)
        assert rows_of(path, "SELECT min(seq) FROM audit") == [(11,)]
        assert rows_of(path, "SELECT count(*) FROM ledger") == [(30,)]
        assert _verify(path) == Verdict(True, 25, _verify(path).head, None, ())
        assert _check(archive, path).returncode == 0

    def test_pruning_goes_on_where_it_left_off(self, path: Path) -> None:
        _prune(path, NOON + _HOUR)
        assert _prune(path, NOON + 2 * _HOUR).stretch == (11, 21)
        assert _verify(path).ok
        _fill(path, range(100, 110), at_ms=NOON + 5 * _HOUR)
        assert _verify(path).ok

    def test_nothing_old_enough_is_an_error(self, path: Path) -> None:
        with pytest.raises(UsageError, match="nothing to prune"):
            _prune(path, NOON)

    def test_a_pruning_that_was_cut_short_is_gone_on_with(self, path: Path) -> None:
        keys = _keys(path)
        plan = prune.prepare(
            path, path.parent / "a", before_ms=NOON + _HOUR, signer=Signer(keys), keys=TrustedKeys.read(keys)
        )
        store = Store.open(path, now_ms=lambda: NOON, signer=Signer(keys))
        store.run(lambda tx: prune.record(tx, plan, store.checkpoint))
        store.close()
        assert _verify(path).ok
        store = Store.open(path, now_ms=lambda: NOON)
        assert store.run(prune.take_out) == 10
        store.close()
        assert _verify(path).ok

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE ledger SET http_status = 200 WHERE id = (SELECT min(id) FROM ledger)",
            "DELETE FROM ledger WHERE id = (SELECT min(id) FROM ledger)",
            "UPDATE pruned SET hash = zeroblob(32)",
            "UPDATE pruned SET row_count = 9",
            "DELETE FROM pruned",
            "DELETE FROM audit WHERE seq = 11",
            "UPDATE audit SET body = replace(body, '429', '200') WHERE seq = 13",
        ],
    )
    def test_what_is_left_can_not_be_changed_unseen(self, path: Path, change: str) -> None:
        _prune(path, NOON + _HOUR)
        tamper(path, change)
        assert not _verify(path).ok

    def test_a_beginning_cut_off_by_hand_is_no_pruning(self, path: Path) -> None:
        ((digest,),) = rows_of(path, "SELECT hash FROM audit WHERE seq = 10")
        tamper(
            path,
            f"INSERT INTO pruned VALUES (10, 1, x'{digest.hex()}', 34, 'a', zeroblob(32), 10, zeroblob(32))",
            "DELETE FROM audit WHERE seq <= 10",
        )
        assert not _verify(path).ok

    def test_a_forged_pruning_does_not_make_a_chain_whole(self, path: Path) -> None:
        kept = _kept(path)
        _forge_pruning(path, base=Head(33, bytes(32)))
        assert {"pruned", "unsigned"} <= _kinds(_verify(path))
        # One cut at a true checkpoint, with its true hash, still tells of itself in an entry nobody signed.
        _forge_pruning(path, base=Head(kept[-1].seq, kept[-1].statement.hash))
        assert "unsigned" in _kinds(_verify(path))

    def test_a_line_from_before_the_cut_fits_only_what_is_kept_of_it(self, path: Path) -> None:
        kept = _kept(path)
        archive = _prune(path, NOON + 2 * _HOUR)
        assert archive.stretch == (1, 21)
        found = _verify(path, against=kept)
        assert found.ok and found.comparison and found.comparison.matched == 3
        tamper(path, "DELETE FROM checkpoint WHERE seq = 10")
        assert [(each.kind, each.seq) for each in _verify(path, against=kept).problems] == [("rewritten", 10)]

    def test_archives_are_checked_and_speak_for_their_entries(self, path: Path) -> None:
        first, second = _prune(path, NOON + _HOUR), _prune(path, NOON + 2 * _HOUR)
        folder = first.path.parent
        assert _verify(path, archives=folder).ok
        second.path.write_bytes(second.path.read_bytes().replace(b"429", b"200", 1))
        first.path.unlink()
        found = _verify(path, archives=folder)
        assert [(each.kind, each.seq) for each in found.problems] == [("archive", 10), ("archive", 21)]


def _kept(path: Path) -> list[Checkpoint]:
    return list(read_lines(line for (line,) in rows_of(path, "SELECT note FROM checkpoint ORDER BY seq")))


def _kinds(verdict: Verdict) -> set[str]:
    return {each.kind for each in verdict.problems}


def _forge_pruning(path: Path, *, base: Head) -> None:
    """Throw the chain away, and half the ledger, and say in one entry that it was pruned."""
    cooked = "DELETE FROM usage_day", "DELETE FROM ledger WHERE id > (SELECT min(id) FROM ledger)"
    tamper(path, "DELETE FROM audit", "DELETE FROM pruned", *cooked, _DAYS_ANEW)
    with Reader.open(path) as reader:
        reader.select("CREATE TEMP TABLE settled (request_id)")
        count, digest = pruned_rows.count_and_digest(reader.connection, "temp.settled")
    told = pruned_rows.Pruned(base.seq, NOON, base.hash, base.seq + 1, "a.ndjson", bytes(32), count, digest)
    body = canonical(told.body())
    entry = entry_hash(base.hash, seq=base.seq + 1, ts_ms=NOON, kind=PRUNED, body=body)
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("DROP TRIGGER audit_no_gap")
        row = (base.seq + 1, NOON, PRUNED, body.decode(), entry)
        shell.execute("INSERT INTO audit(seq, ts_ms, kind, body, hash) VALUES (?,?,?,?,?)", row)
        shell.execute("INSERT INTO pruned VALUES (?,?,?,?,?,?,?,?)", told)
        for migration in MIGRATIONS:
            for statement in migration.statements:
                if "TRIGGER audit_no_gap" in statement:
                    shell.execute(statement)


_DAYS_ANEW = """INSERT INTO usage_day SELECT started_at / 86400000, token_id, user_id, model_name,
    coalesce(provider, ''), client, status, count(*), sum(coalesce(input_tokens, 0)),
    sum(coalesce(cached_tokens, 0)), sum(coalesce(output_tokens, 0)), coalesce(sum(cost_picousd), 0),
    count(*) - count(cost_picousd) FROM ledger GROUP BY 1, 2, 3, 4, 5, 6, 7"""
