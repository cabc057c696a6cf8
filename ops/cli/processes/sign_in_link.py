"""Sign-in links for the owner's browser, as ``up`` prints them."""

from urllib.parse import urlsplit

from ops.infra.redis import disconnect
from ops.infra.setting_parsers import connectable_host, url_host
from ops.infra.settings import Settings
from schemas.accounts.caller import OWNER
from stores.accounts.api_keys import compute_key_version
from stores.accounts.owner_key import OwnerKey
from stores.accounts.sign_in_links import SignInLink, store_sign_in_link
from stores.redis.client import open_any_client

LINK_PATH = "/console/sign-in/link"


def create_sign_in_link(settings: Settings, redis_url: str, *, is_shared: bool) -> str:
    """Return a new link. Unless it is shared, it leads to this machine, whatever PUBLIC_URL is."""
    local_url = f"http://{url_host(connectable_host(settings.host))}:{settings.port}"
    url = settings.public_url if is_shared else local_url
    version = compute_key_version(OwnerKey.from_settings(settings).read())
    client = open_any_client(redis_url)
    try:
        token = store_sign_in_link(client, SignInLink(OWNER, version, urlsplit(url).netloc, is_shared))
    finally:
        disconnect(client)
    # Browsers do not send the fragment, so no log of requests has it.
    return f"{url}{LINK_PATH}#{token}"
