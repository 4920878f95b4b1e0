"""Training: a process of its own that turns pixels into weights, the same bits for the same inputs.

It imports torch, torchvision, numpy, `serving.bundle` and `tasks.errors`, so that it also runs on a bare
machine as `python -m tasks.training SPEC.json OUT/`.
"""
