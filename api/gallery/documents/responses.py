"""Schemas of the gallery in the native API; ``api.gallery.serializers`` builds most of the bodies."""

from marshmallow import fields

from schemas.fields import ResponseSchema
from schemas.gallery.collections import CollectionStatus
from schemas.gallery.tokens import MediaStatus
from schemas.jobs.job import JobView, ResultView
from schemas.jobs.lifecycle import JobState

ADDRESS = {"pattern": "^0x[0-9a-fA-F]{40}$", "example": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"}
TOKEN_ID = {"pattern": "^0x[0-9a-f]{64}$", "example": f"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed{1:024x}"}
UINT256 = {"pattern": "^0x[0-9a-fA-F]{1,64}$", "example": f"0x{1:064x}"}
TIME = {"format": "date-time", "example": "2025-05-17T14:55:41.218Z"}
MS = {"description": "Unix milliseconds.", "example": 1747493741218}
SHA256 = {"pattern": "^[0-9a-f]{64}$", "example": "9f86d081884c7d65" * 4}
NULLABLE_URL = {"format": "uri"}
OBJECT = {"additionalProperties": True}


class ProfileView(ResponseSchema):
    """A person of the gallery."""

    address = fields.String(metadata=ADDRESS)
    username = fields.String(allow_none=True, metadata={"example": "ada"})
    bio = fields.String()
    link = fields.String(allow_none=True)
    twitter = fields.String(allow_none=True)
    twitterVerified = fields.Boolean()
    pictureUrl = fields.String(allow_none=True, metadata=NULLABLE_URL)
    url = fields.Url(metadata={"description": "The page of the profile."})
    createdAt = fields.String(metadata=TIME)
    modifiedAt = fields.String(metadata=TIME)


class CollectionView(ResponseSchema):
    """A collection."""

    slug = fields.String(metadata={"example": "lighthouses"})
    name = fields.String(metadata={"example": "Lighthouses"})
    description = fields.String()
    explicit = fields.Boolean()
    status = fields.Enum(CollectionStatus, by_value=True)
    royaltyFee = fields.Integer(metadata={"description": "In basis points.", "example": 0})
    owner = fields.String(metadata=ADDRESS)
    contract = fields.String(metadata=ADDRESS)
    virtualAddress = fields.String(metadata=ADDRESS)
    tokenCount = fields.Integer(metadata={"example": 3})
    pictureUrl = fields.String(allow_none=True, metadata=NULLABLE_URL)
    thumbnailUrl = fields.String(allow_none=True, metadata=NULLABLE_URL)
    url = fields.Url(metadata={"description": "The page of the collection."})
    createdAt = fields.String(metadata=TIME)
    modifiedAt = fields.String(metadata=TIME)


class AttributeView(ResponseSchema):
    """An attribute of a token."""

    trait_type = fields.String(metadata={"optional": True, "example": "Style"})
    value = fields.Raw(metadata={"type": ["string", "number", "boolean"], "example": "oil painting"})
    display_type = fields.String(metadata={"optional": True})


class TokenMediaView(ResponseSchema):
    """The picture of a token; ``reason`` says why it is missing."""

    status = fields.Enum(MediaStatus, by_value=True)
    reason = fields.String(allow_none=True)
    sha256 = fields.String(allow_none=True, metadata=SHA256)
    type = fields.String(allow_none=True, metadata={"example": "image/png"})
    width = fields.Integer(allow_none=True, metadata={"example": 640})
    height = fields.Integer(allow_none=True, metadata={"example": 480})
    frames = fields.Integer(allow_none=True, metadata={"example": 1})
    sizeBytes = fields.Integer(allow_none=True, metadata={"example": 331776})
    url = fields.String(allow_none=True, metadata=NULLABLE_URL)
    thumbUrl = fields.String(allow_none=True, metadata=NULLABLE_URL)
    previewUrl = fields.String(allow_none=True, metadata=NULLABLE_URL)
    posterUrl = fields.String(allow_none=True, metadata=NULLABLE_URL)


class TokenCollectionView(ResponseSchema):
    """The collection of a token."""

    slug = fields.String(metadata={"example": "lighthouses"})
    name = fields.String(metadata={"example": "Lighthouses"})
    explicit = fields.Boolean()
    virtualAddress = fields.String(metadata=ADDRESS)


class OfferView(ResponseSchema):
    """An offer, as information only: price in wei, times in Unix seconds."""

    price = fields.String(metadata=UINT256)
    startTime = fields.String(metadata=UINT256)
    endTime = fields.String(metadata=UINT256)
    amount = fields.String(metadata=UINT256)


class TokenView(ResponseSchema):
    """A token: a kept picture."""

    tokenId = fields.String(metadata=TOKEN_ID)
    name = fields.String(metadata={"example": "Dusk"})
    description = fields.String()
    amount = fields.String(metadata=UINT256)
    attributes = fields.List(fields.Nested(AttributeView))
    collection = fields.Nested(TokenCollectionView)
    creator = fields.String(metadata=ADDRESS)
    status = fields.String(metadata={"example": "ACTIVE"})
    moderationScore = fields.Float(metadata={"example": 0})
    model = fields.String(allow_none=True, metadata={"example": "studio"})
    workloadId = fields.String(allow_none=True, metadata={"description": "Its job, for the owner only."})
    media = fields.Nested(TokenMediaView)
    listing = fields.Nested(OfferView, allow_none=True)
    tokenUri = fields.Url(metadata={"description": "The metadata of ERC-1155."})
    url = fields.Url(metadata={"description": "The page of the token."})
    refreshRequestedAt = fields.String(allow_none=True, metadata=TIME)
    createdAt = fields.String(metadata=TIME)
    modifiedAt = fields.String(metadata=TIME)
    promptPrivate = fields.Boolean(metadata={"optional": True, "description": "For the owner only."})


class NewTokenView(TokenView):
    """A new token."""

    uploadUrl = fields.Url(metadata={"optional": True, "description": "Where to PUT the picture, if it has none."})


class RefreshView(ResponseSchema):
    """The outcome of a refresh."""

    done = fields.String(metadata={"description": "A code.", "example": "derived"})
    message = fields.String()


class RefreshedToken(TokenView):
    """A token after a refresh."""

    refresh = fields.Nested(RefreshView)


class GalleryPage(ResponseSchema):
    """The rest of a page of a list."""

    nextCursor = fields.String(allow_none=True, metadata={"description": "The `cursor` of the next page."})
    hidden = fields.Integer(metadata={"description": "Number of items that `explicit` hides.", "example": 0})


class TokenPage(GalleryPage):
    """A page of tokens."""

    items = fields.List(fields.Nested(TokenView))


class CollectionPage(GalleryPage):
    """A page of collections."""

    items = fields.List(fields.Nested(CollectionView))


class ImportedCollection(ResponseSchema):
    """A collection made of an archive."""

    collection = fields.Nested(CollectionView)
    tokens = fields.Integer(metadata={"description": "How many it has.", "example": 3})
    problems = fields.List(fields.String(), metadata={"description": "Pictures that were not accepted."})


class MetadataCollection(ResponseSchema):
    """The collection of a token, in its metadata."""

    name = fields.String()
    slug = fields.String()


class MetadataProperties(ResponseSchema):
    """Further properties of a token's metadata."""

    token_id = fields.String(metadata=TOKEN_ID)
    creator = fields.String(metadata=ADDRESS)
    collection = fields.Nested(MetadataCollection)
    sha256 = fields.String(metadata={"optional": True, **SHA256})
    type = fields.String(allow_none=True, metadata={"optional": True})
    prompt = fields.String(metadata={"optional": True})


class TokenMetadata(ResponseSchema):
    """The metadata of a token, by ERC-1155 and ERC-8495."""

    name = fields.String(metadata={"example": "Dusk"})
    description = fields.String()
    image = fields.String(metadata={"description": "The address of the picture; empty without one."})
    external_url = fields.Url()
    decimals = fields.Integer(metadata={"enum": [0]})
    attributes = fields.List(fields.Nested(AttributeView))
    properties = fields.Nested(MetadataProperties)
    animation_url = fields.Url(metadata={"optional": True})


class ProvenanceSite(ResponseSchema):
    """The site that made a picture."""

    name = fields.String(metadata={"example": "studio"})
    title = fields.String(metadata={"example": "Studio"})
    recipe = fields.String(allow_none=True, metadata={"description": "The version of the recipe then."})
    deterministic = fields.Boolean()
    currentRecipe = fields.String(allow_none=True)
    changed = fields.Boolean(metadata={"description": "Whether the recipe has changed since."})


class LibraryPresence(ResponseSchema):
    """Whether the model library has a model now."""

    status = fields.String(metadata={"enum": ["present", "changed", "missing", "unknown"]})
    modelId = fields.Integer(allow_none=True)


class UsedModelView(ResponseSchema):
    """A model that a picture was made with."""

    kind = fields.String(metadata={"example": "lora"})
    name = fields.String(metadata={"example": "Ukiyo-e"})
    weight = fields.Float(metadata={"optional": True})
    hashes = fields.Dict(keys=fields.String(), values=fields.String())
    library = fields.Nested(LibraryPresence)


class MadeImageView(ResponseSchema):
    """The bytes of a picture when it was made."""

    sha256 = fields.String(metadata=SHA256)
    type = fields.String(metadata={"example": "image/png"})
    width = fields.Integer(metadata={"example": 640})
    height = fields.Integer(metadata={"example": 480})
    sizeBytes = fields.Integer()
    lossy = fields.Boolean()


class RerunPossible(ResponseSchema):
    """Whether a picture can be made again."""

    possible = fields.Boolean()
    reasons = fields.List(fields.String(), metadata={"description": "Why not."})


class ProvenanceView(ResponseSchema):
    """What made a picture."""

    version = fields.Integer()
    jobId = fields.String(allow_none=True, metadata={"description": "For the owner only."})
    seq = fields.Integer()
    number = fields.Integer(metadata={"description": "Which picture of the job, counted from 1."})
    startedAt = fields.Integer(metadata=MS)
    finishedAt = fields.Integer(allow_none=True, metadata=MS)
    site = fields.Nested(ProvenanceSite)
    prompt = fields.String(allow_none=True)
    lora = fields.String(allow_none=True)
    inputs = fields.Dict(allow_none=True, metadata=OBJECT)
    seed = fields.Integer(allow_none=True)
    models = fields.List(fields.Nested(UsedModelView))
    image = fields.Nested(MadeImageView)
    generation = fields.Dict(allow_none=True, metadata=OBJECT)
    isPromptPrivate = fields.Boolean()
    tokenId = fields.String(metadata=TOKEN_ID)
    inputPictures = fields.Dict(keys=fields.String(), values=fields.Url())
    rerun = fields.Nested(RerunPossible)


class RerunJob(JobView):
    """The job that makes a picture again."""

    comparisonUrl = fields.Url()
    comparisonPageUrl = fields.Url()
    deterministic = fields.Boolean()


class ComparedOriginal(ResponseSchema):
    """The picture of a token."""

    sha256 = fields.String(metadata=SHA256)
    type = fields.String()
    width = fields.Integer()
    height = fields.Integer()
    sizeBytes = fields.Integer()
    url = fields.String(allow_none=True, metadata=NULLABLE_URL)


class ComparedRerun(ResultView):
    """The picture of the new job."""

    sha256 = fields.String(metadata=SHA256)


class ComparisonView(ResponseSchema):
    """Two pictures side by side."""

    tokenId = fields.String(metadata=TOKEN_ID)
    jobId = fields.String()
    status = fields.Enum(JobState, by_value=True)
    deterministic = fields.Boolean()
    sameInputs = fields.Boolean(allow_none=True)
    recipeChanged = fields.Boolean()
    identical = fields.Boolean(allow_none=True)
    original = fields.Nested(ComparedOriginal)
    rerun = fields.Nested(ComparedRerun, allow_none=True)
    verdict = fields.String()
