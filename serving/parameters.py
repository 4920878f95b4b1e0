"""The `parameters` of an inference request, its inputs and its outputs; unknown ones are of no effect."""

import reprlib
from typing import Any

from serving.errors import BadInputError

Parameters = dict[str, str | int | float | bool]

_SHARED_MEMORY = "shared_memory_region"


def read_parameters(owner: dict[str, Any], where: str) -> Parameters:
    """Return the parameters of a request, an input or an output; `where` names it in errors.

    Raises:
        BadInputError: they are no object of texts, numbers, true and false, or ask for shared memory.
    """
    parameters = owner.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise BadInputError(f"the parameters of {where} are {reprlib.repr(parameters)}; expected an object")
    for name, value in parameters.items():
        if not isinstance(value, (str, int, float)):  # a bool is an int
            raise BadInputError(
                f"the parameter {reprlib.repr(name)} of {where} is {reprlib.repr(value)}; "
                "expected a text, a number, true or false"
            )
    if _SHARED_MEMORY in parameters:
        raise BadInputError(f"{where} is in shared memory, which this server does not read: send the data")
    return parameters


def read_flag(parameters: Parameters, name: str) -> bool | None:
    """Return a parameter that is true or false, or None where it is not given.

    Raises:
        BadInputError: it is something else.
    """
    value = parameters.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadInputError(f"the parameter {name!r} is {reprlib.repr(value)}; expected true or false")
    return value


def read_count(parameters: Parameters, name: str, *, least: int, most: int) -> int | None:
    """Return a parameter that is a whole number from `least` to `most`, or None where it is not given.

    Raises:
        BadInputError: it is something else.
    """
    value = parameters.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadInputError(
            f"the parameter {name!r} is {reprlib.repr(value)}; expected a whole number from {least} to {most}"
        )
    return value
