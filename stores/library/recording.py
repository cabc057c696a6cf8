"""Owns the writing down of what a scan has found: which model each file belongs to, and what became of those it was.

Called by ``workers.library.scanning``. Each call is one transaction: readers see what was before it or after it, and
whoever is killed within it has changed nothing.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, bindparam, delete, select, update

from ops.clock import Clock
from schemas.library.facts import Claim, SaidImage
from schemas.library.seen import Found, Known, Problem, Seen
from stores.library import placing, uniting
from stores.library.merging import refresh
from stores.library.rows import claim_row, dump, insert_all, insert_one, parts, signed, writing
from stores.library.tables import claims, files, hashes, images, problems
from stores.sql import sql_errors

# What only a walk finds, not the reading of a file.
WALK_CODES = ("outside", "path_too_long", "unreadable")


@dataclass(slots=True)
class Counts:
    """What became of the files of a scan."""

    added: int = 0
    changed: int = 0
    moved: int = 0

    def add(self, other: "Counts") -> None:
        """These and those of ``other``."""
        self.added += other.added
        self.changed += other.changed
        self.moved += other.moved


class Origin(NamedTuple):
    """Where a file was that the library knows; ``path`` is None if another has its place."""

    id: int
    root: str
    path: bytes | None
    known: Known


class Recording:
    """Writes to one database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        """Nothing is asked yet."""
        self._engine = engine
        self._clock = clock

    def known(self, root: str) -> dict[bytes, Known]:
        """The files below a root that the library knows, by their path."""
        query = select(*_COMPARED).where(files.c.root == root, files.c.path.is_not(None))
        with sql_errors(), self._engine.connect() as connection:
            return {row.path: _known(row) for row in connection.execute(query)}

    def by_inode(self, inodes: Iterable[int]) -> dict[int, list[Origin]]:
        """The files that the library knows by these inodes, under whatever root and path."""
        found: defaultdict[int, list[Origin]] = defaultdict(list)
        for part in parts(inodes):
            query = select(files).where(files.c.inode.in_([signed(inode) for inode in part]))
            with sql_errors(), self._engine.connect() as connection:
                for row in connection.execute(query):
                    found[row.inode % 2**64].append(Origin(row.id, row.root, row.path, _known(row)))
        return found

    def record(self, batch: Sequence[Seen]) -> Counts:
        """Write down files that are new or changed, or whose companions are."""
        counts, touched = Counts(), set[int]()
        with writing(self._engine) as connection:
            for seen in batch:
                version_id = self._place(connection, seen, counts, touched)
                self._write_problems(connection, seen)
                if seen.claims:
                    _write_claims(connection, version_id, seen.claims)
                    version_id = placing.adopt(connection, version_id, touched)
                _write_images(connection, version_id, seen, self._clock.now_ms())
                touched.add(uniting.model_of(connection, version_id))
            refresh(connection, touched)
        return counts

    def believe(self, version_id: int, said: Sequence[Claim]) -> None:
        """Write down what sources say of a version that do not lie beside it."""
        touched: set[int] = set()
        with writing(self._engine) as connection:
            _write_claims(connection, version_id, said)
            placing.adopt(connection, version_id, touched)
            refresh(connection, touched | {uniting.model_of(connection, version_id)})

    def lose(self, ids: Iterable[int]) -> None:
        """Write down that files have gone; what people wrote about them stays, should they come back."""
        self._set_missing(ids, self._clock.now_ms())

    def find_again(self, ids: Iterable[int]) -> None:
        """Write down that files are back where they were, unchanged."""
        self._set_missing(ids, None)

    def forget_roots(self, kept: Sequence[str]) -> None:
        """Write down that the files below any other root are out of reach."""
        query = select(files.c.id).where(files.c.root.not_in(kept), files.c.missing_since.is_(None))
        with sql_errors(), self._engine.connect() as connection:
            ids = list(connection.execute(query).scalars())
        self.lose(ids)

    def note_walk(self, root: str, below: bytes, seen: Sequence[Problem]) -> None:
        """Write down what a walk below ``below`` could not go into, in place of what an earlier one could not."""
        of_walks = (problems.c.root == root) & problems.c.code.in_(WALK_CODES)
        with writing(self._engine) as connection:
            for row in connection.execute(select(problems.c.id, problems.c.path).where(of_walks)).all():
                if not below or row.path == below or row.path.startswith(below + b"/"):
                    connection.execute(delete(problems).where(problems.c.id == row.id))
            now = self._clock.now_ms()
            insert_all(connection, problems, [_problem_row(root, one.subject, one, now) for one in seen])

    def _set_missing(self, ids: Iterable[int], since: int | None) -> None:
        for part in parts(ids):
            with writing(self._engine) as connection:
                connection.execute(update(files).where(files.c.id.in_(part)).values(missing_since=since))
                refresh(connection, placing.models_of_files(connection, part))
            # Others write too: between two parts it is their turn.
            time.sleep(0)

    def _place(self, connection: Connection, seen: Seen, counts: Counts, touched: set[int]) -> int:
        """The version that the file belongs to."""
        row = _at(connection, seen.found)
        if seen.moved_from is not None and (row is None or row.id != seen.moved_from):
            if row is not None:
                uniting.vacate(connection, row, self._clock.now_ms())
            row = connection.execute(select(files).where(files.c.id == seen.moved_from)).one_or_none()
            counts.moved += row is not None
        if row is None:
            counts.added += 1
            return self._add(connection, seen)
        touched.add(uniting.model_of(connection, row.version_id))
        counts.changed += row.path == seen.found.path
        if (row.size_bytes, row.mtime_ns) == (seen.found.size_bytes, seen.found.mtime_ns):
            connection.execute(update(files).where(files.c.id == row.id).values(**_placed(seen)))
            return int(row.version_id)
        return self._replace(connection, row, seen)

    def _add(self, connection: Connection, seen: Seen) -> int:
        now = self._clock.now_ms()
        version_id = placing.version_for(connection, seen, now)
        values = _placed(seen) | _read(seen)
        insert_one(connection, files, version_id=version_id, first_seen=now, **values)
        return version_id

    def _replace(self, connection: Connection, row: Any, seen: Seen) -> int:
        """The file has other bytes now: the same tensors under another header, perhaps, or another model."""
        version_id = row.version_id
        same_layout = row.layout is not None and row.layout == seen.layout
        if not same_layout and row.content is not None:
            uniting.leave_behind(connection, row, self._clock.now_ms())
            version_id = placing.version_for(connection, seen, self._clock.now_ms())
        values = _placed(seen) | _read(seen) | {"content": row.content if same_layout else None}
        connection.execute(update(files).where(files.c.id == row.id).values(version_id=version_id, **values))
        connection.execute(delete(hashes).where(hashes.c.file_id == row.id))
        return int(version_id)

    def _write_problems(self, connection: Connection, seen: Seen) -> None:
        found, now = seen.found, self._clock.now_ms()
        connection.execute(delete(problems).where(problems.c.root == found.root, problems.c.path == found.path))
        rows = [_problem_row(found.root, found.path, problem, now) for problem in seen.problems]
        insert_all(connection, problems, rows)


