"""What cameras see, written in one line: `"0.2x10 0.8x15 _x5 0.8x20"` becomes observations and gaps.

A timeline is a row of `WHATxLENGTH`. The length is a number of frames (`x15`) or a duration (`x10m`); one `WHAT` alone
holds throughout. In the timeline of an expression, `WHAT` is

- a probability (`0.8`), or a ramp (`0.2..0.8`, from the first frame to the last);
- `?`: the face is there and can't be read; `lost`: it isn't in the picture;
- `_`: the frame doesn't come, and nothing says why; or `down`, `frozen`, `black`, `overload`, `skipped`: a gap with
  this reason. The frame is missing for every face, whichever timeline says so.

`frames:` of a camera has the same words, and `ok`; `zones:` of a face has names, `a+b`, and `-` for none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from typing import Annotated, Any, Generic, TypeAlias, TypeVar, cast

from operators.records import (
    UNKNOWN,
    Clock,
    FaceTrack,
    Gap,
    GapReason,
    Observation,
    TrackEvent,
    TrackEventKind,
)
from operators.rules import EXPRESSIONS
from operators.units import Seconds, parse_duration

__all__ = ["CameraTrace", "FaceTrace", "Timeline", "TraceError", "length_ms", "records"]

Cell = TypeVar("Cell")
"""One frame of a timeline: a number, a word, or zones."""
Level: TypeAlias = float | str

DROPPED, LOST, UNREADABLE, PRESENT = "_", "lost", "?", "ok"
GAPS = {
    "down": GapReason.DOWN,
    "frozen": GapReason.FROZEN,
    "black": GapReason.BLACK,
    "overload": GapReason.OVERLOAD,
    "skipped": GapReason.LOST,
}
_MISSING = (DROPPED, *GAPS)
_FACE = (UNREADABLE, LOST, *_MISSING)
_MOST_FRAMES = 500_000
_TOLD_EVERY_MS = 1000
"""A camera that gives nothing says so once a second, so one long gap is many short ones."""
_PIECE = re.compile(r"(?P<what>.+)x(?P<length>\d+(?:\.\d+)?[a-z]+[\da-z.]*|\d+)")
_NUMBER = re.compile(r"\d*\.?\d+")


class TraceError(ValueError):
    """A trace that can't be: `location` is the way to it from the camera."""

    def __init__(self, location: tuple[str, ...], message: str) -> None:
        super().__init__(message)
        self.location = location


@dataclass(frozen=True, slots=True)
class Piece(Generic[Cell]):
    """The same in so many frames (int) or seconds (float), or throughout (None); a ramp, where it ends elsewhere."""

    value: Cell
    length: int | float | None = None
    end: Cell | None = None

    def cells(self, fps: float) -> list[Cell]:
        """One cell per frame."""
        count = self.length if isinstance(self.length, int) else round((self.length or 0) * fps)
        if not isinstance(self.value, float) or not isinstance(self.end, float) or count < 2:
            return [self.value] * count
        step = (self.end - self.value) / (count - 1)
        return [cast("Cell", round(self.value + i * step, 9)) for i in range(count)]


@dataclass(frozen=True, slots=True)
class Timeline(Generic[Cell]):
    """A row of pieces."""

    pieces: tuple[Piece[Cell], ...]

    @property
    def throughout(self) -> bool:
        """Whether it is one value without a length of its own."""
        return self.pieces[0].length is None

    def cells(self, fps: float, length: int) -> list[Cell]:
        """One cell per frame; one that holds throughout is `length` frames long."""
        if self.throughout:
            return [self.pieces[0].value] * length
        return [cell for piece in self.pieces for cell in piece.cells(fps)]

    def length(self, fps: float) -> int:
        """Its number of frames; 0 where it holds throughout."""
        return len(self.cells(fps, 0))


class _Written:
    """Makes pydantic, by its duck-typed protocol, read a field through a function of this module."""

    def __init__(self, read: Callable[[object], object], example: str) -> None:
        self.read = read
        self.example = example

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> Mapping[str, Any]:
        return {"type": "function-plain", "function": {"type": "no-info", "function": self.read}}

    def __get_pydantic_json_schema__(self, schema: object, handler: object) -> Mapping[str, Any]:
        return {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "array"}], "examples": [self.example]}


def parse_levels(value: object) -> Timeline[Level]:
    """A timeline of probabilities; raises ValueError saying what was expected."""
    return _parse(value, _level, 'a timeline such as "0.2x10 0.8x15 _x5"')


