"""The bias check on made-up faces and a made-up network, whose answers are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from models.training.bias import Portraits, as_markdown, examine, groups, main, neutral, people, sizes
from models.training.report import Grey, corrected

CLASSES = ("neutral", "happiness", "fear")
PRIORS = np.array([0.5, 0.4, 0.1], np.float32)


def portraits(light: Sequence[int], truth: Sequence[int], who: Sequence[int] | None = None) -> Portraits:
    images = [np.full((48, 48), value, np.uint8) for value in light]
    subjects = None if who is None else np.array(who, np.int64)
    return Portraits("made up", images, np.array(truth, np.int64), subjects, "00ff")


def answers(read: Sequence[int]) -> np.ndarray:
    return np.eye(len(CLASSES), dtype=np.float32)[list(read)] * 0.9 + np.float32(0.1 / 3)


def afraid_of_the_dark(faces: Sequence[Grey]) -> np.ndarray:
    """Reads fear in dark faces, else nothing."""
    return answers([2 if face.mean() < 50 else 0 for face in faces])


def test_groups_are_thirds_of_what_the_pictures_show() -> None:
    faces = portraits([10, 20, 30, 100, 110, 120, 200, 210, 220], [0] * 9)
    found = {(row.trait, row.group): row for row in groups(afraid_of_the_dark(faces.images), faces)}
    light = [found["light", f"{third} third"] for third in ("lowest", "middle", "highest")]
    assert [row.accuracy for row in light] == [0, 1, 1]
    assert [row.faces for row in light] == [3, 3, 3]
    assert found["all", "all"].accuracy == pytest.approx(2 / 3, abs=1e-4)


def test_sizes_are_those_of_the_pictures_that_are_read() -> None:
    def short_sighted(faces: Sequence[Grey]) -> np.ndarray:
        return answers([0 if face.shape[0] >= 16 else 1 for face in faces])

    found = {row.group: row.accuracy for row in sizes(short_sighted, portraits([9, 9], [0, 0]))}
    assert found == {"12 px": 0, "16 px": 1, "24 px": 1}


def test_accuracy_of_the_same_mix_leaves_out_that_a_group_shows_other_expressions() -> None:
    # Each class is read as well in the dark as in the light; only the dark faces are mostly the class read badly.
    dark, bright = [0, 1, 1, 1, 1], [0, 0, 0, 0, 1]
    faces = portraits([10] * 5 + [200] * 10, [*dark, *bright, *bright])
    found = [row for row in groups(answers([0] * 15), faces) if row.trait == "light"]
    lowest, highest = found[0], found[-1]
    assert lowest.accuracy < highest.accuracy
    assert lowest.same_mix == highest.same_mix


def test_neutral_faces_by_size_compression_and_setting() -> None:
    faces = portraits([10, 10, 200, 200, 200], [0, 0, 0, 0, 1])
    rows = list(neutral(afraid_of_the_dark, faces, CLASSES, PRIORS))
    assert {(row.size, row.jpeg) for row in rows} >= {(8, None), (8, 50), (48, None), (48, 50)}
    assert {row.setting for row in rows} == {"as shipped", "tau 0.25", "site 80% neutral"}
    shipped = [row for row in rows if row.setting == "as shipped"]
    assert all(row.faces == 4 for row in rows)
    assert all((row.largest_other, row.largest_other_share) == ("fear", 0.5) for row in shipped)
    assert all(row.shares["neutral"] == 0.5 for row in shipped)


def test_a_site_of_neutral_faces_reads_doubtful_ones_as_neutral() -> None:
    def doubtful(faces: Sequence[Grey]) -> np.ndarray:
        return np.tile(np.array([0.45, 0.5, 0.05], np.float32), (len(faces), 1))

    rows = {row.setting: row for row in neutral(doubtful, portraits([9], [0]), CLASSES, PRIORS) if row.size == 8}
    assert rows["as shipped"].shares["happiness"] == 1
    assert rows["site 80% neutral"].shares["neutral"] == 1


def test_a_correction_that_is_in_the_answers_already_is_not_made_twice() -> None:
    raw = np.array([0.5, 0.4, 0.1], np.float32)

    def rows(tau: float) -> dict[tuple[int, int | None, str], Mapping[str, float]]:
        def read(faces: Sequence[Grey]) -> np.ndarray:
            return corrected(np.tile(raw, (len(faces), 1)), PRIORS, tau)

        found = neutral(read, portraits([9], [0]), CLASSES, PRIORS, tau=tau)
        return {(row.size, row.jpeg, row.setting): row.shares for row in found if row.setting != "as shipped"}

    assert rows(0.0) == rows(0.6)


def test_people_vary_more_than_chance_where_one_is_never_read() -> None:
    truth, who = [0] * 40, [1] * 10 + [2] * 10 + [3] * 10 + [4] * 10
    fair = people(answers([0, 0, 0, 0, 0, 0, 0, 0, 0, 1] * 4), portraits([9] * 40, truth, who))
    unfair = people(answers([1] * 10 + [0] * 30), portraits([9] * 40, truth, who))
    assert fair["deviation"] < fair["deviation_by_chance"]
    assert unfair["deviation"] > 2 * unfair["deviation_by_chance"]
    assert (unfair["people"], unfair["lowest"], unfair["highest"]) == (4, 0, 1)


def test_people_of_few_pictures_or_no_name_are_left_out() -> None:
    assert people(answers([0]), portraits([9], [0])) == {}
    assert people(answers([0]), portraits([9], [0], [1])) == {}


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        ("mtcnn", "expected a model that reads expressions, got 'mtcnn', a detector"),
        ("expresion", "did you mean expression"),
        ("runs/typo", "there is no folder or file runs/typo"),
    ],
)
def test_what_can_not_be_measured_is_one_line(
    model: str, complaint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bias", model, "--data", "nowhere"])
    assert main() == 2
    told = capsys.readouterr().err
    assert complaint in told
    assert told.count("\n") == 1


def test_the_page_marks_what_is_above_the_aim() -> None:
    found = examine(afraid_of_the_dark, CLASSES, PRIORS, [portraits([10, 10, 200, 200], [0, 0, 0, 1])])
    text = as_markdown(found)
    assert "| 8 px, JPEG 50 | 33.3%; fear **66.7%** |" in text
    assert "Neutral faces of made up (3)" in text
