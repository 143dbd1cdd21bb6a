"""The program's door: `chatvault` and `python -m chatvault` both come in here."""

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        from chatvault.cli.main import run

        code = run()
    except KeyboardInterrupt:
        # While modules are still being imported.
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