def _at(connection: Connection, found: Found) -> Any:
    place = (files.c.root == found.root) & (files.c.path == found.path)
    return connection.execute(select(files).where(place)).one_or_none()


def _problem_row(root: str, path: bytes, problem: Problem, now_ms: int) -> dict[str, Any]:
    about = {"subject": problem.subject, "code": problem.code, "message": problem.message, "found_at": now_ms}
    return {"root": root, "path": path, **about}


def _known(row: Any) -> Known:
    missing = row.missing_since is not None
    return Known(row.id, row.inode % 2**64, row.size_bytes, row.mtime_ns, row.companions, missing)


def _placed(seen: Seen) -> dict[str, Any]:
    found = seen.found
    return {
        "root": found.root,
        "path": found.path,
        "name": found.name,
        "inode": signed(found.inode),
        "mtime_ns": found.mtime_ns,
        "companions": found.companions,
        "missing_since": None,
        "problem": next((one.code for one in seen.problems if one.subject == found.path), None),
    }


def _read(seen: Seen) -> dict[str, Any]:
    return {
        "kind": seen.kind,
        "size_bytes": seen.found.size_bytes,
        "layout": seen.layout,
        "header": dump(dict(seen.header)),
        "content": None,
        "hashes": "{}",
        "hashed_at": None,
    }


def _write_claims(connection: Connection, version_id: int, claimed: Sequence[Claim]) -> None:
    """What sources say now, in place of what they said before; who says nothing any more is not forgotten."""
    said = [claim_row(version_id, claim) for claim in claimed if not claim.facts.empty]
    same = (
        (claims.c.version_id == bindparam("v"))
        & (claims.c.source == bindparam("s"))
        & (claims.c.rank == bindparam("r"))
    )
    if said:
        keys = [{"v": row["version_id"], "s": row["source"], "r": row["rank"]} for row in said]
        connection.execute(delete(claims).where(same), keys)
        insert_all(connection, claims, said)


def _write_images(connection: Connection, version_id: int, seen: Seen, now_ms: int) -> None:
    """The pictures beside the model: one that is known by its slot keeps its id."""
    ours = (images.c.version_id == version_id) & images.c.slot.is_not(None)
    known = {row.slot: row for row in connection.execute(select(images).where(ours))}
    model_id = uniting.model_of(connection, version_id)
    for order, image in enumerate(seen.images):
        place = {"root": seen.found.root, "path": image.path, "stamp": image.stamp, "sort_order": order}
        row = known.pop(image.slot, None)
        if row is None:
            more = {"model_id": model_id, "version_id": version_id, "slot": image.slot, "created_at": now_ms}
            insert_one(connection, images, **_image_values(image.said), **place, **more)
            continue
        said = _image_values(image.said)
        # What was found out about the same bytes is still so.
        kept = {name: getattr(row, name) for name in _FOUND_OUT if row.stamp == image.stamp and said[name] is None}
        thumb = {"thumb_key": row.thumb_key if row.stamp == image.stamp else None}
        connection.execute(update(images).where(images.c.id == row.id).values(**said | kept | place | thumb))
    if known:
        gone = [row.id for row in known.values()]
        connection.execute(delete(images).where(images.c.id.in_(gone)))


def _image_values(said: SaidImage) -> dict[str, Any]:
    return {
        "width": said.width,
        "height": said.height,
        "nsfw_level": said.nsfw_level,
        "blurhash": said.blurhash,
        "prompt": said.prompt,
        "params": dump(dict(said.params)),
    }


_FOUND_OUT = ("width", "height", "blurhash")
_COMPARED = (
    *(files.c.path, files.c.id, files.c.inode, files.c.size_bytes, files.c.mtime_ns, files.c.companions),
    files.c.missing_since,
)
