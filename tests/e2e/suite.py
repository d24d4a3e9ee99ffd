"""The suite under test: real processes, real sockets, a data folder of its own."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import httpx

from tests.e2e.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("projects", "agents", "orchestrator", "streams")
# What a developer, or a test run, has set for itself must not reach the suite under test.
OWN_VARIABLES = (
    "GRPC_VERBOSITY",
    "CODELAB_",
    "OPENAI_",
    "JWT_",
    "SERVICE_TOKEN_KEY",
    "CORS_ORIGINS",
    "DATABASE_URL",
    "REDIS_URL",
    "QDRANT_",
    "EMBEDDING_MODEL",
    # They would be believed rather than the terminal that a test opens.
    "COLUMNS",
    "LINES",
)
START_SECONDS = 60.0
STOP_SECONDS = 40.0


class Layout(StrEnum):
    """How the suite is spread over processes."""

    FIVE = "five processes"
    ONE = "one process"
    UP_PROCESSES = "up --processes"
    REPLICAS = "two replicas of agents, orchestrator and streams"
    """On PostgreSQL, Qdrant and Redis: what lives in a process cannot be shared by two."""


REPLICATED = ("agents", "orchestrator", "streams")
SECOND = "-2"
"""Ends the name of a service's second replica."""


def commands(layout: Layout) -> dict[str, list[str]]:
    """The `codelab` arguments of each process to start, by its name."""
    match layout:
        case Layout.FIVE:
            return {**{name: ["serve", name] for name in SERVICES}, "gateway": ["gateway"]}
        case Layout.ONE:
            return {"up": ["up"]}
        case Layout.UP_PROCESSES:
            return {"up": ["up", "--processes"]}
        case Layout.REPLICAS:
            second = {f"{name}{SECOND}": ["serve", name] for name in REPLICATED}
            return {**commands(Layout.FIVE), **second}


