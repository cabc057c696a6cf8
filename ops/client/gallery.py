"""The gallery in both clients: one class, whose methods return objects, or awaitables of them in the asyncio client.

Objects are JSON as the API returns it; see ``/docs``. Lists come in pages: ``items``, and ``nextCursor``, which the
next call passes on as ``cursor`` until it is None.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote

from .requests import image_file

R_co = TypeVar("R_co", covariant=True)
PREFIX = "/api/v1/gallery"
# The pictures of an archive are examined one after another.
ARCHIVE_TIMEOUT_S = 3600


class Send(Protocol[R_co]):
    """Sends a request and returns its JSON; None for a response without a body."""

    def __call__(self, method: str, path: str, **content: Any) -> R_co:
        """``content`` are options of httpx."""


class Gallery(Generic[R_co]):
    """Your profile, collections and tokens, and those of others.

    Every method raises DarkroomError if the request is refused, or if the server does not respond. Fields are named as
    in the API, in snake case: ``royalty_fee`` is ``royaltyFee`` there.
    """

    def __init__(self, send: Send[R_co]) -> None:
        self._send = send

    def profile(self, address: str | None = None) -> R_co:
        """Return your profile, or that of an address."""
        return self._send("GET", f"/profiles/{_part(address)}" if address else "/profile")

    def update_profile(self, **changes: Any) -> R_co:
        """Change ``username``, ``bio``, ``link``, ``twitter`` or ``picture``, the id of a token of yours."""
        return self._send("PATCH", "/profile", json=_wire(changes))

    def list_collections(
        self,
        owner: str | None = None,
        *,
        cursor: str | None = None,
        limit: int | None = None,
        explicit: str | None = None,
    ) -> R_co:
        """Return a page of the latest collections; with ``owner`` those of an address, with ``"me"`` your own.

        ``explicit`` is ``include``, ``exclude`` or ``only``; ``hidden`` is the number of items that it hides.
        """
        return self._send(
            "GET", "/collections", params=_given(owner=owner, cursor=cursor, limit=limit, explicit=explicit)
        )

    def collection(self, slug: str) -> R_co:
        """Return a collection."""
        return self._send("GET", f"/collections/{_part(slug)}")

    def create_collection(self, name: str, /, **fields: Any) -> R_co:
        """Create a collection with ``slug``, ``description``, ``explicit`` or ``royalty_fee``.

        If the slug is taken, the error has the code ``conflict`` and ``details["suggestion"]``, which is free.
        """
        return self._send("POST", "/collections", json=_wire({"name": name, **fields}))

    def update_collection(self, slug: str, /, **changes: Any) -> R_co:
        """Change a collection: its fields, ``status`` (``ACTIVE``, ``ARCHIVED``), and ``picture``, a token of yours."""
        return self._send("PATCH", f"/collections/{_part(slug)}", json=_wire(changes))

    def delete_collection(self, slug: str) -> R_co:
        """Delete a collection without tokens."""
        return self._send("DELETE", f"/collections/{_part(slug)}")

    def list_tokens(
        self,
        slug: str | None = None,
        *,
        cursor: str | None = None,
        limit: int | None = None,
        explicit: str | None = None,
    ) -> R_co:
        """Return a page of the tokens of a collection in its order, or of the latest tokens of all collections."""
        path = f"/collections/{_part(slug)}/tokens" if slug else "/tokens"
        return self._send("GET", path, params=_given(cursor=cursor, limit=limit, explicit=explicit))

    def token(self, token_id: str) -> R_co:
        """Return a token."""
        return self._send("GET", f"/tokens/{_part(token_id)}")

    def add(
        self,
        slug: str,
        /,
        *,
        job_id: str | None = None,
        number: int | None = None,
        image_id: int | None = None,
        picture: bytes | os.PathLike[str] | None = None,
        **fields: Any,
    ) -> R_co:
        """Add a token to a collection of yours and return it.

        Its picture is that of a completed job of yours (its first one, or the one with ``number``), an image of the
        library, or ``picture``, bytes or the path of a file. ``fields`` are ``name``, ``description``, ``amount``,
        ``attributes`` and ``prompt_private``.

        Raises:
            OSError: the file cannot be read.
        """
        body = _wire(_given(job_id=job_id, number=number, image_id=image_id) | fields)
        path = f"/collections/{_part(slug)}/tokens"
        if picture is None:
            return self._send("POST", path, json=body)
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()}
        return self._send("POST", path, data=texts, files={"file": image_file(picture)})

    def update_token(self, token_id: str, /, **changes: Any) -> R_co:
        """Change ``name``, ``description``, ``amount``, ``attributes`` or ``prompt_private`` of a token."""
        return self._send("PATCH", f"/tokens/{_part(token_id)}", json=_wire(changes))

    def move_token(self, token_id: str, *, collection: str | None = None, before: str | None = None) -> R_co:
        """Move a token to another collection of yours, and there before another token or to the end."""
        return self._send("POST", f"/tokens/{_part(token_id)}/move", json=_given(collection=collection, before=before))

    def reorder(self, slug: str, token_ids: Iterable[str]) -> R_co:
        """Put tokens of a collection into an order among themselves; the others keep their places."""
        return self._send("PUT", f"/collections/{_part(slug)}/order", json={"tokenIds": list(token_ids)})

    def set_listing(self, token_id: str, listing: Mapping[str, Any] | None) -> R_co:
        """Set the offer of a token (``price`` in wei, ``start_time``, ``end_time``, ``amount``), or withdraw it."""
        path = f"/tokens/{_part(token_id)}/listing"
        return self._send("DELETE", path) if listing is None else self._send("PUT", path, json=_wire(listing))

    def refresh(self, token_id: str) -> R_co:
        """Have the derived pictures of a token made again."""
        return self._send("POST", f"/tokens/{_part(token_id)}/refresh")

    def provenance(self, token_id: str) -> R_co:
        """Return what made the picture of a token, and whether it can be made again."""
        return self._send("GET", f"/tokens/{_part(token_id)}/provenance")

    def rerun(self, token_id: str) -> R_co:
        """Make a new job of yours with the inputs of a token's job, and return it; ``comparisonUrl`` compares both.

        If a model or the site is gone, the error has the code ``conflict`` and ``details["reasons"]``.
        """
        return self._send("POST", f"/tokens/{_part(token_id)}/rerun")

    def export_collection(self, slug: str, *, without_private: bool = False) -> R_co:
        """Return a collection as the bytes of a zip, with a page that opens from disk.

        ``without_private`` leaves out prompts that are marked private.
        """
        params = {"private": "omit"} if without_private else {}
        return self._send("GET", f"/collections/{_part(slug)}/export", params=params, timeout=ARCHIVE_TIMEOUT_S)

    def import_collection(self, archive: bytes | os.PathLike[str]) -> R_co:
        """Make a collection of yours from an exported one, bytes or the path of a file.

        Return ``collection``, the number of its ``tokens``, and ``problems`` with pictures.

        Raises:
            OSError: the file cannot be read.
        """
        content = archive if isinstance(archive, bytes) else Path(archive).read_bytes()
        headers = {"Content-Type": "application/zip"}
        return self._send("POST", "/import", content=content, headers=headers, timeout=ARCHIVE_TIMEOUT_S)

    def delete_token(self, token_id: str) -> R_co:
        """Delete a token permanently."""
        return self._send("DELETE", f"/tokens/{_part(token_id)}")


def _part(text: str | None) -> str:
    return quote(str(text), safe="")


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _wire(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields under their JSON names; None stays, because it removes a field."""
    return {_camel_case(name): value for name, value in values.items()}


def _camel_case(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(map(str.capitalize, tail))