def parse_shares(value: object) -> Timeline[float]:
    """A timeline of numbers alone."""
    return _parse(value, _share, 'a timeline of numbers such as "0.9x10 0.3x5"')


def parse_picture(value: object) -> Timeline[str]:
    """A timeline of `ok` and of what keeps frames from coming."""
    return _parse(value, _word, 'a timeline such as "okx40 downx2s okx10"')


def parse_zones(value: object) -> Timeline[tuple[str, ...]]:
    """A timeline of zones: one name, a list that holds throughout, or `"deskx10 -x5 desk+doorx5"`."""
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return Timeline((Piece(tuple(value)),))
    return _parse(value, _names, 'zones such as desk, [desk, door] or "deskx10 -x5"')


def _parse(value: object, read: Callable[[str], tuple[Cell, Cell | None]], expected: str) -> Timeline[Cell]:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        raise ValueError(f"expected {expected}, got {value!r}")
    words = str(value).split()
    pieces = tuple(_piece(word, read) for word in words)
    if len(words) > 1 and (short := [word for word, piece in zip(words, pieces, strict=True) if piece.length is None]):
        raise ValueError(f"expected a length after every part, such as {short[0]}x10 or {short[0]}x3s, got {value!r}")
    return Timeline(pieces)


def _piece(word: str, read: Callable[[str], tuple[Cell, Cell | None]]) -> Piece[Cell]:
    match = _PIECE.fullmatch(word)
    what, text = (word, "") if match is None else (match["what"], match["length"])
    length = None if not text else int(text) if text.isdigit() else parse_duration(text)
    if length is not None and not 0 < length < _MOST_FRAMES:
        raise ValueError(f"expected a length from 1 to {_MOST_FRAMES - 1}, got {word!r}")
    value, end = read(what)
    return Piece(value, length, end)


def _level(what: str) -> tuple[Level, Level | None]:
    return (what, None) if what in _FACE else _share(what)


def _share(what: str) -> tuple[float, float | None]:
    first, ramp, last = what.partition("..")
    if not _NUMBER.fullmatch(first) or (ramp and not _NUMBER.fullmatch(last)):
        raise ValueError(
            f"expected a number from 0 to 1, a ramp such as 0.2..0.8, or (of an expression) one of {', '.join(_FACE)}, "
            f"got {what!r}"
        )
    value, end = float(first), float(last) if ramp else None
    if max(value, end or 0) > 1:
        raise ValueError(f"expected numbers from 0 to 1, got {what!r}")
    return value, end


def _word(what: str) -> tuple[str, None]:
    if what != PRESENT and what not in _MISSING:
        raise ValueError(f"expected one of {PRESENT}, {', '.join(_MISSING)}, got {what!r}")
    return what, None


def _names(what: str) -> tuple[tuple[str, ...], None]:
    return () if what == "-" else tuple(what.split("+")), None


