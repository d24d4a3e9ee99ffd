"""What runs: ports, services, the gateway, and whether they take this folder's tokens."""

import asyncio
from dataclasses import dataclass
from typing import Any

import grpc
import httpx2
from grpc_health.v1 import health_pb2

from codelab_client import connect
from codelab_client.channel import REPLICAS
from services.doctor.finding import Finding, fail, ok, warn
from services.doctor.machine import locked
from services.runtime.errors import StartupError
from services.runtime.ports import listen
from services.runtime.settings import SERVICES, Settings
from services.runtime.version import package_version

_ANSWER_SECONDS = 3.0
_START = "`codelab up` starts them, or `make up`"


@dataclass(frozen=True)
class Answer:
    """What the gateway answered: its status and its JSON, None if that cannot be read."""

    status: int
    body: Any


async def ports(settings: Settings) -> list[Finding]:
    """Whether our servers can listen, or do already."""
    wanted = {"CODELAB_HTTP_PORT": {"the gateway": settings.http_port}}
    if not settings.backends:
        base = settings.grpc_port_base
        wanted["CODELAB_GRPC_PORT_BASE"] = {name: base + offset for offset, name in enumerate(SERVICES)}
    found: list[Finding] = []
    ours: list[int] = []
    free: list[int] = []
    for variable, by_name in wanted.items():
        for name, port in by_name.items():
            try:
                listen(name, settings.host, port, variable).close()
                free.append(port)
                continue
            except StartupError as error:
                why = str(error).partition(". ")
            whose = await _whose(settings, name, port)
            if whose == "ours":
                ours.append(port)
            elif whose == "another folder's":
                mend = f"stop it, set CODELAB_DATA_DIR to its folder, or set {variable} to other ports"
                found.append(fail("ports", f"a suite of another data folder has {port} ({name})", mend))
            else:
                found.append(fail("ports", why[0], why[2].replace("Stop", "stop", 1)))
    said = [f"{_listed(free)} free"] if free else []
    said += [f"{_listed(ours)} used by our suite"] if ours else []
    return found or [ok("ports", ", ".join(said))]


async def services(settings: Settings) -> list[Finding]:
    """The health that each service reports."""
    listed = settings.backend_addresses
    known = SERVICES if len(listed) == len(SERVICES) else ("",) * len(listed)
    # Each replica by itself: who calls them is content with any.
    replicas = [(name, each) for name, those in zip(known, listed, strict=True) for each in those.split(REPLICAS)]
    names, addresses = [name for name, _ in replicas], [address for _, address in replicas]
    states = await asyncio.gather(*(health(address) for address in addresses))
    places = [f"{name} ({address})" if name else address for name, address in zip(names, addresses, strict=True)]
    if set(states) == {"unreachable"} and not settings.backends and not _runs_here(settings):
        return [ok("services", "none runs on this machine", _START)]
    by_state: dict[str, list[str]] = {}
    for place, state in zip(places, states, strict=True):
        by_state.setdefault(state, []).append(place)
    found = []
    if away := by_state.get("unreachable"):
        mend = "start what is missing, or correct CODELAB_BACKENDS" if settings.backends else _START
        found.append(fail("services", f"not reachable: {', '.join(away)}", mend))
    if not_serving := by_state.get("not_serving"):
        mend = "its log says why; most often its database is out of reach"
        found.append(fail("services", f"cannot serve at the moment: {', '.join(not_serving)}", mend))
    return found or [ok("services", f"{', '.join(known if all(known) else listed)}: all serve")]


async def gateway(settings: Settings) -> list[Finding]:
    """Whether the gateway answers, is of this version, and reaches what lies behind it."""
    lives = await ask_gateway(settings, "/health")
    if lives is None:
        if _suite_runs(settings):
            mend = "stop the suite and start it again; its log says what happened"
            return [fail("gateway", f"a suite runs, and nothing answers at {settings.local_url}", mend)]
        return [ok("gateway", f"nothing answers at {settings.local_url}", _START.replace("them", "it"))]
    if not _is_gateway(lives):
        mend = "stop what uses the port, or set CODELAB_HTTP_PORT"
        return [fail("gateway", f"what answers at {settings.local_url} is not CodeLab's gateway", mend)]
    running = lives.body["version"]
    if running != package_version():
        mend = "start the suite again, so that it is of one version with this command"
        return [warn("gateway", f"version {running} runs, and this is {package_version()}", mend)]
    ready = await ask_gateway(settings, "/ready")
    status = ready.body.get("status") if ready and isinstance(ready.body, dict) else "unknown"
    if status != "ready":
        checks = ready.body.get("checks", {}) if ready and isinstance(ready.body, dict) else {}
        away = ", ".join(f"{address} {state}" for address, state in sorted(checks.items()) if state != "ready")
        return [fail("gateway", f"{settings.local_url} is {status}: {away}", "see services above")]
    return [ok("gateway", f"{settings.local_url}, version {running}, ready")]


