"""Tokens that must prove nothing, for tests to send wherever a token is taken."""

import base64
import json
import math
import time
import uuid
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from services.runtime.auth import Keys
from services.runtime.claims import INTERNAL_AUDIENCE, STREAM_AUDIENCE

USER = str(uuid.uuid4())
ATTACKER_KEY = rsa.generate_private_key(65537, 2048)


@dataclass(frozen=True)
class Bad:
    """The values of the header `authorization`, and the reason that they are refused with."""

    authorization: tuple[str, ...]
    reason: str

    def secrets(self) -> list[str]:
        """What of it must appear nowhere."""
        return [part for value in self.authorization for part in value.replace(",", " ").split() if len(part) > 20]


def claims(**changed: Any) -> dict[str, Any]:
    """Good claims of a user's token, but for what is changed; `...` removes a claim."""
    now = int(time.time())
    made = {"sub": USER, "iat": now, "exp": now + 3600, **changed}
    return {name: value for name, value in made.items() if value is not ...}


def encoded(part: bytes | dict[str, Any]) -> str:
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def forged(header: bytes | dict[str, Any], payload: bytes | dict[str, Any], key: bytes = b"", hash: str = "") -> str:
    """A token of anything, signed with HMAC where a hash is named: PyJWT would refuse to make most of these."""
    signing = f"{encoded(header)}.{encoded(payload)}"
    signature = jwt.get_algorithm_by_name(hash).sign(signing.encode(), key) if hash else b""
    return f"{signing}.{encoded(signature)}"


def signed(key: str, header: dict[str, Any] | None = None, **changed: Any) -> str:
    """An HS256 token with good claims but for what is changed, even those that PyJWT would not write."""
    return forged({"alg": "HS256", "typ": "JWT", **(header or {})}, claims(**changed), key.encode(), "HS256")


def service(key: str, **changed: Any) -> str:
    return signed(key, **{"aud": INTERNAL_AUDIENCE, "act": "orchestrator", **changed})


def public_pem() -> bytes:
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return ATTACKER_KEY.public_key().public_bytes(serialization.Encoding.PEM, kind)


