"""The command line's outermost layer: whatever happens, two lines and an exit code."""

import errno
import sys
from collections.abc import Sequence
from typing import cast

from chatvault.cli.commands import overview

_INTERRUPTED = 130
# What a full or failing disk says of stdout.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)


def run(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. Nothing that ChatVault foresees ends in a traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("--help", "-h", "help"):
        # Answered before typer is imported: that takes longer than everything else of a short command.
        return _say(overview())
    if "--version" in words and set(words) <= {"--version", "--json"}:
        return _version(as_json="--json" in words)
    is_debug = _is_debug(words)
    sys.excepthook = sys.__excepthook__ if is_debug else _last_words
    try:
        return _run(words, is_debug=is_debug)
    except KeyboardInterrupt:
        # Before the command itself ran: while modules were being imported.
        return _interrupted()


def _run(words: list[str], *, is_debug: bool) -> int:
    import typer
    from typer.main import get_command

    from chatvault.cli.app import root
    from chatvault.cli.far_reading import answer
    from chatvault.cli.output import complain
    from chatvault.errors import ChatVaultError, NotPermitted

    click_error = click_exception()
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
        return _interrupted()
    except typer.Exit as exc:
        return exc.exit_code
    except BrokenPipeError:
        return _reader_left()
    except SystemExit as exc:
        # Click's own way out when it meets a broken pipe first.
        return exc.code if isinstance(exc.code, int) else 1
    except PermissionError as exc:
        if is_debug:
            raise
        complain(
            f"{exc.filename or 'something'} is not yours to use: {exc.strerror}", "sudo, or as its owner"
        )
        return NotPermitted.exit_code
    except OSError as exc:
        if exc.errno not in _UNWRITABLE:
            raise
        return _unwritten(exc)
    except click_error as exc:
        if type(exc).__name__ == "NoArgsIsHelpError":
            # Its message is the group's help.
            sys.stderr.write(f"{exc}\n")
            return 2
        complain(_sentence(exc), _usage_hint(exc))
        return 2


def click_exception() -> type[Exception]:
    """Return the class of all of click's errors.

    Typer brings click along since 0.28, and needed it installed before: this is the way to it in both.
    """
    import typer

    bases = typer.BadParameter.__mro__
    return cast("type[Exception]", next(each for each in bases if each.__name__ == "ClickException"))


def _sentence(exc: BaseException) -> str:
    message: str = exc.format_message() if hasattr(exc, "format_message") else str(exc)
    return " ".join(message.split()) or "something is missing"


def _usage_hint(exc: BaseException) -> str:
    ctx = getattr(exc, "ctx", None)
    return f"{ctx.command_path if ctx is not None else 'chatvault'} --help"


def _version(*, as_json: bool) -> int:
    from chatvault import __version__

    if not as_json:
        return _say(f"chatvault {__version__}")
    import json

    return _say(json.dumps({"schema": 1, "version": __version__}))


def _say(text: str) -> int:
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_left()
    except OSError as exc:
        return _unwritten(exc)
    return 0


def _interrupted() -> int:
    sys.stderr.write("\n")
    return _INTERRUPTED


def _unwritten(exc: OSError) -> int:
    from chatvault.cli.output import complain

    complain(f"the output can't be written: {exc.strerror}", "write it somewhere with room: df shows where")
    return _reader_left()


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
