"""What a section of the settings is; which exist, by key and by variable, and sentences about those that do not."""

import difflib
import types
import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

PREFIX = "EVERGREEN_"
LOCATIONS = ("EVERGREEN_HOME", "EVERGREEN_CONFIG")  # where things are; every other variable is a setting

Positive = Annotated[int, Field(gt=0)]


class Section(BaseModel):
    """A frozen part of the settings that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def unknown_keys(values: Mapping[str, Any], section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield a sentence for each key that `section` does not have, with the nearest that it has."""
    for key, value in values.items():
        field = section.model_fields.get(key)
        if field is None:
            yield f"unknown key {prefix}{key} = {value!r}" + nearest(key, section.model_fields, prefix)
            continue
        inner = section_of(field.annotation)
        items = value if isinstance(value, list) else [value]
        for item in items:
            if inner is not None and isinstance(item, Mapping):
                yield from unknown_keys(item, inner, f"{prefix}{key}.")


def unknown_variables(environment: Mapping[str, str], section: type[BaseModel]) -> Iterator[str]:
    """Yield a sentence for each `EVERGREEN_` variable that names no setting below `section`."""
    known = {variable_name(key) for key in (*setting_paths(section), *section.model_fields)} | set(LOCATIONS)
    for name, value in environment.items():
        if name.startswith(PREFIX) and name not in known:
            yield f"unknown variable {name}={value!r}" + nearest(name, known)


def setting_paths(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted path of every setting below `section`."""
    for key, field in section.model_fields.items():
        inner = section_of(field.annotation)
        if inner is None or typing.get_origin(field.annotation) is tuple:
            yield prefix + key
        else:
            yield from setting_paths(inner, f"{prefix}{key}.")


def section_of(annotation: Any) -> type[BaseModel] | None:
    """Return the `Section` that a field's annotation holds, itself or in a tuple."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((found for found in map(section_of, typing.get_args(annotation)) if found), None)


def nearest(word: str, known: typing.Iterable[str], prefix: str = "") -> str:
    """Return ': did you mean ...?' with the known word nearest to `word`."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    return f": did you mean {prefix}{close[0]}?" if close else f": known are {', '.join(words)}"


def describe(error: ValidationError, prefix: str = "", variables: Collection[str] = ()) -> Iterator[str]:
    """Yield a sentence for each wrong value: its key, or the one of `variables` that gave it, the value, the rule.

    An unknown key is left to `unknown_keys` and `unknown_variables`, which know the nearest, unless it stands within
    the JSON of a variable.
    """
    errors = error.errors()
    for item in errors:
        depth = len(item["loc"])
        is_for_its_parts = any(other["loc"][:depth] == item["loc"] and len(other["loc"]) > depth for other in errors)
        key = prefix + ".".join(str(part) for part in item["loc"])
        variable = variable_of(key, variables)
        is_told = item["type"] == "extra_forbidden" and variable in (None, variable_name(key))
        if is_for_its_parts or is_told:
            continue
        given = "" if item["type"] == "missing" else f" = {item['input']!r}"
        named = key if variable is None else f"{variable}: {key}"
        yield f"{named}{given}: {item['msg']}"


def variable_of(key: str, variables: Collection[str]) -> str | None:
    """Return the one of `variables` that sets `key` or a section or list that holds it, None where none does."""
    parts = key.split(".")
    names = [variable_name(".".join(parts[:depth])) for depth in range(len(parts), 0, -1)]
    return next((name for name in names if name in variables), None)


def variable_name(key: str) -> str:
    """Return the variable that sets the setting `key`."""
    return PREFIX + key.replace(".", "__").upper()
