"""The checks of `doctor`, in the order they are shown; each lives beside what it checks."""

import asyncio
import sqlite3
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from chatvault import __version__
from chatvault.cli.context import Context
from chatvault.cli.daemon_checks import check_daemon
from chatvault.cli.package_check import check_packages
from chatvault.cli.price_list import own_prices
from chatvault.cli.providers import providers_of
from chatvault.cli.tunnel_checks import check_tunnel
from chatvault.config.checks import check_permissions, check_settings
from chatvault.config.settings import Settings
from chatvault.core.check import Check, CheckStatus
from chatvault.core.text import counted
from chatvault.daemon.prices import build_price_book
from chatvault.errors import ChatVaultError, ConfigError, ProviderError
from chatvault.providers.base import Finding, Provider, ProviderSettings

_SECONDS = 30.0
_STATUSES: dict[str, CheckStatus] = {"pass": "pass", "warn": "warn", "fail": "fail", "skip": "skip"}
# Compromised releases of March and October 2026.
_BAD_LITELLM = ("1.82.7", "1.82.8", "1.107.")


def run(context: Context) -> list[Check]:
    """Run every check that can be run; one that needs what another found broken is skipped."""
    first, settings = check_settings(lambda: context.settings(are_secrets_needed=True))
    checks = [
        check_program(),
        check_packages(),
        first,
        check_permissions(context.places),
        *_check_database(context),
    ]
    if settings is None:
        checks.append(Check("Providers", "skip", "the settings can't be used"))
    else:
        checks.append(_check_tls(settings))
        checks.append(_check_backups(context, settings))
        checks += asyncio.run(_check_providers(context, settings))
    checks += check_daemon(context, has_echo=settings is None or "echo" in settings.providers)
    if settings is not None:
        checks += check_tunnel(context, settings)
    return checks


def summary(checks: Sequence[Check]) -> str:
    """Return the last line."""
    counts = {status: sum(each.status == status for each in checks) for status in _STATUSES}
    parts = [
        f"{counts[status]} {word}{'' if counts[status] == 1 else 's'}"
        for status, word in (("fail", "problem"), ("warn", "warning"))
        if counts[status]
    ]
    skipped = f" {counts['skip']} skipped." if counts["skip"] else ""
    return f"Doctor found {' and '.join(parts)}.{skipped}" if parts else f"No issues found.{skipped}"


def check_program() -> Check:
    """Look at the versions that matter."""
    python = ".".join(str(each) for each in sys.version_info[:3])
    try:
        litellm = version("litellm")
    except PackageNotFoundError:
        return Check("Program", "fail", "litellm is not installed", "pip install --force-reinstall chatvault")
    detail = f"ChatVault {__version__}, Python {python}, litellm {litellm}, SQLite {sqlite3.sqlite_version}"
    if any(litellm == bad or (bad.endswith(".") and litellm.startswith(bad)) for bad in _BAD_LITELLM):
        return Check(
            "Program",
            "fail",
            f"{detail}: this litellm was a compromised release",
            "install another one at once, and change every key this machine has held",
        )
    return Check("Program", "pass", detail)


def _check_database(context: Context) -> list[Check]:
    from chatvault.store import checks

    path = context.places.database
    if not path.exists():
        return [Check("Database", "skip", f"there is none yet at {path}", "chatvault serve")]
    return [
        Check(each.name, _STATUSES[each.status], each.detail, each.fix)
        for each in checks.check_all(path, keys_dir=context.places.keys_dir)
    ]


def _check_tls(settings: Settings[ProviderSettings]) -> Check:
    from chatvault.gateway.hosts import host_of_url
    from chatvault.gateway.tls_checks import check_tls

    server = settings.server
    names = [host_of_url(server.public_url)] if server.public_url else []
    if settings.tunnel.host and not names:
        names.append(settings.tunnel.host)
    return check_tls(
        server.tls.cert,
        server.tls.key,
        host=server.host,
        names=names,
        now=datetime.now(UTC),
        has_tunnel=settings.tunnel.enabled,
    )


def _check_backups(context: Context, settings: Settings[ProviderSettings]) -> Check:
    from chatvault.store.checks import check_backups

    every_ms = int(settings.backup.every.total_seconds() * 1000)
    return check_backups(context.places.backup_dir, every_ms=every_ms, now_ms=context.now_ms())


async def _check_providers(context: Context, settings: Settings[ProviderSettings]) -> list[Check]:
    async with providers_of(context, settings) as providers:
        names, built = list(providers), list(providers.values())
        found = await asyncio.gather(*(_finding(each) for each in built))
        paid = {
            name
            for name, each in providers.items()
            if not isinstance(each, ConfigError) and not each.is_local
        }
    checks = [
        Check(name, _STATUSES[each.status], each.detail, each.fix)
        for name, each in zip(names, found, strict=True)
    ]
    return [*checks, check_prices(context, settings, paid)]


async def _finding(provider: Provider | ConfigError) -> Finding:
    if isinstance(provider, ConfigError):
        return Finding("fail", provider.message, provider.hint)
    try:
        async with asyncio.timeout(_SECONDS):
            return await provider.check()
    except ProviderError as exc:
        return Finding("fail", exc.message, exc.hint)
    except TimeoutError:
        return Finding("fail", f"no answer within {_SECONDS:.0f} s")


def check_prices(context: Context, settings: Settings[ProviderSettings], paid: set[str]) -> Check:
    """See whether every model that an alias leads to, or that was used of late, has a price."""
    routes = {route for alias in settings.models.values() for route in alias.routes}
    routes |= _used_routes(context, settings)
    wanted = sorted(route for route in routes if route.partition("/")[0] in paid)
    book = build_price_book(own_prices(context))
    now_ms = context.now_ms()
    unpriced = []
    for route in wanted:
        provider, _, model = route.partition("/")
        if book.find(provider, settings.providers[provider].kind, model, at_ms=now_ms) is None:
            unpriced.append(route)
    if unpriced:
        return Check(
            "Prices",
            "warn",
            f"no price: {', '.join(unpriced)}",
            "add them to prices.overrides in config.yaml",
        )
    if not wanted:
        return Check("Prices", "skip", "no paid model is in use")
    return Check("Prices", "pass", f"{counted(len(wanted), 'paid model')} in use, none without a price")


def _used_routes(context: Context, settings: Settings[ProviderSettings]) -> set[str]:
    if not context.places.database.exists():
        return set()
    try:
        with context.reader() as reader:
            rows = [row for _, row in reader.latest(1000)]
    except ChatVaultError:
        # The database's own check has said what is wrong with it.
        return set()
    return {
        f"{row.provider}/{row.upstream_model}"
        for row in rows
        if row.provider in settings.providers and row.upstream_model
    }
