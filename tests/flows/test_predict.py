"""`evergreen predict`: what it says for each answer that may come."""

import http.server
import json
import threading

import pytest

from tests.conftest import ROOT

IMAGE = next((ROOT / "tests" / "assets" / "fashion" / "bag").glob("*.png"))
TOP = [{"label": label, "probability": p} for label, p in (("bag", 0.9), ("[red] coat", 0.06), ("shirt", 0.04))]
GOOD = json.dumps({"version": "3", "predictions": [{"top_k": TOP}]})


@pytest.fixture
def answer(settings):
    """Listen at the router's address, and answer with a status and a body."""
    servers = []

    def listen(status: int, body: str):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                assert self.rfile.read(int(self.headers["content-length"])) == IMAGE.read_bytes()
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", settings.stack.router_port), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)

    yield listen
    for server in servers:
        server.shutdown()
        server.server_close()


def test_it_says_the_most_probable_classes(answer, evergreen):
    answer(200, GOOD)
    said = evergreen("predict", str(IMAGE))
    assert said.code == 0
    assert said.out.split() == f"{IMAGE} bag 90.0%, [red] coat 6.0%, shirt 4.0% (version 3)".split()


@pytest.mark.parametrize(
    ("status", "body", "code", "text"),
    [
        (422, '{"error": "not an image"}', 2, f"{IMAGE}: not an image"),
        (503, '{"error": "no model is in production yet"}', 14, "answered 503: no model is in production yet"),
        (404, "<h1>Not here</h1>", 14, "answered 404 and not as a model does: '<h1>Not here</h1>'"),
        (200, "hello", 14, "answered 200 and not as a model does: 'hello'"),
        (500, "[]", 14, "answered 500 and not as a model does"),
        (200, "{}", 14, "answered 200 and not as a model does"),
    ],
    ids=["a bad image", "no model", "another server", "another protocol", "a list", "an empty object"],
)
def test_another_answer_is_an_error(answer, evergreen, status, body, code, text):  # noqa: PLR0917
    answer(status, body)
    said = evergreen("predict", str(IMAGE))
    assert said.code == code
    assert text in said.err
    assert "Traceback" not in said.err
