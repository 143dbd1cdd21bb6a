"""The public port as it looks from outside: who answers there, and whether it may be taken over."""

from collections.abc import Callable

from chatvault.core.backoff import TakeOvers
from chatvault.tunnel.certificate import TlsProvider, presented_certificate
from chatvault.tunnel.faults import Fault, LinkFault
from chatvault.tunnel.probe import Identity, Outside, look_from_outside
from chatvault.tunnel.relay import Plan
from chatvault.tunnel.tools import Tools

_LOOK_SECONDS = 8.0
_ALIVE_SECONDS = 1.5


class PublicEnd:
    """Look at a plan's public address: `identity` is to be met there, with the certificate of `tls`."""

    def __init__(self, identity: Identity, tls: TlsProvider, tools: Tools) -> None:
        self._identity = identity
        self._tls = tls
        self._tools = tools
        self._take_overs = TakeOvers()

    @property
    def is_tls(self) -> bool:
        """Whether TLS is spoken there."""
        return self._tls() is not None

    async def look(self, plan: Plan, *, seconds: float = _LOOK_SECONDS) -> Outside:
        """Dial the public address and say who answers."""
        context = self._tls()
        certificate = None if context is None else presented_certificate(context)
        return await look_from_outside(
            plan.public_url, self._identity, self._tools.nonce(), certificate=certificate, seconds=seconds
        )

    async def check_take_over(self, plan: Plan, *, are_answers_running: Callable[[], bool]) -> None:
        """Raise LinkFault where another daemon answers on the port, or something else does.

        So it does while `are_answers_running` in old links: a take-over ends all sessions but the one it is
        asked for by.
        """
        now, relay = self._tools.clock(), plan.relay
        met = await self.look(plan, seconds=_ALIVE_SECONDS)
        if met.verdict == "other_daemon" or self._take_overs.is_a_fight(now):
            raise LinkFault(
                Fault(
                    "contended",
                    f"another ChatVault uses port {relay.public_port} on {relay.host}",
                    "stop the other one, or give each a relay or a tunnel.remote_port of its own",
                )
            )
        if met.verdict == "stranger":
            raise LinkFault(Fault("busy", met.detail, met.fix))
        if are_answers_running():
            raise LinkFault(
                Fault(
                    "busy",
                    f"port {relay.public_port} on {relay.host} is taken, and nothing answers there",
                    "an old session that may hold it is ended once the answers in the link from before have",
                )
            )

    def taken_over(self) -> None:
        """Take note that the port was freed by ending other sessions: again and again, that is a fight."""
        self._take_overs = self._take_overs.with_one_at(self._tools.clock())
