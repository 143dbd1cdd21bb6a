"""Tests of `chatvault tls self-signed`."""

import json
import ssl
import stat
from pathlib import Path

import pytest

from chatvault.cli import tls_desk
from chatvault.cli.context import Context, GlobalOptions
from chatvault.errors import ChatVaultError, UsageError
from chatvault.gateway.tls import Certificates, read_facts


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(GlobalOptions(), {"CHATVAULT_HOME": str(tmp_path)}, is_root=False)


def test_keys_are_private_and_the_pair_fits(context: Context) -> None:
    made = tls_desk.make(context, names=("203.0.113.9", "gw.example.org"), out=None)
    for path in (made.key, made.ca_key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.key.parent.stat().st_mode) == 0o700
    facts = Certificates(made.cert, made.key).facts
    assert facts.names == ("203.0.113.9", "gw.example.org", "localhost", "127.0.0.1", "::1")
    assert ssl.create_default_context(cafile=str(made.ca))


def test_the_names_devices_use_are_taken_from_the_settings(context: Context, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "server: {host: 0.0.0.0, public_url: 'https://gw.example.org:8443/v1'}\n"
        "tunnel: {host: relay.example.org}\nproviders: {echo: {kind: echo}}\n"
    )
    made = tls_desk.make(context, names=(), out=None)
    assert made.names[:2] == ("gw.example.org", "relay.example.org")
    assert "0.0.0.0" not in made.names


def test_a_name_in_two_spellings_is_one_name(context: Context, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "tunnel: {host: '2001:DB8:0::5'}\nproviders: {echo: {kind: echo}}\n"
    )
    given = (
        "[::1]",
        "0:0:0:0:0:0:0:1",
        "GW.example.org",
        "gw.example.org",
        "[2001:db8::5]",
        "Bücher.example",
    )
    made = tls_desk.make(context, names=given, out=None)
    names = ["::1", "gw.example.org", "2001:db8::5", "xn--bcher-kva.example", "127.0.0.1", "localhost"]
    assert made.as_json()["names"] == names
    assert read_facts(made.cert).names == tuple(names)


def test_a_second_run_keeps_the_authority_and_the_names(context: Context) -> None:
    first = tls_desk.make(context, names=("gw.example.org",), out=None)
    old = read_facts(first.cert).fingerprint
    second = tls_desk.make(context, names=(), out=None)
    assert first.is_new_ca and not second.is_new_ca
    assert second.fingerprint == first.fingerprint
    assert "gw.example.org" in second.names
    assert read_facts(second.cert).fingerprint != old


def test_half_an_authority_is_not_overwritten(context: Context) -> None:
    made = tls_desk.make(context, names=(), out=None)
    made.ca_key.unlink()
    with pytest.raises(ChatVaultError, match=r"one is missing"):
        tls_desk.make(context, names=(), out=None)


@pytest.mark.parametrize(("name", "content"), [("ca.crt", b"junk"), ("ca.key", b"\xff\xfe")])
def test_an_authority_that_can_not_be_read_is_named(context: Context, name: str, content: bytes) -> None:
    made = tls_desk.make(context, names=(), out=None)
    (made.ca.parent / name).write_bytes(content)
    with pytest.raises(ChatVaultError, match=str(made.ca)) as raised:
        tls_desk.make(context, names=(), out=None)
    assert raised.value.hint == "move ca.crt and ca.key away"


@pytest.mark.parametrize("name", ["", "a b", "https://gw.example.org", "name\n", "[::1", "[gw.example.org]"])
def test_what_is_no_name_is_refused_and_nothing_is_written(
    context: Context, tmp_path: Path, name: str
) -> None:
    with pytest.raises(UsageError, match="neither a host name"):
        tls_desk.make(context, names=(name,), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_programs_get_paths_and_the_fingerprint(context: Context, tmp_path: Path) -> None:
    made = tls_desk.make(context, names=(), out=tmp_path / "elsewhere")
    shown = json.loads(json.dumps(made.as_json()))
    assert shown["ca"] == str(tmp_path / "elsewhere" / "ca.crt")
    assert len(shown["ca_sha256"].split(":")) == 32
