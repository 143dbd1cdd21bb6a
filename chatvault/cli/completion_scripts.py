"""Completion scripts that ask nothing of the program: a key press must not start Python."""

from chatvault.cli.command_tree import Node, nodes
from chatvault.cli.commands import COMMANDS

_GLOBAL = ("--config", "--debug", "--version", "--help")


def _words(node: Node) -> str:
    flags = [name for option in node.options for name in option.names]
    return " ".join((*node.commands, *flags, "--help"))


def bash() -> str:
    """Return the script for bash."""
    cases = "\n".join(f'        "{" ".join(node.words)}") words="{_words(node)}" ;;' for node in nodes())
    groups = "|".join(node.words[0] for node in nodes() if node.commands)
    return f"""# Completions for chatvault in bash.
_chatvault() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} command="" word words="" at
    for ((at = 1; at < COMP_CWORD; at++)); do
        word=${{COMP_WORDS[at]}}
        case $word in
        --config) ((at++)) ;;
        -*) ;;
        *)
            if [ -z "$command" ]; then
                command=$word
            else
                case $command in
                {groups}) command="$command $word" ;;
                esac
                break
            fi
            ;;
        esac
    done
    case $command in
        "") words="{" ".join((*COMMANDS, *_GLOBAL))}" ;;
{cases}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    if [ ${{#COMPREPLY[@]}} -eq 0 ] && [[ $current != -* ]]; then COMPREPLY=($(compgen -f -- "$current")); fi
}}
complete -F _chatvault chatvault
"""


def zsh() -> str:
    """Return the script for zsh: it lets bash's do the work, as zsh can."""
    return f"#compdef chatvault\nautoload -U +X bashcompinit && bashcompinit\n{bash()}"


def fish() -> str:
    """Return the script for fish."""
    top = "complete -c chatvault -n __fish_use_subcommand"
    lines = ["# Completions for chatvault in fish.", "complete -c chatvault -f"]
    for name, command in COMMANDS.items():
        lines.append(f"{top} -a {name} -d {_quoted(command.help)}")
    lines.append(
        "complete -c chatvault -n __fish_use_subcommand -l config -r -F -d 'Use another settings file.'"
    )
    for node in nodes():
        first, *rest = node.words
        seen = f"__fish_seen_subcommand_from {first}"
        if rest:
            seen += f"; and __fish_seen_subcommand_from {rest[0]}"
        for name in node.commands:
            only = f"{seen}; and not __fish_seen_subcommand_from {' '.join(node.commands)}"
            lines.append(f"complete -c chatvault -n {_quoted(only)} -a {name}")
        for option in node.options:
            flags = " ".join(
                f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names
            )
            takes = " -r" if option.metavar else ""
            lines.append(f"complete -c chatvault -n {_quoted(seen)} {flags}{takes} -d {_quoted(option.help)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
