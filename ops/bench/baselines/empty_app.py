"""An application with one route that does nothing: what the benches of the front are measured against."""

from flask import Flask

app = Flask(__name__, static_folder=None)


@app.route("/", methods=["GET", "POST"])
def empty() -> str:
    """The least that Flask under this server can do."""
    return ""
