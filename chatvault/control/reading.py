"""What the system's daemon shows to members of its group, who can't open the database: a list of commands.

The commands run as they do for root, in a process of their own beside the daemon. Nothing that names a file,
changes anything or goes on for ever is among them.
"""

from collections.abc import Mapping, Sequence

from chatvault.errors import NotPermitted

_REPORT = frozenset({"--since", "--until", "--by", "--token", "--model", "--tz", "--csv", "--json"})
_OPTIONS: Mapping[tuple[str, ...], frozenset[str]] = {
    ("usage", "show"): frozenset({"--json"}),
    ("usage", "tail"): frozenset({"-n", "--json"}),
    ("usage",): _REPORT,
    ("audit", "verify"): frozenset({"--full", "--json"}),
    ("audit", "tail"): frozenset({"-n", "--json"}),
    ("tokens", "list"): frozenset({"--json"}),
    ("users", "list"): frozenset({"--json"}),
}
_MOST_WORDS = 40


def is_reading(words: Sequence[str]) -> bool:
    """Whether a command only reads the database."""
    return _command(words) is not None


def check_reading(words: Sequence[str]) -> None:
    """Refuse what a member of the group may not have run for them. Raises NotPermitted."""
    command = _command(words)
    if command is None or len(words) > _MOST_WORDS:
        raise NotPermitted("only reports are open to the group", hint="use sudo")
    for word in words[len(command) :]:
        if word.startswith("-") and word.partition("=")[0] not in _OPTIONS[command]:
            raise NotPermitted(f"{' '.join(command)} {word} is not open to the group", hint="use sudo")


def _command(words: Sequence[str]) -> tuple[str, ...] | None:
    for length in (2, 1):
        command = tuple(words[:length])
        if command in _OPTIONS:
            # `usage SOMETHING` is no report: only options may follow it.
            is_plain = length == 2 or len(words) == 1 or words[1].startswith("-")
            return command if is_plain else None
    return None