Levels = Annotated[Timeline[Level], _Written(parse_levels, "0.2x10 0.8x15 _x5 0.8x20")]
Shares = Annotated[Timeline[float], _Written(parse_shares, "0.9x10 0.3x5")]
Picture = Annotated[Timeline[str], _Written(parse_picture, "okx40 downx2s okx10")]
Zones = Annotated[Timeline[tuple[str, ...]], _Written(parse_zones, "deskx10 -x5")]
_ALWAYS = Timeline((Piece(0.9),))
_NEVER: Timeline[Level] = Timeline((Piece(0.0),))
_NOWHERE: Timeline[tuple[str, ...]] = Timeline((Piece(()),))


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceTrace:
    """One face: a timeline per expression. What isn't written is 0, and `neutral` gets the rest."""

    neutral: Levels | None = None
    """Probability of this expression."""
    happiness: Levels | None = None
    """Probability of this expression."""
    surprise: Levels | None = None
    """Probability of this expression."""
    sadness: Levels | None = None
    """Probability of this expression."""
    anger: Levels | None = None
    """Probability of this expression."""
    disgust: Levels | None = None
    """Probability of this expression."""
    fear: Levels | None = None
    """Probability of this expression."""
    contempt: Levels | None = None
    """Probability of this expression."""
    classes: dict[str, Levels] = field(default_factory=dict)
    """Probabilities of the classes of a network of your own, those with other names than these."""
    zones: Zones = _NOWHERE
    """The zones that it is in; none without it."""
    quality: Shares = _ALWAYS
    """How well it can be seen, for `min_quality`."""
    confidence: Shares = _ALWAYS
    """How sure the detector is, for `min_confidence`."""
    merged_from: str = ""
    """The track that this one goes on from: the tracker found that both are one face."""
    at: Seconds | None = None
    """When the tracker found it; without it, in the first frame that shows this track."""

    def __post_init__(self) -> None:
        if not self.expressions:
            raise ValueError("expected at least one expression, such as {fear: 0.8x20}")
        if twice := sorted(self.classes.keys() & set(EXPRESSIONS)):
            raise ValueError(f"expected {twice[0]} beside classes, not in it")
        if self.at is not None and not self.merged_from:
            raise ValueError("expected merged_from beside at")

    @property
    def expressions(self) -> dict[str, Timeline[Level]]:
        """The timelines that are written, by expression."""
        return {name: line for name in EXPRESSIONS if (line := getattr(self, name)) is not None} | self.classes

    def read_as(self, labels: Sequence[str]) -> FaceTrace:
        """The same face before a network that reads `labels`: it gives 0 to those of its own that aren't written."""
        own = {label: _NEVER for label in labels if label not in EXPRESSIONS}
        return replace(self, classes=own | self.classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraTrace:
    """What one camera sees."""

    tracks: dict[str, FaceTrace] = field(default_factory=dict)
    """The faces by track."""
    frames: Picture | None = None
    """Which frames come, and how long the trace is; without it all do, as long as the longest track."""
    fps: float | None = None
    """Frames per second; without it, the test's."""
    zones: tuple[str, ...] = ()
    """The camera's zones; those that its faces are in need not be listed."""

    def __post_init__(self) -> None:
        if self.fps is not None and not 0 < self.fps <= 120:
            raise ValueError(f"expected fps above 0 and up to 120, got {self.fps:g}")
        for track, face in self.tracks.items():
            if face.merged_from and face.merged_from not in self.tracks:
                raise ValueError(f"expected merged_from of {track} to be one of the tracks, got {face.merged_from!r}")

    @property
    def all_zones(self) -> tuple[str, ...]:
        """Those listed, and those that faces are in."""
        pieces = (piece for face in self.tracks.values() for piece in face.zones.pieces)
        return tuple(dict.fromkeys([*self.zones, *(zone for piece in pieces for zone in piece.value)]))

    def read_as(self, labels: Sequence[str]) -> CameraTrace:
        """The same with the faces before a network that reads `labels`."""
        return replace(self, tracks={name: face.read_as(labels) for name, face in self.tracks.items()})

    def length(self, fps: float) -> int:
        """Number of frames."""
        faces = [line.length(fps) for face in self.tracks.values() for line in face.expressions.values()]
        return max([0 if self.frames is None else self.frames.length(fps), *faces])


def length_ms(trace: CameraTrace, fps: float) -> int:
    """Time from the first frame to where one more frame would be."""
    return _at(trace.length(fps), fps)


def records(camera_id: str, trace: CameraTrace, *, fps: float, start_ms: int) -> list[Observation | Gap]:
    """What the camera tells the rules, in order of time. Raises TraceError."""
    length = trace.length(fps)
    if not length:
        raise TraceError((), "expected a length: write a timeline such as fear: 0.8x20, or frames: okx20")
    if length > _MOST_FRAMES:
        raise TraceError((), f"expected at most {_MOST_FRAMES} frames, got {length}")
    tracks = enumerate(trace.tracks.items())
    faces = [_Face(name, number, face, fps=fps, length=length) for number, (name, face) in tracks]
    pictures = _pictures(trace, faces, fps, length)
    times = [start_ms + _at(i, fps) for i in range(length + 1)]
    found: list[Observation | Gap] = []
    for (i, picture), (j, _) in pairwise([*_stretches(pictures), (length, "")]):
        if picture == PRESENT:
            found += [_observation(camera_id, k, faces, times) for k in range(i, j)]
        elif picture != DROPPED:
            found += _gaps(camera_id, GAPS[picture], times[i], times[j])
    return found


class _Face:
    """One face laid out over the frames of its camera."""

    def __init__(self, name: str, number: int, trace: FaceTrace, *, fps: float, length: int) -> None:
        self.name = name
        self.trace = trace
        self.left = 100.0 * number
        self.length = self._length(fps) or length
        self.levels = {key: line.cells(fps, self.length) for key, line in trace.expressions.items()}
        self.zones = self._like("zones", trace.zones.cells(fps, self.length))
        self.quality = self._like("quality", trace.quality.cells(fps, self.length))
        self.confidence = self._like("confidence", trace.confidence.cells(fps, self.length))
        self.first = next((i for i in range(length) if self.word(i) not in (LOST, *_MISSING)), length)
        self.merged = None
        if trace.merged_from:
            self.merged = self.first if trace.at is None else round(trace.at * fps)

    def word(self, i: int) -> str:
        """What any of its timelines says of frame `i` besides a number; what says most comes first."""
        if i >= self.length:
            return LOST
        words = [cell for cells in self.levels.values() if isinstance(cell := cells[i], str)]
        return max(words, key=_FACE.index, default="")

    def shown(self, i: int, times: Sequence[int]) -> FaceTrack | None:
        """The face in frame `i`, or None where it isn't in the picture."""
        word = self.word(i)
        if word == LOST:
            return None
        scores = {} if word == UNREADABLE else self._scores(i)
        return FaceTrack(
            track_id=self.name,
            first_ts=times[self.first] / 1000,
            xyxy=(self.left, 0.0, self.left + 80, 80.0),
            confidence=self.confidence[i],
            source_px=80.0,
            quality=self.quality[i] if scores else 0.0,
            reasons=() if scores else ("blurred",),
            label=max(scores, key=scores.__getitem__) if scores else UNKNOWN,
            scores=scores,
            intensity=round(1 - scores["neutral"], 9) if scores else None,
            zones=self.zones[i],
        )

    def merge(self, i: int) -> TrackEvent | None:
        """The merge that frame `i` tells of."""
        return TrackEvent(TrackEventKind.MERGED, self.trace.merged_from, self.name) if i == self.merged else None

    def _length(self, fps: float) -> int:
        lengths = {key: line.length(fps) for key, line in self.trace.expressions.items() if not line.throughout}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{key} {count}" for key, count in lengths.items())
            raise TraceError(("tracks", self.name), f"expected timelines of one length, got frames: {told}")
        return max(lengths.values(), default=0)

    def _like(self, key: str, cells: list[Cell]) -> list[Cell]:
        if len(cells) != self.length:
            text = f"expected {self.length} frames like its expressions, got {len(cells)}"
            raise TraceError(("tracks", self.name, key), text)
        return cells

    def _scores(self, i: int) -> dict[str, float]:
        written = {key: float(cells[i]) for key, cells in self.levels.items()}
        total = sum(written.values())
        if total > 1 + 1e-9:
            text = f"expected probabilities that add up to at most 1, got {total:g} in frame {i}"
            raise TraceError(("tracks", self.name), text)
        return {**dict.fromkeys(EXPRESSIONS, 0.0), "neutral": round(max(0.0, 1 - total), 9), **written}


def _pictures(trace: CameraTrace, faces: Sequence[_Face], fps: float, length: int) -> list[str]:
    """What becomes of each frame of a camera: `ok`, `_`, or the reason of a gap."""
    pictures = trace.frames.cells(fps, length) if trace.frames else []
    pictures += [PRESENT] * (length - len(pictures))
    for face in faces:
        for i in range(length):
            if (word := face.word(i)) in _MISSING:
                pictures[i] = word
    return pictures


def _stretches(pictures: Sequence[str]) -> Iterator[tuple[int, str]]:
    """First frame and picture of every stretch of equal ones."""
    i = 0
    for picture, group in groupby(pictures):
        yield i, picture
        i += len(list(group))


def _observation(camera_id: str, i: int, faces: Sequence[_Face], times: Sequence[int]) -> Observation:
    return Observation(
        camera_id=camera_id,
        epoch=1,
        seq=i,
        ts=times[i] / 1000,
        clock=Clock.SENDER,
        faces=tuple(shown for face in faces if (shown := face.shown(i, times)) is not None),
        events=tuple(event for face in faces if (event := face.merge(i)) is not None),
    )


def _gaps(camera_id: str, reason: GapReason, begin: int, end: int) -> Iterator[Gap]:
    edges = [*range(begin, end, _TOLD_EVERY_MS), end]
    for earlier, later in pairwise(edges):
        yield Gap(camera_id, earlier / 1000, later / 1000, reason)


def _at(frame: int, fps: float) -> int:
    """Time of a frame in ms since the first."""
    return round(frame * 1000 / fps)
