"""Schemas of the gallery in the generaitiv API; ``api.compat.gallery_serializers`` builds the bodies."""

from marshmallow import fields

from api.gallery.documents.responses import AttributeView, OfferView
from schemas.fields import ResponseSchema
from schemas.gallery.collections import CollectionStatus
from schemas.gallery.tokens import MediaStatus

ADDRESS = {"pattern": "^0x[0-9a-fA-F]{40}$", "example": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"}
TOKEN_ID = {"pattern": "^0x[0-9a-f]{64}$", "example": f"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed{1:024x}"}
UINT256 = {"pattern": "^0x[0-9a-fA-F]{1,64}$", "example": f"0x{1:064x}"}
TIME = {"format": "date-time", "example": "2023-05-17T14:55:41.218Z"}
SLUG = {"example": "lighthouses"}
STATUS = {"description": "The status of the token.", "example": "ACTIVE"}


class TokenText(ResponseSchema):
    """The texts of a token."""

    name = fields.String(metadata={"example": "Dusk"})
    description = fields.String()
    image = fields.String(allow_none=True, metadata={"format": "uri"})


class TokenDetailText(TokenText):
    """The texts of a token, with its attributes."""

    attributes = fields.List(fields.Nested(AttributeView))


class MediaView(ResponseSchema):
    """The state and the files of a token's picture."""

    status = fields.Enum(MediaStatus, by_value=True)
    reason = fields.String(allow_none=True, metadata={"description": "Why there is no picture."})
    sha256 = fields.String(allow_none=True)
    width = fields.Integer(allow_none=True)
    height = fields.Integer(allow_none=True)
    frames = fields.Integer(allow_none=True)


class LatestToken(ResponseSchema):
    """A token in the list of the latest ones."""

    collection = fields.String(metadata=ADDRESS)
    tokenId = fields.String(metadata=TOKEN_ID)
    creator = fields.String(metadata=ADDRESS)
    status = fields.String(metadata=STATUS)
    explicit = fields.Boolean()
    virtual_address = fields.String(metadata=ADDRESS)
    content_moderation_score = fields.Float()
    model = fields.String(allow_none=True)
    slug = fields.String(metadata=SLUG)
    metadata = fields.Nested(TokenText)
    created_at = fields.String(metadata=TIME)
    listing = fields.Nested(OfferView, allow_none=True)
    media = fields.Nested(MediaView)


class TokenOfCollection(ResponseSchema):
    """A token in the list of a collection."""

    metadata = fields.Nested(TokenText)
    token_refresh_requested_at = fields.String(allow_none=True, metadata=TIME)
    tokenId = fields.String(metadata=TOKEN_ID)
    collection = fields.String(metadata=ADDRESS)
    status = fields.String(metadata=STATUS)
    total = fields.String(metadata={"enum": ["1"]})
    entity = fields.String(metadata={"enum": ["TOKEN"]})
    name = fields.String()
    created = fields.String(metadata=TIME)
    modified = fields.String(metadata=TIME)
    contract_type = fields.String(metadata={"enum": ["ERC1155"]})
    token_uri = fields.Url()
    amount = fields.String(metadata=UINT256)
    virtual_address = fields.String(metadata=ADDRESS)
    pk = fields.String(metadata={"enum": ["TOKEN"]})
    creator_address = fields.String(metadata=ADDRESS)
    media = fields.Nested(MediaView)


class SingleToken(ResponseSchema):
    """A token."""

    collection = fields.String(metadata=ADDRESS)
    tokenId = fields.String(metadata=TOKEN_ID)
    amount = fields.String(metadata=UINT256)
    contract_type = fields.String(metadata={"enum": ["ERC1155"]})
    name = fields.String()
    token_uri = fields.Url()
    metadata = fields.Nested(TokenDetailText)
    total = fields.String(metadata={"enum": ["1"]})
    creator_address = fields.String(metadata=ADDRESS)
    virtual_address = fields.String(metadata=ADDRESS)
    workload_id = fields.String(allow_none=True)
    media = fields.Nested(MediaView)


class LatestCollection(ResponseSchema):
    """A collection in the list of the latest ones."""

    address = fields.String(metadata=ADDRESS)
    name = fields.String()
    slug = fields.String(metadata=SLUG)
    description = fields.String()
    owner = fields.String(metadata=ADDRESS)
    explicit = fields.Boolean()
    image = fields.String(allow_none=True, metadata={"format": "uri"})
    virtual = fields.Boolean(metadata={"enum": [True]})
    created_at = fields.String(metadata=TIME)


class SingleCollection(ResponseSchema):
    """A collection."""

    name = fields.String()
    slug = fields.String(metadata=SLUG)
    address = fields.String(metadata=ADDRESS)
    description = fields.String()
    explicit = fields.Boolean()
    image = fields.String(allow_none=True, metadata={"format": "uri"})
    twitter = fields.String(allow_none=True)
    twitter_verified = fields.Boolean()
    owner = fields.String(metadata=ADDRESS)
    virtual = fields.Boolean(metadata={"enum": [True]})
    royalty_fee = fields.Integer(metadata={"description": "In basis points."})
    virtual_address = fields.String(metadata=ADDRESS)


class CollectionOfUser(SingleCollection):
    """A collection in the list of a user."""

    status = fields.Enum(CollectionStatus, by_value=True)
    slugOrAddress = fields.String()


class UserView(ResponseSchema):
    """A user."""

    username = fields.String(allow_none=True)
    bio = fields.String()
    link = fields.String(allow_none=True)
    image = fields.String(allow_none=True, metadata={"format": "uri"})
    address = fields.String(metadata=ADDRESS)
    twitter = fields.String(allow_none=True)
    twitter_verified = fields.Boolean()


class SeedPage(ResponseSchema):
    """The rest of a page of a list."""

    next = fields.String(allow_none=True, metadata={"description": "The `cursor` of the next page."})
    hidden = fields.Integer(metadata={"description": "Number of items that `explicit` hides.", "example": 0})


class LatestTokens(SeedPage):
    """A page of the latest tokens."""

    result = fields.List(fields.Nested(LatestToken))


class LatestCollections(SeedPage):
    """A page of the latest collections."""

    result = fields.List(fields.Nested(LatestCollection))


class TokensOfCollection(SeedPage):
    """A page of the tokens of a collection."""

    pageSize = fields.Integer()
    result = fields.List(fields.Nested(TokenOfCollection))


class CollectionsOfUser(SeedPage):
    """A page of the collections of a user."""

    collections = fields.List(fields.Nested(CollectionOfUser))


class SlugView(ResponseSchema):
    """The slug of a token's collection."""

    slug = fields.String(metadata=SLUG)


class ReservedId(ResponseSchema):
    """An id for a new token, which no other request gets."""

    tokenId = fields.String(metadata=TOKEN_ID)
