"""Request schemas of the gallery: bodies and queries of the native API, and the two of the generaitiv API."""

from typing import Any

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, post_load, validate, validates_schema

from schemas.fields import BoundedList, Text, WholeNumber
from schemas.gallery.collections import MAX_ROYALTY_FEE, CollectionStatus
from schemas.gallery.encodings import is_address
from schemas.gallery.pages import MAX_PAGE_SIZE, ExplicitFilter
from schemas.gallery.profiles import MAX_USERNAME_LENGTH
from schemas.gallery.requests.attributes import Attributes
from schemas.gallery.requests.fields import Uint256, WebLink, description_field, name_field
from schemas.gallery.slugs import MAX_SLUG_LENGTH, SLUG, check_slug
from schemas.gallery.tokens import ONE, Listing, is_token_id

DEFAULT_PAGE_SIZE = 50
MAX_BIO_CHARS = 2000
MAX_CURSOR_CHARS = 200
MAX_PAGE_NUMBER = 10**9
MAX_RESULT_NUMBER = 16
MAX_PER_ORDER = 1000
MAX_ID = 2**31 - 1


class StrictSchema(Schema):
    """A schema whose unknown fields are errors: they would be lost."""

    class Meta:
        """Unknown fields are errors."""

        unknown = RAISE


class LenientSchema(Schema):
    """A schema that ignores unknown fields: existing clients send some."""

    class Meta:
        """Unknown fields are dropped."""

        unknown = EXCLUDE


class TokenId(Text):
    """A token id, in any case."""

    pattern = "^0x[0-9a-fA-F]{64}$"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not is_token_id(text):
            raise ValidationError("Not a token id: '0x' and 64 hexadecimal digits.")
        return text.lower()


class ListQuery(LenientSchema):
    """The query of a list: ``cursor`` is the ``nextCursor`` of the previous page."""

    cursor = fields.String(
        validate=validate.Length(max=MAX_CURSOR_CHARS),
        metadata={"description": "The `nextCursor` of the previous page."},
    )
    limit = WholeNumber(load_default=DEFAULT_PAGE_SIZE, validate=validate.Range(1, MAX_PAGE_SIZE))
    explicit = fields.Enum(ExplicitFilter, by_value=True, load_default=ExplicitFilter.INCLUDE)


class CollectionListQuery(ListQuery):
    """The query of the list of collections: all of them, or those of one address or of oneself (``me``)."""

    owner = Text(
        validate=validate.Length(max=42),
        metadata={"pattern": "^(me|0x[0-9a-fA-F]{40})$", "description": "An address, or `me`.", "example": "me"},
    )


