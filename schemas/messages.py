"""Names of the message queues and actors: all that the API and the workers share about messages.

The values are stored in Redis and must not change.
"""

GENERATE_QUEUE = "generate"
BROWSE_QUEUE = "browse"
MEDIA_QUEUE = "media"
LIBRARY_QUEUE = "library"

GENERATE = "generate"
SEARCH_LORAS = "search_loras"
READ_QUOTA = "read_quota"
READ_CHOICES = "read_choices"
CHECK_SITE = "check_site"
LEARN_SITE = "learn_site"
CONVERT_IMAGE = "convert"
INSPECT_IMAGE = "examine"
KEEP_PICTURE = "keep_picture"
CHECK_UPLOAD = "check_upload"
REFRESH_TOKEN = "refresh_token"  # noqa: S105 - a token of the gallery
DRAW_POSTER = "draw_poster"

# The second argument of INSPECT_IMAGE, if the picture marks something by its transparency.
ALPHA_MASK = "alpha_mask"

ACTOR_QUEUES = {
    GENERATE: GENERATE_QUEUE,
    SEARCH_LORAS: BROWSE_QUEUE,
    READ_QUOTA: BROWSE_QUEUE,
    READ_CHOICES: BROWSE_QUEUE,
    CHECK_SITE: BROWSE_QUEUE,
    LEARN_SITE: BROWSE_QUEUE,
    CONVERT_IMAGE: MEDIA_QUEUE,
    INSPECT_IMAGE: LIBRARY_QUEUE,
    KEEP_PICTURE: LIBRARY_QUEUE,
    CHECK_UPLOAD: LIBRARY_QUEUE,
    REFRESH_TOKEN: LIBRARY_QUEUE,
    DRAW_POSTER: BROWSE_QUEUE,
}
WORKER_QUEUES = frozenset({GENERATE_QUEUE, BROWSE_QUEUE})
BACKGROUND_QUEUES = frozenset({MEDIA_QUEUE, LIBRARY_QUEUE})
