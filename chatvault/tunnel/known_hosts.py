"""The relay's host keys as they were pinned when it was set up; any other key is refused."""

import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import asyncssh

from chatvault.errors import ChatVaultError
from chatvault.tunnel.faults import explain

_SHOW_SECONDS = 20.0
_ANEW = "move it away; `chatvault tunnel setup USER@HOST` pins the relay's key anew"


def known_hosts_file(ssh_dir: Path) -> Path:
    """Return where the pinned keys lie."""
    return ssh_dir / "known_hosts"


def host_pattern(host: str, port: int) -> str:
    """Return the host as known_hosts writes it."""
    return host if port == 22 else f"[{host}]:{port}"


def pinned(ssh_dir: Path, host: str, port: int) -> tuple[str, ...]:
    """Return the keys pinned for a relay, each as `TYPE BASE64`; what is no key pins nothing.

    Raises ChatVaultError where the file can't be read.
    """
    return tuple(
        key
        for line in _lines(ssh_dir)
        if host_pattern(host, port) in line.split()[0].split(",")
        and _is_key(key := " ".join(line.split()[1:3]))
    )


def pin(ssh_dir: Path, host: str, port: int, keys: Sequence[str]) -> bool:
    """Pin `keys` (public lines) for a relay, in place of what was pinned for it; return whether that is new.

    Raises ChatVaultError for a line that is no key, or where the file can't be written.
    """
    if not keys:
        raise ChatVaultError(f"{host} showed no host key to pin")
    pattern = host_pattern(host, port)
    wanted = [f"{pattern} {_bare(host, key)}" for key in keys]
    others = [line for line in _lines(ssh_dir) if pattern not in line.split()[0].split(",")]
    text = "\n".join([*others, *wanted]) + "\n"
    path = known_hosts_file(ssh_dir)
    if path.exists() and path.read_text() == text:
        return False
    _write(path, text)
    return True


def replaced(ssh_dir: Path, host: str, port: int, keys: Sequence[str]) -> tuple[str, ...]:
    """Return the pinned keys that pinning `keys` would put others in the place of.

    Of a relay that shows one more key beside the pinned ones, or one fewer, none is. Raises ChatVaultError.
    """
    before = pinned(ssh_dir, host, port)
    after = {_bare(host, key) for key in keys}
    return tuple(each for each in before if each not in after) if after - set(before) else ()


async def shown_keys(host: str, port: int) -> tuple[str, ...]:
    """Return the ed25519 host key that a server shows within 20 s, without logging in.

    Raises ChatVaultError.
    """
    try:
        async with asyncio.timeout(_SHOW_SECONDS):
            key = await asyncssh.get_server_host_key(
                host,
                port,
                server_host_key_algs=["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512"],
                config=None,
            )
    except (OSError, asyncssh.Error) as exc:
        fault = explain(exc, relay=host_pattern(host, port))
        raise ChatVaultError(fault.reason, hint=fault.hint) from exc
    if key is None:
        raise ChatVaultError(f"{host}:{port} showed no host key")
    return (key.export_public_key("openssh").decode().strip(),)


def _is_key(line: str) -> bool:
    try:
        asyncssh.import_public_key(line)
    except asyncssh.KeyImportError:
        return False
    return True


def _bare(host: str, key: str) -> str:
    try:
        words = asyncssh.import_public_key(key).export_public_key("openssh").decode().split()
    except asyncssh.KeyImportError as exc:
        raise ChatVaultError(f"{host} showed a host key that can't be read: {exc}") from exc
    return f"{words[0]} {words[1]}"


def _lines(ssh_dir: Path) -> list[str]:
    try:
        text = known_hosts_file(ssh_dir).read_text()
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise ChatVaultError(
            f"{known_hosts_file(ssh_dir)} can't be read: {exc.strerror}",
            hint="check what it is, and who owns it",
        ) from exc
    except UnicodeDecodeError as exc:
        raise ChatVaultError(f"{known_hosts_file(ssh_dir)} is damaged: it is no text", hint=_ANEW) from exc
    return [line for line in text.splitlines() if len(line.split()) >= 3 and not line.startswith("#")]


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".known_hosts.", dir=path.parent)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if os.geteuid() == 0:
            owner = path.parent.parent.stat()
            os.chown(name, owner.st_uid, owner.st_gid)
            os.chown(path.parent, owner.st_uid, owner.st_gid)
        Path(name).replace(path)
    except OSError as exc:
        raise ChatVaultError(f"{path} can't be written: {exc.strerror}") from exc
