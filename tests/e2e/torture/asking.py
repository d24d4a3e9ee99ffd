"""Who asks for answers: messages to the real orchestrator, some of them sent as streams that are joined again."""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
from codelab.orchestrator.v1 import run_service_pb2, run_service_pb2_grpc

from tests.e2e.client import AGENT
from tests.e2e.events import Format, Frame, ndjson_frames, sse_frames
from tests.e2e.torture.knowledge import Knowledge
from tests.e2e.torture.published import event_of
from tests.e2e.torture.transports import (
    PASSING,
    SILENCE_SECONDS,
    CutOff,
    Doors,
    Refused,
    Session,
    Transport,
    without_problems,
)
from tests.fakes.openai_script import Script

_AGAIN_AFTER_SECONDS = 0.1
# Beyond the BMP, combining marks, a joined family, CJK: whoever counts anything but code points is caught.
_WORDS = "cafe\u0301 𝄞 👩‍👩‍👧 中文 naïve\u0308 🇪🇺 end. "


def script_of(marker: str, seconds: float, chance: random.Random) -> Script:
    """An answer that takes so long, in pieces that break anywhere."""
    text = f"𝄞 {marker}: " + "".join(chance.choice(_WORDS.split()) + " " for _ in range(60))
    chunks = chance.randint(20, 40)
    return Script(answer=text, chunks=chunks, token_seconds=seconds / chunks)


@dataclass
class Asker:
    """Sends one message, and hears of its run until that is over; again under the same request_id whenever cut off."""

    session: Session
    script: Script
    marker: str
    address: str
    """Of the orchestrator that is asked over gRPC, and so owns the run first."""
    transport: Transport | None
    """How it streams; None: it creates the run over gRPC and leaves."""
    doors: Doors
    knowledge: Knowledge
    mint: Callable[[str, float], str]
    random: random.Random
    seen: Counter[str]
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    run_id: str | None = None
    connects: int = 0

    @property
    def content(self) -> str:
        return f"{self.marker} {self.script.directive()}"

    async def ask(self) -> None:
        """Return when the run is accepted; a streamer, when it has heard the end."""
        while not self._satisfied():
            try:
                async with asyncio.timeout(None if self.connects % 2 else self.random.uniform(0.5, 2)):
                    self.connects += 1
                    await self._once()
            except TimeoutError:
                self.seen["asker: left"] += 1
            except (CutOff, httpx.TransportError) as cut:
                self.seen[f"asker cut off: {type(cut).__name__}"] += 1
            except Refused as refused:
                if not refused.passing:
                    raise
                self.seen[f"asker refused: {refused.code}"] += 1
            except grpc.aio.AioRpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise
                self.seen[f"asker refused: {error.code().name}"] += 1
            await asyncio.sleep(_AGAIN_AFTER_SECONDS)

    def _satisfied(self) -> bool:
        if self.transport is None:
            return self.run_id is not None
        return self.run_id is not None and self.run_id in self.knowledge.over

    async def _once(self) -> None:
        match self.transport:
            case None:
                await self._create()
            case Transport.GRPC:
                await self._stream_over_grpc()
            case _:
                await self._stream_over_http(self.transport)

    def _stub(self) -> run_service_pb2_grpc.RunServiceStub:
        return run_service_pb2_grpc.RunServiceStub(self.doors.channel(self.address))

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self._token}"),)

    @property
    def _token(self) -> str:
        return self.mint(self.session.user_id, 3_600)

    def _fields(self) -> dict[str, Any]:
        return {
            "project_id": self.session.project_id,
            "session_id": self.session.session_id,
            "content": self.content,
            "target_agent": AGENT,
            "request_id": self.request_id,
        }

    async def _create(self) -> None:
        request = run_service_pb2.CreateRunRequest(**self._fields())
        told = await self._stub().CreateRun(request, metadata=self._metadata, timeout=20)
        self.run_id = told.run.id

    async def _stream_over_grpc(self) -> None:
        request = run_service_pb2.StreamMessageRequest(**self._fields(), after=self.knowledge.last_id)
        call = self._stub().StreamMessage(request, metadata=self._metadata)
        self.knowledge.connected()
        try:
            async for response in call:
                event = event_of(response.event)
                await self._take(Frame(id=event["id"], name=event["type"], event=event))
        finally:
            call.cancel()

    async def _stream_over_http(self, transport: Transport) -> None:
        accept = Format.SSE if transport is Transport.SSE else Format.NDJSON
        headers = {"Accept": accept.value, "Authorization": f"Bearer {self._token}"}
        if self.knowledge.last_id is not None:
            headers["Last-Event-ID"] = self.knowledge.last_id
        body = {name: value for name, value in self._fields().items() if name not in ("project_id", "session_id")}
        path = f"{self.session.path}/message:stream"
        opened = self.doors.http.stream("POST", path, headers=headers, json=body, timeout=SILENCE_SECONDS)
        async with opened as response:
            if response.status_code != 200:
                told = (await response.aread()).decode()
                raise Refused(str(response.status_code), told, passing=response.status_code in PASSING)
            self.knowledge.connected()
            parse = sse_frames if accept is Format.SSE else ndjson_frames
            async for frame in without_problems(parse(response.aiter_bytes())):
                await self._take(frame)

    async def _take(self, frame: Frame) -> None:
        if frame.event is not None and frame.event["run_id"] is not None:
            self.run_id = frame.event["run_id"]
        if self.knowledge.take(frame) and self.run_id is not None:
            await self._reload(self.run_id)

    async def _reload(self, run_id: str) -> None:
        """After a resync: whether the run is over, and what was said."""
        http, token = self.doors.http, {"Authorization": f"Bearer {self._token}"}
        project = f"/my/projects/{self.session.project_id}"
        told = []
        for path in (f"runs/{run_id}", f"chat/sessions/{self.session.session_id}/messages?page_size=100"):
            response = await http.get(f"{project}/{path}", headers=token)
            if response.status_code != 200:
                raise Refused(str(response.status_code), response.text, passing=response.status_code in PASSING)
            told.append(response.json())
        self.knowledge.reload([told[0]], told[1]["messages"])
        if run_id in self.knowledge.over:
            raise CutOff("the run is over")
