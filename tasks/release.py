"""The verb "release": ask the controller, wait for its answer, and see through HTTP that it is true."""

import concurrent.futures
import getpass
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import numpy as np
from numpy.typing import NDArray
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tasks import progress
from tasks.data.dataset import Split
from tasks.data.pixels import open_pixels
from tasks.errors import ConfigError, ReleaseError
from tasks.evaluate import Champion
from tasks.registry.record import NO_CHAMPION, NO_PREVIOUS, RELEASE_AGAINST_TAG, Action, DesiredRelease, ModelVersion
from tasks.registry.registry import Registry
from tasks.rollout.status import Outcome
from tasks.rollout.wait import wait_for_release
from tasks.settings import Settings

STAGE = "release"
HTTP_STAGE = "check over HTTP"
CHECKED_IMAGES = 1000
CONNECTIONS = 4
REQUEST_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class ServedCheck:
    """What the same images answered offline and through HTTP; `worst_error` is of a probability.

    `version` is who answered, several joined by ", ".
    """

    images: int
    equal_classes: int
    worst_error: float
    tolerance: float
    accuracy: float
    version: str

    def is_equal(self, version: int) -> bool:
        """Whether `version` alone answered, with every class equal and every probability within the tolerance."""
        is_close = self.equal_classes == self.images and self.worst_error <= self.tolerance
        return is_close and self.version == str(version)


@task(name="release model", cache_policy=NO_CACHE)
def release_version(settings: Settings, version: int, *, why: str, judged_against: int | None = None) -> Outcome:
    """Ask for `version` in production and wait until the controller has answered.

    `judged_against` is the champion whose comparison `version` has won, `NO_CHAMPION` where there was none; None asks
    for `version` whatever is in production.

    Raises:
        ReleaseError: the version failed on the way and the champion stayed, or no controller answers, or another
            champion came since the comparison.
        RegistryError: there is no such version.
    """
    found = current_version(settings, version)
    return ask_controller(settings, make_request("release", why, version=found, judged_against=judged_against))


@task(name="find unfinished release", cache_policy=NO_CACHE)
def find_unfinished_release(settings: Settings) -> ModelVersion | None:
    """Return the version that passed its gates in a run that ended before it was released, None where there is none.

    One that was judged against another champion than today's is none: it would have to be judged again.
    """
    registry = Registry(settings.tracking_uri, settings.model.name)
    waiting = registry.challenger()
    champion = registry.view().champion or NO_CHAMPION
    if waiting is None or waiting.tags.get(RELEASE_AGAINST_TAG) != str(champion):
        return None
    get_run_logger().info("Version %s passed its gates in a run that did not end: it is released now", waiting.version)
    return waiting


@task(name="roll back", cache_policy=NO_CACHE)
def roll_back_release(settings: Settings, *, why: str) -> Outcome:
    """Ask for the previous version in production and wait until the controller has answered.

    Raises:
        ConfigError: there is no previous version.
        ReleaseError: no controller answers, or it could not go back.
    """
    if Registry(settings.tracking_uri, settings.model.name).previous() is None:
        raise ConfigError(f"{settings.model.name}: {NO_PREVIOUS}")
    return ask_controller(settings, make_request("rollback", why))


def current_version(settings: Settings, version: int) -> ModelVersion:
    """Return a version as the registry has it now, with its stage and aliases."""
    return Registry(settings.tracking_uri, settings.model.name).version(version)


def make_request(
    action: Action, why: str, *, version: ModelVersion | None = None, judged_against: int | None = None
) -> DesiredRelease:
    """Return a new request of this user's; without a version for what `action` means by itself."""
    return DesiredRelease(
        id=uuid.uuid4().hex,
        action=action,
        version=version.version if version else None,
        digest=version.digest if version else None,
        who=getpass.getuser(),
        why=why,
        asked_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        judged_against=judged_against,
    )


def ask_controller(settings: Settings, desired: DesiredRelease) -> Outcome:
    """Write the desired release to the registry and wait for the controller's answer."""
    Registry(settings.tracking_uri, settings.model.name).ask(desired)

    def report(phase: str) -> None:
        progress.update(STAGE, detail=phase)

    timeout_s = settings.release.timeout_s + settings.release.ready_timeout_s
    outcome = wait_for_release(settings.home, desired.id, report, timeout_s=timeout_s)
    if not outcome.is_success:
        raise ReleaseError(f"{desired.action} of version {desired.version or 'previous'} failed: {outcome.reason}")
    get_run_logger().info("%s: %s", desired.action, outcome.reason)
    return outcome


@task(name="check served answers", cache_policy=NO_CACHE)
def check_served(settings: Settings, champion: Champion) -> ServedCheck:
    """Send test images through the router and compare the answers with the champion's scores, its bundle's offline.

    Raises:
        ReleaseError: the router answers with an error, with other answers than offline, or from another version.
    """
    scores = champion.scores
    arrays = open_pixels(champion.pixels, Split.TEST)
    rows = np.linspace(0, len(arrays.ids) - 1, min(CHECKED_IMAGES, len(arrays.ids)), dtype=int)
    served, versions = predict_over_http(settings, arrays.images, rows, classes=len(scores.classes))
    expected = scores.probabilities[rows]
    classes = served.argmax(1)
    check = ServedCheck(
        images=len(rows),
        equal_classes=int((classes == expected.argmax(1)).sum()),
        worst_error=float(np.abs(served - expected).max()),
        tolerance=champion.tolerance,
        accuracy=float((classes == scores.label_indices[rows]).mean()),
        version=", ".join(sorted(versions)),
    )
    if not check.is_equal(champion.version.version):
        raise ReleaseError(
            f"the router answers otherwise than version {champion.version.version}, the champion, offline: "
            f"{check.equal_classes} of {check.images} classes equal, probabilities differ by up to "
            f"{check.worst_error:.2g} (allowed {check.tolerance:g}); version {check.version} answered. "
            "`evergreen status` shows what serves, `evergreen rollback` goes back"
        )
    return check


def predict_over_http(
    settings: Settings, images: NDArray[np.uint8], rows: NDArray[np.intp], *, classes: int
) -> tuple[NDArray[np.float32], set[str]]:
    """Return probabilities (len(rows), K) for images (N, C, S, S) uint8, one request each, and who answered.

    `classes` is K.
    """
    limits = httpx.Limits(max_connections=CONNECTIONS)
    with (
        httpx.Client(base_url=settings.router_url, timeout=REQUEST_TIMEOUT_S, limits=limits, trust_env=False) as client,
        concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool,
    ):

        def predict(row: int) -> tuple[list[float], str]:
            image = np.ascontiguousarray(images[row].transpose(1, 2, 0))  # (H, W, C)
            shape = ",".join(map(str, image.shape[:2] if image.shape[2] == 1 else image.shape))
            headers = {"content-type": "application/octet-stream", "x-image-shape": shape}
            answer = client.post("/predict", params={"top_k": classes}, content=image.tobytes(), headers=headers)
            if answer.is_error:
                raise ReleaseError(f"{answer.url} answered {answer.status_code}: {answer.text[:200]}")
            ranked = answer.json()["predictions"][0]["top_k"]
            probabilities = [entry["probability"] for entry in sorted(ranked, key=lambda entry: entry["class"])]
            return probabilities, answer.headers["x-evergreen-version"]

        answers = []
        for done, answer in enumerate(pool.map(predict, rows), start=1):
            answers.append(answer)
            progress.update(HTTP_STAGE, done, len(rows))
    return np.array([probabilities for probabilities, _ in answers], dtype=np.float32), {who for _, who in answers}
