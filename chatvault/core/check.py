"""What a check of `doctor` finds out."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

CheckStatus: TypeAlias = Literal["pass", "warn", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: how it is, in words, and what mends it. What was skipped has not passed."""

    name: str
    status: CheckStatus
    detail: str
    fix: str | None = None
