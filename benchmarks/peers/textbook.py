"""`python -m benchmarks.peers.textbook SPEC.json`: the loop that PyTorch's tutorials teach.

Source: https://docs.pytorch.org/tutorials/beginner/introyt/trainingyt.html
"""

import time

import torch
from torch.nn import functional

from benchmarks.peers.data import TEST, TRAIN, VALIDATION, Network, accuracy, load, optimize
from benchmarks.peers.events import Steps, begin, end, report


def main() -> None:
    """Train, validate after each epoch, and test at the end."""
    spec, device = begin()
    recipe = spec.recipe
    train, validation = load(spec, TRAIN), load(spec, VALIDATION)
    network = Network(spec).to(device, memory_format=torch.channels_last)
    optimizer, schedule = optimize(network.parameters(), recipe, recipe.epochs * len(train))
    steps = Steps(recipe.epochs * len(train))
    for epoch in range(1, recipe.epochs + 1):
        network.train()
        loss_sum, started = 0.0, time.monotonic()
        for batch, targets in train:
            images = batch.to(device, memory_format=torch.channels_last, non_blocking=True)
            labels = targets.to(device, non_blocking=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                logits = network(images)
            loss = functional.cross_entropy(logits.float(), labels, label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            loss_sum += loss.item()
            steps.count()
        images_per_s = len(train) * recipe.batch_size / (time.monotonic() - started)
        validation_accuracy = accuracy(network, validation, device)
        report(
            "epoch",
            epoch=epoch,
            train_loss=loss_sum / len(train),
            validation_accuracy=validation_accuracy,
            images_per_s=images_per_s,
        )
    end(accuracy(network, load(spec, TEST), device))


if __name__ == "__main__":
    main()
