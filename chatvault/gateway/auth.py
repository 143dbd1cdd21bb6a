"""Who is at the door: from a request's headers to its access token."""

from collections.abc import Callable, Iterable

from chatvault.core.access import AccessToken, is_well_formed, secret_hash

_Headers = Iterable[tuple[bytes, bytes]]
# Spaces make one secret into many headers: what is remembered stays bounded.
_MOST_REMEMBERED = 4096

PROBE_ID = "probe"
"""The id of the identity that `doctor` and the outside check use: it makes no ledger row."""


class Doorkeeper:
    """Know every access token by its secret's hash; looked up by equality, so that timing reveals nothing.

    What was let in once is remembered by the raw header, until `replace` brings a change: a revocation holds
    from the next request on.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._by_hash: dict[bytes, AccessToken] = {}
        self._by_header: dict[tuple[bytes, bytes], AccessToken] = {}
        self._probes: dict[bytes, AccessToken] = {}
        self._shut_out: set[str] = set()

    def replace(self, tokens: Iterable[tuple[AccessToken, bytes]]) -> None:
        """Take over all access tokens, each with the hash of a secret that opens it."""
        self._by_hash = {digest: token for token, digest in tokens}
        self._by_header.clear()

    def shut_out(self, name_or_id: str) -> AccessToken | None:
        """Refuse an access token from now on, whatever `replace` brings; return it, None where there is none.

        For a revocation that can't be written down: it holds for as long as this process runs.
        """
        now = self._now_ms()
        live = [token for token in self._by_hash.values() if token.revoked_at is None]
        found = next((token for token in live if token.id == name_or_id), None) or next(
            (token for token in live if token.name == name_or_id and token.is_valid(now)), None
        )
        if found is not None:
            self._shut_out.add(found.id)
            self._by_header.clear()
        return found

    def admit_probe(self, secret: str, *, until_ms: int) -> None:
        """Let one more secret in, for the echo provider alone and a short time."""
        now = self._now_ms()
        self._probes = {digest: token for digest, token in self._probes.items() if token.is_valid(now)}
        self._probes[secret_hash(secret)] = AccessToken(
            PROBE_ID, PROBE_ID, PROBE_ID, now, secret[-4:], ("echo/*",), True, until_ms
        )

    def identify(self, headers: _Headers) -> AccessToken | None:
        """Return the access token a request presents, or None: missing, malformed and revoked look alike."""
        for name, value in headers:
            if name == b"authorization" or name == b"x-api-key":
                token = self._by_header.get((name, value))
                if token is None:
                    token = self._look_up(value, is_bearer=name == b"authorization")
                if token is not None and (token.expires_at is None or self._now_ms() < token.expires_at):
                    return token
        return None

    def _look_up(self, value: bytes, *, is_bearer: bool) -> AccessToken | None:
        text = value.decode("latin-1").strip()
        if is_bearer:
            scheme, _, text = text.partition(" ")
            text = text.strip()
            if scheme.lower() != "bearer":
                return None
        if not is_well_formed(text):
            return None
        digest = secret_hash(text)
        token = self._by_hash.get(digest)
        if token is None:
            return self._probes.get(digest)
        if token.revoked_at is not None or token.id in self._shut_out:
            return None
        if len(self._by_header) >= _MOST_REMEMBERED:
            self._by_header.clear()
        self._by_header[b"authorization" if is_bearer else b"x-api-key", value] = token
        return token
