"""AES-256-GCM with OPTYX_SECRET_KEY: provider credentials, captured payloads and the catalog's snapshot at rest. Nonce first."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.secret import Secret

NONCE = 12


class SealError(Exception):
    """The key does not fit what was sealed, or what was sealed has been changed."""


class Sealer:
    """`keys`: one, or several with commas in between. The first seals, all of them open: that is how a key is rotated."""

    def __init__(self, keys: Secret) -> None:
        self._ciphers = [AESGCM(base64.b64decode(key)) for key in keys.reveal().split(",")]

    def seal(self, text: bytes, what: str) -> bytes:
        """`what` names the thing sealed (a row's id and version): it can't be moved to another."""
        nonce = secrets.token_bytes(NONCE)
        return nonce + self._ciphers[0].encrypt(nonce, text, what.encode())

    def open(self, sealed: bytes, what: str) -> bytes:
        """Raises SealError."""
        for cipher in self._ciphers:
            with contextlib.suppress(InvalidTag, ValueError):
                return cipher.decrypt(sealed[:NONCE], sealed[NONCE:], what.encode())
        raise SealError(f"{what} can't be opened with this OPTYX_SECRET_KEY")

    def resealed(self, sealed: bytes, what: str) -> bytes | None:
        """The same under the first key, or None when it is so already. Raises SealError."""
        with contextlib.suppress(InvalidTag, ValueError):
            self._ciphers[0].decrypt(sealed[:NONCE], sealed[NONCE:], what.encode())
            return None
        return self.seal(self.open(sealed, what), what)


def key_of(home: Path, configured: Secret | None, *, may_create: bool) -> Secret | None:
    """The key from the environment, else the one kept in `home`, made on first use where `may_create`."""
    if configured is not None:
        return configured
    path = home / "secret.key"
    if path.exists():
        return Secret(path.read_text().strip())
    if not may_create:
        return None
    home.mkdir(parents=True, exist_ok=True)
    text = base64.b64encode(secrets.token_bytes(32)).decode()
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text + "\n")
    except FileExistsError:
        return Secret(path.read_text().strip())
    return Secret(text)
