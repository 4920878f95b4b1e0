"""A server of MLflow's that can be taken away and brought back: its address, in front of a real database."""

import http.server
import json
import socket
import threading
from collections.abc import Callable

from mlflow import MlflowClient
from mlflow.entities import Metric


class ComingAndGoing:
    """Answers `runs/log-batch` from `store` at `address`, while it is up; `requests` counts those that it took."""

    def __init__(self, store: MlflowClient) -> None:
        self.store = store
        self.requests = 0
        self.before_answer: Callable[[], bool] = lambda: True  # False: the answer is lost
        self.server: http.server.ThreadingHTTPServer | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def come(self) -> None:
        """Listen."""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                assert self.path.endswith("/runs/log-batch")
                values = json.loads(self.rfile.read(int(self.headers["content-length"])))
                metrics = [Metric(m["key"], m["value"], m["timestamp"], m["step"]) for m in values["metrics"]]
                outer.store.log_batch(values["run_id"], metrics=metrics)
                outer.requests += 1
                if not outer.before_answer():
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def go(self) -> None:
        """Stop listening: connections are refused."""
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
