"""The settings' limits, as the accounts take them."""

from chatvault.config.settings import BudgetSettings, LimitSettings
from chatvault.core.budget import Budget
from chatvault.core.limits import Limits
from chatvault.core.money import picousd


def limits_of(settings: LimitSettings) -> Limits:
    """Return the limits of all access tokens together; `load` has seen to it that the budget can be one."""
    budget = budget_of(settings.budget) if settings.budget is not None else None
    return Limits(budget, settings.requests_per_minute, settings.tokens_per_minute, settings.concurrency)


def budget_of(settings: BudgetSettings) -> Budget:
    """Return the budget of all access tokens together. Raises ValueError where it can't be one."""
    return Budget(picousd(settings.usd), settings.per)
