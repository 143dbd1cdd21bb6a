"""`chatvault doctor`: everything is checked, and what is wrong comes with what mends it."""

from typing import Annotated

import typer

from chatvault.cli import output
from chatvault.cli.app import new_app
from chatvault.cli.context import Context

app = new_app("Check everything, and say how to mend what is wrong.", is_group=False)

_MARKS = {"pass": "✓", "warn": "!", "fail": "✗", "skip": "-"}


@app.command()
def doctor(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Check the program, settings, files, database, providers, prices and the way through the gateway.

    Exit code 1 where a check fails. What is skipped has not passed.
    """
    from chatvault.cli import checkup

    checks = checkup.run(Context.of(ctx))
    has_failed = any(each.status == "fail" for each in checks)
    if as_json:
        rows = [
            {"name": each.name, "status": each.status, "detail": each.detail, "fix": each.fix}
            for each in checks
        ]
        output.show_json({"ok": not has_failed, "checks": rows})
    else:
        width = max(len(each.name) for each in checks)
        for each in checks:
            mark = _MARKS[each.status]
            detail = f"skipped: {each.detail}" if each.status == "skip" else each.detail
            output.show(f"[{mark}] {each.name:<{width}}  {detail}")
            if each.fix is not None and each.status != "pass":
                output.show(f"    {mark} Fix: {each.fix}")
        output.show(checkup.summary(checks))
    if has_failed:
        raise typer.Exit(1)
