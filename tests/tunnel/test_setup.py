"""Running the relay script over the user's own `ssh`, where that is not the usual one."""

import sys
from pathlib import Path

import pytest

from chatvault.errors import ChatVaultError
from chatvault.tunnel.setup import run_script
from tests.support.namespaces import needs_root

# Splits the command into words and runs it, as a shell would that knows nothing of sh's own.
_OTHER_SHELL = """
import os, shlex, sys
words = shlex.split(sys.argv[-1])
assert words.pop(0) == "exec"
os.execvp(words[0], words)
"""


@needs_root
def test_the_logins_shell_may_be_any() -> None:
    ssh = (sys.executable, "-c", _OTHER_SHELL)
    done = run_script("me@relay", 'echo "would $1 it"; echo "changes 3"\n', is_dry=True, ssh=ssh)
    assert (done.lines, done.changes) == (("would show it",), 3)
    done = run_script("me@relay", 'echo "done $1 it"; echo "changes 0"\n', is_dry=False, ssh=ssh)
    assert (done.lines, done.changes) == (("done apply it",), 0)


def test_a_host_that_does_not_answer_is_given_up_soon(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    record = f"import sys; open({str(asked)!r}, 'w').write(' '.join(sys.argv)); sys.exit('ssh: timed out')"
    with pytest.raises(ChatVaultError, match="timed out"):
        run_script("me@relay", "", is_dry=True, ssh=(sys.executable, "-c", record))
    assert "ConnectTimeout=" in asked.read_text()
