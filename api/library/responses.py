"""Schemas of the model library; ``api.library.serializers`` builds most of the bodies."""

from marshmallow import fields

from schemas.fields import ResponseSchema

OBJECT = {"additionalProperties": True}
OPTIONAL = {"optional": True}
TIME = {"format": "date-time", "example": "2025-05-17T14:55:41.218Z"}
LEVEL = {"description": "A mask of content levels; 0 is unrated.", "example": 1}
ID = {"minimum": 1, "example": 1}


class HeroImage(ResponseSchema):
    """The image that represents a model in lists."""

    id = fields.Integer(metadata=ID)
    thumbPath = fields.Url()
    width = fields.Integer(allow_none=True)
    height = fields.Integer(allow_none=True)
    nsfwLevel = fields.Integer(metadata=LEVEL)
    blurhash = fields.String(allow_none=True)


class ModelFile(ResponseSchema):
    """A file of a version."""

    id = fields.Integer(metadata=ID)
    fileName = fields.String(metadata={"example": "ukiyo-e.safetensors"})
    path = fields.String(allow_none=True)
    sizeKb = fields.Float(metadata={"example": 147.5})
    format = fields.String(metadata={"example": "SafeTensor"})
    precision = fields.String(allow_none=True, metadata={"example": "fp16"})
    canRunCode = fields.Boolean(metadata={"description": "Whether loading the file may run code in it."})
    isLocal = fields.Boolean()
    problem = fields.String(allow_none=True)
    header = fields.Dict(metadata=OBJECT)
    hashState = fields.String(metadata={"enum": ["done", "pending"]})
    hashes = fields.Dict(keys=fields.String(), values=fields.String())


class VersionSummary(ResponseSchema):
    """A version of a model, as lists have it."""

    id = fields.Integer(metadata=ID)
    name = fields.String(metadata={"example": "v1.0"})
    baseModel = fields.String(allow_none=True, metadata={"example": "SDXL 1.0"})
    isLocal = fields.Boolean()
    localPath = fields.String(allow_none=True)
    localFileSize = fields.Integer(allow_none=True)
    files = fields.List(fields.Nested(ModelFile))


class ModelSummary(ResponseSchema):
    """A model, as lists have it."""

    id = fields.Integer(metadata=ID)
    name = fields.String(metadata={"example": "Ukiyo-e"})
    type = fields.String(metadata={"example": "LORA"})
    category = fields.String(metadata={"example": "LoRA"})
    subcategory = fields.String(allow_none=True)
    baseModel = fields.String(allow_none=True, metadata={"example": "SDXL 1.0"})
    nsfwLevel = fields.Integer(metadata=LEVEL)
    creatorName = fields.String(allow_none=True)
    creatorAvatar = fields.String(allow_none=True)
    tags = fields.List(fields.String())
    stats = fields.Dict(metadata=OBJECT)
    hasMetadata = fields.Boolean()
    canRunCode = fields.Boolean()
    civitaiId = fields.Integer(allow_none=True)
    heroImage = fields.Nested(HeroImage, allow_none=True)


class ListedModel(ModelSummary):
    """A model of a list."""

    versions = fields.List(
        fields.Nested(VersionSummary), metadata=OPTIONAL | {"description": "With `include=versions` only."}
    )


class ModelPage(ResponseSchema):
    """A page of models."""

    items = fields.List(fields.Nested(ListedModel))
    total = fields.Integer(metadata={"example": 1})
    totalIsEstimate = fields.Boolean(metadata={"description": "True if the total is an estimate."})
    page = fields.Integer(metadata={"example": 1})
    limit = fields.Integer(metadata={"example": 40})
    hasMore = fields.Boolean()
    nextCursor = fields.String(allow_none=True, metadata={"description": "The `cursor` of the next page."})


class FilterValues(ResponseSchema):
    """The values to filter by, the most frequent first."""

    categories = fields.List(fields.String())
    baseModels = fields.List(fields.String())
    types = fields.List(fields.String())
    tags = fields.List(fields.String())


