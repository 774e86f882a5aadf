"""Tokens of questions, and the links that carry them. Derived, so that none is stored (docs/adr/0005)."""

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Final

from muster.core.ids import JobId

_TOKEN: Final = re.compile(r"apr_(\d{1,10})\.(?:([A-Za-z0-9_-]{1,1200})\.)?([0-9a-f]{64})")
_BARE: Final = re.compile(r"apr_[0-9a-f]{64}")
TOKEN_CHARACTERS_MAX: Final = 1_500


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a genuine token says: for which question of the job, and whose say; empty: the question's own token."""

    wave: int
    approver: str = ""


class ApprovalTokens:
    """One unguessable token for each question, and one for each of its approvers."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def of(self, job: JobId, wave: int, approver: str = "") -> str:
        """`apr_<wave>.<name, where it is an approver's>.<MAC>`."""
        name = "" if not approver else urlsafe_b64encode(approver.encode()).decode().rstrip("=") + "."
        return f"apr_{wave}.{name}{self._mac(job, wave, approver)}"

    def read(self, token: str, job: JobId, wave: int) -> Ticket | None:
        """What *token* says, None where it is not genuine. *wave* is the job's own by now."""
        if _BARE.fullmatch(token) is not None:  # of a question that an older server asked
            return Ticket(wave) if self._agrees(token[4:], job, wave, "") else None
        found = _TOKEN.fullmatch(token) if len(token) <= TOKEN_CHARACTERS_MAX else None
        if found is None:
            return None
        approver = _name(found[2] or "")
        if approver is None or not self._agrees(found[3], job, int(found[1]), approver):
            return None
        return Ticket(int(found[1]), approver)

    def _agrees(self, mac: str, job: JobId, wave: int, approver: str) -> bool:
        return hmac.compare_digest(mac.encode(), self._mac(job, wave, approver).encode())

    def _mac(self, job: JobId, wave: int, approver: str) -> str:
        whose = f"|{approver}" if approver else ""
        return hmac.new(self._secret, f"approval|{job}|{wave}{whose}".encode(), "sha256").hexdigest()


def link_of(base_url: str, job: JobId, token: str) -> str:
    """The page on which the holder of *token* answers."""
    return f"{base_url.rstrip('/')}/_public/approvals/{job}?token={token}"


def _name(encoded: str) -> str | None:
    try:
        return urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except ValueError:
        return None
