"""The file format of an exported collection: a zip with pictures, their metadata and provenance, and a page.

``collection.json`` names all other members. ``metadata/ID.json`` is the document of ERC-1155 and ERC-8495 of a token,
``provenance/ID.json`` what made its picture, ``pictures/ID.EXTENSION`` the picture, ``posters/ID.EXTENSION`` the still
picture of a video, ``inputs/SHA256.EXTENSION`` a picture that its job was given. ``index.html`` shows all of it from
disk, without a server and without a script.

An archive that is imported is untrusted: everything in it is checked before anything is stored.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from schemas.errors import Invalid
from schemas.fields import MAX_LORA_NAME_LENGTH, MAX_PROMPT_LENGTH, BoundedList, Text, flatten_errors
from schemas.gallery.collections import Collection, CollectionStatus, NewCollection
from schemas.gallery.provenance import IN_LIBRARY, KEPT_INPUTS, MAX_GENERATION_CHARS, MAX_MODELS, OWNER_FIELDS
from schemas.gallery.requests.attributes import Attributes
from schemas.gallery.requests.bodies import NewCollectionBody
from schemas.gallery.requests.fields import Uint256, description_field, name_field
from schemas.gallery.tokens import Listing, NewToken, Token
from schemas.images.input_images import InputImage
from schemas.library.formats.hashes import AUTOV2, AUTOV3, BLAKE3, SHA256
from schemas.untrusted_json import MAX_DEPTH, JsonReader

FORMAT, VERSION = "darkroom-collection", 1
MANIFEST_NAME, PAGE_NAME = "collection.json", "index.html"
MAX_TOKENS = 10_000
MAX_MANIFEST_BYTES, MAX_MANIFEST_CONTAINERS = 32 * 1024 * 1024, 500_000
# Of one provenance record, and of all together, which end in the database.
MAX_RECORD_BYTES, MAX_RECORD_CONTAINERS = 1024 * 1024, 50_000
MAX_RECORDS_BYTES = 512 * 1024 * 1024
MAX_ARCHIVE_BYTES = 4 * 1024**3
# A model is looked up by each of its hashes; these are the most distinctive ones.
MAX_HASHES = 4
HASHES_BY_WORTH = (*(name.lower() for name in (SHA256, BLAKE3, AUTOV3, AUTOV2)), "hash")
# The last day that dates reach, and more than any clock, counter or side of a picture has.
MAX_TIME_MS, MAX_COUNTER, MAX_SIDE_PX = 253_402_214_399_999, 2**53, 2**31
PICTURE_NAME = re.compile(r"(pictures|posters|inputs)/[0-9a-f]{64}\.[a-z0-9]{1,5}", re.ASCII)
RECORD_NAME = re.compile(r"provenance/[0-9a-f]{64}\.json", re.ASCII)
READER = JsonReader("collection.json", max_depth=12, max_containers=MAX_MANIFEST_CONTAINERS)
# Parameters of pictures may have the maximal depth.
RECORD_READER = JsonReader("The provenance", max_depth=MAX_DEPTH + 10, max_containers=MAX_RECORD_CONTAINERS)
_HEX = re.compile(r"[0-9a-f]{4,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ArchivedToken:
    """A token of an archive: what it is created with, and the members with its picture and its provenance.

    ``poster`` is a picture that stands for a video.
    """

    fields: NewToken
    picture: str | None
    poster: str | None
    provenance: str | None
    inputs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ArchivedCollection:
    """The collection of an archive."""

    fields: NewCollection
    status: CollectionStatus
    tokens: tuple[ArchivedToken, ...]


def member_stem(token: Token) -> str:
    """Return the name of a token's members without folder and extension."""
    return token.token_id.removeprefix("0x")


