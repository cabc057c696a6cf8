"""The headings of the API reference, in their order, and the blueprints whose routes each one has."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """A heading, a sentence about its contents, and the names of its blueprints."""

    title: str
    description: str
    blueprints: tuple[str, ...]


GROUPS = (
    Group("Jobs", "Submit prompts; list, watch and cancel jobs; fetch their results.", ("jobs", "streams")),
    Group("Pictures to begin with", "Pictures that are uploaded once and used as inputs of jobs.", ("uploads",)),
    Group(
        "Pictures by address", "Finished pictures and previews. They need no key: ids cannot be guessed.", ("pictures",)
    ),
    Group("Sites", "The pages that Darkroom drives, and the inputs that each accepts.", ("sites",)),
    Group("Webhooks", "URLs that Darkroom calls when jobs end.", ("webhooks", "webhook_keys")),
    Group("Webhook deliveries", "Past deliveries to webhooks, and redelivery.", ("deliveries",)),
    Group("Keys and limits", "Your key, its usage and its limits.", ("keys", "quota")),
    Group("Signing in", "Sessions of browsers.", ("login",)),
    Group("Model library", "Models on disk: search, edit, download.", ("models",)),
    Group("Images of models", "Examples and previews that belong to models.", ("model_images", "images")),
    Group("Scans of the library", "Scans of the folders, and problems with files.", ("library",)),
    Group("Gallery: people", "Profiles.", ("gallery_profiles",)),
    Group(
        "Gallery: collections",
        "Collections of kept pictures, and archives of them.",
        ("gallery_collections", "gallery_archives"),
    ),
    Group(
        "Gallery: pictures",
        "Kept pictures, which are called tokens.",
        ("gallery_new_tokens", "gallery_tokens", "gallery_metadata", "gallery_files"),
    ),
    Group("Gallery: where pictures come from", "How a picture was made, and making it again.", ("gallery_provenance",)),
    Group("Agents", "The Model Context Protocol: tools that make pictures, for agents and chat programs.", ("mcp",)),
    Group("Health and metrics", "For monitoring.", ("health", "metrics")),
    Group("Weights API", "For existing clients of that API: generation at the root.", ("weights",)),
    Group("OpenAI's Images API", "For existing clients of that API.", ("openai_images", "openai_models")),
    Group(
        "AUTOMATIC1111's API",
        "For existing clients of that API: most of them send every field with every request, so that one which the site"
        " lacks has no effect.",
        (
            "sdapi_generation",
            "sdapi_progress",
            "sdapi_options",
            "sdapi_catalogue",
            "sdapi_png_info",
            "sdapi_refusals",
            "sdapi_queue",
            "sdapi_liveness",
        ),
    ),
    Group("generaitiv API: generations", "For existing clients of that API.", ("generaitiv",)),
    Group(
        "generaitiv API: gallery",
        "For existing clients of that API: users, collections, tokens and uploads.",
        ("generaitiv_gallery", "generaitiv_uploads"),
    ),
    Group(
        "Model library, earlier addresses",
        "The same routes below the addresses of the library's first web page.",
        ("models_of_session", "model_images_of_session", "images_of_session"),
    ),
)
GROUPS_BY_BLUEPRINT = {blueprint: group for group in GROUPS for blueprint in group.blueprints}
