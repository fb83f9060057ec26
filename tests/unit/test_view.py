from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from connectors.stdout import StdoutSettings
from operators.records import UNKNOWN, Alert, Scope, Severity
from operators.records import Status as AlertStatus
from operators.rules import Predicate, Rule
from pipeline.config import Settings, load_settings
from pipeline.status import CameraStatus, RulesStatus, SinkStatus, Status
from pipeline.view import View, explain, screen, summary

GOLDEN = Path(__file__).parent.parent / "golden"
DEMO = Path(__file__).parent.parent.parent / "pipeline" / "demo.yaml"
RULES = RulesStatus(
    "5f1d0c7be2a9",
    (
        Rule(id="happiness-3s", severity=Severity.NOTICE, when=Predicate(prob="happiness", enter=0.6), for_=3.0),
        Rule(id="fear-3s", when=Predicate(prob="fear", enter=0.6), for_=3.0),
    ),
)
NOON = 1_763_726_400.0


def alert(status: AlertStatus, seq: int = 1, **fields: object) -> Alert:
    values = {
        "alert_id": "a1",
        "seq": seq,
        "rule": "happiness-3s",
        "scope": Scope.TRACK,
        "camera_id": "smile",
        "status": status,
        "reason": "condition ended" if status is AlertStatus.RESOLVED else "held",
        "severity": Severity.NOTICE,
        "ts": NOON + seq,
        "starts_at": NOON,
        "annotations": {"summary": "happiness for 3s on smile: mean 0.91, peak 0.98"},
    }
    return Alert(**(values | fields))


LIVE = CameraStatus(
    "smile",
    "live",
    clock="stream",
    fps_in=12.0,
    fps_analysed=7.9,
    faces=2,
    labels=("happiness", UNKNOWN),
    face_px=(102.4, 14.2),
    reasons=((), ("small",)),
    age_s=0.12,
    frames=720,
    analysed=470,
    drops={"overload": 12, "lost": 0},
)
DOWN = CameraStatus(
    "gate", "backing off", cause="auth", advice="The camera refuses the account.", reconnects={"auth": 2}
)
BUSY = Status(
    uptime_s=61.4,
    cameras=(LIVE, DOWN),
    alerts=(alert(AlertStatus.FIRING), alert(AlertStatus.RESOLVED, 2), alert(AlertStatus.PENDING, 3, alert_id="a2")),
    firing=1,
    sinks=(SinkStatus("hook", 3, "connection refused"),),
    store="/var/lib/mien/mien.sqlite",
    rules=RULES,
)


def drawn(status: Status, *, width: int = 80, height: int = 24) -> str:
    console = Console(record=True, width=width, height=height, file=StringIO(), color_system="truecolor")
    console.print(screen(status, purpose="Who watches what", height=height))
    return "\n".join(line.rstrip() for line in console.export_text().splitlines()) + "\n"


@pytest.fixture
def settings() -> Settings:
    return load_settings(DEMO)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("busy", BUSY),
        ("start", Status(0.0, (CameraStatus("smile", "connecting"),), store="mien.sqlite", rules=RULES)),
        ("empty", Status(5.0, (CameraStatus("smile", "live"),), rules=RULES)),
    ],
)
def test_the_screen_is_as_it_was(name: str, status: Status) -> None:
    assert drawn(status) == (GOLDEN / f"view_{name}.txt").read_text()


@pytest.mark.parametrize("cameras", [1, 2, 16, 40])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 12), (60, 20), (200, 60)])
def test_the_screen_fits(cameras: int, width: int, height: int) -> None:
    many = tuple(CameraStatus(f"hall-{n:02}", "live", faces=1, labels=("neutral",)) for n in range(cameras))
    alerts = tuple(alert(AlertStatus.FIRING, seq) for seq in range(50))
    lines = drawn(Status(1.0, many, alerts=alerts, store="x" * 300), width=width, height=height).splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    shown = sum(line.startswith("hall-") for line in lines)
    assert shown == cameras or any(f"and {cameras - shown} more cameras" in line for line in lines)
    assert shown >= min(cameras, 16) or height < 24


def test_16_cameras_and_an_alert_are_on_80_by_24() -> None:
    many = (*(CameraStatus(f"hall-{n:02}", "live") for n in range(15)), DOWN)
    text = drawn(Status(1.0, many, alerts=(alert(AlertStatus.FIRING),), firing=1))
    assert "backing off" in text
    assert "12:00:01 notice" in text


