"""The golden answers, asked again while the server runs: every so often, and at once after any failure of the model."""

import asyncio
import contextlib
import logging

from serving.bundle.contract import BundleError
from serving.errors import UnavailableError
from serving.prediction import ModelError
from serving.service import Service

logger = logging.getLogger(__name__)

_PAUSE_S = 1.0  # failures that follow each other are one doubt
_UNWELL_S = 5.0  # until the next check, where nothing is answered meanwhile


async def watch_golden(service: Service) -> None:
    """Check the golden answers until cancelled: wrong ones make the server unwell, right ones ready again."""
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(service.doubt.wait(), _wait_s(service))
        service.doubt.clear()
        with contextlib.suppress(UnavailableError):  # it still loads
            await check_golden_now(service)
        await asyncio.sleep(min(_PAUSE_S, service.settings.golden_every_s or _PAUSE_S))


async def check_golden_now(service: Service) -> None:
    """Ask the golden questions once, in turn with requests, and draw the consequence.

    Raises:
        UnavailableError: there is no model yet.
    """
    model = service.model
    try:
        answer = await service.ask(model.golden.images)
        model.golden.check(answer.probabilities, model.contract.tolerance)
    except (BundleError, ModelError) as error:
        logger.error("unwell: %s", error)  # noqa: TRY400 - the sentence is for an operator
        is_right = False
    except UnavailableError:
        raise
    except Exception:
        logger.exception("unwell: the golden questions cannot be asked")
        is_right = False
    else:
        is_right = True
    if is_right and not service.is_trusted:
        logger.warning("well again: the golden answers are right")
    service.metrics.golden(is_right=is_right)
    service.trust(is_right=is_right)


def _wait_s(service: Service) -> float | None:
    """Return the seconds until the next check, None for never."""
    every_s = service.settings.golden_every_s or None
    if service.is_trusted:
        return every_s
    return min(_UNWELL_S, every_s or _UNWELL_S)
