"""Tests of the gateway's certificate."""

import asyncio
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from chatvault.errors import ConfigError
from chatvault.gateway import private_ca
from chatvault.gateway.private_ca import Pair
from chatvault.gateway.tls import Certificates, read_facts
from chatvault.gateway.tls_checks import check_tls
from tests.support.guarded import Served, hang_up, request, served

NOW = datetime.now(UTC)
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@pytest.fixture(scope="module")
def authority() -> Pair:
    return private_ca.new_authority(NOW)


class Files:
    """A pair on disk, replaced as renewals do: by a new file under the old name."""

    def __init__(self, folder: Path, pair: Pair) -> None:
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        self.write(pair)

    def write(self, pair: Pair) -> None:
        for path, text in ((self.key, pair.key), (self.cert, pair.cert)):
            fresh = path.with_suffix(".new")
            fresh.write_text(text)
            os.replace(fresh, path)


def made(authority: Pair, *names: str, now: datetime = NOW) -> Pair:
    return private_ca.new_certificate(authority, names or ("localhost",), now=now)


def trusting(authority: Pair) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority.cert)


def test_clients_get_at_least_tls_1_2_and_http_1_1(tmp_path: Path, authority: Pair) -> None:
    files = Files(tmp_path, made(authority))
    certificates = Certificates(files.cert, files.key)
    client = trusting(authority)
    client.set_alpn_protocols(["h2", "http/1.1"])
    old = trusting(authority)
    # Else OpenSSL on this side knows no cipher for so old a version, and nothing is asked of the server.
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning):
        old.maximum_version = ssl.TLSVersion.TLSv1_1

    async def main() -> None:
        async with served(certificates=certificates, client=client) as server:
            _, writer = await server.connect()
            found = writer.get_extra_info("ssl_object")
            assert found.version() == "TLSv1.3"
            assert found.selected_alpn_protocol() == "http/1.1"
            await hang_up(writer)
            server.client = old
            # asyncio closes before its alert has left.
            with pytest.raises(ConnectionError):
                await server.connect()
            server.client = client
            await server.is_served()
            assert server.app.scopes[0]["scheme"] == "https"
            assert server.app.scopes[0]["client"][0] == "127.0.0.1"

    uvloop.run(main())


def test_old_versions_and_renegotiation_are_off_whatever_openssl_leaves_on(
    tmp_path: Path, authority: Pair
) -> None:
    files = Files(tmp_path, made(authority))
    context = Certificates(files.cert, files.key).context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_renewed_certificate_is_taken_up_and_no_connection_notices(
    run: object, tmp_path: Path, authority: Pair
) -> None:
    files = Files(tmp_path, made(authority, "localhost"))
    certificates = Certificates(files.cert, files.key)
    serial = read_facts(files.cert).fingerprint

    async def main() -> None:
        async with served(certificates=certificates, client=trusting(authority)) as server:
            reader, writer = await server.connect()
            writer.write(request(b"GET", b"/"))
            await reader.readuntil(b"\r\n\r\n0")
            files.write(made(authority, "localhost", "renewed.example"))
            assert certificates.refresh()
            assert not certificates.refresh()
            assert certificates.facts.fingerprint != serial
            assert "renewed.example" in await names_seen(server)
            writer.write(request(b"GET", b"/"))
            await reader.readuntil(b"\r\n\r\n0")
            await hang_up(writer)

    (uvloop.run if run is uvloop.run else asyncio.run)(main())


async def names_seen(server: Served) -> list[str]:
    _, writer = await server.connect()
    found = writer.get_extra_info("peercert")["subjectAltName"]
    await hang_up(writer)
    return [name for _, name in found]


def test_a_bad_renewal_leaves_the_certificate_from_before_in_use(tmp_path: Path, authority: Pair) -> None:
    files = Files(tmp_path, made(authority))
    certificates = Certificates(files.cert, files.key)
    context = certificates.context
    files.key.write_text(made(authority).key)
    with pytest.raises(ConfigError, match="is not the key of"):
        certificates.refresh()
    assert certificates.context is context
    assert not certificates.refresh(), "the same bad files are complained of once"
    files.write(made(authority))
    assert certificates.refresh()
    assert certificates.context is not context


def test_files_that_vanish_are_no_reason_to_stop(tmp_path: Path, authority: Pair) -> None:
    files = Files(tmp_path, made(authority))
    certificates = Certificates(files.cert, files.key)
    files.cert.unlink()
    with pytest.raises(ConfigError, match="can't be read"):
        certificates.refresh()
    assert certificates.context is not None


def test_what_is_wrong_with_a_pair_is_said(tmp_path: Path, authority: Pair) -> None:
    files = Files(tmp_path, made(authority))
    encrypted = tmp_path / "encrypted.pem"
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    other, rubbish, missing = tmp_path / "other.pem", tmp_path / "rubbish.pem", tmp_path / "missing.pem"
    other.write_text(made(authority).key)
    rubbish.write_text("no PEM")
    expired = tmp_path / "expired.pem"
    pair = made(authority, now=NOW - timedelta(days=1000))
    expired.write_text(pair.cert)
    expired_key = tmp_path / "expired.key"
    expired_key.write_text(pair.key)
    for cert, key_path, said in (
        (missing, files.key, r"server\.tls\.cert: .*missing\.pem can't be read: No such file"),
        (files.cert, missing, r"server\.tls\.key: .*missing\.pem can't be read: No such file"),
        (rubbish, files.key, "holds no certificate in PEM form"),
        (files.cert, rubbish, r"rubbish\.pem holds no private key in PEM form"),
        (files.cert, other, r"other\.pem is not the key of .*cert\.pem"),
        (files.cert, encrypted, "is encrypted"),
        (expired, expired_key, r"expired\.pem expired on 20"),
    ):
        with pytest.raises(ConfigError, match=said) as raised:
            Certificates(cert, key_path)
        assert raised.value.hint


