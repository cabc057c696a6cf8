"""The gallery in the Python clients, in the JavaScript client, and on the command line."""

import asyncio
import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from playwright._impl._driver import compute_driver_executable

from api.pages.client_js import CLIENT_FILE
from ops.cli.gallery import gallery as gallery_command
from ops.client import AsyncDarkroom, Darkroom, DarkroomError
from ops.client.gallery import Gallery
from ops.infra.settings import Settings
from schemas.jobs.job import GeneratedImage
from tests.conftest import API_KEY
from tests.integration.conftest import AppClient, serve_app
from tests.integration.gallery.picture_stack import open_stack
from tests.support.images import VALID_IMAGES

Call = Callable[..., Any]
PICTURE = VALID_IMAGES["png"][0]
PROMPT = "a quiet lake at dawn"
SCENARIO = Path(__file__).parent / "gallery_scenario.mjs"


@pytest.fixture(scope="module")
def app(gallery_settings: Settings) -> Iterator[AppClient]:
    """An app with background actors."""
    with open_stack(gallery_settings) as stack:
        yield stack.app


@pytest.fixture(scope="module")
def url(app: AppClient) -> Iterator[str]:
    """The app under werkzeug."""
    with serve_app(app.client.application) as url:
        yield url


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest, url: str) -> Call:
    """Call a method of the gallery in either client."""

    def call(method: str, /, *args: Any, **options: Any) -> Any:
        if request.param == "sync":
            with Darkroom(url, API_KEY) as darkroom:
                return getattr(darkroom.gallery, method)(*args, **options)

        async def run() -> Any:
            async with AsyncDarkroom(url, API_KEY) as darkroom:
                return await getattr(darkroom.gallery, method)(*args, **options)

        return asyncio.run(run())

    call.__name__ = request.param
    return call


def complete_job(app: AppClient) -> str:
    """Submit a job and complete it with a picture, and the jobs before it; return its id."""
    job_id = app.submit(PROMPT)
    images = [GeneratedImage(PICTURE, "image/png", 8, 8)]
    while job := app.stores.attempts.claim("w1"):
        app.stores.attempts.mark_accepted(job)
        keys = app.stores.attempts.store_images(job, images, VALID_IMAGES["jpeg"][0])
        app.stores.attempts.complete(job, images, keys)
    return job_id


def test_every_method_of_the_python_clients_works(app: AppClient, call: Call, tmp_path: Path) -> None:
    """Both clients take the same arguments and return the same objects."""
    name = f"python-{call.__name__}"
    other = f"other-{call.__name__}"
    assert call("update_profile", bio=name)["bio"] == name
    assert call("profile", call("profile")["address"])["bio"] == name
    assert call("create_collection", name, royalty_fee=5)["royaltyFee"] == 5
    with pytest.raises(DarkroomError) as taken:
        call("create_collection", name)
    assert (taken.value.status, taken.value.code, taken.value.details) == (409, "conflict", {"suggestion": f"{name}-2"})
    call("create_collection", other)
    path = tmp_path / "picture.png"
    path.write_bytes(PICTURE)
    attributes = [{"trait_type": "Level", "value": 3, "display_type": "number"}]
    first = call("add", name, picture=path, name="first", attributes=attributes)
    second = call("add", name, job_id=complete_job(app), prompt_private=True)
    assert (first["media"]["status"], first["attributes"]) == ("ready", attributes)
    assert (second["name"], second["promptPrivate"]) == ("Untitled", True)
    assert call("update_token", first["tokenId"], name="renamed")["name"] == "renamed"
    call("reorder", name, [second["tokenId"], first["tokenId"]])
    page = call("list_tokens", name, limit=1)
    rest = call("list_tokens", name, limit=1, cursor=page["nextCursor"])
    assert [token["name"] for token in page["items"] + rest["items"]] == ["Untitled", "renamed"]
    assert first["tokenId"] in [token["tokenId"] for token in call("list_tokens", explicit="exclude")["items"]]
    assert call("move_token", first["tokenId"], collection=other)["collection"]["slug"] == other
    offer = {"price": 1, "start_time": 1, "end_time": 2}
    assert int(call("set_listing", first["tokenId"], offer)["listing"]["endTime"], 16) == 2
    assert call("set_listing", first["tokenId"], None)["listing"] is None
    assert call("refresh", first["tokenId"])["refresh"]["done"] == "derived"
    assert call("provenance", second["tokenId"])["prompt"] == PROMPT
    assert call("rerun", second["tokenId"])["status"] == "QUEUED"
    archive = call("export_collection", name)
    path.write_bytes(archive)
    assert archive[:2] == b"PK"
    for source in (archive, path):
        imported = call("import_collection", source)
        assert (imported["tokens"], imported["problems"], imported["collection"]["name"]) == (1, [], name)
    assert len(call("export_collection", name, without_private=True)) < len(archive)
    with pytest.raises(DarkroomError) as refused:
        call("import_collection", b"no zip")
    assert (refused.value.status, refused.value.code) == (400, "invalid")
    assert call("update_collection", other, slug=f"moved-{other}")["slug"] == f"moved-{other}"
    assert call("collection", other)["slug"] == f"moved-{other}"
    assert {name, f"moved-{other}"} <= {row["slug"] for row in call("list_collections", "me")["items"]}
    assert call("delete_token", first["tokenId"]) is None
    assert call("delete_collection", f"moved-{other}") is None
    with pytest.raises(DarkroomError) as gone:
        call("token", first["tokenId"])
    assert (gone.value.status, gone.value.code) == (404, "not_found")


