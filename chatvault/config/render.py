"""Settings as plain values and as YAML, every key in its place and every secret masked."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import yaml

from chatvault.config.scalars import duration_text
from chatvault.config.settings import ProviderEntry
from chatvault.core.json_types import Json
from chatvault.core.secret import Secret


def plain(value: object) -> Json:
    """Return `value`, a settings class or what one holds, as JSON has it. Secrets come out masked."""
    if isinstance(value, ProviderEntry):
        inner = plain(value.settings)
        return {"kind": value.kind, **(inner if isinstance(inner, Mapping) else {})}
    if is_dataclass(value) and not isinstance(value, type):
        # `path` is where the settings came from, not one of them.
        names = [
            each.name
            for each in fields(value)
            if not isinstance(getattr(value, each.name), Path) or each.name != "path"
        ]
        return {name.rstrip("_"): plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    if isinstance(value, Secret):
        return value.masked()
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, Path | date | ZoneInfo | Decimal):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a setting of type {type(value).__name__} can't be shown")


def as_yaml(settings: object) -> str:
    """Return the settings as YAML."""
    return yaml.safe_dump(plain(settings), sort_keys=False, allow_unicode=True, width=100)