def test_the_explanation_says_trouble_before_sights() -> None:
    assert list(explain(BUSY)) == [
        "gate is backing off (auth): The camera refuses the account.",
        "hook doesn't take alerts: connection refused",
        "happiness-3s on smile is pending: it has not lasted long enough yet",
        "the face on smile is 102 px high and shows happiness",
        "the face on smile is 14 px high and can't be read: too small",
    ]


def test_a_store_that_cannot_be_written_is_explained() -> None:
    sentences = list(explain(Status(1.0, (LIVE,), store_error="the disk is full")))
    assert sentences[0] == "alerts are only held in memory: the disk is full"


def test_refused_rules_are_explained_in_one_line() -> None:
    wrong = RulesStatus(error="mien.yaml:3:1: rules[0].for: expected a duration\nmien.yaml:4:1: unknown key")
    sentences = list(explain(Status(1.0, (LIVE,), rules=wrong)))
    assert sentences[0] == (
        "changed rules are refused, the old ones go on: mien.yaml:3:1: rules[0].for: expected a duration "
        "(the log says more)"
    )


GROUP = {"camera_id": "", "scope": Scope.GROUP, "labels": {"group": "entrance"}}


def test_a_group_and_the_site_have_names() -> None:
    site = alert(AlertStatus.FIRING, 2, camera_id="", scope=Scope.SITE, annotations={})
    text = drawn(Status(1.0, (LIVE,), alerts=(alert(AlertStatus.FIRING, **GROUP), site)), width=100)
    assert "happiness-3s group entrance" in text
    assert "happiness-3s site " in text
    pending = alert(AlertStatus.PENDING, **GROUP)
    assert any(
        said.startswith("happiness-3s on group entrance is pending")
        for said in explain(Status(1.0, (LIVE,), alerts=(pending,)))
    )


def test_what_is_silenced_is_dim_and_says_why() -> None:
    silenced = alert(AlertStatus.FIRING, silenced_by="inhibited:camera-down")
    console = Console(record=True, width=120, height=24, file=StringIO(), color_system="truecolor", force_terminal=True)
    console.print(screen(Status(1.0, (LIVE,), alerts=(silenced,)), purpose="Who watches what"))
    (line,) = [line for line in console.export_text(styles=True).splitlines() if "inhibited" in line]
    assert "\x1b[2m" in line
    assert "not sent, inhibited:camera-down: happiness for 3s" in line
    assert "1 fired, 0 resolved, 0 firing at the end, 1 silenced" in summary(Status(1.0, (), alerts=(silenced,)))


def test_an_empty_room_is_explained() -> None:
    assert list(explain(Status(1.0, (CameraStatus("smile", "live"),)))) == ["nobody is in sight of any camera"]


def test_a_pending_alert_that_fired_is_not_called_pending() -> None:
    history = (alert(AlertStatus.PENDING, 1), alert(AlertStatus.FIRING, 2))
    assert not any("pending" in sentence for sentence in explain(Status(1.0, (LIVE,), alerts=history)))


def test_plain_lines_tell_changes_once_and_cameras_every_ten_seconds(settings: Settings) -> None:
    out = StringIO()
    with View(settings, console=Console(file=out)) as view:
        view.update(Status(0.2, (CameraStatus("smile", "connecting"),)))
        view.update(Status(0.4, (CameraStatus("smile", "connecting"),)))
        view.update(Status(1.0, (LIVE,), alerts=(alert(AlertStatus.FIRING),)))
        view.update(Status(2.0, (LIVE,), alerts=(alert(AlertStatus.FIRING), alert(AlertStatus.RESOLVED, 2))))
        view.update(Status(10.1, (LIVE,)))
        view.update(Status(11.0, (LIVE,)))
    assert out.getvalue().splitlines() == [
        settings.purpose,
        "+0.2s camera=smile state='connecting'",
        "+1.0s camera=smile state='live'",
        "+1.0s alert firing notice rule=happiness-3s camera=smile happiness for 3s on smile: mean 0.91, peak 0.98",
        "+2.0s alert resolved notice rule=happiness-3s camera=smile condition ended: "
        "happiness for 3s on smile: mean 0.91, peak 0.98",
        "+10.1s camera=smile state='live' fps_in=12.0 fps_read=7.9 faces='2 happiness, unknown' age=0.1s "
        "drops='12 overload'",
    ]


