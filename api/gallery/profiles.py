"""Routes for profiles: one's own, and those of others by their addresses."""

from typing import Any

from flask import Response, jsonify

from api.gallery.conditional_json import conditional_json
from api.gallery.documents.responses import ProfileView
from api.gallery.lookups import EDIT
from api.gallery.serializers import profile_view
from api.gallery.token_pictures import own_picture
from api.http.blueprint import Blueprint
from api.http.context import caller, stores
from api.http.request_bodies import require_json
from api.http.route_policy import Access, RoutePolicy
from schemas.errors import NotFound
from schemas.gallery.encodings import is_address
from schemas.gallery.requests.bodies import ProfileChange

blueprint = Blueprint("gallery_profiles", __name__, access=Access.KEY, description="The gallery: profiles of people.")


@blueprint.route("/profile", methods=["GET"], endpoint="own")
@blueprint.response(200, ProfileView, description="Your profile, with the address of your key.")
@blueprint.sends(304)
def read_own() -> Response:
    """Your profile."""
    return conditional_json(profile_view(stores().gallery.profiles.get_or_create(caller().id)))


@blueprint.route("/profile", methods=["PATCH"], policy=EDIT, endpoint="change")
@blueprint.arguments(ProfileChange)
@blueprint.response(200, ProfileView, description="The changed profile.")
@blueprint.sends(NotFound)
@blueprint.alt_response(409, description="The username is taken; `suggestion` in the details is free.")
def change(body: dict[str, Any]) -> Response:
    """Change your profile; null removes a field. `picture` is the id of a token of yours."""
    require_json()
    changes = {name: value for name, value in body.items() if name != "picture"}
    profiles = stores().gallery.profiles
    if "picture" not in body:
        return jsonify(profile_view(profiles.update(caller().id, changes)))
    with own_picture(body["picture"]) as name:
        return jsonify(profile_view(profiles.update(caller().id, changes | {"image": name})))


@blueprint.route("/profiles/<address>", methods=["GET"], policy=RoutePolicy(access=Access.ANONYMOUS), endpoint="read")
@blueprint.response(200, ProfileView, description="The profile.")
@blueprint.sends(304)
def read(address: str) -> Response:
    """The profile of an address; this needs no key."""
    profile = stores().gallery.profiles.get_by_address(address) if is_address(address) else None
    if profile is None:
        raise NotFound("There is no profile with that address.")
    return conditional_json(profile_view(profile))
