"""The man page, made from the program's own help: `python -m chatvault.cli.man_page DATE`."""

import sys

from chatvault import __version__
from chatvault.cli.command_tree import Node, nodes

_ENDING = r"""
.SH EXIT STATUS
0 fine; 1 found problems, or failed; 2 wrong usage or settings; 3 the daemon is not running; 4 no permission;
5 a provider failed; 6 already running or locked.
.SH FILES
.TP
.I /etc/chatvault/config.yaml
The settings of the system's service; a user's own lie where
.B chatvault config path
says.
.TP
.I /var/lib/chatvault/chatvault.db
Access tokens (hashed), the ledger and the audit chain.
.TP
.I /etc/credstore
Providers' keys for the service, a file each.
.SH ENVIRONMENT
.TP
.B CHATVAULT_HOME
A folder that holds everything.
.TP
.B NO_COLOR
Set to anything: no color.
.SH SEE ALSO
.BR systemctl (1),
.BR journalctl (1)
"""


def page(date: str) -> str:
    """Return the page in man's own language; `date` is printed at its foot."""
    lines = [
        f'.TH CHATVAULT 1 "{_escaped(date)}" "ChatVault {__version__}" "User commands"',
        ".SH NAME",
        r"chatvault \- one address for all language models, and an exact record of their use",
        ".SH SYNOPSIS",
        ".B chatvault",
        r"[\-\-config PATH] [\-\-debug] COMMAND [OPTIONS]",
        ".SH COMMANDS",
    ]
    for node in nodes():
        lines += _section(node)
    return "\n".join(lines) + _ENDING


def _section(node: Node) -> list[str]:
    call = " ".join(("chatvault", *node.words, *node.arguments))
    lines = [f".SS {_escaped(call)}", _escaped(node.help)]
    for option in node.options:
        names = ", ".join(rf"\fB{_escaped(name)}\fR" for name in option.names)
        takes = rf" \fI{_escaped(option.metavar)}\fR" if option.metavar else ""
        lines += [".TP", names + takes, _escaped(option.help) or r"\&"]
    return lines


def _escaped(text: str) -> str:
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    sys.stdout.write(page(sys.argv[1] if len(sys.argv) > 1 else ""))
