"""The outputs of an inference request: which are asked for and in what form, and their tensors from a prediction."""

import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.binary_tensors import SIZE, join_body, pack_numbers, pack_texts
from serving.bundle.contract import Contract
from serving.errors import BadInputError
from serving.parameters import read_count, read_flag, read_parameters
from serving.prediction import Prediction

_RANKED = "probabilities"  # the output whose values rank classes


@dataclass(frozen=True)
class OutputRequest:
    """An output that is asked for, in the JSON or as bytes after it.

    With `top` over 0 it is, for each image, that many classes as texts `probability:class:label`, the most probable
    first. Source: Triton's classification extension.
    """

    name: str
    is_binary: bool = False
    top: int = 0


@dataclass(frozen=True)
class _Tensor:
    datatype: str
    shape: list[int]
    values: npt.NDArray[Any] | list[str]

    def listed(self) -> list[Any]:
        return self.values if isinstance(self.values, list) else self.values.ravel().tolist()

    def packed(self) -> bytes:
        return pack_texts(self.values) if isinstance(self.values, list) else pack_numbers(self.values)


@dataclass(frozen=True)
class _Output:
    datatype: str
    shape: Callable[[Contract], list[int]]
    values: Callable[[Prediction, tuple[str, ...]], npt.NDArray[Any] | list[str]]


def describe_outputs(contract: Contract) -> list[dict[str, Any]]:
    """Return a model's outputs as its metadata names them; -1 is any size."""
    return [
        {"name": name, "datatype": output.datatype, "shape": output.shape(contract)}
        for name, output in _OUTPUTS.items()
    ]


def read_outputs(values: dict[str, Any], *, is_binary: bool, classes: int) -> tuple[OutputRequest, ...]:
    """Return the outputs that a request asks for, each once: all, where it names none.

    `is_binary` is what the request says of outputs that do not say it themselves.

    Raises:
        BadInputError: an unknown output, or a parameter that it cannot have.
    """
    asked = values.get("outputs") or []
    if not isinstance(asked, list):
        raise BadInputError(f'outputs is {reprlib.repr(asked)}; expected a list of {{"name": ...}}')
    outputs = {}  # an output asked for a million times is one
    for output in asked or [{"name": name} for name in _OUTPUTS]:
        read = _read_output(output, is_binary=is_binary, classes=classes)
        outputs[read.name] = read
    return tuple(outputs.values())


def write_answer(
    values: dict[str, Any], answer: Prediction, classes: tuple[str, ...], outputs: tuple[OutputRequest, ...]
) -> tuple[bytes, int | None]:
    """Return the body of an answer, and the length of its JSON in bytes where tensors come after it.

    `values` is what the answer says besides its outputs.
    """
    described, packed = [], []
    for output in outputs:
        tensor = _make_tensor(output, answer, classes)
        entry = {"name": output.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if output.is_binary:
            packed.append(tensor.packed())
            described.append({**entry, "parameters": {SIZE: len(packed[-1])}})
        else:
            described.append({**entry, "data": tensor.listed()})
    body, length = join_body({**values, "outputs": described}, packed)
    return body, length if packed else None


def _read_output(output: Any, *, is_binary: bool, classes: int) -> OutputRequest:
    name = output.get("name") if isinstance(output, dict) else None
    if not isinstance(name, str) or name not in _OUTPUTS:
        raise BadInputError(
            f'unknown output {reprlib.repr(output)}; expected {{"name": ...}} with one of {", ".join(_OUTPUTS)}'
        )
    parameters = read_parameters(output, f"output {name!r}")
    top = read_count(parameters, "classification", least=1, most=classes) or 0
    if top and name != _RANKED:
        raise BadInputError(f"the parameter 'classification' is for the output {_RANKED!r}, not for {name!r}")
    own = read_flag(parameters, "binary_data")
    return OutputRequest(name, is_binary if own is None else own, top)


def _make_tensor(output: OutputRequest, answer: Prediction, classes: tuple[str, ...]) -> _Tensor:
    if output.top:
        return _rank(answer.probabilities, classes, output.top)
    kind = _OUTPUTS[output.name]
    values = kind.values(answer, classes)
    shape = [len(values)] if isinstance(values, list) else list(values.shape)
    return _Tensor(kind.datatype, shape, values)


def _rank(probabilities: npt.NDArray[np.float32], classes: tuple[str, ...], top: int) -> _Tensor:
    """Return (N, top) texts for (N, K)."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    texts = [
        f"{row[index]:f}:{index}:{classes[index]}"
        for row, ranked in zip(probabilities, order.tolist(), strict=True)
        for index in ranked
    ]
    return _Tensor("BYTES", [len(probabilities), top], texts)


def _winners(answer: Prediction) -> npt.NDArray[np.int64]:
    return np.asarray(answer.probabilities.argmax(axis=1), dtype=np.int64)


_OUTPUTS = {
    "probabilities": _Output(
        "FP32", lambda contract: [-1, len(contract.classes)], lambda answer, _: answer.probabilities
    ),
    "embedding": _Output("FP32", lambda contract: [-1, contract.embedding_size], lambda answer, _: answer.embeddings),
    "class": _Output("INT64", lambda _: [-1], lambda answer, _: _winners(answer)),
    "label": _Output("BYTES", lambda _: [-1], lambda answer, classes: [classes[i] for i in _winners(answer).tolist()]),
}
OUTPUTS = tuple(_OUTPUTS)