def test_every_method_of_the_javascript_client_works(app: AppClient, url: str, tmp_path: Path) -> None:
    """The client has the methods of the Python clients, under JavaScript names."""
    (tmp_path / "client.mjs").write_text(CLIENT_FILE.read_text())
    (tmp_path / "scenario.mjs").write_text(SCENARIO.read_text())
    (tmp_path / "run.mjs").write_text(
        'import * as client from "./client.mjs";\nimport { scenario } from "./scenario.mjs";\n'
        "console.log(JSON.stringify(await scenario(client, JSON.parse(process.argv[2]))));\n"
    )
    parameters = {"url": url, "key": API_KEY, "picture": base64.b64encode(PICTURE).decode()}
    command = [compute_driver_executable()[0], str(tmp_path / "run.mjs")]
    command.append(json.dumps(parameters | {"jobId": complete_job(app)}))
    process = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert process.returncode == 0, process.stderr
    observed = json.loads(process.stdout)
    mine = observed.pop("mine")
    assert {"from-js", "moved-js"} <= set(mine)
    assert observed == {
        "profile": "from JavaScript",
        "shown": "from JavaScript",
        "slug": "from-js",
        "suggestion": [409, "conflict", "from-js-2"],
        "added": ["ready", [{"trait_type": "Level", "value": 3, "display_type": "number"}], "ready"],
        "token": "first",
        "updated": "renamed",
        "order": ["second", "renamed"],
        "latest": True,
        "moved": "other-js",
        "offer": f"0x{1:064x}",
        "withdrawn": None,
        "refreshed": "derived",
        "prompt": PROMPT,
        "again": "QUEUED",
        "imported": ["application/zip", "From JS", 1, []],
        "renamed": "moved-js",
        "redirected": "moved-js",
        "deleted": [None, None],
        "gone": 404,
    }
    text = CLIENT_FILE.read_text()
    for method in (name for name in vars(Gallery) if not name.startswith("_")):
        head, *tail = method.split("_")
        assert f"  {head}{''.join(map(str.capitalize, tail))}(" in text, method


def test_the_command_line_fills_and_shows_the_gallery(app: AppClient, url: str, tmp_path: Path) -> None:
    """What it prints can be passed on; refusals are one line and exit code 1."""

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(gallery_command, [*arguments, "--url", url, "--key", API_KEY])

    def output(*arguments: str) -> str:
        # The server writes its log to the same place.
        lines = run(*arguments).stdout.splitlines()
        return "\n".join(line for line in lines if "request_id=" not in line)

    assert output("create", "Command Line", "--description", "[bold]", "--explicit") == "command-line"
    taken = run("create", "Command Line")
    assert (taken.exit_code, "command-line-2" in taken.stderr) == (1, True)
    picture = tmp_path / "sea.png"
    picture.write_bytes(PICTURE)
    token_id, page = output("add", "command-line", str(picture)).split()
    assert page.endswith(f"/c/command-line/{token_id}")
    assert run("add", "command-line", "--job", complete_job(app), "--name", "[red]a job[/]").exit_code == 0
    listed = output("list", "command-line")
    assert (token_id in listed, "sea" in listed, "[red]a job[/]" in listed) == (True, True, True)
    assert "command-line" in output("list", "--mine")
    assert "command-line" not in output("list", "--explicit", "exclude")
    assert json.loads(output("show", token_id))["name"] == "sea"
    assert json.loads(output("show", "command-line"))["description"] == "[bold]"
    archive = tmp_path / "archive.zip"
    assert output("export", "command-line", str(archive)) == f"2 pictures are in {archive}."
    slug, count = output("import", str(archive)).split(maxsplit=1)
    assert (slug.startswith("command-line-"), count) == (True, "2 tokens")
    assert json.loads(output("show", slug))["explicit"] is True
    for wrong, code in (
        (["export", "command-line", str(archive)], 1),
        (["export", "nowhere", str(tmp_path / "none.zip")], 1),
        (["import", str(picture)], 1),
        (["add", "command-line"], 2),
        (["add", "command-line", str(picture), "--job", "x"], 2),
        (["add", "command-line", "--job", "0" * 32], 1),
        (["show", "nowhere"], 1),
    ):
        assert run(*wrong).exit_code == code, wrong
    assert not (tmp_path / "none.zip").exists()
