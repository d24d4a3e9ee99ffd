"""An identity provider on a real socket: it publishes keys, rotates them, is slow, talks nonsense or is gone."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.e2e.ports import free_ports
from tests.tokens import claims

MAKE: dict[str, Callable[[], Any]] = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


class IdentityProvider:
    """Answers every GET with its JWK Set. `body` and `status` replace the answer; `holding` keeps callers waiting."""

    def __init__(self) -> None:
        self.private: dict[str, tuple[Any, str]] = {}
        self.published: list[dict[str, Any]] = []
        self.body: bytes | None = None
        self.status = 200
        self.asked = 0
        self.holding: asyncio.Event | None = None
        self._server: asyncio.Server | None = None
        self._port = free_ports()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/keys"

    def add(self, name: str, algorithm: str, private: Any = None, **changed: Any) -> None:
        """Make a key and publish it with its name as `kid`, or with its JWK changed as said."""
        key = private or MAKE[algorithm]()
        self.private[name] = (key, algorithm)
        public = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
        self.published.append({**public, "kid": name, "alg": algorithm, "use": "sig", **changed})

    def withdraw(self, kid: str) -> None:
        """Publish it no longer; `token` still signs with it."""
        self.published = [each for each in self.published if each.get("kid") != kid]

    def token(self, kid: str, **changed: Any) -> str:
        """A token signed with that key."""
        key, algorithm = self.private[kid]
        return jwt.encode(claims(**changed), key, algorithm=algorithm, headers={"kid": kid})

    async def start(self) -> None:
        """Listen, where it listened before if it did."""
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", self._port)

    async def stop(self) -> None:
        """Be gone: connections are refused."""
        if self._server is not None:
            self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            if self.holding is not None:
                await self.holding.wait()
            body = json.dumps({"keys": self.published}).encode() if self.body is None else self.body
            head = [f"HTTP/1.1 {self.status} X", "location: /keys", f"content-length: {len(body)}", "connection: close"]
            writer.write("\r\n".join([*head, "", ""]).encode() + body)
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def identity_provider() -> AsyncIterator[IdentityProvider]:
    """One that publishes a key of each algorithm, named by it."""
    provider = IdentityProvider()
    for algorithm in MAKE:
        provider.add(algorithm, algorithm)
    await provider.start()
    try:
        yield provider
    finally:
        if provider.holding is not None:
            provider.holding.set()
        await provider.stop()