def _odd_pair(folder: Path, key: PrivateKey, *extensions: x509.ExtensionType) -> Files:
    """A certificate that signs itself, as it lies in files."""
    folder.mkdir(exist_ok=True)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "odd")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(days=90))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(pem)
    return Files(folder, Pair(certificate.decode(), secret.decode()))


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(ec.generate_private_key(ec.SECP256K1()), id="secp256k1"),
        pytest.param(ec.generate_private_key(ec.BrainpoolP256R1()), id="brainpool"),
    ],
)
def test_a_key_that_no_client_takes_is_refused(tmp_path: Path, key: PrivateKey) -> None:
    files = _odd_pair(tmp_path, key)
    with pytest.raises(ConfigError, match="no client can be served"):
        Certificates(files.cert, files.key)


def test_a_key_of_another_kind_is_another_pairs(tmp_path: Path, authority: Pair) -> None:
    files = Files(tmp_path, made(authority))
    other = _odd_pair(tmp_path / "other", rsa.generate_private_key(65537, 2048))
    with pytest.raises(ConfigError, match="is not the key of"):
        Certificates(files.cert, other.key)


@pytest.mark.parametrize("damage", [b"\x30\x05names", bytes.fromhex("30058703010203")])
def test_a_damaged_renewal_is_said_and_not_taken_up(tmp_path: Path, authority: Pair, damage: bytes) -> None:
    """What it holds is decoded when it is looked at: loading it shows nothing."""
    files = Files(tmp_path, made(authority))
    certificates = Certificates(files.cert, files.key)
    context = certificates.context
    names = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, damage)
    _odd_pair(tmp_path, ec.generate_private_key(ec.SECP256R1()), names)
    with pytest.raises(ConfigError, match="is damaged"):
        certificates.refresh()
    assert certificates.context is context


def test_the_daemon_looks_for_changes_by_itself(tmp_path: Path, authority: Pair) -> None:
    files = Files(tmp_path, made(authority))
    certificates = Certificates(files.cert, files.key)
    before = certificates.facts.fingerprint

    async def main() -> None:
        told: list[str | None] = []
        looking = asyncio.ensure_future(certificates.keep_fresh(told.append, look_seconds=0.01))
        files.cert.write_text("nonsense")
        async with asyncio.timeout(20):
            while not told:
                await asyncio.sleep(0.01)
        assert "no certificate" in str(told[0]) and certificates.facts.fingerprint == before
        files.write(made(authority))
        async with asyncio.timeout(20):
            while certificates.facts.fingerprint == before:
                await asyncio.sleep(0.01)
        assert told[-1] is None
        looking.cancel()

    asyncio.run(main())


def test_openssls_strict_check_accepts_what_is_made(tmp_path: Path, authority: Pair) -> None:
    files = Files(tmp_path, made(authority))
    client = trusting(authority)
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT

    async def main() -> None:
        async with served(certificates=Certificates(files.cert, files.key), client=client) as server:
            await server.is_served()

    asyncio.run(main())


def test_a_certificate_is_no_longer_good_than_phones_allow(authority: Pair) -> None:
    pair = made(authority, "gw.example.org", "203.0.113.9", "2001:db8::9")
    assert private_ca.not_after(pair.cert) - NOW < timedelta(days=825)
    assert "PRIVATE KEY" not in repr(pair)


class TestDoctor:
    def check(self, tmp_path: Path, pair: Pair, *names: str, now: datetime = NOW) -> tuple[str, str]:
        files = Files(tmp_path, pair)
        found = check_tls(files.cert, files.key, host="0.0.0.0", names=names, now=now)
        return found.status, found.detail

    def test_a_good_certificate_passes(self, tmp_path: Path, authority: Pair) -> None:
        pair = made(authority, "gw.example.org", "*.home.example", "203.0.113.9")
        status, detail = self.check(tmp_path, pair, "gw.example.org", "box.home.example", "203.0.113.9")
        assert status == "pass" and "days left" in detail

    @pytest.mark.parametrize("name", ["other.example", "a.b.home.example", "home.example", "203.0.113.8"])
    def test_one_for_other_names_fails(self, tmp_path: Path, authority: Pair, name: str) -> None:
        status, detail = self.check(tmp_path, made(authority, "*.home.example", "203.0.113.9"), name)
        assert status == "fail" and name in detail

    def test_one_that_ends_soon_is_a_warning(self, tmp_path: Path, authority: Pair) -> None:
        status, _ = self.check(tmp_path, made(authority), now=NOW + timedelta(days=810))
        assert status == "warn"

    def test_one_that_can_not_be_read_fails(self, tmp_path: Path) -> None:
        found = check_tls(tmp_path / "no", tmp_path / "no", host="0.0.0.0", names=(), now=NOW)
        assert found.status == "fail" and found.fix

    @pytest.mark.parametrize(
        ("host", "status"), [("127.0.0.1", "skip"), ("::1", "skip"), ("0.0.0.0", "warn")]
    )
    def test_without_one_it_matters_who_can_listen(self, host: str, status: str) -> None:
        assert check_tls(None, None, host=host, names=(), now=NOW).status == status

    def test_a_tunnel_without_one_fails_whoever_can_listen_here(self) -> None:
        found = check_tls(None, None, host="127.0.0.1", names=(), now=NOW, has_tunnel=True)
        assert found.status == "fail" and "tunnel" in found.detail
