"""What the daemon does when the command line asks over the control socket."""

import secrets
from collections.abc import Callable, Mapping

from chatvault.control.audit import checkpoint_json
from chatvault.control.limits import accounts_json
from chatvault.control.server import Handler
from chatvault.control.tokens import TokenOrder, issue, token_json
from chatvault.control.users import UserOrder, user_json
from chatvault.core.access import new_secret, secret_hash
from chatvault.core.accounts import Accounts
from chatvault.core.json_types import JsonObject
from chatvault.daemon.accounts import load_limits
from chatvault.daemon.engine import now_ms
from chatvault.daemon.reading import ReportRoom
from chatvault.daemon.reload import Reloader
from chatvault.daemon.signals import Signals
from chatvault.daemon.status import Status
from chatvault.errors import StoreError, UsageError
from chatvault.gateway.auth import Doorkeeper
from chatvault.gateway.call import RunningCalls
from chatvault.store import tokens, users
from chatvault.store.writer import Store

_PROBE_MS = 60_000


class ControlLoop:
    """The handlers of the control socket, over the parts they ask or change."""

    def __init__(
        self,
        *,
        reloader: Reloader,
        signals: Signals,
        status: Status,
        store: Store,
        accounts: Accounts,
        doorkeeper: Doorkeeper,
        running: RunningCalls,
        reports: ReportRoom,
        base_url: Callable[[], str],
        device_url: Callable[[], str],
    ) -> None:
        self._reports = reports
        self._reloader = reloader
        self._signals = signals
        self._status = status
        self._store = store
        self._accounts = accounts
        self._doorkeeper = doorkeeper
        self._running = running
        self._base_url = base_url
        self._device_url = device_url

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """Return every handler by its method and path."""
        return {
            ("GET", "/v1/status"): self._status.show,
            ("GET", "/v1/reading"): self._reports.read,
            ("POST", "/v1/tokens"): self._add_token,
            ("POST", "/v1/tokens/revoke"): self._revoke_token,
            ("POST", "/v1/tokens/rotate"): self._rotate_token,
            ("GET", "/v1/limits"): self._limits,
            ("POST", "/v1/users"): self._set_user,
            ("POST", "/v1/audit/checkpoint"): self._checkpoint,
            ("POST", "/v1/reload"): self._reload,
            ("POST", "/v1/drain"): self._drain,
            ("POST", "/v1/probe"): self._probe,
        }

    async def reload_tokens(self) -> None:
        """Take over what the database says of access tokens and users: at the start, after each change."""
        await load_limits(self._store, self._accounts)
        self._doorkeeper.replace(await self._store.submit(tokens.load_all))

    async def _add_token(self, body: JsonObject) -> JsonObject:
        order = TokenOrder.from_json(body)
        token, secret = issue(order, now_ms=now_ms(), choose=secrets.choice)
        await self._store.submit(lambda tx: tokens.add(tx, token, secret_hash(secret)))
        await self.reload_tokens()
        return {**token_json(token, secret=secret), "base_url": self._device_url()}

    async def _revoke_token(self, body: JsonObject) -> JsonObject:
        name = str(body.get("token", ""))
        try:
            token = await self._store.submit(lambda tx: tokens.revoke(tx, name, now_ms=now_ms()))
        except StoreError as exc:
            shut_out = self._doorkeeper.shut_out(name)
            if shut_out is None:
                raise
            self._running.end_token(shut_out.id)
            raise StoreError(
                f"{shut_out.name} ({shut_out.id}) opens nothing any more while this daemon runs, but that "
                f"could not be written down: {exc.message}",
                hint="make room, and revoke it again before the daemon is restarted",
            ) from exc
        await self.reload_tokens()
        return {**token_json(token), "requests_cut": self._running.end_token(token.id)}

    async def _rotate_token(self, body: JsonObject) -> JsonObject:
        name = str(body.get("token", ""))
        secret = new_secret(secrets.choice)
        grace = body.get("grace_seconds", 0)
        if not isinstance(grace, int) or grace < 0:
            raise UsageError("grace_seconds is a whole number, 0 or more")
        token = await self._store.submit(
            lambda tx: tokens.rotate(
                tx,
                name,
                new_hash=secret_hash(secret),
                last_four=secret[-4:],
                grace_until_ms=now_ms() + 1000 * grace,
            )
        )
        await self.reload_tokens()
        return {**token_json(token, secret=secret), "base_url": self._device_url()}

    async def _set_user(self, body: JsonObject) -> JsonObject:
        order = UserOrder.from_json(body)
        user = await self._store.submit(lambda tx: users.set_limits(tx, order.name, order.changes))
        await self.reload_tokens()
        return user_json(user.name, user.created_at, user)

    async def _limits(self, query: JsonObject) -> JsonObject:
        return {"accounts": accounts_json(self._accounts, now_ms())}

    async def _checkpoint(self, body: JsonObject) -> JsonObject:
        return checkpoint_json(await self._store.submit(self._store.checkpoint))

    async def _reload(self, body: JsonObject) -> JsonObject:
        return await self._reloader.reload()

    async def _drain(self, body: JsonObject) -> JsonObject:
        """Begin to stop as SIGTERM does: no more is accepted, and running answers end first."""
        self._signals.stop("drain")
        return {
            "requests_in_flight": len(self._running),
            "drain_seconds": self._reloader.settings.server.drain_seconds,
        }

    async def _probe(self, body: JsonObject) -> JsonObject:
        secret = new_secret(secrets.choice)
        self._doorkeeper.admit_probe(secret, until_ms=now_ms() + _PROBE_MS)
        return {"secret": secret, "base_url": self._base_url()}
