"""The API of AUTOMATIC1111's web UI, ``/sdapi/v1``, for its existing clients; whichever site is behind it.

A module for each part. ``blueprints`` are all of its routes.
"""

from api.compat.sdapi import catalogue, generation, liveness, options, png_info, progress, refusals

blueprints = (
    generation.blueprint,
    progress.blueprint,
    options.blueprint,
    catalogue.blueprint,
    png_info.blueprint,
    refusals.blueprint,
    liveness.blueprint,
    liveness.queue_blueprint,
)
