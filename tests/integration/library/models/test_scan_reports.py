"""Requests for scans, and the report of problems, over HTTP."""

from tests.support.access_rights import obeying_file_modes
from tests.support.library import LibraryApp
from tests.support.model_files import write_safetensors


def test_scan_requests_and_reports(library: LibraryApp) -> None:
    """Both URLs of the scan request work; invalid bodies and parameters are rejected."""
    responses = [
        library.request("POST", path, **body)
        for path, body in (("/api/v1/scan", {}), ("/api/v1/library/scan", {"json": {"full": True}}))
    ]
    assert [response.status_code for response in responses] == [202, 202]
    assert [entry.full for entry in library.stores.scan_requests.claim(1)] == [False, True]
    for body in (
        {"json": []},
        {"json": {"full": "yes"}},
        {"json": {"fast": True}},
        {"data": b"null", "content_type": "application/json"},
    ):
        assert library.request("POST", "/api/v1/scan", **body).status_code == 400, body
    assert library.request("POST", "/api/v1/scan", data=b"full").status_code == 415
    assert library.get("/api/v1/library/scan") is None
    report = library.get("/api/v1/library/report")
    assert (report["counts"]["models"], report["problems"], report["nextAfter"]) == (4, [], None)
    for query in ("after=-1", "after=x", "after=99999999999999999999", "limit=0"):
        assert library.request("GET", f"/api/v1/library/report?{query}").status_code == 400
    assert library.request("GET", "/api/v1/library/scan/events", headers={"Last-Event-ID": "x"}).status_code == 400


def test_the_report_is_paged(library: LibraryApp) -> None:
    """Each problem is on one page."""
    for number in range(5):
        (library.folder / f"half{number}.safetensors").write_bytes(b"")
    library.scan()
    paths, after = [], 0
    while after is not None:
        part = library.get("/api/v1/library/report", limit=2, after=after)
        paths += [entry["path"] for entry in part["problems"]]
        after = part["nextAfter"]
    assert sorted(paths) == [f"half{number}.safetensors" for number in range(5)]
    assert library.get("/api/v1/library/report")["problems"][0]["code"] == "empty"


def test_what_cannot_be_opened_stays_in_the_report(library: LibraryApp) -> None:
    """Until it can be: then the next scan reads it, although neither its size nor its time has changed."""
    model = write_safetensors(
        library.folder / "loras" / "locked.safetensors", metadata={"ss_base_model_version": "sd_v1"}, data=b"locked"
    )
    sidecar = model.with_suffix(".civitai.info")
    sidecar.write_text('{"model": {"name": "Unlocked"}}')
    with obeying_file_modes():
        model.chmod(0)
        sidecar.chmod(0)
        for _ in range(3):
            library.scan()
            problems = library.get("/api/v1/library/report")["problems"]
            assert sorted((problem["subject"], problem["code"]) for problem in problems) == [
                ("loras/locked.civitai.info", "unreadable"),
                ("loras/locked.safetensors", "unreadable"),
            ]
        model.chmod(0o644)
        sidecar.chmod(0o644)
        library.scan()
    assert library.get("/api/v1/library/report")["problems"] == []
    found = library.get(f"/{library.find_id('unlocked')}")
    assert (found["baseModel"], found["versions"][0]["files"][0]["header"]["tensors"]) == ("SD 1.5", 1)
