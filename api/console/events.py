"""The event stream of a tab: whatever happens to the caller's jobs."""

from flask import Blueprint, Response

from api.http import sse
from api.http.auth import admit, current_credential
from api.http.context import caller, stores
from api.jobs.event_streams import owner_events
from schemas.accounts.caller import Scope

blueprint = Blueprint("console_events", __name__)


@blueprint.route("/console/events")
def stream() -> Response:
    """Stream the events after ``lastEventId``, which every page states; ``reset`` means that some were missed."""
    admit(Scope.READ)
    after = sse.last_stream_id() or stores().event_log.newest_stream_id(caller().id)
    return sse.sse_response(owner_events(stores(), current_credential(), caller().id, after))
