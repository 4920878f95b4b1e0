"""The schedule is torch's OneCycleLR, without its state."""

from dataclasses import replace

import pytest
import torch

from tasks.errors import TrainingError
from tasks.training.schedule import MIN_STEPS, check_steps, one_cycle


@pytest.mark.parametrize("steps", [MIN_STEPS, 14, 400])
def test_it_is_torchs(steps):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=0.01)
    torchs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=steps, pct_start=0.25)
    for step in range(steps):
        rates = one_cycle(step, steps=steps, peak=0.01)
        assert rates.learning_rate == pytest.approx(torchs.get_last_lr()[0], rel=1e-12)
        assert rates.beta1 == pytest.approx(optimizer.param_groups[0]["betas"][0], rel=1e-12)
        if step + 1 < steps:
            optimizer.step()
            torchs.step()


def test_too_few_steps_are_refused(spec):
    recipe = replace(spec.recipe, epochs=2, batch_size=120)
    check_steps(MIN_STEPS, recipe)
    with pytest.raises(
        TrainingError, match=r"epochs = 2 with .*batch_size = 120 are 4 steps, expected 5 or more: raise the epochs"
    ):
        check_steps(4, recipe)
