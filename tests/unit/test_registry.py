from __future__ import annotations

import fcntl
import hashlib
import http.server
import re
import resource
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from models import catalogue
from models.registry import Entry, cache_folder, entries, fetch, find, load
from models.trial import trial
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


@dataclass
class Server:
    """A real HTTP server of a folder; the answers to its first requests are cut off after so many bytes."""

    address: str = ""
    ranges: bool = False
    cuts: list[int] = field(default_factory=list)
    asked: list[str | None] = field(default_factory=list)


@pytest.fixture
def server(mirror: Path) -> Iterator[Server]:
    made = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.headers["Range"])
            file = mirror / self.path.lstrip("/")
            if not file.is_file():
                return self.send_error(404)
            data = file.read_bytes()
            start = int(self.headers["Range"][len("bytes=") : -1]) if made.ranges and self.headers["Range"] else 0
            if start >= len(data):
                return self.send_error(416)
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            self.wfile.write(data[start:][: made.cuts.pop(0) if made.cuts else None])
            return None

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=[0.05])
        thread.start()
        made.address = f"http://127.0.0.1:{listening.server_port}"
        yield made
        listening.shutdown()
        thread.join()


def offer(monkeypatch: pytest.MonkeyPatch, entry: Entry, url: str) -> None:
    monkeypatch.setattr(catalogue, "entries", lambda: (replace(entry, urls={"weights.bin": url}),))


def mirror_of(entry: Entry, request: pytest.FixtureRequest) -> Path | None:
    """The folder of shared weights, for what doesn't come with mien; the test skips where there is none."""
    if entry.arch == "realesrgan":
        pytest.skip("its weights come from GitHub and it runs on the extra realesrgan: see test_realesrgan.py")
    if entry.shipped or entry.package:
        return None
    return request.getfixturevalue("shared") / "data" / "weights"


def test_names_and_aliases_are_unique() -> None:
    names = [name for entry in entries() for name in (entry.name, *entry.aliases)]
    assert len(names) == len(set(names))
    assert {"detector", "yunet", "expression", "expression-fer2013", "enhancer"} <= set(names)


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_names_are_arch_variant_tag(entry: Entry) -> None:
    assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9-]+)?\.[a-z0-9-]+", entry.name)


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_every_entry_says_what_a_caller_must_know(entry: Entry) -> None:
    assert entry.task in {"detector", "expression", "enhancer", "temporal"}
    assert entry.files
    assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in entry.files.values())
    assert set(entry.urls) <= set(entry.files)
    assert all(url.startswith("https://") for url in entry.urls.values())
    assert all([entry.input, entry.licence, entry.source, entry.origin])
    assert bool(entry.labels) == (entry.task in {"expression", "temporal"})
    assert len(entry.options.get("priors", entry.labels)) == len(entry.labels)


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_every_entry_loads_and_runs(entry: Entry, request: pytest.FixtureRequest) -> None:
    found = trial(entry, mirror=mirror_of(entry, request))
    assert (found.state, found.provider) == ("works", "CPUExecutionProvider"), found.text
    assert found.milliseconds > 0


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


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("yunet", r"run `mien models fetch yunet_n\.wider`"),
        ("mtcnn", "reinstall the package mtcnn, which brings it"),
        ("expression", "reinstall mien, which brings it"),
        ("srvgg_s-x4.realesr-general-v3", "get it from https://"),
    ],
)
def test_an_altered_file_is_replaced_from_where_it_comes(name: str, remedy: str, tmp_path: Path) -> None:
    for file in find(name).files:
        (tmp_path / file).write_bytes(b"something else")
    with pytest.raises(ModelError, match=f"; delete it and {remedy}"):
        load(name, mirror=tmp_path)


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


def test_what_is_part_of_a_package_needs_no_fetch() -> None:
    assert {path.name for path in fetch("detector")} == set(find("detector").files)
    assert {path.parent.parts[-3:] for path in fetch("detector")} == {("mtcnn", "assets", "weights")}


def test_fetch_to_a_folder_makes_a_mirror(tmp_path: Path) -> None:
    for name in ("detector", "expression"):
        fetch(name, folder=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*find("detector").files, *find("expression").files}
    assert load("expression", mirror=tmp_path)([FACE])


