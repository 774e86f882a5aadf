"""Signed URLs: whoever holds one may do that one thing with that one file until it expires. No state is kept."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from typing import Final

SECONDS_DIGITS_MAX: Final = 12


class UrlSigner:
    """Signs method, path and expiry with a key of its own, derived from the secret that all replicas share."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.new(secret, b"files", hashlib.sha256).digest()

    def query(self, method: str, path: str, expires_s: int) -> str:
        """The query that makes *path* valid for *method* until *expires_s* (Unix seconds)."""
        return f"exp={expires_s}&sig={self._signature(method, path, str(expires_s))}"

    def allows(self, method: str, path: str, expires: str, signature: str, now_s: float) -> bool:
        """Whether *expires* and *signature* of a request are ours and not over."""
        if not (expires.isascii() and expires.isdigit() and len(expires) <= SECONDS_DIGITS_MAX):
            return False
        right = self._signature(method, path, expires)
        genuine = hmac.compare_digest(signature.encode("utf-8", "surrogateescape"), right.encode())
        return genuine and now_s < int(expires)

    def _signature(self, method: str, path: str, expires: str) -> str:
        digest = hmac.new(self._key, f"{method}\n{path}\n{expires}".encode("utf-8", "surrogateescape"), hashlib.sha256)
        return urlsafe_b64encode(digest.digest()).decode().rstrip("=")