class ModelImage(ResponseSchema):
    """An image of a model."""

    id = fields.Integer(metadata=ID)
    modelId = fields.Integer(metadata=ID)
    versionId = fields.Integer(allow_none=True)
    localPath = fields.Url(metadata={"description": "The address of the image."})
    thumbPath = fields.String(allow_none=True, metadata={"format": "uri"})
    mediaType = fields.String(allow_none=True, metadata={"example": "image/png"})
    width = fields.Integer(allow_none=True)
    height = fields.Integer(allow_none=True)
    nsfwLevel = fields.Integer(metadata=LEVEL)
    prompt = fields.String(allow_none=True)
    generationParams = fields.Dict(metadata=OBJECT)
    blurhash = fields.String(allow_none=True)
    sortOrder = fields.Integer()
    isUserUpload = fields.Boolean()
    createdAt = fields.String(metadata=TIME)
    jobId = fields.String(allow_none=True)


class UsedModels(ResponseSchema):
    """The models that an image names: in ``have`` those of the library, in ``lack`` the others."""

    have = fields.List(fields.Dict(metadata=OBJECT))
    lack = fields.List(fields.Dict(metadata=OBJECT))


class ModelImageDetail(ModelImage):
    """An image of a model, with the models that it names."""

    uses = fields.Nested(UsedModels)


class VersionDetail(VersionSummary):
    """A version of a model."""

    civitaiId = fields.Integer(allow_none=True)
    epoch = fields.Integer(allow_none=True)
    description = fields.String(allow_none=True, metadata={"description": "Sanitized HTML."})
    stats = fields.Dict(metadata=OBJECT)
    publishedAt = fields.String(allow_none=True)
    trainedWords = fields.List(fields.String())
    images = fields.List(fields.Nested(ModelImage))


class ModelDetail(ModelSummary):
    """A model with all its metadata."""

    description = fields.String(allow_none=True, metadata={"description": "Sanitized HTML."})
    filePath = fields.String(allow_none=True)
    fileSize = fields.Integer(allow_none=True)
    trainedWords = fields.List(fields.String())
    negativeWords = fields.String(allow_none=True)
    preferredWeight = fields.Float(allow_none=True)
    licensingInfo = fields.Dict(metadata=OBJECT)
    notes = fields.String(allow_none=True)
    sources = fields.Dict(keys=fields.String(), values=fields.String())
    editedAt = fields.Dict(keys=fields.String(), values=fields.String(metadata=TIME))
    versions = fields.List(fields.Nested(VersionDetail))
    modelLevelImages = fields.List(fields.Nested(ModelImage))


class Success(ResponseSchema):
    """It is done."""

    success = fields.Boolean(metadata={"enum": [True]})


class ScanAccepted(ResponseSchema):
    """A requested scan."""

    id = fields.String(metadata={"example": "9f86d081884c7d65"})
    state = fields.String(metadata={"enum": ["queued"]})
    eventsUrl = fields.Url()


class LibraryCounts(ResponseSchema):
    """The size of the library."""

    models = fields.Integer()
    files = fields.Integer()
    missing = fields.Integer()
    sizeBytes = fields.Integer()
    unhashed = fields.Integer()
    pickles = fields.Integer()
    duplicates = fields.Integer()
    problems = fields.Integer()


class PendingHashes(ResponseSchema):
    """The files that are not hashed yet."""

    files = fields.Integer()
    sizeBytes = fields.Integer()


class ProblemView(ResponseSchema):
    """A problem with a file."""

    path = fields.String()
    subject = fields.String()
    code = fields.String()
    message = fields.String()
    foundAt = fields.Integer(metadata={"description": "Unix milliseconds."})


class LibraryReport(ResponseSchema):
    """The size of the library, and the problems with its files."""

    counts = fields.Nested(LibraryCounts)
    hashing = fields.Nested(PendingHashes)
    problems = fields.List(fields.Nested(ProblemView))
    nextAfter = fields.Integer(allow_none=True, metadata={"description": "The `after` of the next page."})


class ScanView(ResponseSchema):
    """The progress or the result of a scan."""

    time = fields.Integer(metadata={"description": "Unix milliseconds."})
    id = fields.String(metadata={"example": "9f86d081884c7d65"})
    state = fields.String(metadata={"enum": ["running", "done"]})
    phase = fields.String(metadata=OPTIONAL | {"example": "walking"})
    files = fields.Integer(metadata=OPTIONAL | {"description": "Files found so far."})
    toRead = fields.Integer(metadata=OPTIONAL | {"description": "New, changed and moved files."})
    read = fields.Integer(metadata=OPTIONAL)
    lost = fields.Integer(metadata=OPTIONAL)
    problems = fields.Integer(metadata=OPTIONAL)
    added = fields.Integer(metadata=OPTIONAL)
    changed = fields.Integer(metadata=OPTIONAL)
    moved = fields.Integer(metadata=OPTIONAL)
