"""Schemathesis: requests that the description allows and forbids, and whether every response is as described."""

import os
from collections.abc import Iterator
from unittest import mock

import pytest

from api.sites import site_queries
from ops.infra.settings import Settings
from schemas.accounts.caller import UNLIMITED
from tests.conftest import API_KEY, isolated_settings
from tests.integration.conftest import AppClient
from tests.integration.gallery.picture_stack import open_stack
from tests.support.api_fuzzing import find_failures
from tests.support.automatic_worker import AutomaticWorker
from tests.support.falsy_requests import find_differences
from tests.support.images import VALID_IMAGES
from tests.support.library import LibraryApp
from tests.support.model_files import write_safetensors

# More of them, for a long run by hand: DESCRIPTION_EXAMPLES=100.
EXAMPLES = int(os.environ.get("DESCRIPTION_EXAMPLES", "1"))
STEPS = 4


@pytest.fixture(scope="module")
def running(base_settings: Settings, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppClient]:
    """An app with a model, jobs that end at once, and no limits; what waits for other processes does not wait long."""
    settings = isolated_settings(base_settings, redis_url, tmp_path_factory.mktemp("described"))
    folder = settings.data_dir / "models"
    write_safetensors(folder / "loras" / "ink.safetensors", data=b"ink")
    (folder / "loras" / "ink.preview.png").write_bytes(VALID_IMAGES["png"][0])
    unlimited = dict.fromkeys(
        ("rate_limit", "rate_limit_submit", "rate_limit_status", "rate_limit_address"), "unlimited"
    )
    numbers = dict.fromkeys(("limit_queued_images", "limit_open_uploads"), UNLIMITED)
    changes = {"models_dir": (folder,), "allow_anonymous_workloads": True, "max_queue_size": 1_000_000}
    with (
        mock.patch.object(site_queries, "SEARCH_TIMEOUT_S", 0.05),
        open_stack(settings, **unlimited, **numbers, **changes) as stack,
    ):
        library = LibraryApp(stack.app, folder)
        library.scan()
        library.hash()
        # Streams and long polls end at once, as in a process that stops.
        library.stores.notifier.announce_shutdown()
        with AutomaticWorker(library.stores):
            yield library.app


def test_falsy_values_are_taken_as_described(running: AppClient) -> None:
    """Null, zero, false and empty values in each field of each JSON body and in each query: none slips through."""
    document = running.client.application.extensions["openapi"].document
    differences, count = find_differences(running.client, {"x-api-key": API_KEY}, document)

    assert count > 500
    assert not differences, f"{len(differences)} differences:\n" + "\n".join(differences)


@pytest.mark.timeout(0 if EXAMPLES > 10 else 600)
# Other threads draw random numbers meanwhile; werkzeug's client leaves the files of responses to the collector.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
def test_schemathesis_finds_nothing(running: AppClient) -> None:
    """Requests that the description allows are accepted, others refused, and every response is as described."""
    running.post("/api/v1/gallery/collections", json={"name": "Lighthouses"})
    archive = running.get("/api/v1/gallery/collections/lighthouses/export").data
    app = running.client.application
    failures, count = find_failures(app, API_KEY, archive, examples=EXAMPLES, steps=STEPS)

    assert count > 1000
    assert not failures, f"{len(failures)} failures:\n" + "\n".join(failures)
