"""Settings from outside the file: environment variables, a directory of secret files, `{env: NAME}`, `{file: PATH}`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource
from typing_extensions import override

from operators.errors import ConfigError
from pipeline.complaints import nearest
from pipeline.yaml_source import Location, Value

__all__ = ["PREFIX", "SEPARATOR", "Variables", "read_reference", "secret_files"]

PREFIX = "MIEN_"
SEPARATOR = "__"


class Variables(EnvSettingsSource):
    """Variables named `MIEN_SECTION__KEY`, in any case. Only `[...]` and `{...}` are JSON: 1e5 may be a password.

    `kind` says in errors where they are from. Raises ConfigError for a section that doesn't exist; names without `__`
    may be someone else's, but for `MIEN_PURPOSE`.
    """

    def __init__(self, settings_cls: type[BaseSettings], variables: Mapping[str, str], *, kind: str) -> None:
        super().__init__(settings_cls)
        names = [name for name in variables if name.upper().startswith(PREFIX) and _ours(name)]
        for name in names:
            _check_section(name, settings_cls.model_fields, kind=kind)
        self.env_vars = {name.lower(): variables[name] for name in names}
        self._names = {_location(name): f"{kind} {name}" for name in names}
        try:
            self.values: dict[str, Any] = self()
        except ValueError:
            raise ConfigError(f"{kind}s {PREFIX}...: a value begins like a list or mapping, but is not JSON") from None

    @override
    def next_field(self, field: Any, key: str, case_sensitive: bool | None = None) -> Any:
        """The field or type at `key`; also of plain dataclasses, which pydantic-settings doesn't look into."""
        found = super().next_field(field, key, case_sensitive)
        if found is not None:
            return found
        annotation = field.annotation if isinstance(field, FieldInfo) else field
        sections = filter(is_dataclass, (annotation, *get_args(annotation)))
        return next((hints[key] for section in sections if key in (hints := get_type_hints(section))), None)

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: object) -> Value:
        """Lists and mappings from JSON; ValueError leaves the text as it is."""
        if not str(value).startswith(("[", "{")):
            raise ValueError("not JSON")
        return super().decode_complex_value(field_name, field, value)

    def name_of(self, location: Location) -> str | None:
        """What set the value at `location`, in words, or None."""
        return next((name for at, name in self._names.items() if location[: len(at)] == at), None)


def _ours(name: str) -> bool:
    return SEPARATOR in name or name.upper() == f"{PREFIX}PURPOSE"


def _location(name: str) -> Location:
    return tuple(name.lower()[len(PREFIX) :].split(SEPARATOR))


def _check_section(name: str, sections: Iterable[str], *, kind: str) -> None:
    known = [f"{PREFIX}{section.upper()}" for section in sections]
    section = name.upper().partition(SEPARATOR)[0]
    if section not in known:
        near = nearest(section, known) or f"; known: {', '.join(known)}"
        raise ConfigError(f"{kind} {name}: no such section of the settings{near}")


def secret_files(folder: Path) -> dict[str, str]:
    """The files named like `cameras__lobby__password` in a folder, and in the folders in it, as variables.

    Folders whose names begin with a dot are left out: a mounted Kubernetes secret keeps its versions there.
    """
    try:
        inside = [one for one in folder.iterdir() if one.is_dir() and not one.name.startswith(".")]
        found = (path for place in (folder, *inside) for path in place.iterdir())
        paths = sorted(path for path in found if SEPARATOR in path.name and path.is_file())
        return {f"{PREFIX}{path.name}": _content(path) for path in paths}
    except OSError as error:
        raise ConfigError(f"{PREFIX}SECRETS_DIR: {folder}: can't be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{PREFIX}SECRETS_DIR: {error}") from None


def read_reference(reference: object, environment: Mapping[str, str], *, base: Path) -> str:
    """The secret behind `{env: NAME}` or `{file: PATH}` (relative to `base`); ValueError says what is missing."""
    match reference:
        case {"env": str(name), **rest} if not rest:
            if name not in environment:
                raise ValueError(f"the environment variable {name} is not set")
            return environment[name]
        case {"file": str(path), **rest} if not rest:
            return _content(base / path)
    raise ValueError("expected a secret: {env: NAME}, {file: PATH} or text in quotes")


def _content(path: Path) -> str:
    """The text of a file without one trailing newline."""
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not UTF-8 text") from None
    except OSError as error:
        raise ValueError(f"{path}: can't be read: {error.strerror}") from None
