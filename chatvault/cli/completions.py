"""`chatvault completions`: what a shell needs to complete commands and options, made from the commands."""

from enum import StrEnum
from typing import Annotated

import typer

from chatvault.cli import output
from chatvault.cli.app import new_app

app = new_app("Completions for a shell: bash, zsh or fish.", is_group=False)


class Shell(StrEnum):
    """The shells that are known."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@app.command()
def completions(shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print the completions for a shell: `source <(chatvault completions bash)`."""
    from chatvault.cli import completion_scripts

    make = {
        Shell.BASH: completion_scripts.bash,
        Shell.ZSH: completion_scripts.zsh,
        Shell.FISH: completion_scripts.fish,
    }[shell]
    for line in make().splitlines():
        output.show(line)
