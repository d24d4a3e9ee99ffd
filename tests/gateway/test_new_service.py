"""A service that the gateway's code has never heard of appears in HTTP and in OpenAPI."""

import httpx

from tests.gateway.garden import Garden


async def test_annotated_unary_rpc_is_a_route(client: httpx.AsyncClient, garden: Garden) -> None:
    garden.on("GetPlant", garden.of("GetPlantResponse", plant=garden.of("Plant", id="p", name="fern")))
    answer = await client.get("/garden/b/plants/p")
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "id": "p",
        "name": "fern",
        "note": None,
        "light": None,
        "care": None,
        "labels": [],
        "extra": {},
        "planted_at": None,
        "bloomed_at": None,
        "lights": [],
        "counts": {},
        "parts": [],
        "height": 0.0,
        "dry": False,
        "leaves": 0,
        "roots": 0,
        "seed": None,
        "cutting": None,
    }
    assert (garden.requests[-1].bed_id, garden.requests[-1].plant_id) == ("b", "p")


async def test_annotated_streaming_rpc_is_a_route(client: httpx.AsyncClient, garden: Garden) -> None:
    async def events(request, context):
        async def frames():
            yield garden.of("WatchBedResponse", event=garden.of("Event", id="1", bed_id="b", rained={}))

        return frames()

    garden.on("WatchBed", events)
    answer = await client.get("/garden/b/events")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.text == (
        'retry: 1000\nid: 1\nevent: rained\ndata: {"id":"1","bed_id":"b","kind":"rained","data":{}}\n\n'
    )
