"""How the tests of the guard reach its server: on both loops, plain and in TLS."""

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chatvault.gateway import private_ca
from chatvault.gateway.tls import Certificates
from tests.support.guarded import LOOPS, Way


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder: Path = tmp_path_factory.mktemp("tls")
    now = datetime.now(UTC)
    authority = private_ca.new_authority(now)
    pair = private_ca.new_certificate(authority, ["localhost", "127.0.0.1"], now=now)
    (folder / "cert.pem").write_text(pair.cert)
    (folder / "key.pem").write_text(pair.key)
    return {
        "certificates": Certificates(folder / "cert.pem", folder / "key.pem"),
        "client": ssl.create_default_context(cadata=authority.cert),
    }


@pytest.fixture(params=["plain", "tls"])
def layer(request: pytest.FixtureRequest, tls: dict[str, Any]) -> dict[str, Any]:
    return tls if request.param == "tls" else {}


@pytest.fixture(params=LOOPS)
def way(request: pytest.FixtureRequest, layer: dict[str, Any]) -> Way:
    return Way(request.param, layer)
