"""The settings' limits, as the accounts take them."""

from chatvault.config.settings import LimitSettings
from chatvault.core.budget import Budget
from chatvault.core.limits import Limits
from chatvault.core.money import picousd
from chatvault.errors import ConfigError


def limits_of(settings: LimitSettings) -> Limits:
    """Return the limits of all access tokens together. Raises ConfigError for a budget that can't be one."""
    budget = None
    if settings.budget is not None:
        try:
            budget = Budget(picousd(settings.budget.usd), settings.budget.per)
        except ValueError as exc:
            raise ConfigError(f"limits.budget.usd: {exc}", hint="budget: {usd: 5.00, per: day}") from exc
    return Limits(budget, settings.requests_per_minute, settings.tokens_per_minute, settings.concurrency)
