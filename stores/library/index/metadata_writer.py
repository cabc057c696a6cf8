"""The writing down of what is said of a file: by its sources, by the pictures beside it, by what is wrong."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from schemas.library.metadata import ImageMetadata, Source, SourceMetadata
from schemas.library.scan_records import FileProblem, ScannedFile
from stores.library.index.model_merge import model_of
from stores.library.rows import claim_to_row, dump_json, insert_row, insert_rows
from stores.library.tables import claims, files, images, problems


def write_claims(
    connection: Connection, version_id: int, said: Sequence[SourceMetadata], file_id: int | None = None
) -> None:
    """What sources say now, in place of what they said before; who says nothing any more is not forgotten.

    A header that was read says all that it has to say. Where the version has other files beside ``file_id``, which say
    something as well, the newer is kept: it does not matter which is looked at first.
    """
    known = {(row.source, row.rank): row.time_ms for row in connection.execute(_KNOWN_CLAIMS, {"v": version_id})}
    rows = [claim_to_row(version_id, claim) for claim in said if not claim.metadata.is_empty]
    if known and file_id is not None and _has_others(connection, version_id, file_id):
        rows = [row for row in rows if row["time_ms"] >= known.get((row["source"], row["rank"]), -1)]
    elif known:
        silent = [claim for claim in said if claim.metadata.is_empty and claim.source == Source.HEADER]
        _forget_claims(connection, version_id, [(claim.source, int(claim.priority)) for claim in silent], known)
    _forget_claims(connection, version_id, [(row["source"], row["rank"]) for row in rows], known)
    insert_rows(connection, claims, rows)


def _has_others(connection: Connection, version_id: int, file_id: int) -> bool:
    here = (files.c.version_id == version_id) & (files.c.id != file_id) & files.c.missing_since.is_(None)
    return connection.execute(select(files.c.id).where(here).limit(1)).first() is not None


def _forget_claims(connection: Connection, version_id: int, keys: Sequence[tuple[str, int]], known: Any) -> None:
    gone = [{"v": version_id, "s": source, "r": rank} for source, rank in keys if (source, rank) in known]
    if gone:
        connection.execute(delete(claims).where(_SAME_CLAIM), gone)


def write_images(connection: Connection, version_id: int, seen: ScannedFile, now_ms: int) -> None:
    """The pictures beside the model: one that is known by its slot keeps its id."""
    known = {row.slot: row for row in connection.execute(_KNOWN_IMAGES, {"v": version_id})}
    if not known and not seen.images:
        return
    model_id = model_of(connection, version_id)
    for order, image in enumerate(seen.images):
        place = {"root": seen.file.root, "path": image.path, "stamp": image.stamp, "sort_order": order}
        row = known.pop(image.slot, None)
        if row is None:
            more = {"model_id": model_id, "version_id": version_id, "slot": image.slot, "created_at": now_ms}
            insert_row(connection, images, **_image_values(image.metadata), **place, **more)
            continue
        said = _image_values(image.metadata)
        # What was found out about the same bytes is still so.
        kept = {name: getattr(row, name) for name in _FOUND_OUT if row.stamp == image.stamp and said[name] is None}
        thumb = {"thumb_key": row.thumb_key if row.stamp == image.stamp else None}
        connection.execute(update(images).where(images.c.id == row.id).values(**said | kept | place | thumb))
    if known:
        others = _stems_of_others(connection, version_id, seen)
        gone = [row.id for row in known.values() if not any(_lies_beside(row, *other) for other in others)]
        connection.execute(delete(images).where(images.c.id.in_(gone)))


def _stems_of_others(connection: Connection, version_id: int, seen: ScannedFile) -> list[tuple[str, bytes]]:
    """The root and the path without its ending of every other file of the version that is there."""
    query = select(files.c.root, files.c.path).where(files.c.version_id == version_id, files.c.missing_since.is_(None))
    here = (seen.file.root, seen.file.path)
    return [(root, path.rpartition(b".")[0]) for root, path in connection.execute(query) if (root, path) != here]


def _lies_beside(row: Any, root: str, stem: bytes) -> bool:
    """Whether a picture is that of a file; those in a downloader's folder are of whichever lies beside it."""
    folder = stem.rpartition(b"/")[0]
    beside = row.path.startswith(stem) or (row.slot.startswith("civitdl/") and row.path.startswith(folder))
    return bool(row.root == root and beside)


def _image_values(said: ImageMetadata) -> dict[str, Any]:
    return {
        "width": said.width,
        "height": said.height,
        "nsfw_level": said.nsfw_level,
        "blurhash": said.blurhash,
        "prompt": said.prompt,
        "params": dump_json(dict(said.params)),
    }


def write_problems(connection: Connection, seen: ScannedFile, now_ms: int) -> None:
    """What is wrong with a file and with what lies beside it, in place of what was."""
    found = seen.file
    connection.execute(_FORGET_PROBLEMS, {"r": found.root, "p": found.path})
    rows = [problem_row(found.root, found.path, problem, now_ms) for problem in seen.problems]
    insert_rows(connection, problems, rows)


def problem_row(root: str, path: bytes, problem: FileProblem, now_ms: int) -> dict[str, Any]:
    """Something wrong, as its table keeps it."""
    about = {"subject": problem.subject, "code": problem.code, "message": problem.message, "found_at": now_ms}
    return {"root": root, "path": path, **about}


_FOUND_OUT = ("width", "height", "blurhash")
_SAME_CLAIM = (
    (claims.c.version_id == bindparam("v")) & (claims.c.source == bindparam("s")) & (claims.c.rank == bindparam("r"))
)
# Made once: thousands of files are asked about with each.
_KNOWN_CLAIMS = select(claims.c.source, claims.c.rank, claims.c.time_ms).where(claims.c.version_id == bindparam("v"))
_KNOWN_IMAGES = select(images).where(images.c.version_id == bindparam("v"), images.c.slot.is_not(None))
_FORGET_PROBLEMS = delete(problems).where(problems.c.root == bindparam("r"), problems.c.path == bindparam("p"))
