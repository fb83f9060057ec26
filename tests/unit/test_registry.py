from __future__ import annotations

import hashlib
import http.server
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models import catalogue
from models.registry import Entry, cache_folder, entries, fetch, find, load
from operators.errors import ModelError
from pipeline.checks import EXPRESSIONS

FACE = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)


@pytest.fixture
def yunet(monkeypatch: pytest.MonkeyPatch) -> Entry:
    """The entry of YuNet, with another file in place of the real one: `fetch` never looks inside."""
    entry = replace(find("yunet"), files={"weights.bin": hashlib.sha256(b"weights").hexdigest()}, urls={})
    monkeypatch.setattr(catalogue, "entries", lambda: (entry,))
    return entry


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(b"weights")
    return folder


@pytest.fixture
def server(mirror: Path) -> Iterator[str]:
    """A real HTTP server of the mirror folder; yields its address."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(mirror))

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def test_names_and_aliases_are_unique() -> None:
    names = [name for entry in entries() for name in (entry.name, *entry.aliases)]
    assert len(names) == len(set(names))
    assert {"detector", "yunet", "expression", "expression-fer2013", "enhancer"} <= set(names)


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_every_entry_says_what_a_caller_must_know(entry: Entry) -> None:
    assert entry.task in {"detector", "expression", "enhancer"}
    assert entry.files
    assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in entry.files.values())
    assert set(entry.urls) <= set(entry.files)
    assert all(url.startswith("https://") for url in entry.urls.values())
    assert all([entry.input, entry.licence, entry.source, entry.origin])
    assert bool(entry.labels) == (entry.task == "expression")
    assert len(entry.options.get("priors", entry.labels)) == len(entry.labels)


def test_every_entry_loads_and_runs(shared: Path, tmp_path: Path) -> None:
    weights = shared / "data" / "weights"
    for entry in entries():
        fetch(entry.name, mirror=weights, folder=tmp_path)
        model = load(entry.name, folder=tmp_path)
        result = model(FACE) if entry.task == "detector" else model([FACE])
        assert len(result) <= 1, entry.name
        assert model.provider == "CPUExecutionProvider"


def test_the_shipped_expression_models_are_labelled_probabilities() -> None:
    for name, count in (("expression", 8), ("expression-fer2013", 7)):
        model = load(name)
        probs = np.stack([one.probs for one in model([FACE, FACE[:20, :30]])])
        assert probs.shape == (2, count) == (2, len(model.labels))
        np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("yunte", "no model is called 'yunte': did you mean yunet"),
        ("expresion", "did you mean expression"),
        ("zzz", "there are mtcnn, detector, mtcnn.wider, yunet"),
    ],
)
def test_unknown_names_get_a_hint(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=re.escape(message)):
        load(name)


def test_a_missing_file_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"run `mien models fetch yunet_n\.wider`"):
        load("yunet", folder=tmp_path)


def test_a_missing_file_in_the_mirror_names_the_mirror(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=re.escape(str(tmp_path))):
        load("yunet", mirror=tmp_path)


def test_an_altered_file_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "yunet_n_dynamic.onnx").write_bytes(b"something else")
    with pytest.raises(ModelError, match=r"expected sha256 104ee26c.*, got .*; delete it and run"):
        load("yunet", folder=tmp_path)


def test_an_altered_package_is_not_unpickled(shared: Path, tmp_path: Path) -> None:
    for name in find("mtcnn").files:
        (tmp_path / name).write_bytes(b"cposix\nsystem\n(S'false'\ntR.")
    with pytest.raises(ModelError, match="expected sha256"):
        load("mtcnn", mirror=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_face": 20}, "mtcnn.wider has no option min_face: it has min_face_size, scale_factor"),
        ({"min_face_size": 1}, "bad option of mtcnn.wider: min_face_size must be 4 pixels or more, got 1"),
        ({"min_face_size": "big"}, "bad option of mtcnn.wider"),
        ({"path": "/x.onnx"}, "mtcnn.wider consists of 3 files and can't be loaded from one path"),
        ({"device": "cuda:7"}, "device must be one of"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load("mtcnn", **options)


def test_lists_of_a_configuration_file_are_taken() -> None:
    assert load("mtcnn", thresholds=[0.5, 0.6, 0.7]).options.thresholds == (0.5, 0.6, 0.7)


def test_own_path_that_is_not_there() -> None:
    with pytest.raises(ModelError, match=r"nowhere\.onnx can't be read: No such file"):
        load("yunet", path="nowhere.onnx")


def test_fetch_from_a_mirror(yunet: Entry, mirror: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "cache"
    assert fetch("yunet", mirror=mirror, folder=folder) == [folder / "weights.bin"]
    assert [file.name for file in folder.iterdir()] == ["weights.bin"]
    assert (folder / "weights.bin").read_bytes() == b"weights"


def test_fetch_leaves_a_good_file_alone(yunet: Entry, mirror: Path, tmp_path: Path) -> None:
    fetch("yunet", mirror=mirror, folder=tmp_path)
    shutil.rmtree(mirror)
    assert fetch("yunet", mirror=mirror, folder=tmp_path) == [tmp_path / "weights.bin"]


def test_fetch_replaces_an_altered_file(yunet: Entry, mirror: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"half of the wei")
    fetch("yunet", mirror=mirror, folder=tmp_path)
    assert (tmp_path / "weights.bin").read_bytes() == b"weights"


def test_fetch_refuses_and_removes_a_wrong_file(yunet: Entry, mirror: Path, tmp_path: Path) -> None:
    (mirror / "weights.bin").write_bytes(b"other weights")
    folder = tmp_path / "cache"
    with pytest.raises(ModelError, match="expected sha256"):
        fetch("yunet", mirror=mirror, folder=folder)
    assert list(folder.iterdir()) == []


def test_fetch_from_a_mirror_without_the_file(yunet: Entry, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"the mirror has no weights\.bin: expected it at"):
        fetch("yunet", mirror=tmp_path, folder=tmp_path / "cache")


def test_fetch_without_address_says_where_to_look(yunet: Entry, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no address to download from: get it from https://github\.com"):
        fetch("yunet", folder=tmp_path)


def test_fetch_into_a_folder_that_cannot_be(yunet: Entry, mirror: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="can't be written"):
        fetch("yunet", mirror=mirror, folder=tmp_path / "file" / "cache")


def test_what_is_part_of_a_package_needs_no_fetch(tmp_path: Path) -> None:
    paths = fetch("detector", folder=tmp_path)
    assert {path.name for path in paths} == {"pnet.lz4", "rnet.lz4", "onet.lz4"}
    assert list(tmp_path.iterdir()) == []


def test_download(yunet: Entry, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "entries", lambda: (replace(yunet, urls={"weights.bin": f"{server}/weights.bin"}),))
    seen: list[tuple[int, int | None]] = []
    fetch("yunet", folder=tmp_path / "cache", progress=lambda done, total: seen.append((done, total)))
    assert (tmp_path / "cache" / "weights.bin").read_bytes() == b"weights"
    assert seen[-1] == (7, 7)


def test_failed_download(yunet: Entry, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "entries", lambda: (replace(yunet, urls={"weights.bin": f"{server}/gone.bin"}),))
    with pytest.raises(ModelError, match=r"gone\.bin can't be downloaded: the server answered 404; .* use a mirror"):
        fetch("yunet", folder=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_cache_is_the_users() -> None:
    assert cache_folder().parts[-2:] == ("mien", "models")


def test_rules_are_checked_against_the_labels_of_the_model():
    assert find("expression").labels == EXPRESSIONS
