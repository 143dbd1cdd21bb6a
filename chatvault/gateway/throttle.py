"""Failed logins: answered with 401, then with 429 and a growing delay; logged, counted, put into the audit.

Only failures are throttled: a right access token is let in from any address, however many wrong ones came
from there. What is kept is bounded, in memory and in the database, whatever comes in.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from chatvault.core.client_address import counted_as
from chatvault.core.login_limits import LoginLimits
from chatvault.errors import RequestError
from chatvault.gateway.answers import unauthorized
from chatvault.gateway.request_log import log_failed_login

# So many addresses have an audit row of their own in a minute; the rest share one.
_ROWS_PER_MINUTE = 50
_OTHERS = "others"
_MINUTE = 60.0
Record: TypeAlias = Callable[[str, Mapping[str, str | int]], Awaitable[None]]


class LoginThrottle:
    """Answer failed logins. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float], limits: LoginLimits | None = None) -> None:
        self._clock = clock
        self._limits = LoginLimits() if limits is None else limits
        self._counts: dict[str, int] = {}
        self._held_back = 0

    def refuse(self, address: str, *, request_id: str | None = None) -> RequestError:
        """Count a failed login from `address`, and return what its client is told."""
        caller = counted_as(address)
        key = caller if caller in self._counts or len(self._counts) < _ROWS_PER_MINUTE else _OTHERS
        self._counts[key] = self._counts.get(key, 0) + 1
        delay = self._limits.failed(caller, now=self._clock())
        if delay <= 0:
            log_failed_login(address, "no valid access token", request_id=request_id)
            return unauthorized()
        # A line for each would let anybody fill the disk; the minute's sum is logged instead.
        self._held_back += 1
        return RequestError(
            "Too many failed logins from your address. A valid access token is let in at once.",
            status=429,
            type="rate_limit_error",
            code="rate_limit_exceeded",
            retry_after=math.ceil(delay),
        )

    async def write_down(self, record: Record) -> None:
        """Put what was counted since the last time into the audit: a row for each address."""
        counts, held_back = self._counts, self._held_back
        self._counts, self._held_back = {}, 0
        if held_back:
            log_failed_login("", f"{held_back} more failed logins were held back", request_id=None)
        for address, count in counts.items():
            await record("auth.failures", {"address": address, "count": count})

    async def keep_audit(self, record: Record) -> None:
        """Write down each minute's failures for as long as the daemon runs."""
        while True:
            await asyncio.sleep(_MINUTE)
            await self.write_down(record)
