"""The rooms, one module each."""

from api.console.views import gallery, jobs, keys, make, models, site_logins, sites, system, webhooks

ROOM_BLUEPRINTS = tuple(
    room.blueprint for room in (make, jobs, models, gallery, sites, site_logins, webhooks, keys, system)
)
