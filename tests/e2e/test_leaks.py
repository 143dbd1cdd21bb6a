"""Nothing leaks: what a run of all there is leaves behind, searched for every key and access token it used.

Searched are logs (as text, as JSON), the database with all that lies beside it, backups, exports, archives,
answers to clients, what commands print, and the environment and arguments of the processes.
"""

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.clients import Caller, ask, chat
from tests.support.daemon import Daemon
from tests.support.openai_shape import MODEL, UPSTREAM_KEY, chunk, provider, refusal, settings, whole
from tests.support.ports import free_port
from tests.support.scripted import CUT, Answer, Upstream, data, event_stream

_KEY = "sk-ant-api03-leak-canary-7Qx2mP"
_ENV_KEY = "sk-env-leak-canary-0dK3vT9w"
_EVIL = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe"


@pytest.fixture(scope="module", params=["text", "json"])
def spoken(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Spoken"]:
    """A daemon that met all kinds of requests, and all that was heard of it."""
    with Upstream() as upstream:
        config = settings(upstream.url)
        config["providers"]["bad"] = provider(upstream.url, api_key=_KEY)
        config["providers"]["env"] = provider(upstream.url, api_key="env:LEAK_CANARY")
        config["providers"]["gone"] = provider(f"http://127.0.0.1:{free_port()}", api_key=_KEY)
        config["prices"]["overrides"].append({"model": "x", "per_mtok": {"input": 1, "output": 2}})
        config["log"] = {"level": "debug", "format": request.param}
        config["audit"] = {"content": "errors"}
        home = tmp_path_factory.mktemp("leaks") / "home"
        daemon = Daemon(home, config, env={"LEAK_CANARY": _ENV_KEY}, secrets=[UPSTREAM_KEY, _KEY, _ENV_KEY])
        with daemon.start():
            found = Spoken(daemon)
            found.speak(upstream)
            yield found


class Spoken:
    """What a daemon was told and what it answered."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.heard: list[bytes] = []
        self.printed: list[bytes] = []
        self.arguments: list[bytes] = []

    def speak(self, upstream: Upstream) -> None:
        daemon = self.daemon
        self.first = daemon.add_token("phone")
        self.second = daemon.add_token("tablet", "--content", "full")
        echoing = refusal(401, f"Incorrect API key provided: {_KEY}. Authorization: Bearer {_KEY}")
        scripts = (
            lambda seen: whole(),
            echoing,
            refusal(400, f"your key {UPSTREAM_KEY} is not for this"),
            refusal(500, f"Traceback: headers={{'Authorization': 'Bearer {_KEY}'}}"),
            lambda seen: Answer([f"<html>{seen.headers.get('authorization')}</html>".encode()]),
            lambda seen: event_stream(
                chunk("half "), data({"error": {"message": f"bad {seen.headers.get('authorization')}"}}), CUT
            ),
        )
        for script in scripts:
            upstream.script = script
            for model in (MODEL, "bad/x", "env/x", "gone/x"):
                for stream in (False, True):
                    self._ask(chat(model, stream=stream), self.second)
        self._ask(chat(MODEL, temperature=self.first), self.first)
        self._ask({**chat(MODEL), "api_key": _KEY}, self.first)
        self._ask(chat(f"model-{_EVIL}"), self.first)
        self._ask(chat(MODEL), self.first[:-1] + "x")
        self._ask(chat(MODEL), _KEY)
        agent = f"evil\x9b2J Bearer {self.second}"
        with Caller(daemon.port) as caller:
            caller.send(chat(MODEL), secret=self.first, headers={"user-agent": agent})
            self.heard.append(caller.read_until(b"\r\n\r\n"))
        self._command("tokens", "rotate", "phone", "--grace", "0", "--json", is_secret=True)
        self._command("tokens", "revoke", "tablet")
        for words in (
            ("status",),
            ("tokens", "list", "--all"),
            ("usage", "--by", "client,model"),
            ("usage", "--csv", "--by", "client,model"),
            ("usage", "tail"),
            ("keys", "list"),
            ("config", "show"),
            ("config", "check"),
            ("models",),
            ("doctor",),
            ("audit", "tail", "-n", "500"),
            ("audit", "export", "--out", "chain.ndjson"),
            ("audit", "export", "--csv", "--out", "chain.csv"),
            ("audit", "prune", "--keep", "1d"),
            ("backup", "create"),
            ("--debug", "usage", "--since", "nonsense"),
        ):
            self._command(*words)
        assert daemon.process
        self.arguments.append(Path(f"/proc/{daemon.process.pid}/cmdline").read_bytes())

    def _ask(self, body: object, secret: str) -> None:
        heard = ask(self.daemon.url, secret, body)
        self.heard += [heard.body, repr(dict(heard.headers)).encode()]

    def _command(self, *words: str, is_secret: bool = False) -> None:
        done = self.daemon.run(*words)
        if is_secret:
            self.daemon.secrets.append(json.loads(done.stdout)["secret"])
        else:
            self.printed += [done.stdout.encode(), done.stderr.encode()]

    def everything(self) -> Iterator[tuple[str, bytes]]:
        """Yield all that was written or said, by what it is."""
        for path in sorted(self.daemon.home.rglob("*")):
            if path.is_file() and path.name != "config.yaml":
                yield str(path.relative_to(self.daemon.home)), path.read_bytes()
        for number, said in enumerate(self.heard):
            yield f"answer {number}", said
        for number, said in enumerate(self.printed):
            yield f"printed {number}", said
        for said in self.arguments:
            yield "arguments", said


def _disguises(secret: str) -> list[bytes]:
    plain = secret.encode()
    return [
        plain,
        base64.b64encode(plain),
        plain.hex().encode(),
        quote(secret).encode(),
        plain[::-1],
        plain[:-3],
    ]


def test_no_key_and_no_access_token_is_found_anywhere(spoken: Spoken) -> None:
    names = []
    for name, content in spoken.everything():
        names.append(name)
        for secret in spoken.daemon.secrets:
            for disguise in _disguises(secret):
                assert disguise not in content, f"{name} holds {disguise!r}"
    for wanted in ("serve.log", "chatvault.db", "chain.ndjson", "chain.csv"):
        assert wanted in names
    assert any(name.startswith("backups/") for name in names)


def test_no_byte_from_outside_moves_a_cursor(spoken: Spoken) -> None:
    for name, content in spoken.everything():
        if name in ("serve.log", "chain.csv", "chain.ndjson") or name.startswith(("answer", "printed")):
            assert b"\x1b" not in content, name
            # A client's own JSON may hold its own text; what people look at may not.
            assert name.startswith("answer") or "\u202e".encode() not in content, name


def test_hashes_of_access_tokens_stay_in_the_database(spoken: Spoken) -> None:
    digests = [hashlib.sha256(secret.encode()) for secret in spoken.daemon.secrets]
    for name, content in spoken.everything():
        if "chatvault" in name and ".db" in name:
            continue
        for digest in digests:
            assert digest.digest() not in content and digest.hexdigest().encode() not in content, name


def test_a_crash_of_the_program_shows_no_values(tmp_path: Path) -> None:
    program = (
        "import logging, sys\n"
        "from chatvault.daemon import logs\n"
        "handler = logs.set_up(level='debug', format='text', journal_stream=None)\n"
        f"key = {_KEY!r}\n"
        "def call(key):\n"
        "    raise RuntimeError('it broke with ' + key)\n"
        "try:\n"
        "    call(key)\n"
        "except RuntimeError:\n"
        "    logging.getLogger('any').exception('failed for %s', key)\n"
        "handler.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, cwd=Path.cwd())
    assert b"it broke with" in done.stderr and b"failed for" in done.stderr
    assert _KEY.encode() not in done.stderr
