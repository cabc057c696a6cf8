"""Bodies of requests: the number of values in JSON, the length of lists, the number of mistakes that are named."""

from typing import Any

import pytest
from flask import Flask
from marshmallow import Schema, ValidationError

from api.http.request_bodies import MAX_JSON_VALUES, StrictJSONProvider
from schemas.fields import MAX_PROBLEMS, flatten_errors
from schemas.gallery.requests.bodies import TokenOrder
from schemas.library.requests import ModelChange
from schemas.webhooks.subscriptions import WebhookChange


@pytest.mark.parametrize("text", ["[" + "[]," * MAX_JSON_VALUES + "[],[]]", b"{" + b'"a":1,' * 300_000 + b'"a":1}'])
def test_json_of_too_many_values_is_not_parsed(text: str | bytes) -> None:
    """A list of small values takes many times as much memory as its text."""
    json = StrictJSONProvider(Flask(__name__))

    with pytest.raises(ValueError, match="more than"):
        json.loads(text)
    assert len(json.loads("[" + "1," * MAX_JSON_VALUES + "1]")) == MAX_JSON_VALUES + 1


@pytest.mark.parametrize(
    ("schema", "name"), [(ModelChange(), "trainedWords"), (TokenOrder(), "tokenIds"), (WebhookChange(), "types")]
)
def test_a_long_list_is_one_mistake(schema: Schema, name: str) -> None:
    """Its items are not looked at."""
    with pytest.raises(ValidationError) as caught:
        schema.load({name: [1] * 10_000})

    messages: Any = caught.value.messages
    assert len(messages[name]) == 1
    assert "ength" in messages[name][0]


def test_an_answer_names_a_few_mistakes() -> None:
    """However many there are."""
    assert len(list(flatten_errors({str(number): ["Unknown field."] for number in range(1000)}))) == MAX_PROBLEMS
