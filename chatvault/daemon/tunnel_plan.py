"""What the settings want of the tunnel, and whether this machine has what that takes."""

from pathlib import Path

from chatvault.config.base_url import public_url
from chatvault.daemon.following import AnySettings
from chatvault.errors import ConfigError
from chatvault.tunnel.relay import Plan, Relay


def plan_of(settings: AnySettings, ssh_dir: Path) -> Plan | None:
    """Return what the settings want, None where they name no relay."""
    wanted = settings.tunnel
    url = public_url(settings)
    if wanted.host is None or url is None:
        return None
    relay = Relay(
        host=wanted.host,
        port=wanted.port,
        user=wanted.user,
        bind=wanted.remote_bind,
        public_port=wanted.remote_port,
        ssh_dir=ssh_dir,
        jump=wanted.jump,
    )
    return Plan(relay=relay, public_url=url, allow_plain_http=wanted.allow_plain_http)


def is_tls(settings: AnySettings) -> bool:
    """Whether the settings make it HTTPS."""
    return settings.server.tls.cert is not None


def check_way(relay: Relay) -> None:
    """Raise ConfigError where a login is bound to fail for what lies on this machine. Imports asyncssh."""
    from chatvault.tunnel import login
    from chatvault.tunnel.faults import LinkFault, explain

    try:
        login.check_way(relay)
    except (LinkFault, FileNotFoundError) as exc:
        fault = explain(exc, relay=relay.name)
        raise ConfigError(f"tunnel: {fault.reason}", hint=fault.hint) from exc
