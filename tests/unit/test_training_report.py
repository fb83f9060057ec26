"""What is measured of a network, and how it is written down. No torch: a tiny ONNX network answers."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.training.documents import as_document, as_markdown, write_folder
from models.training.evaluation import Asked, Evaluation, at_site, examine
from models.training.faces import FERPLUS, Data, Faces, load_data
from models.training.provenance import here
from models.training.readers import Candidate, candidate
from models.training.report import agreement, choose_tau, corrected, curve, evaluate, shares, size_reports
from operators.errors import ConfigError
from pipeline.cli import main
from tests.networks import expression_network

RNG = np.random.default_rng(8)
PRIORS = np.array([0.7, 0.2, 0.1], np.float32)
CLASSES = ("neutral", "happiness", "fear")
BLACK = np.zeros((3, 8, 8), np.uint8)


def probabilities(count: int, classes: int = 3) -> np.ndarray:
    raw = RNG.gamma(0.5, size=(count, classes)).astype(np.float32) + 1e-6
    return raw / raw.sum(1, keepdims=True)


def some(count: int = 60) -> Data:
    """Pictures of three classes, with votes on their intensity; every fourth occurs again."""
    label = np.arange(count) % 3
    images = RNG.integers(0, 256, (count, 48, 48), np.uint8)
    share = RNG.random(count).astype(np.float32)
    targets = {"label": np.eye(3, dtype=np.float32)[label], "intensity": np.stack([1 - share, share], 1)}
    faces = Faces(images, targets, label != 2, np.arange(count) % 4 == 0)
    classes = {"label": CLASSES, "intensity": ("still", "expressive")}
    return Data(faces, faces.where(np.arange(count) < count // 2), classes, "f" * 64)


def a_network(**changes: object) -> Candidate:
    def read(faces: list) -> np.ndarray:
        means = np.array([[band.mean() for band in np.array_split(face, 3)] for face in faces])
        powers = np.exp(means / 8 - means.max(1, keepdims=True) / 8)
        return (powers / powers.sum(1, keepdims=True)).astype(np.float32)

    plain = Candidate("a", CLASSES, read, intensity=lambda faces: np.full(len(faces), 0.5, np.float32), priors=PRIORS)
    return replace(plain, **changes)


ALL = Asked(sizes=True, taus=(0.5,), curves=("fear",), site={"neutral": 0.95})


@pytest.fixture(scope="module")
def found() -> tuple[Evaluation, Data]:
    data = some()
    return examine(a_network(), data, ALL), data


def test_everything_that_was_asked_for_is_measured(found) -> None:
    one, data = found
    assert one.report.faces == len(data.test) == 30
    assert one.unique.faces == 22
    assert set(one.sweep) == {0.0, 0.5}
    assert one.sweep[0.0].accuracy == one.report.accuracy
    assert one.sweep[0.5].read["neutral"] < one.sweep[0.0].read["neutral"]
    assert set(one.intensity) == {"network", "1 - neutral"}
    assert one.intensity["network"].correlation == 0
    assert len(one.by_size) == 14
    assert one.site["corrected"].read["neutral"] > one.site["as it is"].read["neutral"]


def test_a_site_and_a_rule_are_compared_with_what_is_shipped() -> None:
    network, data = a_network(), some(300)
    plain, other = (examine(one, data, ALL) for one in (network, replace(network, shipped_tau=0.7)))
    assert other.site["corrected"] == plain.site["corrected"]
    assert other.site["as it is"].read["neutral"] < plain.site["as it is"].read["neutral"]
    assert other.curves != plain.curves
    assert other.report == plain.report


def test_a_network_that_is_too_shy_is_calibrated() -> None:
    data = some(600)
    label = data.test.targets["label"].argmax(1)
    sure = RNG.random(len(label)) < 0.9
    given = np.where(sure, label, (label + 1) % 3)
    shy = (0.45 * np.eye(3)[given] + 0.55 / 3).astype(np.float32)
    share = data.test.targets["intensity"][:, 1]
    network = a_network(read=lambda _faces: shy, intensity=lambda _faces: share**2 / (share**2 + (1 - share) ** 2))
    plain, better = (examine(network, data, Asked(calibrate=wanted)) for wanted in (False, True))
    assert plain.temperature == better.temperature < 0.7
    assert better.report.calibration_error < 0.03 < plain.report.calibration_error
    assert better.report.accuracy == plain.report.accuracy
    assert better.intensity_temperature == pytest.approx(2, abs=0.01)
    assert better.intensity["network"].error < 0.01 < plain.intensity["network"].error


def test_only_faces_that_are_asked_for_count() -> None:
    data = some()
    assert examine(a_network(), data, Asked(whole=True)).report.faces == 90
    assert examine(a_network(), data, Asked(clear=True)).report.support == {"neutral": 10, "happiness": 10, "fear": 0}


def test_labels_may_come_in_another_order_and_be_fewer() -> None:
    data = some()
    turned = Data(data.training, data.test, {"label": ("fear", "neutral", "happiness")}, data.sha256)
    four = a_network(classes=(*CLASSES, "anger"), read=lambda faces: probabilities(len(faces), 4))
    assert examine(four, turned, Asked()).report.support == {"neutral": 10, "happiness": 10, "fear": 10, "anger": 0}


@pytest.mark.parametrize(
    ("asked", "network", "complaint"),
    [
        (Asked(curves=("envy",)), {}, "no class envy: it has neutral"),
        (Asked(), {"classes": ("a", "b", "c")}, "the data have labels for label: neutral"),
        (Asked(taus=(1.0,)), {"classes": (*CLASSES, "anger"), "priors": None}, "is not known"),
    ],
)
def test_what_can_not_be_measured_is_told(asked, network, complaint) -> None:
    if len(network.get("classes", ())) == 4:
        network = {**network, "read": lambda faces: probabilities(len(faces), 4)}
    with pytest.raises(ConfigError, match=complaint):
        examine(a_network(**network), some(), asked)


def test_priors_of_a_run_are_those_of_the_data() -> None:
    one = examine(a_network(priors=None), some(), Asked(taus=(1.0,)))
    assert one.sweep[1.0].accuracy == one.sweep[0.0].accuracy, "classes are as frequent as each other"


def test_a_full_correction_is_the_rule_of_bayes() -> None:
    probs = probabilities(50)
    expected = probs / PRIORS
    assert np.allclose(corrected(probs, PRIORS, 1.0), expected / expected.sum(1, keepdims=True), atol=1e-5)
    site = np.array([0.5, 0.3, 0.2], np.float32)
    moved = expected * site
    assert np.allclose(corrected(probs, PRIORS, 1.0, site), moved / moved.sum(1, keepdims=True), atol=1e-5)
    assert np.allclose(corrected(probs, PRIORS, 0.7, PRIORS), probs, atol=1e-5), "a site as the training was"


def test_a_site_as_the_test_split_says_what_the_report_says() -> None:
    truth, probs = RNG.integers(0, 3, 300), probabilities(300)
    report = evaluate(probs, truth, CLASSES)
    there = at_site(report, np.bincount(truth, minlength=3) / 300)
    assert there.accuracy == pytest.approx(report.accuracy)
    assert there.precision == pytest.approx(report.precision, abs=1e-4)
    rare = at_site(report, np.array([0.98, 0.01, 0.01]))
    assert rare.precision["fear"] < report.precision["fear"]
    assert rare.recall == report.recall


def test_shares_are_those_of_the_labelled_faces() -> None:
    faces = some(30).training
    faces.targets["label"][:15] = 0
    counted = shares(faces, "label")
    assert counted.sum() == pytest.approx(1)
    assert counted == pytest.approx([1 / 3] * 3)


def test_the_rule_for_what_is_shipped() -> None:
    def one(accuracy: float, recall: float, error: float) -> object:
        plain = evaluate(probabilities(30), np.arange(30) % 3, CLASSES)
        return replace(plain, accuracy=accuracy, macro_recall=recall, calibration_error=error)

    sweep = {0.0: one(0.87, 0.68, 0.02), 0.25: one(0.866, 0.72, 0.02), 0.5: one(0.86, 0.78, 0.02)}
    assert choose_tau(sweep) == 0.25, "0.5 loses more than half a point"
    assert choose_tau({**sweep, 0.3: one(0.868, 0.8, 0.05)}) == 0.25, "0.3 isn't calibrated"
    assert choose_tau({0.0: one(0.87, 0.68, 0.05)}) == 0.0


def test_a_curve_counts_faces_above_each_threshold() -> None:
    found = curve(np.array([0.9, 0.8, 0.8, 0.1]), np.array([True, False, True, True]))
    assert found.points == [(0.1, 0.75, 1.0), (0.8, 0.6667, 0.6667), (0.9, 1.0, 0.3333)]
    assert found.average_precision == pytest.approx(1 / 3 + 2 / 3 / 3 + 0.75 / 3)
    assert found.at_recall(0.5) == (0.8, 0.6667, 0.6667)
    assert found.at_recall(1.1) is None


@given(st.integers(2, 60), st.integers(0, 1 << 30))
def test_recall_falls_as_the_threshold_rises(count, seed) -> None:
    rng = np.random.default_rng(seed)
    points = curve(rng.integers(0, 9, count) / 8, rng.random(count) < 0.5).points
    assert [point[0] for point in points] == sorted(point[0] for point in points)
    assert [point[2] for point in points] == sorted((point[2] for point in points), reverse=True)
    assert all(0 <= precision <= 1 for _, precision, _ in points)


def test_agreement_with_raters() -> None:
    share = RNG.random(500)
    same = agreement(share, share)
    assert (same.error, same.correlation) == pytest.approx((0, 1))
    assert same.calibration_error == pytest.approx(0, abs=1e-9)
    shy = agreement(share / 2, share)
    assert shy.correlation == pytest.approx(1)
    assert (shy.error, shy.calibration_error) == pytest.approx((share.mean() / 2, share.mean() / 2))


def test_sizes_have_whole_reports(found) -> None:
    one, _ = found
    assert {"8 px", "48 px JPEG 50"} <= set(one.by_size)
    assert one.by_size["48 px"] == one.report
    faces = some().test
    truth = faces.targets["label"].argmax(1)
    assert size_reports(a_network().read, faces, truth, CLASSES)["12 px"].faces == 30


def test_a_document_says_where_its_figures_come_from(found) -> None:
    one, data = found
    document = json.loads(json.dumps(as_document([one], data, ALL)))
    assert document["data_sha256"] == data.sha256
    assert set(here()) <= set(document)
    (model,) = document["models"]
    assert model["report"]["accuracy"] == one.report.accuracy
    assert set(model["curves"]["fear"]["at_recall"]["0.5"]) == {"threshold", "precision", "recall"}


def test_the_same_faces_give_the_same_document() -> None:
    data = some()
    first, second = (as_document([examine(a_network(), data, ALL)], data, ALL) for _ in range(2))
    assert first == second


def test_markdown_sets_models_side_by_side(found) -> None:
    one, data = found
    two = [one, replace(one, model="b")]
    text = as_markdown(two, as_document(two, data, ALL))
    assert "## Side by side" in text
    assert text.count("### By size of the face") == 2
    rows = [line for line in text.splitlines() if line.startswith("| b |")]
    assert len(rows) == 1


def test_a_folder_has_every_picture_that_it_names(found, tmp_path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra `train`")
    one, data = found
    log = tmp_path / "log.csv"
    log.write_text("epoch,loss,label,seconds\n1,2.0,0.5,3\n2,1.0,0.7,3\n")
    run = replace(one, log=log, model="runs/one.test")
    write_folder([run], as_document([run], data, ALL), tmp_path / "report")
    text = (tmp_path / "report/report.md").read_text()
    named = {part.partition(")")[0] for part in text.split("](")[1:]}
    assert named == {file.name for file in (tmp_path / "report").glob("*.png")}
    assert len(named) == 6


@pytest.fixture
def folder(tmp_path) -> Path:
    """An npz file of one's own and an ONNX file."""
    labels = np.arange(40) % 8
    images = RNG.integers(0, 256, (40, 60, 60), np.uint8)
    np.savez(tmp_path / "own.npz", images=images, label=labels, classes=np.array(FERPLUS))
    (tmp_path / "net.onnx").write_bytes(expression_network())
    return tmp_path


