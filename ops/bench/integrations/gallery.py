"""The benchmark ``gallery``: lists, tokens, new ids, creation and uploads in a gallery of a million tokens.

Everything goes over HTTP, on SQLite and on PostgreSQL. The baseline of a page deep in a list is its first page: depth
must not matter.
"""

import io
import random
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
from PIL import Image

from ops.bench.report import Row
from ops.bench.tools.databases.gallery_fixture import START_MS, STEP_MS, GalleryFixture
from ops.bench.tools.databases.postgresql import run_postgresql
from ops.bench.tools.http_load import LoadResult, request_bytes, run_at_full_speed, run_at_rate
from ops.infra.database import migrate
from ops.testbed.stack import KEY, Stack, run_stack
from ops.testbed.statistics import percentile
from schemas.gallery.tokens import ONE, format_token_id
from schemas.paging import Cursor

RATE, CONNECTIONS = 40.0, 4
CREATE_CONNECTIONS = 8
WARM_UP_REQUESTS = 20
PAGE_SIZE = 50
BYTES_PER_MB = 1e6
UPLOADS = 5


@dataclass(frozen=True, slots=True)
class Size:
    """Tokens and collections, requests for each query, ids reserved at once, and tokens created."""

    tokens: int
    collections: int
    requests: int
    reserved: int
    created: int
    picture_pixels: int


FULL = Size(tokens=1_000_000, collections=10_000, requests=600, reserved=500, created=2_000, picture_pixels=2600)
SMOKE = Size(tokens=300, collections=20, requests=5, reserved=10, created=10, picture_pixels=100)


def measure(size: Size) -> Iterator[Row]:
    """Measure on each database in turn."""
    with tempfile.TemporaryDirectory(prefix="dr-gallery-") as name:
        yield from _measure_database("SQLite", Path(name), f"sqlite:///{name}/gallery.sqlite3", size)
    with tempfile.TemporaryDirectory(prefix="dr-gallery-") as name, run_postgresql() as url:
        yield from _measure_database("PostgreSQL", Path(name), url, size)


def _measure_database(database: str, folder: Path, url: str, size: Size) -> Iterator[Row]:
    fixture = GalleryFixture(size.collections, size.tokens)
    migrate(url)
    fixture.write(url)
    with run_stack("web", data_dir=folder, DATABASE_URL=url) as stack:
        results = {name: _run_query(stack, paths, size.requests) for name, paths in _queries(fixture).items()}
        ids = _reserve(stack, fixture, size.reserved)
        creations = _create(stack, fixture, size.created)
        growth_mb = _upload(stack, fixture, size)
    first_ms = percentile(results["latest"].latencies_s, 95) * 1000
    for name, result in results.items():
        baseline = first_ms if "deep" in name else None
        row_name = f"{database}: {name}, p95 of {size.tokens:,} tokens"
        yield Row(row_name, percentile(result.latencies_s, 95) * 1000, "ms", baseline, max_value=30)
    yield Row(f"{database}: different ids of {size.reserved} at once", len(ids), "", min_value=size.reserved)
    yield Row(f"{database}: tokens created", creations.per_second, "per s", min_value=200)
    yield Row(
        f"{database}: growth of web by uploads of {3 * size.picture_pixels**2 / BYTES_PER_MB:.2g} MB",
        growth_mb,
        "MB",
        max_value=20,
    )


def _queries(fixture: GalleryFixture) -> dict[str, list[str]]:
    """Return the paths of each query, in a fixed random order."""
    numbers = random.Random(7).sample(range(fixture.tokens), min(200, fixture.tokens))
    latest = f"/v1/q/latest-tokens/?page_size={PAGE_SIZE}"
    cursors = [Cursor(START_MS + number * STEP_MS, str(number + 1)).encode() for number in numbers]
    return {
        "latest": [f"{latest}&page=0"],
        "latest without explicit": [f"{latest}&page=0&explicit=exclude"],
        "latest, deep cursor": [f"{latest}&cursor={cursor}" for cursor in cursors],
        "collection page": [f"/v1/tokens/collection/{fixture.slug(number)}/?cursor=0" for number in numbers],
        "token": [f"/v1/c/{fixture.slug(number)}/{fixture.token_id(number)}/" for number in numbers],
        "latest collections": [f"/v1/q/latest-collections/?page=0&page_size={PAGE_SIZE}"],
    }


def _run_query(stack: Stack, paths: list[str], requests: int) -> LoadResult:
    url = stack.settings.public_url
    prepared = [request_bytes(url + path, key=KEY) for path in paths]

    def run(count: int) -> LoadResult:
        make = lambda number: prepared[number % len(prepared)]  # noqa: E731 - shorter than a function of its own
        return run_at_rate(url, make, connections=CONNECTIONS, requests=count, per_second=RATE)

    run(min(WARM_UP_REQUESTS, requests))
    result = run(requests)
    _check(paths[0], result)
    return result


def _reserve(stack: Stack, fixture: GalleryFixture, count: int) -> set[str]:
    """Reserve ids of one address, all at once; return the different ones."""
    url = f"{stack.settings.public_url}/v1/c/virtual/next/{fixture.address(0)}"

    limits = httpx.Limits(max_connections=count)
    with httpx.Client(limits=limits, timeout=60, trust_env=False) as client, ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(lambda _: client.get(url, headers={"x-api-key": KEY}), range(count)))
    return {answer.raise_for_status().json()["tokenId"] for answer in answers}


def _create(stack: Stack, fixture: GalleryFixture, count: int) -> LoadResult:
    url = stack.settings.public_url
    body = (
        f'{{"amount": "{ONE}", "attributes": [{{"trait_type": "2", "value": "2"}}], "name": "2", "description": "2"}}'
    )

    def make(number: int) -> bytes:
        token_id = format_token_id(fixture.address(0), fixture.first_free_number + number)
        path = f"/v1/c/virtual/token/{fixture.own_slug(number)}/{token_id}/"
        return request_bytes(url + path, method="POST", key=KEY, body=body.encode())

    result = run_at_full_speed(url, make, connections=CREATE_CONNECTIONS, requests=count)
    _check("create", result)
    return result


def _upload(stack: Stack, fixture: GalleryFixture, size: Size) -> float:
    """Upload pictures one after the other; return by how many MB the memory of ``web`` grew at most."""
    side = size.picture_pixels
    noise = Image.frombytes("RGB", (side, side), random.Random(7).randbytes(3 * side * side))
    picture = io.BytesIO()
    noise.save(picture, "PNG", compress_level=0)
    peaks = []
    with stack.client() as client, httpx.Client(timeout=60, trust_env=False) as uploader:
        for number in range(UPLOADS + 1):
            token_id = format_token_id(fixture.address(0), fixture.first_free_number + number)
            target = client.get(f"/v1/upload/token/{token_id}/a.png").raise_for_status().json()["url"]
            uploader.put(target, content=picture.getvalue()).raise_for_status()
            peaks.append(stack.memory_bytes("web") / BYTES_PER_MB)
    # The first upload loads modules that all uploads need.
    return max(peaks[1:]) - peaks[0]


def _check(name: str, result: LoadResult) -> None:
    if set(result.statuses) - {200, 201}:
        raise RuntimeError(f"{name}: {result.statuses}")
