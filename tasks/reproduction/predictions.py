"""How far two models' answers for the same test images are apart. Pure."""

import numpy as np

from tasks.errors import DataError
from tasks.evaluation.scores import Scores
from tasks.reproduction.evidence import PredictionComparison


def compare_predictions(recorded: Scores, remade: Scores) -> PredictionComparison:
    """Compare the answers that were kept with a version with those of the model that was made again.

    Raises:
        DataError: they are of other images or classes: the test set is not the one that was scored.
    """
    if recorded.classes != remade.classes or not np.array_equal(recorded.ids, remade.ids):
        raise DataError(
            f"the kept predictions are of {len(recorded.ids)} images and the classes {', '.join(recorded.classes)}, "
            f"those made here of {len(remade.ids)} other images, or of {', '.join(remade.classes)}"
        )
    apart = np.abs(recorded.probabilities.astype(np.float64) - remade.probabilities)
    both_bad = ~np.isfinite(recorded.probabilities) & ~np.isfinite(remade.probabilities)
    apart = np.where(both_bad, 0.0, np.where(np.isfinite(apart), apart, 1.0))
    return PredictionComparison(
        images=len(recorded.ids),
        equal_classes=int((recorded.predicted == remade.predicted).sum()),
        largest_difference=float(apart.max(initial=0.0)),
        accuracy_recorded=accuracy(recorded),
        accuracy_remade=accuracy(remade),
    )


def accuracy(scores: Scores) -> float:
    """Return the share of images whose most probable class is right; 0 without images."""
    return float((scores.predicted == scores.labels).mean()) if len(scores.ids) else 0.0
