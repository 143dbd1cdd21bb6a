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


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        ("@@@\nHost key for bastion has changed and you…", "bastion shows another host key", "-R bastion"),
        ("Host key verification failed.", "does not know the host key of relay", "`ssh me@relay`"),
        (
            "No ED25519 host key is known for hop and you…\r\nHost key verification failed.",
            "does not know the host key of hop",
            "`ssh me@relay`",
        ),
        ("me@relay: Permission denied (publickey).", "me@relay: Permission denied (publickey).", "ec2-user"),
        (
            "ssh: Could not resolve hostname relay: Name or service not known",
            "resolve hostname",
            "name right",
        ),
        ("ssh: connect to host relay port 22: Connection timed out", "timed out", "security group"),
        ("sh: 1: exec: sudo: not found", "no sudo there", "--print"),
        ("sudo: a password is required", "sudo asks for a password", "--print"),
        ("Sorry, user me may not run sudo on relay.", "may not run sudo", "--print"),
        ("This account is currently not available.", "not available", "does `ssh me@relay` work?"),
        ("", "did not run to its end", "does `ssh me@relay` work?"),
    ],
)
def test_what_ssh_says_is_told_with_what_to_do(said: str, message: str, hint: str) -> None:
    speak = f"import sys; sys.stderr.write({said!r}); sys.exit(255)"
    with pytest.raises(ChatVaultError) as raised:
        run_script("me@relay", "", is_dry=True, ssh=(sys.executable, "-c", speak))
    assert message in raised.value.message
    assert raised.value.message.count("me@relay") < 2
    assert hint in (raised.value.hint or "")


_GREETING = r"""
import sys
said = b"changes ahead\nchanges \nchanges -5\nerror: none\nerror none\nol\xe9\nwould do it\nchanges 2\n"
sys.stdout.buffer.write(said)
sys.stderr.buffer.write(b"Bient\xf4t\n")
"""


def test_a_login_may_greet_in_any_words_and_any_encoding() -> None:
    done = run_script("me@relay", "", is_dry=True, ssh=(sys.executable, "-c", _GREETING))
    assert done.changes == 2
    assert done.lines[-3:] == ("error none", "ol\ufffd", "would do it")


@pytest.mark.parametrize(
    "said",
    ["changes", "changes -1", "changes 1 or 2", "changes \N{FULLWIDTH DIGIT ONE}", "changes 99999"],
)
def test_a_script_that_did_not_come_to_its_last_word_has_failed(said: str) -> None:
    speak = f"import sys; sys.stdout.buffer.write({said!r}.encode())"
    with pytest.raises(ChatVaultError):
        run_script("me@relay", "", is_dry=True, ssh=(sys.executable, "-c", speak))


def test_what_a_relay_says_becomes_no_command_to_paste() -> None:
    said = "Host key for x;curl${IFS}y|sh has changed\nHost key for -oX has changed\nPermission denied (x)."
    speak = f"import sys; sys.stderr.write({said!r}); sys.exit(255)"
    with pytest.raises(ChatVaultError) as raised:
        run_script("me@relay", "", is_dry=True, ssh=(sys.executable, "-c", speak))
    assert "IFS" not in (raised.value.hint or "") and "ssh-keygen -R" not in (raised.value.hint or "")


def test_a_host_with_a_port_is_quoted_for_the_shell() -> None:
    speak = "import sys; sys.stderr.write('Host key for [::1]:2222 has changed and you'); sys.exit(255)"
    with pytest.raises(ChatVaultError) as raised:
        run_script("me@relay", "", is_dry=True, ssh=(sys.executable, "-c", speak))
    assert "ssh-keygen -R '[::1]:2222'" in (raised.value.hint or "")
