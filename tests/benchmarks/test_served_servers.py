"""What is served is a real bundle; who serves it is proven by an answer, paused, and ended."""

import json
import sys
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest

from benchmarks import serving
from benchmarks.observe import BenchmarkError, is_alive
from benchmarks.served import contenders as contenders_module
from benchmarks.served import networks
from benchmarks.served.contenders import BENTOML, EVERGREEN, FASTAPI, MLFLOW, Place, Terms, contenders
from benchmarks.served.make import make
from benchmarks.served.networks import build_network, count_parameters
from benchmarks.served.servers import Server, check_answer, free_port
from benchmarks.served.subjects import SUBJECTS, Made
from serving.bundle.contract import read_contract, verify_files
from serving.bundle.golden import check_golden, check_listed
from serving.bundle.module import load_module
from tasks.evaluation.finish import answer_images

CNN = SUBJECTS[0]
SERVER = """
import http.server, json, os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
class Handler(http.server.BaseHTTPRequestHandler):
    count = 0
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        Handler.count += 1
        body = json.dumps({"class": 1, "probability": float(sys.argv[2])}).encode()
        self.send_response(503 if Handler.count < 3 else 200)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(CNN, tmp_path_factory.mktemp("served") / "bundle")


@pytest.fixture
def place(tmp_path):
    image = np.zeros((2, 2), dtype=np.uint8)
    made = Made(CNN, tmp_path, image, np.array([0.25, 0.75], dtype=np.float32), 0)
    return Place(made, free_port(), tmp_path / "server", Terms(1, 1))


def fake(code, *arguments):
    return replace(
        EVERGREEN,
        key="fake",
        title="a fake",
        command=lambda place: [sys.executable, "-c", code, str(place.port), *arguments],
        read=FASTAPI.read,
    )


def await_status(processes, status):
    """Wait for signals to arrive."""
    until = time.monotonic() + 30
    while {process.status() for process in processes} != {status}:
        assert time.monotonic() < until, [process.status() for process in processes]


def test_the_networks_are_what_their_titles_say(monkeypatch):
    monkeypatch.setattr(networks, "_settle", lambda *_: None)  # takes seconds, and adds no parameter
    parameters = {
        subject.key: count_parameters(
            build_network(subject.architecture, channels=subject.channels, size_px=subject.size_px)
        )
        for subject in SUBJECTS
    }
    assert parameters["cnn"] == 242_250
    assert 11_000_000 < parameters["resnet18"] < 11_300_000
    assert 1_400_000 < parameters["mobilenet"] < 1_600_000


def test_a_subject_is_a_real_bundle(made):
    contract = read_contract(made.folder)
    verify_files(made.folder, contract, served_only=False)
    check_listed(made.folder, contract)
    module = load_module(made.module)
    check_golden(made.folder, lambda images: answer_images(module, images), contract.tolerance)
    golden = json.loads((made.folder / "golden" / "golden.json").read_text())
    assert (
        len({max(range(10), key=entry["probabilities"].__getitem__) for entry in golden}) > 3
    )  # another answer is seen


def test_the_constant_is_a_real_bundle_of_the_same_images(made, tmp_path):
    constant = make(CNN.constant, tmp_path / "constant")
    module = load_module(constant.module)
    check_golden(constant.folder, lambda images: answer_images(module, images), 1e-6)
    assert (constant.image == made.image).all()
    assert constant.answer == pytest.approx(np.exp(np.arange(10)) / np.exp(np.arange(10)).sum(), abs=1e-6)


def test_every_contender_is_asked_about_the_same_image(made):
    asked = {each.key: each.ask(made) for each in contenders()}
    for key in ("evergreen", "litserve", "fastapi"):
        assert asked[key].body == made.image.tobytes()
    assert asked["evergreen"].headers["x-image-shape"] == "28,28"
    assert json.loads(asked["mlflow"].body) == {"inputs": [made.image.tolist()]}
    large = replace(made, image=np.zeros((224, 224, 3), dtype=np.uint8))
    assert json.loads(MLFLOW.ask(large).body)["dataframe_split"]["data"] == [[large.base64]]
    assert json.loads(BENTOML.ask(large).body) == {"images": [large.base64]}


@pytest.mark.parametrize(
    ("contender", "body"),
    [
        (EVERGREEN, {"predictions": [{"class": 1, "probability": 0.75}]}),
        (FASTAPI, {"class": 1, "probability": 0.75}),
        (BENTOML, [{"class": 1.0, "probability": 0.75}]),
        (MLFLOW, {"predictions": [[0.25, 0.75]]}),
    ],
)
def test_answers_are_compared_with_the_module(place, contender, body):
    check_answer(contender, place.made, json.dumps(body).encode())
    other = json.dumps(body).replace("0.75", "0.78").encode()
    with pytest.raises(BenchmarkError, match=r"answers class 1 with 0.780000, the module class 1 with 0.750000"):
        check_answer(contender, place.made, other)


def test_a_server_is_proven_paused_and_ended(place):
    with Server(fake(SERVER, "0.75"), place) as server:
        assert server.first_answer_s > 0
        processes = server.family()
        assert len(processes) == 2
        server.pause()
        await_status(processes, psutil.STATUS_STOPPED)
        server.resume()
        server.check()
        server.pause()  # it is ended all the same
    assert not any(is_alive(process) for process in processes)


def test_a_wrong_answer_is_refused(place):
    with pytest.raises(BenchmarkError, match="a fake answers class 1 with 0"), Server(fake(SERVER, "0.5"), place):
        pass


def test_a_server_that_does_not_start_is_told_with_its_last_words(place):
    failing = fake("import sys; print('no such data'); sys.exit(3)")
    with pytest.raises(BenchmarkError, match=r"a fake ended 3\nno such data"), Server(failing, place):
        pass


def test_a_peer_that_is_not_installed_is_left_out_and_that_is_said(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(contenders_module, "PEERS", tmp_path)
    assert [each.key for each in contenders() if serving.is_there(each)] == ["evergreen"]
    said = capsys.readouterr().err
    assert [line.partition(" is left out")[0] for line in said.splitlines()] == [
        "LitServe", "BentoML", "mlflow models serve", "FastAPI, textbook",
    ]  # fmt: skip
    (tmp_path / "lib" / "python3.11" / "site-packages" / "litserve").mkdir(parents=True)
    assert [each.key for each in contenders() if each.is_there] == ["evergreen", "litserve"]
