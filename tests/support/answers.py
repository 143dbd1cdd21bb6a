"""An upstream's answers without a network: what was asked is kept, what is answered is given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from chatvault.errors import ProviderError


class FakeAnswer:
    """An HTTP answer made of `pieces`; an error among them is raised in its turn."""

    def __init__(
        self,
        *pieces: bytes | ProviderError,
        status: int = 200,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self.status = status
        self.headers = list(headers)
        self.payloads_seen = 0
        self.reads = 0
        self.is_closed = False
        self._pieces = list(pieces)

    def header(self, name: bytes) -> str | None:
        return next((value.decode() for key, value in self.headers if key == name), None)

    async def read(self) -> bytes:
        return self.take()

    def notify(self, told: Callable[[], None] | None) -> None:
        """Do nothing: all there is can be taken at once."""

    def take(self) -> bytes:
        self.reads += 1
        while self._pieces:
            piece = self._pieces.pop(0)
            if isinstance(piece, ProviderError):
                raise piece
            if piece:
                return piece
        return b""

    async def read_all(self, limit: int = 64 << 20) -> bytes:
        whole = b""
        while data := await self.read():
            whole += data
        return whole

    def payload_seen(self) -> None:
        self.payloads_seen += 1

    def close(self) -> None:
        self.is_closed = True


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    manual_clock: bool


@dataclass
class FakeClient:
    """An HTTP client that gives `answers` in turn."""

    answers: list[FakeAnswer | ProviderError]
    asked: list[Asked] = field(default_factory=list)
    is_closed: bool = False

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes = b"",
        manual_clock: bool = False,
    ) -> FakeAnswer:
        told = {name.decode().lower(): value.decode() for name, value in headers}
        self.asked.append(Asked(method, path, told, body, manual_clock))
        answer = self.answers.pop(0)
        if isinstance(answer, ProviderError):
            raise answer
        return answer

    async def aclose(self) -> None:
        self.is_closed = True


def cut(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Cut `data` at `cuts` (taken modulo its length)."""
    edges = [0, *sorted(at % (len(data) + 1) for at in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]
