"""The command line's outermost layer: whatever happens, two lines and an exit code."""

import sys
from collections.abc import Sequence
from typing import cast

from chatvault.cli.commands import overview

_INTERRUPTED = 130


def run(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. Nothing that ChatVault foresees ends in a traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("--help", "-h", "help"):
        # Answered before typer is imported: that takes longer than everything else of a short command.
        return _say(overview())
    if words[0] == "--version":
        return _version()
    is_debug = _is_debug(words)
    sys.excepthook = sys.__excepthook__ if is_debug else _last_words
    return _run(words, is_debug=is_debug)


def _run(words: list[str], *, is_debug: bool) -> int:
    import typer
    from typer.main import get_command

    from chatvault.cli.app import root
    from chatvault.cli.far_reading import answer
    from chatvault.cli.output import complain
    from chatvault.errors import ChatVaultError

    # Typer brings click along since 0.28, and needed it installed before: this is the way to its class.
    click_error = cast("type[Exception]", typer.BadParameter.__mro__[2])
    try:
        if (told := answer(words)) is not None:
            return told
        code = get_command(root).main(words, prog_name="chatvault", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except ChatVaultError as exc:
        if is_debug:
            raise
        complain(str(exc), exc.hint)
        return exc.exit_code
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("\n")
        return _INTERRUPTED
    except typer.Exit as exc:
        return exc.exit_code
    except BrokenPipeError:
        return _reader_left()
    except SystemExit as exc:
        # Click's own way out when it meets a broken pipe first.
        return exc.code if isinstance(exc.code, int) else 1
    except click_error as exc:
        complain(_sentence(exc), _usage_hint(exc))
        return 2


def _sentence(exc: BaseException) -> str:
    message: str = exc.format_message() if hasattr(exc, "format_message") else str(exc)
    return " ".join(message.split()) or "something is missing"


def _usage_hint(exc: BaseException) -> str:
    ctx = getattr(exc, "ctx", None)
    return f"{ctx.command_path if ctx is not None else 'chatvault'} --help"


def _version() -> int:
    from chatvault import __version__

    return _say(f"chatvault {__version__}")


def _say(text: str) -> int:
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_left()
    return 0


def _reader_left() -> int:
    # `| head` has seen enough. What is still buffered must not fail again when the interpreter ends.
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _is_debug(words: list[str]) -> bool:
    # Only before the command: after it, words may be anybody's.
    for word in words:
        if word == "--debug":
            return True
        if not word.startswith("-"):
            return False
    return False


def _last_words(kind: type[BaseException], exc: BaseException, trace: object) -> None:
    from chatvault.cli.output import complain

    complain(
        f"ChatVault made a mistake: {kind.__name__}: {exc}", "chatvault --debug … shows where; report it"
    )
