"""Golden questions through a server's own port: files as files, raw pixels as raw bytes, answers compared."""

import json
import math
from pathlib import Path

import httpx
import numpy as np

from serving.bundle.contract import GOLDEN, read_contract
from serving.bundle.golden import INDEX, GoldenAnswer
from tasks.errors import ReleaseError

_TIMEOUT_S = 30.0
_MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg"}


def check_server(url: str, bundle: Path, *, digest: str) -> int:
    """Ask the server at `url` every golden question of `bundle` and return how many it answered rightly.

    Raises:
        ReleaseError: it serves another bundle than `digest`, refuses, or answers wrongly.
        httpx.HTTPError: it cannot be reached.
    """
    contract = read_contract(bundle)
    entries = [GoldenAnswer(**entry) for entry in json.loads((bundle / GOLDEN / INDEX).read_text())]
    if not entries:
        raise ReleaseError(f"{bundle / GOLDEN / INDEX} has no answers: nothing would be checked")
    parameters = {"top_k": len(contract.classes)}
    with httpx.Client(base_url=url, timeout=_TIMEOUT_S, params=parameters, trust_env=False) as client:
        for entry in entries:
            answer = ask(client, bundle / GOLDEN / entry.file, entry.kind, digest)
            worst = worst_difference(answer, entry.probabilities)
            if not worst <= contract.tolerance:
                raise ReleaseError(
                    f"the server at {url} answers {GOLDEN}/{entry.file} wrongly: a probability differs by "
                    f"{worst:.6g}, the contract's tolerance is {contract.tolerance:.6g}"
                )
    return len(entries)


def ask(client: httpx.Client, file: Path, kind: str, digest: str) -> dict[int, float]:
    """Return a server's probability for each class of one golden input.

    Raises:
        ReleaseError: the answer is an error, or comes from another bundle than `digest`.
    """
    if kind == "raw":
        image = np.load(file, allow_pickle=False)  # (H, W) or (H, W, 3) uint8
        headers = {"content-type": "application/octet-stream", "x-image-shape": ",".join(map(str, image.shape))}
        answer = client.post("/predict", content=image.tobytes(), headers=headers)
    else:
        answer = client.post("/predict", content=file.read_bytes(), headers={"content-type": _MEDIA_TYPES[kind]})
    if answer.is_error:
        raise ReleaseError(f"{answer.request.url} answers {file.name} with {answer.status_code}: {answer.text[:300]}")
    values = answer.json()
    if values["digest"] != digest:
        raise ReleaseError(f"{answer.request.url} serves the bundle {values['digest']}, expected {digest}")
    return {ranked["class"]: ranked["probability"] for ranked in values["predictions"][0]["top_k"]}


def worst_difference(answer: dict[int, float], expected: list[float]) -> float:
    """Return the largest difference of a probability; infinite where one is missing or not finite."""
    if answer.keys() != set(range(len(expected))):
        return math.inf
    differences = [abs(answer[number] - probability) for number, probability in enumerate(expected)]
    return max((value if math.isfinite(value) else math.inf for value in differences), default=math.inf)
