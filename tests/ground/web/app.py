"""The Flask application of the image danriti/gunicorn-flask, as the tests build it."""

import flask

app = flask.Flask(__name__)


@app.route("/")
def home() -> str:
    return "Hello from gunicorn and Flask\n"