def test_download(yunet: Entry, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, yunet, f"{server.address}/weights.bin")
    seen: list[tuple[int, int | None]] = []
    fetch("yunet", folder=tmp_path / "cache", progress=lambda done, total: seen.append((done, total)))
    assert (tmp_path / "cache" / "weights.bin").read_bytes() == b"weights"
    assert seen[-1] == (7, 7)


def test_failed_download(yunet: Entry, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, yunet, f"{server.address}/gone.bin")
    with pytest.raises(ModelError, match=r"gone\.bin can't be downloaded: the server answered 404; .* use a mirror"):
        fetch("yunet", folder=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_nobody_answers(yunet: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, yunet, "http://127.0.0.1:9/weights.bin")
    with pytest.raises(ModelError, match=r"refused \(tried 3 times.*on a machine without network, use a mirror"):
        fetch("yunet", folder=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("ranges", [True, False], ids=["the server knows ranges", "the server sends all again"])
def test_a_download_that_is_cut_off_goes_on(
    yunet: Entry, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranges: bool
) -> None:
    offer(monkeypatch, yunet, f"{server.address}/weights.bin")
    server.cuts, server.ranges = [3, 2] if ranges else [3], ranges
    seen: list[tuple[int, int | None]] = []
    fetch("yunet", folder=tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert (tmp_path / "weights.bin").read_bytes() == b"weights"
    assert [done for done, _ in seen] == ([3, 5, 7] if ranges else [3, 7])
    assert {total for _, total in seen} == {7}


def test_a_download_that_is_cut_off_for_good_goes_on_next_time(
    yunet: Entry, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, yunet, f"{server.address}/weights.bin")
    server.cuts, server.ranges = [3, 1, 1], True
    with pytest.raises(ModelError, match=r"tried 3 times; the next fetch goes on from there"):
        fetch("yunet", folder=tmp_path)
    assert not (tmp_path / "weights.bin").exists()
    fetch("yunet", folder=tmp_path)
    assert (tmp_path / "weights.bin").read_bytes() == b"weights"
    assert server.asked == [None, "bytes=3-", "bytes=4-", "bytes=5-"]
    assert not (tmp_path / ".weights.bin.partial").exists()


@pytest.mark.parametrize("before", [b"other w", b"weights and more"], ids=["of another file", "too much"])
def test_a_wrong_beginning_is_thrown_away(
    yunet: Entry, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bytes
) -> None:
    offer(monkeypatch, yunet, f"{server.address}/weights.bin")
    server.ranges = True
    (tmp_path / ".weights.bin.partial").write_bytes(before)
    with pytest.raises(ModelError, match=r"expected sha256 .* it was deleted: try again"):
        fetch("yunet", folder=tmp_path)
    fetch("yunet", folder=tmp_path)
    assert (tmp_path / "weights.bin").read_bytes() == b"weights"


def test_two_fetches_of_one_file_at_a_time(yunet: Entry, mirror: Path, tmp_path: Path) -> None:
    with (tmp_path / ".weights.bin.partial").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ModelError, match=r"weights\.bin is being fetched by another process: wait"):
            fetch("yunet", mirror=mirror, folder=tmp_path)
    fetch("yunet", mirror=mirror, folder=tmp_path)


def test_a_disk_that_takes_no_more(yunet: Entry, mirror: Path, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3, before[1]))
    try:
        with pytest.raises(
            ModelError, match=r"can't be written: File too large \(.* MB are free there\); make room, or"
        ):
            fetch("yunet", mirror=mirror, folder=tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_is_not_a_file_is_not_read(yunet: Entry, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").mkdir()
    with pytest.raises(ModelError, match="needs the file"):
        load("yunet", folder=tmp_path)


def test_nothing_but_fetch_opens_a_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection"))
    load("expression")
    with pytest.raises(ModelError, match="which is not at"):
        load("yunet", folder=tmp_path)


def test_cache_is_the_users() -> None:
    assert cache_folder().parts[-2:] == ("mien", "models")


def test_rules_are_checked_against_the_labels_of_the_model():
    assert find("expression").labels == EXPRESSIONS
