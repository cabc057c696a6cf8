"""Large pictures of jobs are in the media store, until their jobs expire."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ops.infra.settings import ROOT, Settings
from schemas.errors import LeaseLost, SiteRefused, Unavailable
from schemas.jobs.job import GeneratedImage, JobRequest
from schemas.jobs.lifecycle import JobState
from stores.images.stored_results import (
    ABANDONED_MS,
    MAX_BYTES_IN_REDIS,
    MEDIA,
    PAUSE_MS,
    POSTPONED_MS,
    StoredResults,
)
from stores.media import Media
from tests.conftest import TIMEOUT_S, FakeClock, eventually
from tests.contract.conftest import JOB_ID, OTHER_JOB_ID, RedisStores, build_stores, create_accepted_job
from tests.support.fake_s3 import FakeS3, connect_s3, s3_environment, serve_fake_s3

LARGE = [GeneratedImage(bytes([number]) * MAX_BYTES_IN_REDIS, "image/png", 8, 8) for number in (1, 2)]


@pytest.fixture
def media(settings: Settings) -> Iterator[Media]:
    """The media store of the stores under test."""
    return Media.from_settings(settings)


def complete(stores: RedisStores, job_request: JobRequest, job_id: str = JOB_ID) -> None:
    """Run a job that makes large pictures."""
    job = create_accepted_job(stores, job_request, job_id)
    keys = stores.attempts.store_images(job, LARGE, b"jpeg bytes")
    stores.attempts.complete(job, LARGE, keys)


def test_large_pictures_are_read_as_small_ones_are(
    stores: RedisStores, job_request: JobRequest, media: Media, clock: FakeClock
) -> None:
    """Redis holds no picture, and the media store none once the job has expired."""
    complete(stores, job_request)
    results = stores.results

    assert [results.get_original(JOB_ID, number) for number in (1, 2, 3)] == [LARGE[0].data, LARGE[1].data, None]
    assert (results.get_converted(JOB_ID, "jpg"), results.get_converted(JOB_ID, "webp")) == (b"jpeg bytes", None)
    assert results.has_original(JOB_ID)
    assert not stores.redis.keys(f"dr:{{{JOB_ID}}}:image*")
    results.store_converted(JOB_ID, "webp", b"webp bytes")
    assert results.get_converted(JOB_ID, "webp") == b"webp bytes"

    clock.advance(599)
    assert stores.stored_results.delete_expired() == 0
    clock.advance(1)
    assert stores.stored_results.delete_expired() == 3
    assert (list(media.list_keys()), stores.stored_results.delete_expired()) == ([], 0)
    assert results.get_original(JOB_ID) is None


def test_an_object_that_cannot_be_deleted_does_not_keep_the_others(
    stores: RedisStores, job_request: JobRequest, media: Media, clock: FakeClock, tmp_path: Path
) -> None:
    """It is tried again later; one that is missing already is forgotten."""
    complete(stores, job_request)
    [missing, stuck, _] = sorted(media.list_keys())
    media.delete(missing)
    media.delete(stuck)
    (tmp_path / "media" / stuck / "folder").mkdir(parents=True)
    clock.advance(600)
    assert stores.stored_results.delete_expired() == 2
    assert (list(media.list_keys()), stores.redis.zrange("dr:results", 0, -1)) == ([], [stuck.encode()])

    assert stores.stored_results.delete_expired() == 0
    shutil.rmtree(tmp_path / "media" / stuck)
    clock.advance(POSTPONED_MS / 1000)
    assert stores.stored_results.delete_expired() == 1
    assert not stores.redis.exists("dr:results")


def test_small_pictures_stay_in_redis(stores: RedisStores, job_request: JobRequest, media: Media) -> None:
    """They cost less there than a file does."""
    job = create_accepted_job(stores, job_request)
    stores.attempts.store_images(job, [replace(LARGE[0], data=b"small")], b"jpeg bytes")

    assert list(media.list_keys()) == []
    assert stores.results.get_original(JOB_ID) == b"small"


def test_pictures_of_a_job_that_does_not_complete_are_deleted(
    stores: RedisStores, job_request: JobRequest, media: Media, clock: FakeClock
) -> None:
    """Whether it fails, or its worker is lost after it has stored them; at once if the record names them already."""
    failing = create_accepted_job(stores, job_request)
    keys = stores.attempts.store_images(failing, LARGE, b"jpeg bytes")
    # As processes of earlier versions do before the job's end.
    stores.redis.hset(f"dr:{{{JOB_ID}}}:job", mapping={"media": " ".join(keys), "pictures": 2})
    stores.attempts.fail(failing, SiteRefused())
    assert stores.stored_results.delete_expired() == 3

    lost = create_accepted_job(stores, job_request, OTHER_JOB_ID)
    clock.advance(31)
    assert stores.maintenance.requeue_expired(lost.id)
    keys = stores.attempts.store_images(lost, LARGE, b"jpeg bytes")
    with pytest.raises(LeaseLost):
        stores.attempts.complete(lost, LARGE, keys)
    assert not stores.results.has_original(lost.id)
    assert sorted(media.list_keys()) == sorted(keys)
    clock.advance(24 * 3600)
    assert stores.stored_results.delete_expired() == 3
    assert list(media.list_keys()) == []


def test_a_later_attempt_replaces_the_pictures_of_an_earlier_one(
    stores: RedisStores, job_request: JobRequest, media: Media
) -> None:
    """The end names its own, and those that an earlier version's process has recorded are deleted; twice is once."""
    job = create_accepted_job(stores, job_request)
    earlier = stores.attempts.store_images(job, LARGE, b"earlier jpeg")
    stores.redis.hset(f"dr:{{{JOB_ID}}}:job", mapping={"media": " ".join(earlier), "pictures": 2})
    keys = stores.attempts.store_images(job, LARGE[:1], b"jpeg bytes")
    for _ in range(2):
        stores.attempts.complete(job, LARGE[:1], keys)

    assert stores.stored_results.delete_expired() == 3
    assert sorted(media.list_keys()) == sorted(keys)
    assert stores.results.get_converted(JOB_ID, "jpg") == b"jpeg bytes"
    assert [stores.results.get_original(JOB_ID, number) for number in (1, 2)] == [LARGE[0].data, None]


