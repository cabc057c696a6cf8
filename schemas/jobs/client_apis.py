"""The APIs that clients already speak, and the table in the documentation that compares their fields.

``docs/clients.md`` contains the table; a test compares the two.
"""

from collections.abc import Iterable, Iterator

from schemas.jobs.agent_requests import AGENTS
from schemas.jobs.generaitiv_requests import GENERAITIV
from schemas.jobs.openai_requests import OPENAI
from schemas.jobs.sdapi.translation import AUTOMATIC1111
from schemas.sites.input_aliases import INPUT_NAMES, JOB_TARGETS, ClientApi, ClientField, fields_for

NATIVE = ClientApi(
    title="`/api/v1/jobs`",
    fields=(
        ClientField("prompt", ("prompt",)),
        ClientField("site", ("site",)),
        ClientField("lora", ("lora",)),
        ClientField("priority", ("priority",)),
        ClientField("webhook", ("webhook",)),
    ),
)
WEIGHTS = ClientApi(
    title="Weights",
    fields=(
        ClientField("prompt", ("prompt",)),
        ClientField("site", ("site",)),
        ClientField("loraName", ("lora",)),
        ClientField("priority", ("priority",)),
    ),
)
# In the order of the table's columns.
CLIENT_APIS: tuple[ClientApi, ...] = (NATIVE, WEIGHTS, GENERAITIV, OPENAI, AUTOMATIC1111, AGENTS)
NONE = "-"


def render_table() -> str:
    """Return the table: a row for each thing that a field can be for, a column for each API."""
    head = ["what it sets", "inputs of recipes", *(api.title for api in CLIENT_APIS)]
    return "\n".join(_row(cells) for cells in (head, ["---"] * len(head), *_rows())) + "\n"


def _rows() -> Iterator[list[str]]:
    for target, meaning in JOB_TARGETS.items():
        yield [meaning, NONE, *(_cell(api, target) for api in CLIENT_APIS)]
    for target, names in INPUT_NAMES.items():
        yield [target.replace("_", " "), _code(names), *(_cell(api, target) for api in CLIENT_APIS)]


def _cell(api: ClientApi, target: str) -> str:
    return _code(fields_for(api, target)) or NONE


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
