import warnings

import pytest
import torch
from torch import nn

from serving.bundle.contract import BundleError
from serving.bundle.module import load_module, optimise_module, script_module


class Doubling(nn.Module):
    @torch.jit.export
    def preprocess(self, image: torch.Tensor) -> torch.Tensor:
        return image[:1]

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return 2 * batch


def test_a_module_is_made_loaded_and_optimised_without_a_warning(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        script_module(Doubling().eval()).save(str(tmp_path / "model.pt"))
        module = load_module(tmp_path / "model.pt")
        optimised = optimise_module(module)
    batch = torch.arange(6.0).view(2, 3)
    assert not module.training
    for loaded in (module, optimised):
        assert torch.equal(loaded(batch), 2 * batch)
        assert torch.equal(loaded.preprocess(batch), batch[:1])


def test_other_warnings_are_heard(monkeypatch):
    monkeypatch.setattr(torch.jit, "script", lambda _: warnings.warn("look here", DeprecationWarning, stacklevel=1))
    with pytest.warns(DeprecationWarning, match="look here"):
        script_module(Doubling())


def write_text(path):
    path.write_text("no module")


def write_without_preprocess(path):
    script_module(nn.Identity()).save(str(path))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (write_text, "is no TorchScript module for cpu"),
        (lambda path: None, "is no TorchScript module for cpu: .* does not exist"),
        (write_without_preprocess, r"has no method preprocess\(image\)"),
    ],
    ids=["text", "no file", "without preprocess"],
)
def test_what_is_no_bundles_module_is_refused(tmp_path, write, message):
    write(tmp_path / "model.pt")
    with pytest.raises(BundleError, match=rf"model\.pt {message}"):
        load_module(tmp_path / "model.pt")