def test_objects_that_a_lost_index_has_left_are_deleted(
    stores: RedisStores, job_request: JobRequest, media: Media, clock: FakeClock
) -> None:
    """After a day, and only those that the index does not name."""
    complete(stores, job_request)
    [jpeg, *_] = (key.decode() for key in stores.redis.zrange("dr:results", 0, -1))
    stores.redis.zrem("dr:results", jpeg)

    # Objects bear the time of the machine, or of the cloud.
    clock.time_ms = media.open(jpeg).stored_at_ms + 3_600_000
    assert stores.stored_results.delete_unlisted() == 0
    clock.advance(2 * 86_400)
    assert stores.stored_results.delete_unlisted() == 1
    assert len(list(media.list_keys())) == 2


@pytest.mark.parametrize("where", ["redis", "media"])
def test_the_setting_overrides_the_size(
    stores: RedisStores, settings: Settings, clock: FakeClock, job_request: JobRequest, where: str
) -> None:
    """RESULT_STORE names one place for all pictures."""
    chosen = build_stores(stores.redis, clock, replace(settings, result_store=where))
    data = LARGE[0].data if where == "redis" else b"small"
    job = create_accepted_job(chosen, job_request)
    images = [replace(LARGE[0], data=data)]
    chosen.attempts.complete(job, images, chosen.attempts.store_images(job, images, b"jpeg bytes"))

    assert bool(stores.redis.keys(f"dr:{{{JOB_ID}}}:image*")) == (where == "redis")
    assert stores.results.get_original(JOB_ID) == data


def test_a_folder_is_not_used_with_a_redis_of_other_machines(settings: Settings, stores: RedisStores) -> None:
    """Their processes would not find the pictures."""
    far = replace(settings, redis_url="redis://10.0.0.1:6379/0")
    stored = StoredResults.from_settings(far, stores.redis, Media.from_settings(settings), FakeClock())

    assert stored.put(JOB_ID, [LARGE[0].data], 60) == []


