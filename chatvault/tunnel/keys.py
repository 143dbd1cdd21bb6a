"""The tunnel's own SSH key: ed25519, no passphrase, readable by its owner alone from its first byte on."""

import os
from contextlib import suppress
from pathlib import Path

import asyncssh

from chatvault.errors import ChatVaultError, NotPermitted

_COMMENT = "chatvault tunnel"


def key_file(ssh_dir: Path) -> Path:
    """Return where the private key lies."""
    return ssh_dir / "id_ed25519"


def ensure_key(ssh_dir: Path) -> str:
    """Return the public half, making the key if there is none. Raises ChatVaultError."""
    path = key_file(ssh_dir)
    if not path.exists():
        _make(path)
    return public_half(ssh_dir)


def public_half(ssh_dir: Path) -> str:
    """Return the public half, one line as authorized_keys has it. Raises ChatVaultError."""
    path = key_file(ssh_dir)
    try:
        key = asyncssh.read_private_key(path)
    except FileNotFoundError as exc:
        raise ChatVaultError(f"there is no key at {path}", hint="chatvault tunnel key") from exc
    except PermissionError as exc:
        raise NotPermitted(f"{path} can't be read", hint="check who owns it") from exc
    except (OSError, asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as exc:
        raise ChatVaultError(
            f"{path} is no key the tunnel can use: {exc}",
            hint="move it away; `chatvault tunnel key` makes another",
        ) from exc
    words = key.export_public_key("openssh").decode().split()
    return f"{words[0]} {words[1]} {_COMMENT}"


def sample() -> str:
    """Return a public key that belongs to nobody: for showing what a dry run would write."""
    words = asyncssh.generate_private_key("ssh-ed25519").export_public_key("openssh").decode().split()
    return f"{words[0]} {words[1]}"


def fingerprint(public_line: str) -> str:
    """Return a public key's fingerprint, SHA256:…, as ssh-keygen shows it. Raises ChatVaultError."""
    try:
        return asyncssh.import_public_key(public_line).get_fingerprint()
    except asyncssh.KeyImportError as exc:
        raise ChatVaultError(f"that is no public key: {exc}") from exc


def _make(path: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519", comment=_COMMENT)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # asyncssh's own writer leaves the file 0644 under the usual umask.
        private = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(private, "wb") as file:
            file.write(key.export_private_key("openssh"))
            file.flush()
            os.fsync(file.fileno())
        public = path.with_suffix(".pub")
        public.write_text(f"{key.export_public_key('openssh').decode().strip()}\n")
        _give_to_owner_of(path.parent.parent, path.parent, path, public)
    except FileExistsError:
        # Another command made it in the same moment.
        return
    except PermissionError as exc:
        raise NotPermitted(f"{path} can't be written", hint="check who owns its folder") from exc
    except OSError as exc:
        raise ChatVaultError(f"{path} can't be written: {exc.strerror}") from exc


def _give_to_owner_of(folder: Path, *paths: Path) -> None:
    # What root makes with the command line belongs to the service, which has to read it.
    if os.geteuid() == 0:
        owner = folder.stat()
        for path in paths:
            with suppress(OSError):
                os.chown(path, owner.st_uid, owner.st_gid)