def clean_environment(**settings: str) -> dict[str, str]:
    """This process's environment without the suite's own variables, then the given ones."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OWN_VARIABLES)}
    path = os.pathsep.join([str(ROOT), str(ROOT / "protos")])
    return {**inherited, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **settings}


@dataclass
class Suite:
    """A suite that can be started, asked, stopped, killed and started again on the same data and ports."""

    layout: Layout
    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    grpc_port_base: int = field(default_factory=lambda: free_ports(2 * len(SERVICES) + 1))
    variables_in_file: frozenset[str] = frozenset()
    """What is not given by the environment, because the folder's `.env` says it."""
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    _tokens: dict[tuple[str, ...], str] = field(default_factory=dict)

    @property
    def http_port(self) -> int:
        """The one behind the services': of ports that are chosen apart, one may lie among the others."""
        return self.grpc_port_base + len(SERVICES)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def workspaces(self) -> Path:
        """Where the files of all projects are."""
        return self.folder / ("workspaces" if self.layout is Layout.REPLICAS else "data/workspaces")

    @property
    def second_port_base(self) -> int:
        """From here on the second replicas listen."""
        return self.http_port + 1

    def grpc_address(self, process: str) -> str:
        """`host:port` of a service, or of its second replica."""
        service = process.removesuffix(SECOND)
        base = self.grpc_port_base if service == process else self.second_port_base
        return f"127.0.0.1:{base + SERVICES.index(service)}"

    @property
    def environment(self) -> dict[str, str]:
        settings = {
            "CODELAB_DATA_DIR": str(self.folder / "data"),
            "CODELAB_HOST": "127.0.0.1",
            "CODELAB_HTTP_PORT": str(self.http_port),
            "CODELAB_GRPC_PORT_BASE": str(self.grpc_port_base),
            **(self._shared() if self.layout is Layout.REPLICAS else {}),
            **self.settings,
        }
        given = {name: value for name, value in settings.items() if name not in self.variables_in_file}
        return clean_environment(**given)

    def environment_of(self, process: str) -> dict[str, str]:
        """The environment of one process: a second replica has ports and a data folder of its own."""
        if not process.endswith(SECOND):
            return self.environment
        own = {
            "CODELAB_DATA_DIR": str(self.folder / "second"),
            "CODELAB_GRPC_PORT_BASE": str(self.second_port_base),
        }
        return {**self.environment, **own}

    def _shared(self) -> dict[str, str]:
        """What replicas have in common beside their servers."""
        return {"CODELAB_BACKENDS": self._backends(), "CODELAB_WORKSPACES_DIR": str(self.workspaces)}

    def _backends(self) -> str:
        both = {name: f"{self.grpc_address(name)}+{self.grpc_address(name + SECOND)}" for name in REPLICATED}
        return ",".join(both.get(name) or self.grpc_address(name) for name in SERVICES)

    async def start(self, *names: str) -> float:
        """Start these processes (all if none is named) and wait until the gateway calls the suite ready.

        Returns the seconds it took.
        """
        started = time.monotonic()
        for name, arguments in commands(self.layout).items():
            if names and name not in names:
                continue
            with (self.folder / f"{name}.log").open("ab") as log:
                self.processes[name] = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "services.cli", *arguments),
                    env=self.environment_of(name),
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        await self.serves()
        return time.monotonic() - started

    async def serves(self) -> None:
        """Return when the gateway calls the suite ready, and both of two replicas say so themselves."""
        deadline = time.monotonic() + START_SECONDS
        await self._wait_until_ready(deadline)
        if self.layout is Layout.REPLICAS:
            # The gateway is content with one of two.
            serving = [name for name in commands(self.layout) if name != "gateway"]
            await asyncio.gather(*(self._wait_until_serving(name, deadline) for name in serving))

    async def stop(self) -> dict[str, int]:
        """Send SIGTERM to what was started and return the exit codes. A process that does not end fails the call."""
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_SECONDS):
            codes = {name: await process.wait() for name, process in self.processes.items()}
        self.processes.clear()
        return codes

    async def kill(self) -> None:
        """Send SIGKILL to every process, children included, as a power cut would."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.processes.values():
            await process.wait()
        self.processes.clear()

    async def restore(self) -> None:
        """Start again what does not run."""
        running = {name for name, process in self.processes.items() if process.returncode is None}
        if missing := commands(self.layout).keys() - running:
            await self.start(*missing)

    def pids(self) -> list[int]:
        """Every living process of the suite, children included."""
        ours = {process.pid for process in self.processes.values() if process.returncode is None}
        parents = _parents()
        while children := {pid for pid, parent in parents.items() if parent in ours} - ours:
            ours |= children
        return sorted(ours)

    async def token(self, user: str) -> str:
        """A JWT of that user (a UUID) as `codelab token` prints it."""
        return await self._mint("--user", user)

    async def service_token(self, service: str, user: str) -> str:
        """A token for internal calls in that user's name."""
        return await self._mint("--service", service, "--user", user)

    async def _mint(self, *arguments: str) -> str:
        if arguments not in self._tokens:
            result = await run_codelab("token", *arguments, environment=self.environment, folder=self.folder)
            assert result.code == 0, result.output
            self._tokens[arguments] = result.stdout.strip()
        return self._tokens[arguments]

    def logs(self, last_lines: int = 25) -> str:
        parts = []
        for path in sorted(self.folder.glob("*.log")):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            parts.append("\n".join([f"--- {path.stem}, last of {len(lines)} lines", *lines[-last_lines:]]))
        return "\n".join(parts)

    async def _wait_until_serving(self, name: str, deadline: float) -> None:
        # Not before tests.conftest has said how: see there.
        import grpc
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        async with grpc.aio.insecure_channel(self.grpc_address(name)) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest()
            status = None
            while status != health_pb2.HealthCheckResponse.SERVING:
                if time.monotonic() > deadline or self.processes[name].returncode is not None:
                    raise AssertionError(f"{name} does not serve after its start\n{self.logs()}")
                with contextlib.suppress(grpc.aio.AioRpcError):
                    status = (await health.Check(request, timeout=1, wait_for_ready=True)).status

    async def _wait_until_ready(self, deadline: float) -> None:
        answer = "nothing"
        async with httpx.AsyncClient(base_url=self.url) as client:
            while time.monotonic() < deadline:
                if ended := [name for name, process in self.processes.items() if process.returncode is not None]:
                    raise AssertionError(f"{ended} ended while starting\n{self.logs()}")
                with contextlib.suppress(httpx.TransportError):
                    response = await client.get("/ready")
                    answer = f"{response.status_code} {response.text}"
                    if response.json()["status"] == "ready":
                        return
                await asyncio.sleep(0.05)
        raise AssertionError(f"not ready after {START_SECONDS:g} s; /ready answered {answer}\n{self.logs()}")


def _parents() -> dict[int, int]:
    """The parent of every process on this machine, by process id."""
    if Path("/proc/self/stat").exists():
        # A bare Debian has no ps.
        return dict(_parents_in_proc())
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return {int(pid): int(parent) for pid, parent in (line.split() for line in listed.splitlines())}


def _parents_in_proc() -> Iterator[tuple[int, int]]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        # It may have ended since it was listed.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # The name, in parentheses, may hold anything; after it come the state and the parent.
            yield int(stat.parent.name), int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])


@dataclass(frozen=True)
class Result:
    """How one run of the `codelab` command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


async def run_codelab(*arguments: str, environment: Mapping[str, str], folder: Path, within: float = 60.0) -> Result:
    """Run the `codelab` command to its end. One that does not end within so many seconds is killed and fails."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", *arguments),
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(within):
            stdout, stderr = await process.communicate()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = await process.communicate()
        raise AssertionError(
            f"codelab {' '.join(arguments)} still ran after {within:g} s\n{stdout.decode()}{stderr.decode()}"
        ) from None
    assert process.returncode is not None
    return Result(process.returncode, stdout.decode(), stderr.decode())


LIVING: list[Suite] = []


@contextlib.asynccontextmanager
async def running(layout: Layout, folder: Path, **settings: str) -> AsyncIterator[Suite]:
    """Start a suite and kill whatever is left of it at the end. A test that fails meanwhile shows its logs."""
    suite = Suite(layout, folder, settings)
    LIVING.append(suite)
    try:
        await suite.start()
        yield suite
    except Exception as error:
        # When a test whose own suite it is has failed, that is gone.
        error.add_note(f"suite on {layout}\n{suite.logs()}")
        raise
    finally:
        await suite.kill()
        LIVING.remove(suite)