async def tokens(settings: Settings) -> list[Finding]:
    """Whether users can prove who they are: by published keys, or with the tokens that this folder makes."""
    if settings.jwt_jwks_url:
        return [await _published(settings)]
    folder = settings.data_dir
    if not (settings.jwt_secret_key or (folder / "jwt.key").is_file()):
        return [ok("tokens", "`codelab token` prints one")]
    lives = await ask_gateway(settings, "/health")
    if lives is None or not _is_gateway(lives):
        return [ok("tokens", "`codelab token` prints one")]
    answer = await ask_gateway(settings, "/my/projects?page_size=1", _token(settings))
    if answer is not None and answer.status == 401:
        mend = "use the data folder, JWT_SECRET_KEY, JWT_ISSUER and JWT_AUDIENCE that the suite was started with"
        return [fail("tokens", "the suite that runs refuses the tokens that are made here", mend)]
    if answer is None or answer.status != 200:
        status = "nothing" if answer is None else f"HTTP {answer.status}"
        return [warn("tokens", f"a token was tried, and the answer was {status}", "see services above")]
    return [ok("tokens", "the suite that runs takes the tokens that `codelab token` prints")]


async def health(address: str, service: str = "") -> str:
    """What the gRPC server at the address says of a service of it: `serving`, `not_serving`, or `unreachable`."""
    channel = connect(address)
    try:
        check: Any = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        answer = await check(health_pb2.HealthCheckRequest(service=service), timeout=_ANSWER_SECONDS)
    except grpc.aio.AioRpcError:
        return "unreachable"
    finally:
        await channel.close()
    return "serving" if answer.status == health_pb2.HealthCheckResponse.SERVING else "not_serving"


async def ask_gateway(settings: Settings, path: str, token: str = "") -> Answer | None:
    """The gateway's answer; None if there is none, or none of HTTP."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        # On this machine: not through a proxy, and without certificates to load.
        async with httpx2.AsyncClient(trust_env=False, verify=False, timeout=_ANSWER_SECONDS) as client:
            answer = await client.get(f"{settings.local_url}{path}", headers=headers)
    except httpx2.HTTPError:
        return None
    try:
        return Answer(answer.status_code, answer.json())
    except ValueError:
        return Answer(answer.status_code, None)


async def _whose(settings: Settings, name: str, port: int) -> str:
    """Whose server has the port: `ours`, `another folder's` or `somebody's`."""
    if name == "the gateway":
        lives = await ask_gateway(settings, "/health")
        is_codelab = lives is not None and _is_gateway(lives)
    else:
        host = settings.url_host if settings.host not in ("0.0.0.0", "::") else "127.0.0.1"
        is_codelab = await health(f"{host}:{port}", _SERVED[name]) != "unreachable"
    if not is_codelab:
        return "somebody's"
    # Services elsewhere have folders of their own.
    return "ours" if settings.backends or _runs_here(settings) else "another folder's"


_SERVED = {
    "projects": "codelab.projects.v1.ProjectService",
    "agents": "codelab.agents.v1.AgentService",
    "orchestrator": "codelab.orchestrator.v1.RunService",
    "streams": "codelab.streams.v1.EventService",
}


def _is_gateway(answer: Answer) -> bool:
    return isinstance(answer.body, dict) and answer.body.get("status") == "ok" and "version" in answer.body


def _runs_here(settings: Settings) -> bool:
    return bool(locked(settings.data_dir))


def _suite_runs(settings: Settings) -> bool:
    return any(name.startswith("suite") for name in locked(settings.data_dir))


def _token(settings: Settings) -> str:
    from services.runtime.auth import Keys, TokenMinter
    from services.runtime.ids import new_id

    # Of nobody in particular: it shall be admitted, and see nothing.
    return TokenMinter(Keys.of(settings)).user_token(new_id(), 60.0)


async def _published(settings: Settings) -> Finding:
    from services.runtime.published_keys import usable_keys

    mend = "correct JWT_JWKS_URL, or see whether the identity provider answers"
    try:
        async with httpx2.AsyncClient(timeout=_ANSWER_SECONDS) as client:
            answer = await client.get(settings.jwt_jwks_url, headers={"accept": "application/json"})
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        return fail("tokens", f"JWT_JWKS_URL is not reachable ({type(error).__name__})", mend)
    try:
        usable = list(usable_keys(answer.json())) if answer.status_code == 200 else []
    except (ValueError, RecursionError):
        usable = []
    if not usable:
        return fail("tokens", f"JWT_JWKS_URL publishes no key that can be used (HTTP {answer.status_code})", mend)
    return ok("tokens", f"from your identity provider, which publishes {len(usable)} usable key(s)")


def _listed(numbers: list[int]) -> str:
    return ", ".join(str(number) for number in numbers)
