"""Settings from outside the file: environment variables, a directory of secret files, `{env: NAME}`, `{file: PATH}`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource

from operators.errors import ConfigError

__all__ = ["PREFIX", "SEPARATOR", "Variables", "check_names", "read_reference", "secret_files"]

PREFIX = "MIEN_"
SEPARATOR = "__"


class Variables(EnvSettingsSource):
    """Variables named `MIEN_SECTION__KEY`, in any case. Only `[...]` and `{...}` are JSON: 1e5 may be a password."""

    def __init__(self, settings_cls: type[BaseSettings], variables: Mapping[str, str]) -> None:
        super().__init__(settings_cls)
        self.env_vars = {name.lower(): value for name, value in variables.items()}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Lists and mappings from JSON; ValueError leaves the text as it is."""
        if not str(value).startswith(("[", "{")):
            raise ValueError("not JSON")
        return super().decode_complex_value(field_name, field, value)


def check_names(names: Iterable[str], sections: Iterable[str]) -> None:
    """Raise ConfigError for `MIEN_SECTIN__KEY`; names without `__` may be someone else's."""
    known = [section.upper() for section in sections]
    for name in names:
        section, separator, _ = name.upper().removeprefix(PREFIX).partition(SEPARATOR)
        if name.upper().startswith(PREFIX) and separator and section not in known:
            near = difflib.get_close_matches(section, known, n=1)
            meant = f", did you mean {PREFIX}{near[0]}{SEPARATOR}...?" if near else f"; known: {', '.join(known)}"
            raise ConfigError(f"{name}: no such section of the settings{meant}")


def secret_files(folder: Path) -> dict[str, str]:
    """The files of a folder such as a mounted Kubernetes secret, named `cameras__lobby__password`, as variables."""
    try:
        paths = sorted(path for path in folder.iterdir() if SEPARATOR in path.name and path.is_file())
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