def test_pictures_go_to_redis_while_the_media_store_is_down(
    stores: RedisStores, clock: FakeClock, job_request: JobRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finished job is not lost, and its partly stored objects are deleted."""
    stored: list[str] = []

    def put_one(_self: Media, key: str, _data: bytes) -> None:
        if stored:
            raise Unavailable
        stored.append(key)

    monkeypatch.setattr(Media, "put", put_one)
    complete(stores, job_request)

    assert stores.results.get_original(JOB_ID) == LARGE[0].data
    assert stores.jobs.get(JOB_ID).state is JobState.COMPLETED
    assert stores.redis.zscore("dr:results", stored[0]) == clock.now_ms() + ABANDONED_MS


@pytest.mark.parametrize("client", ["real"], indirect=True)
def test_a_media_store_that_stalls_is_left_alone_for_a_while(
    stores: RedisStores, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures go to Redis meanwhile, and those in the media store cannot be read; then one call tries again."""
    with serve_fake_s3() as port:
        media = connect_s3(monkeypatch, port)
        stored = StoredResults(stores.redis, media, clock, where=MEDIA, time_limit_s=1)
        pictures = [b"first", b"second"]
        FakeS3.answers.clear()
        assert [stored.put(job, pictures, 60) for job in ("aa1", "aa2")] == [[], []]
        listed = dict(stores.redis.zrange("dr:results", 0, -1, withscores=True))
        assert [key[11:14] for key in listed] == [b"aa1", b"aa1"]
        assert max(listed.values()) == clock.now_ms() + ABANDONED_MS
        clock.advance(PAUSE_MS / 1000)
        # The first call has not returned.
        assert stored.put("aa3", pictures, 60) == []

        FakeS3.answers.set()
        keys = eventually(lambda: stored.put("aa5", pictures, 60))
        assert [stored.get(key) for key in keys] == pictures
        FakeS3.answers.clear()
        for _ in range(2):
            with pytest.raises(Unavailable, match="Try again in 30 s") as raised:
                stored.get(keys[0])
            assert raised.value.retry_after_s == 30
        clock.advance(PAUSE_MS / 1000)
        with pytest.raises(Unavailable, match="Try again in 30 s"):
            stored.get(keys[1])
        FakeS3.answers.set()
        assert eventually(lambda: get_or_none(stored, keys[1])) == b"second"
        jobs = [(line.split()[0], line.split("/")[-1][:3]) for line in FakeS3.requests]
        assert jobs == [("PUT", "aa1"), *2 * [("PUT", "aa5")], *4 * [("GET", "aa5")]]


def get_or_none(stored: StoredResults, key: str) -> bytes | None:
    """A picture; None if it cannot be read at present."""
    try:
        return stored.get(key)
    except Unavailable:
        return None


@pytest.mark.parametrize("client", ["real"], indirect=True)
@pytest.mark.parametrize("error", [Unavailable("refused"), RuntimeError("broken")])
def test_a_read_that_ends_with_an_error_leaves_the_next_one_its_turn(
    stores: RedisStores, clock: FakeClock, media: Media, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Only a store that stalls is left alone."""
    stored = StoredResults(stores.redis, media, clock, where=MEDIA, time_limit_s=1)
    [key] = stored.put("aa1", [b"picture"], 60)
    release = threading.Event()
    with monkeypatch.context() as stalled:
        stalled.setattr(Media, "get", lambda *_: release.wait())
        with pytest.raises(Unavailable, match="does not answer"):
            stored.get(key)
    release.set()
    clock.advance(PAUSE_MS / 1000)

    def fail(*_: object) -> bytes:
        raise error

    with monkeypatch.context() as failing:
        failing.setattr(Media, "get", fail)
        eventually(lambda: read_error(stored, key) is error)
    assert stored.get(key) == b"picture"


def read_error(stored: StoredResults, key: str) -> Exception | None:
    """The error of a read."""
    try:
        stored.get(key)
    except (Unavailable, RuntimeError) as error:
        return error
    return None


WEB_PROCESS = """
from gevent import monkey
monkey.patch_all()
import gevent, sys
from gevent import get_hub
from redis import Redis
from ops.infra.clock import SystemClock
from schemas.errors import Unavailable
from stores.images.stored_results import StoredResults
from stores.media import Media
stored = StoredResults(Redis(), Media("s3://pictures/here"), SystemClock(), where="media", time_limit_s=0.5)
meanwhile = gevent.spawn(print, "another request is answered", flush=True)
for _ in range(2):
    try:
        stored.get("results/aa/aa1-0-0")
    except Unavailable as error:
        print(error.retry_after_s)
print(len(get_hub().threadpool), "calls in the threads that others share")
"""


def test_a_stalled_media_store_does_not_hold_up_a_web_process() -> None:
    """Its greenlets go on, each read ends with an error, and the process can end."""
    with serve_fake_s3() as port:
        FakeS3.answers.clear()
        environment = {"PATH": os.defpath, "PYTHONPATH": str(ROOT), **s3_environment(port)}
        command = [sys.executable, "-c", WEB_PROCESS]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)

    lines = [line for line in done.stdout.splitlines() if "results.not_read" not in line]
    assert lines == ["another request is answered", "30", "30", "0 calls in the threads that others share"]
