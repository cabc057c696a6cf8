"""An application with one route that does nothing: the baseline of the HTTP benchmarks."""

from flask import Flask

app = Flask(__name__, static_folder=None)


@app.route("/", methods=["GET", "POST"])
def empty() -> str:
    """Return an empty response."""
    return ""
