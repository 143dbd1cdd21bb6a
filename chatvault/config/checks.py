"""What `doctor` looks at in the settings: whether they can be used, and who else can read their files."""

from collections.abc import Callable

from chatvault.config.keys import key_files
from chatvault.config.permissions import find_too_open
from chatvault.config.places import Places
from chatvault.config.settings import ProviderSettingsT, Settings
from chatvault.core.check import Check
from chatvault.errors import ConfigError


def check_settings(
    read: Callable[[], Settings[ProviderSettingsT]],
) -> tuple[Check, Settings[ProviderSettingsT] | None]:
    """Read the settings, secrets included; return them where they can be used."""
    try:
        settings = read()
    except ConfigError as exc:
        return Check("Settings", "fail", str(exc), exc.hint), None
    providers = ", ".join(settings.providers)
    if not providers:
        return Check("Settings", "fail", f"{settings.path} names no provider", "chatvault init"), settings
    if settings.tunnel.allow_plain_http and settings.server.tls.cert is None:
        detail = f"{settings.path}: access tokens may cross the internet in clear"
        return Check(
            "Settings", "fail", detail, "set server.tls, and tunnel.allow_plain_http: false"
        ), settings
    return Check("Settings", "pass", f"{settings.path} is valid: {providers}"), settings


def check_permissions(places: Places) -> Check:
    """See whether others can reach secrets, keys or the database."""
    try:
        extra = key_files(places.config)
    except ConfigError:
        # What is wrong with the settings is another check's to say.
        extra = ()
    found = find_too_open(places, extra=extra)
    if not found:
        return Check("Permissions", "pass", "settings, secrets and database are yours alone")
    return Check(
        "Permissions", "fail", "; ".join(str(each) for each in found), " && ".join(each.fix for each in found)
    )
