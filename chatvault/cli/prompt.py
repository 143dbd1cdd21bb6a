"""Questions at a terminal, asked on stderr."""

import sys


def hidden(question: str) -> str:
    """Ask for a secret; what is typed is not shown."""
    from getpass import getpass

    return getpass(question, stream=sys.stderr)


def line(question: str) -> str:
    """Ask for a line; the end of the input is an empty one."""
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def yes(question: str) -> bool:
    """Ask for a yes; Enter is one."""
    return line(f"{question} [Y/n] ").lower() in ("", "y", "yes")
