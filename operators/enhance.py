"""Which faces are enlarged before they are read.

Super-resolution may help a face that is small but readable. It invents detail, so it never rescues a face that the
quality gate rejected, every face it touched is flagged `enhanced`, and without a model nothing happens at all.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EnhanceGate"]


@dataclass(frozen=True, slots=True)
class EnhanceGate:
    """Selects the faces that the enhancer enlarges, among those that can be read."""

    enabled: bool = False
    """Enlarge small faces before reading them; needs `models.enhancer`."""
    min_px: float = 12
    """Faces below this many source pixels are left as they are."""
    max_px: float = 32
    """Faces of this many source pixels and more are large enough."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_px <= self.max_px:
            raise ValueError(f"expected 0 <= min_px <= max_px, got min_px {self.min_px:g} and max_px {self.max_px:g}")

    def wants(self, source_px: float) -> bool:
        """Whether a readable face of that many source pixels is to be enlarged."""
        return self.enabled and self.min_px <= source_px < self.max_px
