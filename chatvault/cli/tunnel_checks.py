"""The tunnel's part of `doctor`."""

from chatvault.cli.context import Context
from chatvault.config.settings import Settings
from chatvault.core.check import Check
from chatvault.errors import ChatVaultError, DaemonNotRunning
from chatvault.providers.base import ProviderSettings


def check_tunnel(context: Context, settings: Settings[ProviderSettings]) -> list[Check]:
    """Check the tunnel, where the settings name a relay; its state is asked of the running daemon."""
    tunnel = settings.tunnel
    if tunnel.host is None:
        return []
    from chatvault.tunnel.checks import check_files, check_outside, check_state

    checks = [check_files(context.places.ssh_dir, tunnel.host, tunnel.port)]
    try:
        status = context.control().get("/v1/tunnel/status")
        checks.append(check_state(status, is_enabled=tunnel.enabled))
        if status.get("state") == "up":
            found = context.control().post("/v1/tunnel/look")
            checks.append(check_outside(found, is_plain=settings.server.tls.cert is None))
    except DaemonNotRunning as exc:
        checks.append(Check("Tunnel", "skip", exc.message, exc.hint))
    except ChatVaultError as exc:
        checks.append(Check("Tunnel", "fail", exc.message, exc.hint))
    return checks
