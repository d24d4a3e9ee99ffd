"""What a token claims, and what must be true of it. Whether it was signed by whom it should is another matter."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codelab_client.tokens import INTERNAL_AUDIENCE
from services.runtime.errors import Unauthenticated
from services.runtime.ids import is_uuid

STREAM_AUDIENCE = "codelab-stream"
OWN_AUDIENCES = frozenset({INTERNAL_AUDIENCE, STREAM_AUDIENCE})
"""Audiences of tokens that are more, or less, than a user's. No issuer of users' tokens may claim them."""

# The end of the year 9999: a time beyond is none that other software can read.
_LATEST = 253_402_300_799


class TokenMissing(Unauthenticated):
    """No bearer token was sent."""

    reason = "TOKEN_MISSING"


class TokenInvalid(Unauthenticated):
    """The token proves nothing; another one is needed."""

    reason = "TOKEN_INVALID"


class TokenExpired(Unauthenticated):
    """The token was good once."""

    reason = "TOKEN_EXPIRED"

    def __init__(self) -> None:
        super().__init__("the token has expired: get a new one")


@dataclass(frozen=True)
class Claims:
    """The claims of a token. What checks them raises TokenInvalid or TokenExpired."""

    values: dict[str, Any]

    @classmethod
    def of(cls, payload: bytes) -> "Claims":
        """Read a token's payload."""
        try:
            values = json.loads(payload)
        except (ValueError, RecursionError):
            raise TokenInvalid("the token's payload is not JSON") from None
        if not isinstance(values, dict):
            raise TokenInvalid("the token's payload is not a JSON object")
        return cls(values)

    @property
    def audience(self) -> list[Any]:
        """`aud` as a list, whichever of its two forms it has."""
        audience = self.values.get("aud")
        if audience is None:
            return []
        return audience if isinstance(audience, list) else [audience]

    def check_issued(self, issuer: str, audience: str) -> None:
        """`iss` and `aud` of a user's token; an empty one is not required."""
        if issuer and self.values.get("iss") != issuer:
            raise TokenInvalid("the token's `iss` is not the issuer that is trusted here")
        if audience and audience not in self.audience:
            raise TokenInvalid("the token's `aud` does not name this installation")
        if any(each in OWN_AUDIENCES for each in self.audience if isinstance(each, str)):
            raise TokenInvalid("the token's `aud` is reserved")

    def check_subject_and_times(self, now: float, leeway_seconds: float) -> tuple[str, float]:
        """The user's id, and the Unix time at which the token expires."""
        subject = self.values.get("sub")
        if not isinstance(subject, str) or not is_uuid(subject):
            raise TokenInvalid("the token's `sub` must be the user's UUID")
        expires_at = self._time("exp")
        if self._time("iat") > now + leeway_seconds:
            raise TokenInvalid("the token's `iat` lies in the future: check the issuer's clock")
        if "nbf" in self.values and self._time("nbf") > now + leeway_seconds:
            raise TokenInvalid("the token is not valid yet: see its `nbf`")
        if expires_at <= now:
            raise TokenExpired
        return subject.lower(), expires_at

    def check_ticket(self, resources: Mapping[str, str]) -> float:
        """The Unix time at which the token ends that the ticket was made with, if it is for these (ids by kind)."""
        token_expires_at = self._time("token_exp")
        if not resources or any(self.values.get(kind) != id for kind, id in resources.items()):
            raise TokenInvalid("the ticket is for something else")
        return token_expires_at

    def service(self) -> str:
        """The service that acts."""
        service = self.values.get("act")
        if not isinstance(service, str) or not service:
            raise TokenInvalid("a service token's `act` must name the service")
        return service

    def email(self) -> str | None:
        """`email` if it looks like one at all: it is never an identity."""
        email = self.values.get("email")
        return email if isinstance(email, str) and email else None

    def _time(self, name: str) -> float:
        value = self.values.get(name)
        # A bool is an int to Python; NaN is within no bounds.
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
            raise TokenInvalid(f"the token's `{name}` must be a number of seconds since 1970")
        return float(value)
