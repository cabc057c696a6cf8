"""The sections, one module each."""

from api.console.views import gallery, jobs, keys, make, models, site_logins, sites, system, webhooks

SECTION_BLUEPRINTS = tuple(
    section.blueprint for section in (make, jobs, models, gallery, sites, site_logins, webhooks, keys, system)
)