def bad_tokens(keys: Keys) -> dict[str, Bad]:
    """Everything that must be refused where users' tokens are signed with `keys.user_secret`, by what is wrong."""
    now, user = int(time.time()), keys.user_secret
    good = signed(user)
    attackers = jwt.encode(claims(), ATTACKER_KEY, algorithm="RS256", headers={"kid": "mine"})
    jwk = jwt.get_algorithm_by_name("RS256").to_jwk(ATTACKER_KEY.public_key(), as_dict=True)
    missing = {
        "none sent": (),
        "empty": ("",),
        "Bearer alone": ("Bearer",),
        "Basic": ("Basic dXNlcjpwYXNzd29yZA==",),
        "another scheme with a good token": (f"Token {good}",),
        "a good token without a scheme": (good,),
    }
    invalid: dict[str, str | tuple[str, ...]] = {
        "two headers": (f"Bearer {good}", f"Bearer {signed(user, sub=str(uuid.uuid4()))}"),
        "one header twice": (f"Bearer {good}", f"Bearer {good}"),
        "two in one header": (f"Bearer {good}, Bearer {good}",),
        "more after the token": (f"Bearer {good} x",),
        "one part": "eyJhbGciOiJIUzI1NiJ9",
        "two parts": ".".join(good.split(".")[:2]),
        "four parts": f"{good}.eyJhbGciOiJIUzI1NiJ9",
        "bad base64": "a!b.c*d.e=f",
        "header that is not JSON": forged(b"nonsense", claims(), user.encode(), "HS256"),
        "header that is a list": forged(b"[]", claims(), user.encode(), "HS256"),
        "header without end": forged(b'{"alg":' + b"[" * 3000, b"{}"),
        "payload that is not JSON": forged({"alg": "HS256"}, b"nonsense", user.encode(), "HS256"),
        "payload that is a list": forged({"alg": "HS256"}, b"[]", user.encode(), "HS256"),
        "payload without end": forged({"alg": "HS256"}, b"[" * 5000, user.encode(), "HS256"),
        "payload that is not UTF-8": forged({"alg": "HS256"}, b'{"sub":"\xff"}', user.encode(), "HS256"),
        "20 KB": signed(user, padding="x" * 15_000),
        "20 KB of nothing": "x" * 20_000,
        "not valid yet": signed(user, nbf=now + 3600),
        "nbf that is no number": signed(user, nbf="now"),
        "issued in the future": signed(user, iat=now + 3600),
        "wrong key": signed("x" * 32),
        "cut signature": good[:-3],
        "no signature": good.rpartition(".")[0] + ".",
        "payload of another token": ".".join(
            [good.split(".")[0], encoded(claims(sub=str(uuid.uuid4()))), good.split(".")[2]]
        ),
        **{f"alg {alg}": forged({"alg": alg}, claims()) for alg in ("none", "None", "NONE", "nOnE", "")},
        "alg none with the good signature": forged({"alg": "none"}, claims(), user.encode(), "HS256"),
        "alg missing": forged({}, claims(), user.encode(), "HS256"),
        "alg that is a list": forged({"alg": ["HS256"]}, claims(), user.encode(), "HS256"),
        "alg in lower case": forged({"alg": "hs256"}, claims(), user.encode(), "HS256"),
        "HS384": forged({"alg": "HS384"}, claims(), user.encode(), "HS384"),
        "HS512": forged({"alg": "HS512"}, claims(), user.encode(), "HS512"),
        "HS256 with a public key": forged({"alg": "HS256", "kid": "mine"}, claims(), public_pem(), "HS256"),
        "RS256 with a key of one's own": attackers,
        "jwk in the header": jwt.encode(claims(), ATTACKER_KEY, algorithm="RS256", headers={"jwk": jwk}),
        "jku in the header": jwt.encode(
            claims(), ATTACKER_KEY, algorithm="RS256", headers={"jku": "http://127.0.0.1:9/"}
        ),
        "x5u in the header": jwt.encode(
            claims(), ATTACKER_KEY, algorithm="RS256", headers={"x5u": "http://127.0.0.1:9/"}
        ),
        "kid that is a path": signed("", {"kid": "../../dev/null"}),
        "kid that is no text": forged({"alg": "HS256", "kid": [1]}, claims(), b"x" * 32, "HS256"),
        "unknown critical header": signed(user, {"crit": ["x"], "x": 1}),
        "payload beside the token": signed(user, {"b64": False, "crit": ["b64"]}),
        "sub missing": signed(user, sub=...),
        "sub null": signed(user, sub=None),
        "sub a list": signed(user, sub=[USER]),
        "sub a number": signed(user, sub=1),
        "sub empty": signed(user, sub=""),
        "sub not a UUID": signed(user, sub="admin"),
        "sub a UUID and more": signed(user, sub=f"{USER}\n"),
        "iat missing": signed(user, iat=...),
        "iat null": signed(user, iat=None),
        "iat text": signed(user, iat=str(now)),
        "iat a list": signed(user, iat=[now]),
        "exp missing": signed(user, exp=...),
        "exp null": signed(user, exp=None),
        "exp text": signed(user, exp=str(now + 600)),
        "exp words": signed(user, exp="never"),
        "exp true": signed(user, exp=True),
        "exp huge": signed(user, exp=10**30),
        "exp beyond a double": signed(user, exp=10**400),
        "exp infinite": signed(user, exp=math.inf),
        "exp NaN": signed(user, exp=math.nan),
        "exp negative": signed(user, exp=-1),
        "exp a list": signed(user, exp=[now + 600]),
        "a ticket of a stream": signed(user, aud=STREAM_AUDIENCE),
        "a ticket of a stream, signed by a service": signed(keys.service_secret, aud=STREAM_AUDIENCE),
        "several audiences, one of them a service's": signed(user, aud=["x", INTERNAL_AUDIENCE]),
        "service token with the users' key": service(user),
        "user token with the services' key": signed(keys.service_secret),
        "service token without act": service(keys.service_secret, act=...),
        "service token with act null": service(keys.service_secret, act=None),
        "service token with act empty": service(keys.service_secret, act=""),
        "service token with act an object": service(keys.service_secret, act={"sub": "orchestrator"}),
        "service token without sub": service(keys.service_secret, sub=...),
        "service token without exp": service(keys.service_secret, exp=...),
        "service token without iat": service(keys.service_secret, iat=...),
        "service token of HS512": forged(
            {"alg": "HS512"}, claims(aud=INTERNAL_AUDIENCE, act="x"), keys.service_secret.encode(), "HS512"
        ),
    }
    expired = {
        "expired": signed(user, iat=now - 100, exp=now - 1),
        "expired long ago": signed(user, iat=0, exp=1),
        "expired, at a fraction of a second": signed(user, iat=now - 100, exp=now - 0.5),
        "expired service token": service(keys.service_secret, exp=now - 1),
    }
    table = {name: Bad(values, "TOKEN_MISSING") for name, values in missing.items()}
    for name, sent in invalid.items():
        table[name] = Bad((f"Bearer {sent}",) if isinstance(sent, str) else sent, "TOKEN_INVALID")
    return table | {name: Bad((f"Bearer {token}",), "TOKEN_EXPIRED") for name, token in expired.items()}


DECISIVE: tuple[str, ...] = ("none sent", "wrong key", "alg none", "expired")
"""Of the table, what to send everywhere."""
