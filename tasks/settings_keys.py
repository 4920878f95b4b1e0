"""Which settings exist, by key and by variable, and sentences about those that do not or cannot be."""

import difflib
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

PREFIX = "EVERGREEN_"
LOCATIONS = ("EVERGREEN_HOME", "EVERGREEN_CONFIG")  # where things are; every other variable is a setting


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
    known = {f"{PREFIX}{path.replace('.', '__').upper()}" for path in setting_paths(section)}
    known |= {f"{PREFIX}{name.upper()}" for name in section.model_fields} | set(LOCATIONS)
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


def describe(error: ValidationError, prefix: str = "") -> Iterator[str]:
    """Yield a sentence for each wrong value: its key, the value, what was expected."""
    errors = error.errors()
    for item in errors:
        depth = len(item["loc"])
        is_for_its_parts = any(other["loc"][:depth] == item["loc"] and len(other["loc"]) > depth for other in errors)
        if is_for_its_parts or item["type"] == "extra_forbidden":  # said by `unknown_keys`, with the nearest known
            continue
        key = prefix + ".".join(str(part) for part in item["loc"])
        given = "" if item["type"] == "missing" else f" = {item['input']!r}"
        yield f"{key}{given}: {item['msg']}"
