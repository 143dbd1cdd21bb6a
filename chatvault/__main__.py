"""The program's door: `chatvault` and `python -m chatvault` both come in here."""

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from chatvault.cli.main import run

    sys.exit(run())


if __name__ == "__main__":
    main()
