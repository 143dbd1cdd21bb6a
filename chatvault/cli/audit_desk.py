"""Changes of the audit chain that the command line asks for: by the daemon, else by this process."""

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from chatvault.cli.context import Context
from chatvault.control.audit import checkpoint_json, pruned_json
from chatvault.core.json_types import JsonObject
from chatvault.core.period import instant
from chatvault.errors import DaemonNotRunning, UsageError

if TYPE_CHECKING:
    from chatvault.store.export import Stretch
    from chatvault.store.reader import Reader


_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of the chain is wanted, in the words of the command line, and how."""

    since: str | None
    until: str | None
    tz: str | None
    format: Literal["ndjson", "csv"]


def export(context: Context, wanted: Wanted, out: Path | None) -> JsonObject:
    """Write an export and its signature; return where they are and how they are checked."""
    from chatvault.store.export import write
    from chatvault.store.signing import EXPORT_NAMESPACE, IDENTITY, SIGNERS_FILE, Signer

    keys_dir = context.places.keys_dir
    with context.reader() as reader:
        stretch = _stretch(context, reader, wanted)
        path = out or Path(f"audit-{stretch.first}-{stretch.last}.{wanted.format}")
        done = write(reader, path.absolute(), stretch, signer=Signer(keys_dir), format=wanted.format)
    signers = keys_dir / SIGNERS_FILE
    return {
        "path": str(done.path),
        "signature": str(done.signature),
        "first": stretch.first,
        "last": stretch.last,
        "sha256": done.sha256.hex(),
        "check": (
            f"ssh-keygen -Y verify -f {signers} -I {IDENTITY} -n {EXPORT_NAMESPACE}"
            f" -s {done.signature} < {done.path}"
        ),
    }


def print_export(context: Context, wanted: Wanted) -> None:
    """Write an export to stdout."""
    from chatvault.store.export import lines

    with context.reader() as reader:
        stretch = _stretch(context, reader, wanted)
        sys.stdout.buffer.writelines(lines(reader, stretch, wanted.format))
        sys.stdout.buffer.flush()


def prune(
    context: Context, *, keep: str | None, before: str | None, tz: str | None, is_sure: bool
) -> JsonObject:
    """Move old entries into an archive, and return it as JSON.

    Raises UsageError without a limit, and where less than a day would stay unless somebody `is_sure`.
    """
    chosen = keep or before
    if chosen is None or (keep and before):
        raise UsageError("say how much of the chain stays, one way or the other", hint="--keep 90d")
    before_ms = _epoch_ms(context, chosen, tz)
    if before_ms > context.now_ms() - _DAY_MS and not is_sure:
        _ask(chosen)
    try:
        return context.control(timeout=3600.0).post("/v1/audit/prune", {"before_ms": before_ms})
    except DaemonNotRunning:
        return _prune_here(context, before_ms)


def _ask(chosen: str) -> None:
    from chatvault.cli.prompt import line

    if not sys.stdin.isatty():
        raise UsageError(f"{chosen} leaves less than a day of the chain", hint="--yes, if that is meant")
    if line(f"{chosen} leaves less than a day of the chain. Move the rest out? [y/N] ") not in ("y", "yes"):
        raise UsageError("nothing was changed")


def _prune_here(context: Context, before_ms: int) -> JsonObject:
    from chatvault.store import prune
    from chatvault.store.signing import Signer, TrustedKeys

    places = context.places
    with context.reader():
        pass
    with context.store() as store:
        plan = prune.prepare(
            places.database,
            places.archive_dir,
            before_ms=before_ms,
            signer=Signer(places.keys_dir),
            keys=TrustedKeys.read(places.keys_dir),
        )
        store.run(lambda tx: prune.record(tx, plan, store.checkpoint))
        while store.run(prune.take_out):
            continue
        store.run(store.checkpoint)
    archive = plan.archive
    return pruned_json(archive.path, archive.signature, archive.stretch)


def _stretch(context: Context, reader: "Reader", wanted: Wanted) -> "Stretch":
    from chatvault.store.export import stretch_of

    since, until = (
        None if text is None else _epoch_ms(context, text, wanted.tz) for text in (wanted.since, wanted.until)
    )
    return stretch_of(reader, since_ms=since, until_ms=until)


def _epoch_ms(context: Context, text: str, tz: str | None) -> int:
    now = datetime.fromtimestamp(context.now_ms() / 1000, UTC)
    try:
        return int(instant(text, now, zone=context.zone(tz)).timestamp() * 1000)
    except (ValueError, OverflowError) as exc:
        raise UsageError(str(exc), hint="7d, today or 2026-11-01") from exc


def checkpoint(context: Context, *, accepts_doubt: bool = False) -> JsonObject:
    """Sign the chain's head, and return the checkpoint as JSON.

    `accepts_doubt` has a chain signed that a daemon would not sign: with the daemon down.
    """
    if accepts_doubt:
        with context.store(accepts_doubt=True) as store:
            return checkpoint_json(store.run(store.checkpoint))
    try:
        return context.control().post("/v1/audit/checkpoint")
    except DaemonNotRunning:
        with context.store() as store:
            return checkpoint_json(store.run(store.checkpoint))
