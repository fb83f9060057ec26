"""Draw the dashboards from the answers to their own queries: `python -m tests.draw_dashboards docs/images`.

For people who read the documentation, and for looking at a change before Grafana is there. It starts an Elasticsearch
of its own, lets `mien run` fill it for some minutes from the built-in scene, with a camera that can't be reached beside
it, and writes four simulated weeks of roll-ups for the heat maps, through the same code that writes real ones.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from math import exp
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image

from connectors.elastic import Elastic
from connectors.elastic_documents import Entry, rollup_entry
from connectors.elastic_settings import ElasticSettings
from operators.records import GapReason
from operators.rollup import Rollup
from operators.rules import EXPRESSIONS
from pipeline.dashboards import all_dashboards
from tests.grafana_source import Answer, Range, Series, Source, interpolated
from tests.servers.elasticsearch import Elasticsearch

CONFIG = """
version: 1
purpose: pictures of the dashboards, from the built-in scene
cameras:
  smile: {{url: scene://smile, fps: 5, zones: {{desk: {{polygon: [[0.3, 0], [0.7, 0], [0.7, 1], [0.3, 1]]}}}}}}
  neutral: {{url: scene://neutral, fps: 5}}
  gate: {{url: "rtsp://127.0.0.1:1/none", fps: 5}}
rule_defaults: {{max_gap: 2s, max_dip: 1s, min_coverage: 0.3, keep_firing_for: 1s, lost_after: 2s}}
rules:
  - {{id: happiness-3s, severity: notice, when: {{prob: happiness, enter: 0.6, exit: 0.4}}, for: 3s,
      title: "Happiness for 3 s on {{camera}}"}}
  - {{id: happiness-9s, severity: notice, when: {{prob: happiness, enter: 0.6, exit: 0.4}}, for: 9s}}
  - {{id: surprise-1s, severity: warning, when: {{prob: surprise, enter: 0.15, exit: 0.1}}, for: 1s}}
  - {{id: camera-down, severity: critical, scope: camera, absence: {{of: frames}}, for: 10s,
      title: "{{camera}} gives no picture"}}
store: {{path: "{folder}/mien.sqlite"}}
sinks: []
elasticsearch: {{url: "{url}"}}
"""
WEEKS = 4
STARTING_S = 20.0
Cell = tuple[str, str]
"""Text and colour."""
INCH = 0.42
"""Of one column of the grid."""
COLORS = {
    "green": "#56A64B",
    "yellow": "#F2CC0C",
    "red": "#E02F44",
    "blue": "#3274D9",
    "orange": "#FF780A",
    "purple": "#A352CC",
    "text": "#8E8E96",
    "super-light-purple": "#DEB6F2",
}
SCHEMES = {"continuous-blues": "Blues", "continuous-greens": "Greens"}
INSETS = {"timeseries": (0.09, 0.24, 0.89, 0.6), "state-timeline": (0.14, 0.16, 0.84, 0.68)}
"""Where the drawing is within a panel's card."""
CYCLE = [COLORS[name] for name in ("blue", "orange", "green", "purple", "red", "yellow", "text")]


def main(folder: Path, seconds: float) -> None:
    """Fill an Elasticsearch and draw every dashboard into the folder."""
    mpl.use("agg")
    mpl.rcParams |= {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        elastic = Elasticsearch(Path(work))
        elastic.start()
        try:
            run(elastic.url, Path(work), seconds)
            with closing(Source(elastic.url, "mien-*")) as source:
                draw_all(source, folder, round((seconds + STARTING_S) * 1000))
        finally:
            elastic.kill()


def run(url: str, work: Path, seconds: float) -> None:
    config = work / "mien.yaml"
    config.write_text(CONFIG.format(folder=work, url=url))
    command = [sys.executable, "-m", "pipeline.cli", "run", "--plain", "--for", f"{seconds:g}s", "-c", str(config)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def draw_all(source: Source, folder: Path, span_ms: int) -> None:
    source.count("*:*")
    now = round(time.time() * 1000)
    for board in all_dashboards():
        draw(source, board, folder, Range(now - span_ms, now))
    with closing(Elastic(ElasticSettings(url=source.url))) as elastic:
        assert not elastic.write(list(simulated(time.time())))
    source.count("*:*")
    expressions = next(board for board in all_dashboards() if board["uid"] == "mien-expressions")
    draw(source, expressions, folder, Range(now - 86_400_000, now), {"camera": ["lobby"]})


def simulated(now: float) -> Iterator[Entry]:
    """Roll-ups of one camera, ten seconds now and then: people by day, few at weekends, happiest at noon."""
    random = np.random.default_rng(7)
    weeks = np.arange(now // 1800 * 1800 - WEEKS * 7 * 86400, now - 90_000, 1800)
    for start in (*weeks, *np.arange(now // 60 * 60 - 90_000, now - 60, 60)):
        moment = datetime.fromtimestamp(start, UTC)
        busy = exp(-(((moment.hour - 13) / 4.5) ** 2)) * (0.35 if moment.isoweekday() > 5 else 1.0)
        seen = int(random.poisson(90 * busy))
        shares = dict(zip(EXPRESSIONS, random.dirichlet([60, 10 + 50 * busy, 6, 8, 5, 3, 3, 3]), strict=True))
        yield rollup_entry(
            Rollup(
                camera_id="lobby",
                zone="",
                start=float(start),
                width=10.0,
                frames=50,
                faces_seen=seen,
                faces_max=max(1, seen // 40),
                unknown=0.1 + 0.1 * float(random.random()) if seen else None,
                shares={name: float(share) for name, share in shares.items()} if seen else {},
                scores={name: float(share) for name, share in shares.items()} if seen else {},
                observed_s=10.0,
                gaps={GapReason.OVERLOAD: 0.0},
            )
        )


def draw(
    source: Source, board: dict[str, Any], folder: Path, span: Range, chosen: Mapping[str, Any] | None = None
) -> None:
    lines = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    figure = plt.figure(figsize=(24 * INCH, lines * INCH * 0.62 + 0.5), facecolor="#F4F5F5")
    figure.suptitle(board["title"], x=0.01, y=1 - 0.12 / (lines * INCH * 0.62), ha="left", fontsize=12, weight="bold")
    top = 1 - 0.4 / (lines * INCH * 0.62 + 0.5)
    for panel in board["panels"]:
        grid = panel["gridPos"]
        place = (grid["x"] / 24, top * (1 - (grid["y"] + grid["h"]) / lines), grid["w"] / 24, top * grid["h"] / lines)
        card = figure.add_axes((place[0] + 0.003, place[1] + 0.003, place[2] - 0.006, place[3] - 0.006))
        card.set_xticks([])
        card.set_yticks([])
        card.spines[:].set_visible(True)
        card.spines[:].set_color("#DCDCE0")
        title = interpolated(board, panel["title"], {})
        card.text(0.012, 0.97, title, transform=card.transAxes, va="top", weight="bold", fontsize=8.5)
        axes = card.inset_axes(INSETS.get(panel["type"], (0.02, 0.05, 0.96, 0.82)))
        answer = source.panel(board, panel, span, chosen) if panel["targets"] else Answer()
        if answer or not panel["targets"]:
            DRAWERS[panel["type"]](axes, panel, answer)
        else:
            axes.axis("off")
            axes.text(0.5, 0.5, "No data", ha="center", color="#55555C")
    path = folder / f"dashboard-{board['uid'].removeprefix('mien-')}.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    Image.open(path).quantize(96).save(path, optimize=True)


def lines_of(axes: Axes, panel: dict[str, Any], answer: Answer) -> None:
    custom = panel["fieldConfig"]["defaults"]["custom"]
    stacking = custom.get("stacking", {}).get("mode", "")
    series = [one for one in answer.series if one.values]
    times = sorted({at for one in series for at, _ in one.points})
    colors = [color_of(panel, one, number) for number, one in enumerate(series)]
    values = np.array([[dict(one.points).get(at) for at in times] for one in series], dtype=float)
    if stacking == "percent":
        values = np.nan_to_num(values) / np.maximum(np.nansum(values, axis=0), 1e-9)
    at = mpl.dates.date2num([datetime.fromtimestamp(time / 1000, UTC) for time in times])
    if stacking and custom["drawStyle"] == "line":
        axes.stackplot(at, np.nan_to_num(values), colors=colors, labels=[one.name for one in series], alpha=0.7)
    elif custom["drawStyle"] == "bars":
        width = (at[1] - at[0]) * 0.9 if len(at) > 1 else 0.001
        below = np.zeros(len(at))
        for one, row, color in zip(series, np.nan_to_num(values), colors, strict=True):
            axes.bar(at, row, width=width, bottom=below, color=color, label=one.name)
            below = below + row
    else:
        for one, row, color in zip(series, values, colors, strict=True):
            known = ~np.isnan(row)
            style = {"marker": "o", "markersize": 3} if known.sum() == 1 else {}
            axes.plot(at[known], row[known], color=color, label=one.name, linewidth=1.2, **style)
    if panel["fieldConfig"]["defaults"].get("min") == 0:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: figure_of(value, panel["fieldConfig"]["defaults"]["unit"]))
    timed(axes)
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(-0.06, -0.13),
        ncols=5,
        frameon=False,
        fontsize=6.5,
        columnspacing=1,
        handlelength=1,
    )


def figure_of(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{value:.0%}"
    if unit == "s" and 0 < abs(value) < 1:
        return f"{value * 1000:.3g} ms" if abs(value) >= 0.001 else f"{value * 1e6:.3g} µs"
    return (
        f"{value:.6g}" + (" s" if unit == "s" else "")
        if value >= 100
        else f"{value:.3g}" + (" s" if unit == "s" else "")
    )


def timed(axes: Axes) -> None:
    axes.xaxis_date()
    axes.xaxis.set_major_formatter(mpl.dates.DateFormatter("%H:%M"))
    axes.xaxis.set_major_locator(mpl.dates.AutoDateLocator(maxticks=7))
    axes.tick_params(labelsize=6.5, length=2, colors="#55555C")
    axes.grid(axis="y", color="#EBEBEE", linewidth=0.6)
    axes.set_axisbelow(True)


def color_of(panel: dict[str, Any], series: Series, number: int) -> str:
    for override in panel["fieldConfig"]["overrides"]:
        if override["matcher"]["options"] == series.name:
            for look in override["properties"]:
                if look["id"] == "color":
                    return COLORS[look["value"]["fixedColor"]]
    return CYCLE[number % len(CYCLE)]


def state_of(panel: dict[str, Any], value: float) -> tuple[str, str]:
    """Text and colour of a value, by the panel's mappings or thresholds."""
    defaults = panel["fieldConfig"]["defaults"]
    for mapping in defaults.get("mappings", ()):
        if f"{value:g}" in mapping["options"]:
            found = mapping["options"][f"{value:g}"]
            return found["text"], COLORS[found["color"]]
    reached = [step for step in defaults["thresholds"]["steps"] if step["value"] is None or value >= step["value"]]
    return figure_of(value, defaults["unit"]), COLORS[reached[-1]["color"]]


def tiles(axes: Axes, panel: dict[str, Any], answer: Answer) -> None:
    axes.axis("off")
    series = [one for one in answer.series if one.values]
    for number, one in enumerate(series):
        value = sum(one.values) if panel["options"]["reduceOptions"]["calcs"] == ["sum"] else one.values[-1]
        text, color = state_of(panel, value)
        by_name = panel["options"]["textMode"] == "name"
        left, width = number / len(series), 1 / len(series) - 0.02
        if by_name:
            axes.add_patch(Rectangle((left, 0.1), width, 0.8, color=color))
        axes.text(left + width / 2, 0.5, one.name if by_name else text, ha="center", va="center",
                  fontsize=13 if by_name else 18, color="white" if by_name else color, weight="bold")  # fmt: skip
        if not by_name and len(series) > 1:
            axes.text(left + width / 2, 0.05, one.name, ha="center", fontsize=8)


def timeline(axes: Axes, panel: dict[str, Any], answer: Answer) -> None:
    series = [one for one in answer.series if one.values]
    for number, one in enumerate(series):
        for (at, value), (after, _) in zip(
            one.points, [*one.points[1:], (one.points[-1][0] + 10_000, None)], strict=True
        ):
            if value is not None:
                begin, end = (mpl.dates.date2num(datetime.fromtimestamp(ms / 1000, UTC)) for ms in (at, after))
                axes.barh(number, end - begin, left=begin, height=0.8, color=state_of(panel, value)[1])
    axes.set_yticks(range(len(series)), [one.name for one in series])
    timed(axes)


def table(axes: Axes, panel: dict[str, Any], answer: Answer) -> None:
    axes.axis("off")
    rows = answer.rows
    for order in panel["options"].get("sortBy", ()):
        rows = sorted(
            rows, key=lambda row: (row[order["displayName"]] is not None, row[order["displayName"]]), reverse=True
        )
    names = list(rows[0]) if rows else []
    most = int(panel["gridPos"]["h"] * 0.9)
    cells = [[shown(panel, name, row[name]) for name in names] for row in rows[:most]]
    scheme = SCHEMES.get(panel["fieldConfig"]["defaults"].get("color", {}).get("mode", ""))
    if scheme:
        cells = heated(cells, rows, scheme)
    if not cells:
        return
    height = min(1.0, (len(cells) + 1) / panel["gridPos"]["h"])
    drawn = axes.table(
        [[text for text, _ in row] for row in cells],
        cellColours=[[color for _, color in row] for row in cells],
        colLabels=names,
        cellLoc="left",
        colLoc="left",
        bbox=(0, 1 - height, 1, height),
    )
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(7)
    drawn.auto_set_column_width(range(len(names)))
    for cell in drawn.get_celld().values():
        cell.set_edgecolor("#E6E6EA")
        cell.set_linewidth(0.5)


def heated(cells: list[list[Cell]], rows: list[dict[str, Any]], scheme: str) -> list[list[Cell]]:
    """The numbers of all columns but the first on the colour of their size."""
    numbers = [list(row.values())[1:] for row in rows]
    most = max(value for row in numbers for value in row if value is not None)
    paint = mpl.colormaps[scheme]
    return [
        [first, *((text, "white" if value is None else mpl.colors.to_hex(paint(0.75 * value / most)))
                  for (text, _), value in zip(rest, row, strict=True))]
        for (first, *rest), row in zip(cells, numbers, strict=True)
    ]  # fmt: skip


def shown(panel: dict[str, Any], name: str, value: Any) -> tuple[str, str]:
    """The text and the colour of a cell."""
    looks = {look["id"]: look["value"] for override in panel["fieldConfig"]["overrides"]
             if applies(override["matcher"], name) for look in override["properties"]}  # fmt: skip
    for mapping in looks.get("mappings", ()):
        found = mapping["options"].get(f"{value:g}" if isinstance(value, float | int) else value)
        if found:
            return found["text"], "white"
    if value is None:
        return "", "white"
    if looks.get("unit") == "dateTimeAsIso":
        at = (
            datetime.fromtimestamp(value / 1000, UTC)
            if isinstance(value, float)
            else datetime.fromisoformat(str(value))
        )
        return f"{at:%Y-%m-%d %H:%M:%S}", "white"
    unit = looks.get("unit", panel["fieldConfig"]["defaults"]["unit"])
    if not isinstance(value, float | int):
        return (str(value[0] if isinstance(value, list) else value), "white")
    decimals = panel["fieldConfig"]["defaults"].get("decimals")
    return figure_of(value, unit) if decimals is None or unit == "percentunit" else f"{value:.{decimals}f}", "white"


def applies(matcher: dict[str, str], name: str) -> bool:
    if matcher["id"] == "byName":
        return matcher["options"] == name
    return name in matcher["options"].strip("/").split("|")


def words(axes: Axes, panel: dict[str, Any], _: Answer) -> None:
    axes.axis("off")
    text = panel["options"]["content"].replace("**", "").replace("`", "")
    lines = [line for part in text.split("\n") for line in (textwrap.wrap(part, 62) or [""])]
    axes.text(0, 0.95, "\n".join(lines), va="top", fontsize=7.5)


DRAWERS = {
    "timeseries": lines_of,
    "stat": tiles,
    "state-timeline": timeline,
    "table": table,
    "text": words,
}


def arguments(given: Sequence[str]) -> tuple[Path, float]:
    return Path(given[0] if given else "docs/images"), float(given[1]) if len(given) > 1 else 300.0


if __name__ == "__main__":
    main(*arguments(sys.argv[1:]))
