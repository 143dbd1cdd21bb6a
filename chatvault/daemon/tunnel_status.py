"""The tunnel's status as the control socket and `--json` have it."""

from chatvault.core.json_types import JsonObject
from chatvault.tunnel.probe import Outside
from chatvault.tunnel.status import TunnelStatus


def status_json(status: TunnelStatus) -> JsonObject:
    """Write a status as the control socket and `--json` have it."""
    return {
        "schema": 1,
        "state": status.state,
        "relay": status.relay or None,
        "public_url": status.public_url or None,
        "since": status.since_ms,
        "reason": status.reason,
        "hint": status.hint,
        "reconnects": status.reconnects,
        "last_error": status.last_error,
        "retry_in_seconds": status.retry_in_seconds,
        "connections": status.connections,
        "bytes_in": status.bytes_in,
        "bytes_out": status.bytes_out,
        "round_trip_ms": None
        if status.round_trip_seconds is None
        else round(status.round_trip_seconds * 1000, 2),
        "last_recovery_seconds": _rounded(status.last_recovery_seconds),
        "outside": None if status.outside is None else outside_json(status.outside),
    }


def outside_json(outside: Outside) -> JsonObject:
    """Write what the outside check met."""
    return {
        "ok": outside.is_met,
        "verdict": outside.verdict,
        "url": outside.url,
        "detail": outside.detail,
        "fix": outside.fix,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
