"""Every architecture of torchvision: its shapes without its memory, and a small one of each kind in earnest."""

import re
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from serving.bundle.module import script_module
from tasks.errors import ConfigError
from tasks.training import vision
from tasks.training.network import ServedModel, build_classifier
from tasks.training.stem import plan_stem

MODELS = vision.import_models()
NAMES = MODELS.list_models(module=MODELS)
ONE_OF_EACH = {  # of every family, the least
    "alexnet": 4096,
    "convnext_tiny": 768,
    "densenet121": 1024,
    "efficientnet_b0": 1280,
    "efficientnet_v2_s": 1280,
    "googlenet": 1024,
    "inception_v3": 2048,
    "maxvit_t": 512,
    "mnasnet0_5": 1280,
    "mobilenet_v2": 1280,
    "mobilenet_v3_large": 1280,
    "mobilenet_v3_small": 1024,
    "regnet_x_400mf": 400,
    "regnet_y_400mf": 440,
    "resnet18": 512,
    "shufflenet_v2_x0_5": 1024,
    "squeezenet1_1": 512,
    "swin_t": 768,
    "swin_v2_t": 768,
    "vgg11": 4096,
    "vgg11_bn": 4096,
    "vgg13": 4096,
    "vgg13_bn": 4096,
    "vit_b_16": 768,
    "vit_b_32": 768,
}
IN_EARNEST = [  # one of each kind of network; the others were tried by hand
    ("efficientnet_b0", 1, 28),
    ("googlenet", 3, 32),
    ("mobilenet_v3_small", 1, 28),
    ("regnet_y_400mf", 1, 28),
    ("resnet18", 1, 28),
    ("resnet18", 3, 64),
    ("shufflenet_v2_x0_5", 3, 57),
    ("squeezenet1_1", 1, 33),
    ("swin_t", 1, 29),
    ("vit_b_32", 3, 30),
]


@pytest.fixture
def deterministic():
    """Refuse operations that are not."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def meta(monkeypatch):
    """Build networks without their numbers; regnet works its widths out in tensors, which need theirs."""
    parameters = MODELS.regnet.BlockParams
    work_out = parameters.from_init_params.__func__

    def on_cpu(cls, *arguments, **options):
        with torch.device("cpu"):
            return work_out(cls, *arguments, **options)

    monkeypatch.setattr(parameters, "from_init_params", classmethod(on_cpu))
    with torch.device("meta"):
        yield


@pytest.mark.parametrize("name", NAMES)
def test_every_architecture_takes_small_odd_and_grey_images(meta, name):
    body = vision.build(name, 29, "")
    assert body.network(torch.empty(2, 1, 29, 29)).shape == (2, body.features)


@pytest.mark.parametrize("size_px", [8, 57, 225])
@pytest.mark.parametrize(("name", "features"), ONE_OF_EACH.items(), ids=ONE_OF_EACH)
def test_one_of_each_family_takes_every_size(meta, name, features, size_px):
    body = vision.build(name, size_px, "")
    assert body.features == features
    assert body.network(torch.empty(2, 3, size_px, size_px)).shape == (2, features)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_what_stops_shrinking_is_what_shrinks_first(meta, name):
    stem = plan_stem(name, 28)
    network = MODELS.get_model(name, weights=None, **stem.options)
    shrinking = []
    for path, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d) and layer.stride not in (1, (1, 1)):
            layer.register_forward_hook(lambda *_, path=path: shrinking.append(path))
    network(torch.empty(2, 3, *2 * [max(stem.made_for_px, 112)]))
    assert set(stem.halved) == set(shrinking[: len(set(stem.halved))])


@pytest.mark.parametrize(("name", "channels", "size_px"), IN_EARNEST)
def test_it_trains_a_step_and_its_script_answers_as_it_does(spec, deterministic, name, channels, size_px):
    torch.manual_seed(0)
    recipe = replace(spec.recipe, architecture=name)
    classifier = build_classifier(replace(spec, channels=channels, size_px=size_px, recipe=recipe))
    classifier.mean.fill_(127.5)
    classifier.scale.fill_(1 / 64)
    batch = torch.randint(0, 256, (4, channels, size_px, size_px), dtype=torch.uint8)
    logits, features = classifier(batch)
    assert (logits.shape, features.shape) == ((4, 10), (4, classifier.head.in_features))
    functional.cross_entropy(logits, torch.arange(4)).backward()
    assert all(parameter.grad is not None for parameter in classifier.parameters())
    assert all(parameter.grad.isfinite().all() for parameter in classifier.parameters())
    assert next(classifier.body.parameters()).grad.any()

    served = ServedModel(classifier, channels, size_px).eval()
    scripted = script_module(served)
    with torch.inference_mode():
        (probabilities, embeddings), answers = served(batch), scripted(batch)
    assert (probabilities.shape, embeddings.shape) == ((4, 10), (4, 32))
    torch.testing.assert_close(answers[0], probabilities, rtol=0, atol=1e-6)
    torch.testing.assert_close(answers[1], embeddings, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["inception_v3", "vgg11"])
def test_a_large_one_can_be_scripted(meta, name):
    assert script_module(vision.build(name, 28, "").network)(torch.empty(2, 1, 28, 28)).dim() == 2


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnet_18", ".*resnet18"),
        ("", "small_cnn, resnet18"),
        ("small-cnn", "small_cnn"),
        ("fasterrcnn_resnet50_fpn", ""),
    ],
)
def test_an_unknown_name_suggests_near_ones(name, near):
    with pytest.raises(ConfigError, match=rf"training.architecture = '{re.escape(name)}' is unknown; near: {near}"):
        vision.build(name, 28, "")


def test_initial_weights_come_from_a_file_whatever_its_classes(spec, tmp_path):
    state = {name: torch.full_like(value, 2) for name, value in MODELS.resnet18(num_classes=7).state_dict().items()}
    path = tmp_path / "weights.pt"
    torch.save(state, path)
    recipe = replace(spec.recipe, architecture="resnet18", weights_file=str(path))
    classifier = build_classifier(replace(spec, size_px=64, recipe=recipe))
    assert classifier.not_loaded == ()
    assert all((value == 2).all() for value in classifier.body.network.parameters())
    assert not (classifier.head.weight == 2).any()

    smaller = build_classifier(replace(spec, size_px=28, recipe=recipe))
    assert smaller.not_loaded == ("conv1.weight",)
    assert not (smaller.body.network.conv1.weight == 2).any()


def test_torchvision_without_its_operators_has_their_schemas():
    for name in vision.BOX_OPERATORS:
        assert hasattr(torch.ops.torchvision, name)


def test_without_torchvision_there_is_still_the_small_network(monkeypatch):
    monkeypatch.setattr(vision.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"torchvision is not installed: use training.architecture = 'small_cnn'"):
        vision.import_models.__wrapped__()
