"""The public URLs of the gallery: of pages, and of pictures by the names of their assets."""


def asset_url(public_url: str, name: str) -> str:
    """Return the URL of an asset."""
    return f"{public_url}/images/asset/{name}"


def profile_picture_url(public_url: str, name: str) -> str:
    """Return the URL of an asset as a profile picture: a PNG of 64 by 64 pixels."""
    return f"{public_url}/profile/64x64/{_stem(name)}.png"


def collection_thumbnail_url(public_url: str, name: str) -> str:
    """Return the URL of an asset as the thumbnail of a collection: a PNG of 64 by 64 pixels."""
    return f"{public_url}/collection_thumbnail/64x64/{_stem(name)}.png"


def collection_page_url(public_url: str, slug: str) -> str:
    """Return the URL of a collection's page."""
    return f"{public_url}/c/{slug}"


def token_page_url(public_url: str, slug: str, token_id: str) -> str:
    """Return the URL of a token's page."""
    return f"{public_url}/c/{slug}/{token_id}"


def profile_page_url(public_url: str, address: str) -> str:
    """Return the URL of a profile's page."""
    return f"{public_url}/u/{address}"


def _stem(name: str) -> str:
    return name.partition(".")[0]