class SeedListQuery(LenientSchema):
    """The query of a list in the generaitiv API: a page number from 0, or a cursor.

    A ``cursor`` of decimal digits counts items, as existing clients do that begin with ``cursor=0``.
    """

    page = WholeNumber(load_default=0, validate=validate.Range(0, MAX_PAGE_NUMBER))
    page_size = WholeNumber(load_default=DEFAULT_PAGE_SIZE, validate=validate.Range(1))
    cursor = fields.String(
        validate=validate.Length(max=MAX_CURSOR_CHARS), metadata={"description": "The `next` of the previous page."}
    )
    explicit = fields.Enum(ExplicitFilter, by_value=True, load_default=ExplicitFilter.INCLUDE)

    @post_load
    def _cap(self, query: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
        return query | {"page_size": min(query["page_size"], MAX_PAGE_SIZE)}


class SeedToken(LenientSchema):
    """The body that creates a token in the generaitiv API."""

    name = name_field(required=True)
    description = description_field(load_default="", allow_none=True)
    amount = Uint256(minimum=1, hex_only=True, load_default=ONE)
    attributes = Attributes(strict=False, load_default=list)
    tokenId = TokenId()


class ProfileChange(StrictSchema):
    """The changes of a profile; null removes a field. ``picture`` is a token whose picture the profile shows."""

    username = Text(
        allow_none=True,
        validate=validate.Length(1, MAX_USERNAME_LENGTH),
        metadata={"pattern": "^[0-9A-Za-z][0-9A-Za-z _.-]*$", "example": "ada"},
    )
    bio = Text(validate=validate.Length(max=MAX_BIO_CHARS))
    link = WebLink()
    twitter = WebLink()
    picture = TokenId(allow_none=True)

    @validates_schema
    def _check_username(self, data: dict[str, Any], **_kwargs: Any) -> None:
        username = data.get("username")
        if username and (is_address(username) or not username.isprintable() or "/" in username):
            raise ValidationError("One line without a slash that does not look like an address.", "username")


class NewCollectionBody(StrictSchema):
    """A new collection. Without ``slug`` it gets one from its name."""

    name = name_field(required=True)
    slug = Text(metadata={"pattern": f"^{SLUG.pattern}$", "maxLength": MAX_SLUG_LENGTH, "example": "lighthouses"})
    description = description_field()
    explicit = fields.Boolean()
    royalty_fee = WholeNumber(data_key="royaltyFee", validate=validate.Range(0, MAX_ROYALTY_FEE))

    @post_load
    def _check_slug(self, body: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
        return body | ({"slug": check_slug(body["slug"])} if "slug" in body else {})


class CollectionChange(NewCollectionBody):
    """The changes of a collection; ``picture`` is a token whose picture becomes the thumbnail, or null."""

    name = name_field()
    status = fields.Enum(CollectionStatus, by_value=True)
    picture = TokenId(allow_none=True)


class TokenChange(StrictSchema):
    """The changes of a token."""

    name = name_field()
    description = description_field()
    amount = Uint256(minimum=1)
    attributes = Attributes()
    is_prompt_private = fields.Boolean(data_key="promptPrivate")


class NewTokenForm(TokenChange):
    """A new token as a form: ``attributes`` are JSON."""


class NewTokenUpload(NewTokenForm):
    """The whole form of a new token, for the API description only: ``api.http.multipart`` reads the file itself."""

    file = fields.Raw(required=True, metadata={"type": "string", "format": "binary", "description": "The picture."})


class NewTokenBody(TokenChange):
    """A new token: with the picture of a job of yours, of an image of the library, or without one, to be uploaded."""

    job_id = Text(data_key="jobId", validate=validate.Length(1, 100))
    number = WholeNumber(validate=validate.Range(1, MAX_RESULT_NUMBER))
    image_id = WholeNumber(data_key="imageId", validate=validate.Range(1, MAX_ID))

    @validates_schema
    def _check_source(self, data: dict[str, Any], **_kwargs: Any) -> None:
        if "job_id" in data and "image_id" in data:
            raise ValidationError("Give either jobId or imageId.", "imageId")


class TokenMove(StrictSchema):
    """Where a token moves: to another collection of its owner, or before another token; by default to the end."""

    collection = Text(validate=validate.Length(1, 100))
    before = TokenId(allow_none=True)


class TokenOrder(StrictSchema):
    """An order of tokens among themselves; the other tokens of the collection keep their places."""

    token_ids = BoundedList(
        TokenId(metadata={"example": ONE}),
        required=True,
        data_key="tokenIds",
        validate=validate.Length(1, MAX_PER_ORDER),
        metadata={"uniqueItems": True},
    )


class ListingBody(StrictSchema):
    """An offer, as information: the price in wei, its time in Unix seconds, and how many."""

    price = Uint256(required=True)
    start = Uint256(required=True, data_key="startTime")
    end = Uint256(required=True, data_key="endTime")
    amount = Uint256(minimum=1, load_default=ONE)

    @post_load
    def _make(self, values: dict[str, Any], **_kwargs: Any) -> Listing:
        if int(values["end"], 16) <= int(values["start"], 16):
            raise ValidationError("Must be later than startTime.", "endTime")
        return Listing(**values)
