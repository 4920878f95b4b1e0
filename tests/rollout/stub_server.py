"""A server with the serving command line that starts in a tenth of a second: it knows its golden answers and no model.

A bundle whose golden folder has a file `refuse` makes it end at once, `wrong` makes it answer wrongly.
"""

import argparse
import hashlib
import json
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def golden_answers(bundle):
    answers = {}
    for entry in json.loads((bundle / "golden" / "golden.json").read_text()):
        path = bundle / "golden" / entry["file"]
        body = path.read_bytes()
        if entry["kind"] == "raw":  # .npy: ten bytes, the last two the length of a head, then the pixels
            body = body[10 + int.from_bytes(body[8:10], "little") :]
        answers[body] = entry["probabilities"]
    return answers


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one packet: two would wait for an acknowledgement

    def do_GET(self):
        self.answer({"ready": True})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        probabilities = self.server.answers.get(body, self.server.other)
        if self.server.is_wrong:
            probabilities = probabilities[::-1]
        ranked = [{"class": number, "probability": value} for number, value in enumerate(probabilities)]
        self.answer({"digest": self.server.digest, "predictions": [{"top_k": ranked}]})

    def answer(self, values):
        content = json.dumps(values).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.send_header("x-evergreen-version", self.server.version)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser()
    for name in ("bundle", "host", "port", "model-version"):
        parser.add_argument(f"--{name}", required=True)
    arguments, _ = parser.parse_known_args()
    bundle = Path(arguments.bundle)
    print("starting", flush=True)
    if (bundle / "golden" / "refuse").exists():
        sys.exit("the bundle is refused")
    server = ThreadingHTTPServer((arguments.host, int(arguments.port)), Handler)
    server.daemon_threads = True
    server.answers = golden_answers(bundle)
    server.other = next(iter(server.answers.values()))
    server.is_wrong = (bundle / "golden" / "wrong").exists()
    server.version = arguments.model_version
    server.digest = hashlib.sha256((bundle / "contract.json").read_bytes()).hexdigest()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server.serve_forever()


if __name__ == "__main__":
    main()
