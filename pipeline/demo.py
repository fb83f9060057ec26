"""`mien demo`: the main job on the built-in scene, from `demo.yaml`, as it would run on real cameras."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import platformdirs

from pipeline.config import Settings, load_settings
from pipeline.run import run
from pipeline.status import Status

__all__ = ["CONFIG", "demo"]

CONFIG = Path(__file__).with_name("demo.yaml")


def demo(*, seconds: float = 60.0, plain: bool = False) -> Status:
    """Run the scene for a while with a fresh store in the user's data folder."""
    settings = load_settings(CONFIG)
    return run(with_store(settings, _fresh_store()), seconds=seconds, plain=plain)


def with_store(settings: Settings, path: Path) -> Settings:
    """The same settings with the store elsewhere."""
    return settings.model_copy(update={"store": replace(settings.store, path=path)})


def _fresh_store() -> Path:
    folder = platformdirs.user_data_path("mien", ensure_exists=True)
    for old in folder.glob("demo.sqlite*"):
        old.unlink()
    return folder / "demo.sqlite"
