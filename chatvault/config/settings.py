"""What config.yaml may say: one class a section, one field a key, each with its default and its help."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar
from zoneinfo import ZoneInfo

from chatvault.core.setting import ByteSize, Range, setting, setting_of

ProviderSettingsT = TypeVar("ProviderSettingsT")
Port: TypeAlias = Annotated[int, Range(1, 65535)]


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """HTTPS for the gateway."""

    cert: Path | None = setting(
        None, "The certificate chain, a PEM file; with `key` it makes the gateway HTTPS."
    )
    key: Path | None = setting(None, "The certificate's private key, a PEM file.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where the gateway listens, and how much it takes."""

    host: str = setting("127.0.0.1", "The address to listen on; 127.0.0.1 is this machine only.")
    port: Port = setting(4000, "The port to listen on.")
    tls: TlsSettings = setting_of(TlsSettings, "Both set: HTTPS, reloaded when the files change.")
    public_url: str | None = setting(None, "The address devices use; null: what the tunnel makes of it.")
    allowed_hosts: tuple[str, ...] = setting(
        (), "Host headers accepted besides loopback, public_url and tunnel.host."
    )
    cors_origins: tuple[str, ...] = setting((), "Web pages, by origin, whose scripts may call the gateway.")
    max_body_bytes: Annotated[int, ByteSize(), Range(1)] = setting(20_000_000, "The longest request body.")
    max_connections: Annotated[int, Range(1)] = setting(1024, "Connections open at once.")
    max_connections_per_address: Annotated[int, Range(1)] = setting(
        64, "Connections open at once from one address; loopback is exempt."
    )
    drain_seconds: float = setting(
        20.0, "How long running answers may take to end when the daemon stops or the tunnel moves."
    )


@dataclass(frozen=True, slots=True)
class ProviderEntry(Generic[ProviderSettingsT]):
    """One provider: the name routes use, the kind of its file, and that kind's settings.

    `line` is where it stands in the settings' file, which makes no other provider of it.
    """

    name: str
    kind: str
    settings: ProviderSettingsT
    line: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAlias:
    """A model name of your own."""

    routes: tuple[str, ...] = setting(
        (), "PROVIDER/NAME, in the order to try: the first that can answer does."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PerMtok:
    """Prices in USD per million tokens."""

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = setting(None, "null: the input price.")
    cache_write_5m: Decimal | None = setting(None, "null: the input price.")
    cache_write_1h: Decimal | None = setting(None, "null: the input price.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceOverride:
    """A price of your own: it goes before every table."""

    model: str
    per_mtok: PerMtok
    from_: date | None = setting(None, "The first day (UTC) it holds; null: always has.")
    to: date | None = setting(None, "The first day (UTC) it no longer holds; null: none.")
    note: str | None = setting(None, "Where the price comes from.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSettings:
    """What models cost."""

    unknown_model: Literal["block", "allow_unpriced"] = setting(
        "block", "What happens to a model without a price where a budget applies: block, or allow_unpriced."
    )
    overrides: tuple[PriceOverride, ...] = setting(
        (), "{model, from, to, per_mtok: {input, output, cache_read, cache_write_5m, cache_write_1h}, note}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSettings:
    """How much may be spent, and in which time."""

    usd: Decimal = setting(Decimal(5), "USD, exactly as written: 5.00.")
    per: Literal["day", "month", "total"] = setting("day", "day, month or total; days are usage.timezone's.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """What all access tokens together may use; each may have tighter limits of its own."""

    budget: BudgetSettings | None = setting(
        None, "{usd: 5.00, per: day}; per is day, month or total. null: no budget."
    )
    requests_per_minute: Annotated[int, Range(1)] | None = setting(None, "Requests a minute; null: any.")
    tokens_per_minute: Annotated[int, Range(1)] | None = setting(
        None, "Tokens a minute, in and out; null: any."
    )
    concurrency: Annotated[int, Range(1)] | None = setting(None, "Requests running at once; null: any.")
    when_short: Literal["cut", "refuse"] = setting(
        "cut",
        "A request without max_tokens that the budget can't hold whole: cut its max_tokens (never below "
        "1,024), or refuse.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelSettings:
    """The reverse tunnel to the relay."""

    enabled: bool = setting(False, "Whether `serve` keeps the tunnel up.")
    host: str | None = setting(None, "The relay.")
    port: Port = setting(22, "The relay's SSH port.")
    user: str = setting("chatvault-relay", "The user on the relay.")
    jump: tuple[str, ...] = setting((), "Hosts on the way to the relay: USER@HOST or USER@HOST:PORT.")
    remote_bind: str = setting("*", "Sent to sshd as it stands: * is IPv4 and IPv6.")
    remote_port: Port = setting(4000, "The port devices reach on the relay.")
    allow_plain_http: bool = setting(
        False, "true: access tokens cross the internet in clear, on your own word."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings:
    """What the audit keeps besides its facts."""

    content: Literal["off", "errors", "full"] = setting("off", "Whether prompts and answers are kept.")
    content_days: Annotated[int, Range(1, 3650)] = setting(
        30, "After how many days they can never be read again, in backups neither."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSettings:
    """Copies of the database."""

    every: timedelta = setting(timedelta(hours=24), "How often a backup is made.")
    keep: Annotated[int, Range(1)] = setting(7, "How many backups are kept.")


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSettings:
    """How use is shown."""

    timezone: Literal["local"] | ZoneInfo = setting(
        "local", "Whose days reports count: local, or a zone such as Europe/Berlin."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """What the daemon writes to its log."""

    level: Literal["debug", "info", "warning", "error"] = setting("info", "debug, info, warning or error.")
    format: Literal["auto", "json", "text", "journald"] = setting(
        "auto", "auto: for people on a terminal, journald fields under systemd; else json, text, journald."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Generic[ProviderSettingsT]):
    """All of config.yaml. `path` is the file it came from."""

    path: Path
    server: ServerSettings = setting_of(ServerSettings, "Where the gateway listens, and how much it takes.")
    providers: Mapping[str, ProviderEntry[ProviderSettingsT]] = setting_of(
        _nothing, "Who answers: a name of your choice, its kind, and what that kind needs."
    )
    models: Mapping[str, ModelAlias] = setting_of(
        _nothing, "Names of your own for models; PROVIDER/NAME always works beside them."
    )
    prices: PriceSettings = setting_of(PriceSettings, "What models cost.")
    limits: LimitSettings = setting_of(LimitSettings, "What all access tokens together may use.")
    tunnel: TunnelSettings = setting_of(TunnelSettings, "The reverse tunnel to the relay.")
    audit: AuditSettings = setting_of(AuditSettings, "What the audit keeps besides its facts.")
    backup: BackupSettings = setting_of(BackupSettings, "Copies of the database.")
    usage: UsageSettings = setting_of(UsageSettings, "How use is shown.")
    log: LogSettings = setting_of(LogSettings, "What the daemon writes to its log.")
