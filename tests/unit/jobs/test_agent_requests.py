"""The arguments of agents' tools."""

import pytest

from schemas.errors import Invalid
from schemas.jobs.agent_requests import AGENTS, GenerateImage, GetJob, SearchModels, load_arguments


def test_every_argument_of_a_generation_says_what_it_is_for() -> None:
    """The table of fields and the schema that clients see are the same but for the site's own inputs."""
    assert {field.name for field in AGENTS.fields} == set(GenerateImage().fields) - {"inputs"}


def test_defaults_are_filled_in_and_nulls_are_absent() -> None:
    """Some models send null for what they do not want to set."""
    assert {"prompt": "a lake", "inputs": {}, "wait_seconds": 50} == load_arguments(
        GenerateImage, {"prompt": "a lake", "site": None, "seed": None, "wait_seconds": None}
    )
    assert {"query": "", "limit": 10} == load_arguments(SearchModels, None)


def test_each_mistake_is_one_sentence() -> None:
    """The sentences name the arguments."""
    with pytest.raises(Invalid) as caught:
        load_arguments(GetJob, {"job_id": "x", "wait_seconds": -1, "more": 1})

    assert ["job_id", "more", "wait_seconds"] == sorted(problem.partition(":")[0] for problem in caught.value.problems)