def test_the_command_measures_a_file_on_own_data(folder, capsys) -> None:
    words = [
        str(folder / "net.onnx"),
        "--head",
        "ferplus",
        "--data",
        str(folder / "own.npz"),
        "--whole",
        "--tau",
        "0.5",
    ]
    data = load_data(folder / "own.npz")
    assert data.classes == {"label": FERPLUS}
    one = candidate(words[0], head="ferplus", classes={"ferplus": FERPLUS})
    expected = examine(one, data, Asked(whole=True)).report
    assert expected.faces == 40
    assert one.intensity is not None
    assert run("evaluate", *words, "--tau", "0.5", "-o", str(folder / "out/report.json")) == 0
    assert "| tau |" in capsys.readouterr().out
    assert json.loads((folder / "out/report.json").read_text())["models"][0]["report"]["accuracy"] == expected.accuracy


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["absent.onnx"], "there is no file"),
        (["net.onnx", "--head", "poetry"], "the classes of the head 'poetry'"),
        (["net.onnx", "--site", "neutral"], "such as neutral=0.95"),
    ],
)
def test_the_command_says_what_is_wrong(folder, capsys, words, complaint, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    assert run("evaluate", *words, "--data", "own.npz") == 2
    assert complaint in capsys.readouterr().err


def run(*words: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["mien", *words])
        return main()


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"pictures": np.zeros(3)}, "images, label, classes is missing"),
        ({"images": BLACK, "label": np.zeros(2), "classes": ["a", "b"]}, "a label for each"),
        ({"images": np.zeros((3, 8, 8)), "label": np.zeros(3), "classes": ["a", "b"]}, "uint8"),
        ({"images": BLACK, "label": np.array([0, 1, 2]), "classes": ["a", "b"]}, "rows of its"),
        ({"images": BLACK, "label": np.zeros(3, int), "classes": ["a"]}, "two or more"),
        (
            {"images": np.zeros((3, 8, 8), np.uint8), "label": np.zeros(3, int), "classes": ["a", "b"]},
            "no pictures of b",
        ),
        (
            {"ferplus_votes": np.zeros((3, 10)), "images": np.zeros((3, 48, 48), np.uint8)},
            "label7, split, dup_group is",
        ),
    ],
    ids=["other names", "lengths", "no bytes", "label beyond", "one class", "empty class", "half of FER"],
)
def test_a_file_that_is_no_training_data_is_told(arrays, complaint, tmp_path) -> None:
    np.savez(tmp_path / "bad.npz", **{name: np.asarray(value) for name, value in arrays.items()})
    with pytest.raises(ConfigError, match=complaint):
        load_data(tmp_path / "bad.npz")


def test_a_broken_file_is_told(tmp_path) -> None:
    file = tmp_path / "bad.npz"
    file.write_bytes(b"no zip")
    with pytest.raises(ConfigError, match="can't be read as an npz"):
        load_data(file)
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("images", "label", "classes"):
            archive.writestr(f"{name}.npy", b"no array")
    with pytest.raises(ConfigError, match=r"should be \(n, h, w\) uint8"):
        load_data(file)


def test_copies_are_those_of_the_file(shared) -> None:
    data = load_data(shared / "data/fer2013plus/fer2013plus_train_public.npz")
    assert data.test.copied.sum() >= 279
    assert not {image.tobytes() for image in data.training.images} & {image.tobytes() for image in data.test.images}
