"""Keys of sensitive data: AES-GCM with named keys, of which the first seals and all open."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from outlast.errors import ConfigurationError, MissingKeyError, SealBrokenError
from outlast.sealing import PREFIX

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["KEYS_VARIABLE", "Keyring", "WorkflowSealer"]

KEYS_VARIABLE: Final = "OUTLAST_KEYS"
"""The environment variable that `Keyring.from_environment` reads."""

_SIZE: Final = 32
_NONCE: Final = 12
_BLOCK: Final = 16
_ID: Final = re.compile(r"[0-9A-Za-z._-]{1,64}")


class Keyring:
    """The keys of an app: `Keyring({"2026-05": new, "2025-11": old})`. The first one seals, each opens what it sealed.

    To rotate, put a new key first and keep the old ones until the runs that they sealed are deleted. Immutable.
    """

    def __init__(self, keys: Mapping[str, str | bytes]) -> None:
        """Take keys by their ids.

        Args:
            keys: For each id of 1 to 64 letters, digits, `.`, `_` or `-` a key of 32 random bytes, as bytes or as
                base64; see `Keyring.new_key`.

        Raises:
            ConfigurationError: There is no key, one is none, or the `cryptography` package is not installed.
        """
        if not keys:
            raise ConfigurationError(f"a keyring needs a key; make one with {_MAKING}")
        self._ciphers: Final[dict[str, AESGCM]] = {}
        self._raw: Final[dict[str, bytes]] = {}
        cipher = _cipher_class()
        for key_id, key in keys.items():
            if not _ID.fullmatch(key_id):
                message = f"the key id {key_id!r:.70} needs 1 to 64 letters, digits, '.', '_' or '-'"
                raise ConfigurationError(message)
            self._raw[key_id] = _key_bytes(key_id, key)
            self._ciphers[key_id] = cipher(self._raw[key_id])

    @staticmethod
    def new_key() -> str:
        """Return a new random key as base64."""
        return urlsafe_b64encode(os.urandom(_SIZE)).decode()

    @classmethod
    def from_environment(cls, variable: str = KEYS_VARIABLE) -> Keyring | None:
        """Read keys from an environment variable, as `2026-05:<base64>,2025-11:<base64>`; None if it is not set.

        Raises:
            ConfigurationError: It does not hold keys; the message names the variable, and no key.
        """
        text = os.environ.get(variable, "").strip()
        if not text:
            return None
        keys: dict[str, str] = {}
        for part in text.split(","):
            key_id, colon, key = part.strip().partition(":")
            if not colon or key_id in keys:
                message = f"{variable} needs pairs of id and key, each id once, as 2026-05:<base64>,2025-11:<base64>"
                raise ConfigurationError(message)
            keys[key_id] = key
        try:
            return cls(keys)
        except ConfigurationError as error:
            message = f"{variable}: {error}"
            raise ConfigurationError(message) from None

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the keys; the first one seals."""
        return tuple(self._raw)

    def sealers(self, workflow_ids: Iterable[str]) -> dict[str, WorkflowSealer]:
        """Return what seals the values of workflows, by their ids."""
        return {each: WorkflowSealer(each, self._ciphers, self._raw) for each in workflow_ids}

    def __repr__(self) -> str:
        """Show the ids, and no key."""
        return f"Keyring({', '.join(self._raw)})"


class WorkflowSealer:
    """Seals values so that they can be opened only as values of the same workflow.

    Not bound to a run or a place in it: values are copied within runs by maps, and into other runs by forks, where no
    key is at hand.
    """

    def __init__(self, workflow_id: str, ciphers: Mapping[str, AESGCM], raw: Mapping[str, bytes]) -> None:
        self._workflow_id = workflow_id
        self._ciphers = ciphers
        self._current = next(iter(ciphers))
        self._oldest = list(raw.values())[-1]

    def seal(self, raw: bytes) -> tuple[str, str]:
        """Encrypt JSON; return the id of the key and the sealed text.

        The length is rounded up, with spaces after the JSON, so that it does not tell `true` from `false`.
        """
        nonce = os.urandom(_NONCE)
        padded = raw.ljust(-(-len(raw) // _BLOCK) * _BLOCK)
        sealed = nonce + self._ciphers[self._current].encrypt(nonce, padded, self._bound_to(self._current))
        return self._current, urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, key_id: str, text: str) -> bytes:
        """Return the JSON that was sealed.

        Raises:
            MissingKeyError: The key is not in the keyring.
            SealBrokenError: It was not sealed with this key for this workflow.
        """
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise MissingKeyError(key_id)
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra; there is a cipher, so it is there

        try:
            sealed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
            return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], self._bound_to(key_id)).rstrip(b" ")
        except (InvalidTag, ValueError) as error:
            raise SealBrokenError(key_id, self._workflow_id) from error

    def digest(self, raw: bytes) -> bytes:
        """Return a hash of JSON that nobody can guess values from without the oldest key, which rotation keeps."""
        return hmac.new(
            self._oldest, b"outlast:digest:1:" + self._workflow_id.encode() + b":" + raw, hashlib.sha256
        ).digest()

    def _bound_to(self, key_id: str) -> bytes:
        return f"{PREFIX}1:{key_id}:{self._workflow_id}".encode()


def _cipher_class() -> type[AESGCM]:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - an extra
    except ImportError as error:
        message = "sensitive data needs the package cryptography: pip install 'outlast[crypto]'"
        raise ConfigurationError(message) from error
    return AESGCM


def _key_bytes(key_id: str, key: str | bytes) -> bytes:
    if isinstance(key, str):
        try:
            key = b64decode(key.strip().replace("-", "+").replace("_", "/"), validate=True)
        except ValueError:
            key = b""
    if len(key) != _SIZE:
        message = f"the key '{key_id}' is not {_SIZE} bytes, or base64 of them; make one with {_MAKING}"
        raise ConfigurationError(message)
    return key


_MAKING: Final = 'python -c "from outlast import Keyring; print(Keyring.new_key())"'