def write_manifest(collection: Collection, token_lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield ``collection.json``, in which each token is a line of JSON."""
    entry = {
        "name": collection.name,
        "slug": collection.slug,
        "description": collection.description,
        "explicit": collection.explicit,
        "royaltyFee": collection.royalty_fee,
        "status": collection.status,
        "owner": collection.address_of_owner,
    }
    head = dump({"format": FORMAT, "version": VERSION, "collection": entry})
    yield head.removesuffix("\n}").encode() + b',\n "tokens": ['
    for number, line in enumerate(token_lines):
        yield (b",\n" if number else b"\n") + line.rstrip()
    yield b"\n]}\n"


def token_entry(
    token: Token, picture: str | None, poster: str | None, provenance: str | None, inputs: Mapping[str, str]
) -> dict[str, Any]:
    """Return a token as it stands in ``collection.json``; ``picture`` and the others are names of members."""
    listing = token.listing
    return {
        "tokenId": token.token_id,
        "name": token.name,
        "description": token.description,
        "amount": token.amount,
        "attributes": list(token.attributes),
        "promptPrivate": token.is_prompt_private,
        "model": token.model,
        "moderationScore": token.moderation_score,
        "listing": listing
        and {"price": listing.price, "start": listing.start, "end": listing.end, "amount": listing.amount},
        "picture": picture,
        "poster": poster,
        "sha256": token.media.sha256,
        "metadata": f"metadata/{member_stem(token)}.json",
        "provenance": provenance,
        "inputs": dict(inputs),
    }


def exported_record(record: Mapping[str, Any], *, as_owner: bool) -> dict[str, Any]:
    """Return a provenance record for an archive, which has the pictures of the inputs as members."""
    shown = {name: value for name, value in record.items() if name != KEPT_INPUTS}
    return shown if as_owner else {**shown, **dict.fromkeys(OWNER_FIELDS)}


class _ListingSchema(Schema):
    price = Uint256(required=True)
    start = Uint256(required=True)
    end = Uint256(required=True)
    amount = Uint256(required=True)


class _TokenSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    name = name_field(required=True)
    description = description_field(load_default="", allow_none=True)
    amount = Uint256(minimum=1, required=True)
    attributes = Attributes(strict=False, load_default=list)
    promptPrivate = fields.Boolean(load_default=False)
    model = Text(allow_none=True, load_default=None, validate=validate.Length(max=200))
    moderationScore = fields.Float(load_default=0.0, allow_nan=False)
    listing = fields.Nested(_ListingSchema, allow_none=True, load_default=None)
    picture = fields.String(allow_none=True, load_default=None, validate=validate.Regexp(PICTURE_NAME.pattern + r"\Z"))
    poster = fields.String(allow_none=True, load_default=None, validate=validate.Regexp(PICTURE_NAME.pattern + r"\Z"))
    provenance = fields.String(
        allow_none=True, load_default=None, validate=validate.Regexp(RECORD_NAME.pattern + r"\Z")
    )
    inputs = fields.Dict(
        keys=fields.String(validate=validate.Length(max=60)),
        values=fields.String(validate=validate.Regexp(PICTURE_NAME.pattern + r"\Z")),
        load_default=dict,
        validate=validate.Length(max=8),
    )


class _SiteSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    name = fields.String(required=True, validate=validate.Regexp(r"^[a-z][a-z0-9_-]{0,39}\Z"))
    title = Text(required=True, validate=validate.Length(max=200))
    recipe = fields.String(required=True, allow_none=True, validate=validate.Regexp(r"^[0-9a-f]{16}\Z"))
    deterministic = fields.Boolean(required=True)


class _ModelSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    kind = fields.String(required=True, validate=validate.Regexp(r"^[a-z]{1,20}\Z"))
    name = Text(required=True, validate=validate.Length(1, 400))
    weight = fields.Float(allow_nan=False)
    hashes = fields.Dict(
        keys=fields.String(validate=validate.Length(max=20)),
        values=fields.String(validate=validate.Regexp(_HEX.pattern + r"\Z")),
        load_default=dict,
        validate=validate.Length(max=12),
    )


class _ImageSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    sha256 = fields.String(required=True, validate=validate.Regexp(r"^[0-9a-f]{64}\Z"))
    type = fields.String(required=True, validate=validate.Length(max=40))
    width = fields.Integer(required=True, validate=validate.Range(0, MAX_SIDE_PX))
    height = fields.Integer(required=True, validate=validate.Range(0, MAX_SIDE_PX))
    sizeBytes = fields.Integer(required=True, validate=validate.Range(0, MAX_COUNTER))
    lossy = fields.Boolean(load_default=False)


class _RecordSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    version = fields.Integer(required=True, validate=validate.Equal(1))
    jobId = fields.String(required=True, allow_none=True, validate=validate.Regexp(r"^[0-9a-f]{32}\Z"))
    seq = fields.Integer(required=True, validate=validate.Range(0, MAX_COUNTER))
    number = fields.Integer(required=True, validate=validate.Range(1, 64))
    startedAt = fields.Integer(required=True, validate=validate.Range(0, MAX_TIME_MS))
    finishedAt = fields.Integer(required=True, allow_none=True, validate=validate.Range(0, MAX_TIME_MS))
    site = fields.Nested(_SiteSchema, required=True)
    prompt = Text(required=True, validate=validate.Length(max=MAX_PROMPT_LENGTH))
    lora = Text(required=True, allow_none=True, validate=validate.Length(max=MAX_LORA_NAME_LENGTH))
    inputs = fields.Dict(keys=fields.String(validate=validate.Length(1, 60)), required=True)
    seed = fields.Integer(required=True, allow_none=True, strict=True)
    models = BoundedList(fields.Nested(_ModelSchema), required=True, validate=validate.Length(max=MAX_MODELS))
    image = fields.Nested(_ImageSchema, required=True)
    generation = fields.Dict(required=True, allow_none=True)
    inLibrary = BoundedList(fields.Boolean(), load_default=list, validate=validate.Length(max=MAX_MODELS))


def parse_manifest(text: str) -> ArchivedCollection:
    """Read and check ``collection.json``; raises Invalid."""
    document = _parse(READER, text)
    if not isinstance(document, dict) or document.get("format") != FORMAT or document.get("version") != VERSION:
        raise Invalid(f"{MANIFEST_NAME} is not the manifest of an exported collection of version {VERSION}.")
    entries, stored = document.get("tokens"), document.get("collection")
    if not isinstance(stored, dict) or not isinstance(entries, list) or len(entries) > MAX_TOKENS:
        raise Invalid(f"{MANIFEST_NAME} needs 'collection' and 'tokens', a list of at most {MAX_TOKENS} entries.")
    names = ("name", "description", "explicit", "royaltyFee")
    loaded = _load(NewCollectionBody(), {name: stored[name] for name in names if name in stored}, "collection")
    loaded["slug"] = None
    status = CollectionStatus.ARCHIVED if stored.get("status") == CollectionStatus.ARCHIVED else CollectionStatus.ACTIVE
    tokens = tuple(_archived_token(entry, f"tokens[{number}]") for number, entry in enumerate(entries))
    named = Counter(name for token in tokens for name in (token.picture, token.poster, token.provenance) if name)
    if twice := next((name for name, count in named.items() if count > 1), None):
        raise Invalid(f"{MANIFEST_NAME} names {twice!r} twice; each token has its own picture and provenance.")
    return ArchivedCollection(NewCollection(**loaded), status, tokens)


def parse_record(text: str) -> dict[str, Any]:
    """Read and check a provenance record; raises Invalid."""
    document = _parse(RECORD_READER, text)
    record = _load(_RecordSchema(), document, "provenance")
    for name, value in record["inputs"].items():
        if isinstance(value, Mapping):
            _load(_ImageSchema(), value, f"provenance.inputs.{name}")
            if set(value) != set(InputImage("", 0, 0, 0, "").to_json()):
                raise Invalid(f"provenance.inputs.{name}: is not the description of a picture.")
        elif not isinstance(value, str | int | float | bool) or len(str(value)) > MAX_PROMPT_LENGTH:
            raise Invalid(f"provenance.inputs.{name}: is not a value of an input.")
    record[IN_LIBRARY] = record[IN_LIBRARY] if len(record[IN_LIBRARY]) == len(record["models"]) else []
    _check_generation(record["generation"] or {})
    for model in record["models"]:
        model["hashes"] = _most_telling(model["hashes"])
    return {**record, "imported": True}


def _check_generation(generation: Mapping[str, Any]) -> None:
    resources = generation.get("resources", [])
    if not isinstance(resources, list) or any(not isinstance(each, dict) for each in resources):
        raise Invalid("provenance.generation: its resources are not a list of objects.")
    if len(json.dumps(generation)) > MAX_GENERATION_CHARS:
        raise Invalid(f"provenance.generation: has more than {MAX_GENERATION_CHARS:,} characters.")


def _most_telling(hashes: Mapping[str, str]) -> dict[str, str]:
    """Return the hashes that an import keeps, in the order that they had."""
    worth = {name: rank for rank, name in enumerate(HASHES_BY_WORTH)}
    kept = sorted(hashes, key=lambda name: worth.get(name.lower(), len(worth)))[:MAX_HASHES]
    return {name: digits for name, digits in hashes.items() if name in kept}


def _archived_token(entry: Any, path: str) -> ArchivedToken:
    loaded = _load(_TokenSchema(), entry, path)
    listing = loaded["listing"]
    new = NewToken(
        name=loaded["name"],
        description=loaded["description"] or "",
        amount=loaded["amount"],
        attributes=tuple(loaded["attributes"]),
        moderation_score=loaded["moderationScore"],
        model=loaded["model"],
        listing=None if listing is None else Listing(**listing),
        is_prompt_private=loaded["promptPrivate"],
    )
    return ArchivedToken(new, loaded["picture"], loaded["poster"], loaded["provenance"], loaded["inputs"])


def _parse(reader: JsonReader, text: str) -> Any:
    try:
        return reader.parse(text)
    except ValueError as error:
        raise Invalid(str(error)) from error


def _load(schema: Schema, value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Invalid(f"{path}: must be an object.")
    try:
        loaded: dict[str, Any] = schema.load(value)
    except ValidationError as error:
        problems = [f"{path}.{problem}" for problem in flatten_errors(error.normalized_messages(), value)]
        raise Invalid(problems=problems) from error
    return loaded


def dump(document: Any) -> str:
    """Return JSON that people can read."""
    return json.dumps(document, ensure_ascii=False, indent=1)


def dump_line(document: Any) -> bytes:
    """Return JSON in one line, which deep documents do not make much longer."""
    return json.dumps(document, ensure_ascii=False).encode() + b"\n"
