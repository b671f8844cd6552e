"""Frozen settings that refuse unknown names, and the one-line errors they give."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from saccade.errors import InputError, unknown_name
from saccade.files import write_text

S = TypeVar("S", bound="Settings")


class Settings(BaseModel):
    """Base of all configuration: immutable, every field described, unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls: type[S], values: Mapping[str, Any], who: str) -> S:
        """Validate values.

        Raises:
            InputError: One line that names the field, what it must be and what it got.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise _explain(cls, error, who) from None

    def write(self, path: Path) -> None:
        """Write as YAML, atomically."""
        write_text(path, yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds named values.

    Raises:
        InputError: If it is missing, is not YAML, or holds something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML ({str(error).splitlines()[0]}).") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: must hold named values, got {type(content).__name__}.")
    return content


def parse_assignments(assignments: list[str]) -> dict[str, Any]:
    """``["training.epochs=5", ...]`` as nested values; the right-hand sides are YAML.

    Raises:
        InputError: If one is not of the form key=value.
    """
    nested: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set: must be key=value, got '{assignment}'.")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise InputError(f"--set {key}: '{text}' is not a YAML value.") from None
        *parents, last = key.strip().split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise InputError(f"--set {key}: '{parent}' was given a value of its own before.")
        place[last] = value
    return nested


def merge(*layers: Mapping[Any, Any]) -> dict[Any, Any]:
    """Nested values, later layers over earlier ones."""
    merged: dict[Any, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
            merged[key] = merge(merged[key], value) if both else value
    return merged


def _explain(model: type[BaseModel], error: ValidationError, who: str) -> InputError:
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return unknown_name(who, "setting", path, _field_names(model, first["loc"][:-1]))
    given = first.get("input")
    shown = "" if isinstance(given, dict) else f", got {given!r}"
    more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return InputError(f"{who}: {path or 'settings'}: {first['msg']}{shown}.{more}")


def _field_names(model: type[BaseModel], parents: tuple[int | str, ...]) -> list[str]:
    prefix = ""
    for parent in parents:
        annotation = model.model_fields[str(parent)].annotation if str(parent) in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        model, prefix = annotation, f"{prefix}{parent}."
    return [f"{prefix}{name}" for name in model.model_fields]