def test_the_address_of_the_console_is_told(settings: Settings) -> None:
    out, wide = StringIO(), StringIO()
    with View(settings, console=Console(file=out), address="http://127.0.0.1:8420/"):
        pass
    assert out.getvalue().splitlines() == [settings.purpose, "console at http://127.0.0.1:8420/"]
    console = Console(file=wide, width=80, height=24)
    far = replace(BUSY, store="/home/somebody/with/a/long/name/and/a/folder/deep/below/mien.sqlite")
    console.print(screen(far, purpose="x", address="http://127.0.0.1:8420/"))
    assert "up 1m1s   console http://127.0.0.1:8420/   Ctrl-C ends   store /home" in wide.getvalue()


def test_plain_lines_tell_changed_rules_once(settings: Settings) -> None:
    out = StringIO()
    refused = replace(RULES, refused=1, error="mien.yaml:3:1: rules: missing")
    applied = replace(RULES, refused=1, reloads=1, rules=RULES.rules[:1])
    with View(settings, console=Console(file=out)) as view:
        for seconds, rules in enumerate((RULES, refused, refused, applied, applied)):
            view.update(Status(seconds, (), rules=rules))
    assert out.getvalue().splitlines()[1:] == [
        "+1.0s rules refused, the old ones go on: mien.yaml:3:1: rules: missing",
        "+3.0s rules applied version=5f1d0c7be2a9 happiness-3s (notice, for 3s)",
    ]


def test_plain_lines_name_groups_the_site_and_silence(settings: Settings) -> None:
    out = StringIO()
    site = alert(AlertStatus.FIRING, 2, camera_id="", scope=Scope.SITE, silenced_by="muted:night")
    with View(settings, console=Console(file=out)) as view:
        view.update(Status(1.0, (), alerts=(alert(AlertStatus.FIRING, **GROUP), site)))
    first, second = out.getvalue().splitlines()[1:]
    assert "rule=happiness-3s group=entrance happiness for 3s" in first
    assert "rule=happiness-3s site not sent, muted:night: happiness for 3s" in second


def test_words_leave_standard_output_to_a_program_that_reads_alerts(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with View(settings.model_copy(update={"sinks": (StdoutSettings(format="json"),)})) as view:
        view.update(Status(0.2, (LIVE,)))
    out, err = capsys.readouterr()
    assert (out, settings.purpose in err) == ("", True)


def test_an_escalation_counts_as_one_alert_in_the_summary() -> None:
    history = (alert(AlertStatus.FIRING, 1), alert(AlertStatus.FIRING, 2))
    assert "1 fired, 0 resolved" in summary(Status(1.0, (LIVE,), alerts=history))


def test_plain_lines_hold_no_control_characters(settings: Settings) -> None:
    out = StringIO()
    nasty = alert(AlertStatus.FIRING, annotations={"summary": "\x1b[31m[red]\n:smile: \u202e\x07"})
    with View(settings, plain=True, console=Console(file=out, force_terminal=True)) as view:
        view.update(Status(1.0, (LIVE,), alerts=(nasty,)))
    assert out.getvalue().endswith(" [31m[red] :smile:   \n")
    assert all(letter.isprintable() or letter == "\n" for letter in out.getvalue())


def test_a_terminal_is_given_back(settings: Settings) -> None:
    out = StringIO()
    with View(settings, console=Console(file=out, force_terminal=True, width=80, height=24)) as view:
        view.update(Status(1.0, (LIVE,)))
    assert "102 px high" in out.getvalue()
    assert out.getvalue().index("\x1b[?1049h") < out.getvalue().index("\x1b[?1049l")


def test_the_summary_says_how_it_went() -> None:
    assert summary(BUSY).splitlines() == [
        "ran for 1m1s",
        "  smile: 720 frames in, 470 analysed, dropped: 12 overload",
        "  gate: 0 frames in, 0 analysed, dropped: 0",
        "latest alerts: 1 fired, 1 resolved, 1 firing at the end",
        "  12:00:01 alert firing notice rule=happiness-3s camera=smile happiness for 3s on smile: mean 0.91, peak 0.98",
        "  12:00:02 alert resolved notice rule=happiness-3s camera=smile condition ended: "
        "happiness for 3s on smile: mean 0.91, peak 0.98",
        "  hook: 3 not delivered yet: connection refused",
        "store: /var/lib/mien/mien.sqlite",
    ]
