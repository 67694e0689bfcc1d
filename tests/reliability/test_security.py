"""S1 to S14: nothing from outside runs code, leaves its place, rules the page or the terminal."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pickle
import re
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpsearch.data import open_packed
from hpsearch.data.sealed import open_test_set
from hpsearch.errors import InputError
from hpsearch.paths import StudyFolder
from hpsearch.recognition.model import load_model
from hpsearch.results.dashboard import make_app
from hpsearch.storage.view import read_study
from hpsearch.training.checkpoint import load
from hpsearch.training.checkpoint_file import wrap
from hpsearch.trial import TrialRecord
from tests.support.cases import ENQUEUED, STUDY, as_nobody, refused, search, snapshot, write_study
from tests.support.command_line import run
from tests.test_source import findings, sources

See = Callable[[object], None]
PORT = 8080


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study with names that would like to be code, ended."""
    folder = tmp_path_factory.mktemp("security")
    evil = STUDY.replace("name: small", 'name: "</script><script>alert(1)</script>"')
    evil += 'description: "<img src=x onerror=alert(2)> javascript:alert(3)"\n'
    search(folder / "study", file=write_study(folder, evil))
    return StudyFolder(folder / "study")


def ask(app: Any, method: str, path: str, **headers: str) -> tuple[str, dict[str, str], bytes]:
    """Ask a WSGI application."""
    environ = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "SERVER_NAME": "127.0.0.1",
        "QUERY_STRING": "",
        "SERVER_PORT": str(PORT), "HTTP_HOST": f"127.0.0.1:{PORT}", "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(), "wsgi.url_scheme": "http", "CONTENT_LENGTH": "0",
        "wsgi.version": (1, 0), "SERVER_PROTOCOL": "HTTP/1.1", **headers,
    }  # fmt: skip
    told: dict[str, Any] = {}

    def start(status: str, answered: list[tuple[str, str]], *_: Any) -> Callable[[bytes], None]:
        told.update(status=status, headers=dict(answered))
        return lambda _: None

    body: Iterable[bytes] = app(environ, start)
    return told["status"], told["headers"], b"".join(body)


PROBES = {
    "rebinding host": ("GET", "/api/studies", {"HTTP_HOST": "rebind.evil"}, "403"),
    "rebinding host with port": ("GET", "/api/studies", {"HTTP_HOST": f"evil:{PORT}"}, "403"),
    "foreign origin": ("GET", "/api/studies", {"HTTP_ORIGIN": "http://evil"}, "403"),
    "delete": ("DELETE", "/api/studies/1", {}, "403"),
    "tell": ("POST", "/api/trials/1/tell", {}, "403"),
    "schema upgrade": ("POST", "/incompatible-rdb-schema", {}, "403"),
    "no body post": ("POST", "/api/studies/1/preferences", {}, "403"),
    "reading": ("GET", "/api/studies", {}, "200"),
}


@pytest.mark.parametrize("case", PROBES)
def test_S1_the_dashboard_refuses(study: StudyFolder, case: str, see: See) -> None:
    """403 to other hosts, other origins, and every change; the study is untouched"""
    method, path, headers, expected = PROBES[case]
    before = study.database.read_bytes()
    status, _, _ = ask(make_app(study, write=False), method, path, **headers)
    assert status.startswith(expected)
    assert study.database.read_bytes() == before
    see(status)


REFUSED = {
    "served": ("GET", {}),
    "of an unknown host": ("GET", {"HTTP_HOST": "evil"}),
    "of an unknown origin": ("GET", {"HTTP_ORIGIN": "http://evil"}),
    "of a change": ("DELETE", {}),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("path", ["/dashboard", "/dashboard/", "/api/studies", "/absent"])
def test_S2_headers_on_every_answer(study: StudyFolder, path: str, case: str) -> None:
    """nosniff, DENY and a policy that loads from nowhere else on each route, also on refusals"""
    method, headers = REFUSED[case]
    status, answered, _ = ask(make_app(study, write=False), method, path, **headers)
    assert status.startswith("403") == (case != "served")
    assert answered["X-Frame-Options"] == "DENY"
    assert answered["X-Content-Type-Options"] == "nosniff"
    policy = dict(
        part.split(maxsplit=1) for part in answered["Content-Security-Policy"].split("; ")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == "'self' 'unsafe-eval'"
    allowed = {word for sources in policy.values() for word in sources.split()}
    assert allowed <= {"'none'", "'self'", "'unsafe-eval'", "'unsafe-inline'", "data:", "blob:"}


@pytest.mark.parametrize(
    "path", ["/api/artifacts/1/x", "/artifacts/1/1", "/api/llm", "/../study.yaml"]
)
def test_S2_no_artifacts_no_other_files(study: StudyFolder, path: str) -> None:
    """not found"""
    status, _, body = ask(make_app(study, write=False), "GET", path)
    assert status[:3] in ("400", "403", "404", "501"), (status, body)


def test_S3_there_is_no_way_to_bind_another_address(here: Path, see: See) -> None:
    """no --host: exit 2"""
    search(here / "study")
    see(refused(here, "--host", "dashboard", "study", "--host", "0.0.0.0"))


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_the_payload_works_where_pickle_is_loaded(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Payload(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "case", ["checkpoint", "checkpoint body", "best.yaml", "weights", "study file"]
)
def test_S4_a_planted_payload_does_not_run(here: Path, case: str, see: See) -> None:
    """refused or passed over; no code runs"""
    ran = here / "ran"
    payload = pickle.dumps(Payload(ran))
    path = f"!!python/object/apply:pathlib.Path [{ran}]"
    yaml = f"x: !!python/object/apply:pathlib.Path.touch [{path}]\n"
    said = "passed over"
    if case.startswith("checkpoint"):
        (here / "checkpoint").write_bytes(wrap(payload) if "body" in case else payload)
        assert load(here / "checkpoint") is None
    elif case == "weights":
        (here / "model").mkdir()
        config = json.dumps({"dataset": {"kind": "x", "fingerprint": "y"}, "config": trial()})
        (here / "model" / "config.yaml").write_text(config)
        (here / "model" / "weights.safetensors").write_bytes(payload)
        with pytest.raises(InputError) as caught:
            load_model(here / "model")
        said = str(caught.value)
    elif case == "best.yaml":
        (here / "best.yaml").write_text(yaml)
        said = refused(here, "tags", "retrain", "best.yaml")
    else:
        write_study(here, STUDY + yaml)
        said = refused(here, "tags", "search", "small.yaml")
    assert not ran.exists()
    see(said)


PACKED = ["background.npy", "background-20.npy", "background-labels.npz", "sealed-test.npz"]


@pytest.mark.parametrize("form", ["an array of objects", "a bare pickle", "text"])
@pytest.mark.parametrize("name", PACKED)
def test_S4_a_payload_in_packed_data_does_not_run(
    here: Path, packed: Path, name: str, form: str, see: See
) -> None:
    """the file is refused by its name, or made again; no code runs"""
    shutil.copytree(packed, here / "packed")
    ran, path = here / "ran", here / "packed" / name
    path.unlink(missing_ok=True)
    hostile = np.array([Payload(ran)], dtype=object)
    if form == "text":
        path.write_text("PK\3\4 no archive at all")
    elif form == "a bare pickle":
        path.write_bytes(pickle.dumps(Payload(ran)))
    elif path.suffix == ".npy":
        np.save(path, hostile)
    else:
        np.savez(path, character=hostile, drawer=hostile, query=hostile)
    dataset = open_packed(here / "packed")
    if name == "background-20.npy":  # derived from another, and made again
        images = dataset.background(20).images
        np.testing.assert_array_equal(images, open_packed(packed).background(20).images)
    else:
        with pytest.raises(InputError, match=re.escape(str(path))) as caught:
            open_test_set(dataset, "a test") if "sealed" in name else dataset.background(21)
        see(caught.value)
    assert not ran.exists()


def trial() -> dict[str, Any]:
    from tests.support.trainings import tiny_config

    return tiny_config().plain()


def test_S4_no_source_loads_what_can_run_code() -> None:
    """no pickle, eval, exec, yaml.load, shell=True, torch.load without weights_only"""
    paths = sources("hpsearch", "benchmarks")
    assert len(paths) > 80
    found = {str(p): f for p in paths if (f := dangerous(p))}
    assert found == {}


def dangerous(path: Path) -> list[str]:
    """Return the findings that are about running code; random state is another matter."""
    return [f for f in findings(path.read_text(encoding="utf-8")) if "random state" not in f]


def test_S4_the_lint_rules_ban_them_too() -> None:
    """ruff's rules for unsafe calls are switched on for the package"""
    import tomllib

    settings = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    selected = set(settings["tool"]["ruff"]["lint"]["select"])
    assert {"S301", "S307", "S102", "S506", "S602", "S604", "S605"} <= selected


def test_S5_a_payload_in_the_database_does_not_run(here: Path, see: See) -> None:
    """system attributes that a sampler would unpickle are never unpickled while tpe proposes"""
    tpe = {"name": "tpe", "startup_trials": 2}
    search(here / "study", budget__trials=2, enqueue=ENQUEUED[:2], sampler=tpe)
    ran = here / "ran"
    text = json.dumps(pickle.dumps(Payload(ran)).hex())
    with closing(sqlite3.connect(here / "study" / "study.db")) as connection:
        for key in ("cma:optimizer", "cma:optimizer:0", "tpe", "sampler", "hpsearch"):
            for table in ("study_system", "trial_system", "study_user", "trial_user"):
                owner = table.split("_")[0]
                connection.execute(
                    f"INSERT INTO {table}_attributes ({owner}_id, key, value_json)"
                    " VALUES (1, ?, ?)",
                    (key, text),
                )
        connection.commit()
    view = search(here / "study", budget__trials=4, enqueue=ENQUEUED[:2], sampler=tpe)
    assert [view.attributes[n]["origin"] for n in range(4)] == [
        "enqueued: parameters",
        "enqueued: parameters",
        "tpe",
        "tpe",
    ]
    assert run("status", "study").code == 0
    assert not ran.exists()
    see("2 trials enqueued, 2 proposed by tpe, nothing ran")


def test_S7_names_in_the_report_stay_text(study: StudyFolder, see: See) -> None:
    """no raw script, image or javascript: link of a name; no address outside"""
    done = run("report", study.root)
    assert done.code == 0, done
    page = study.report.read_text(encoding="utf-8")
    raw = ["<script>alert(1)", "<img src=x", 'href="javascript:', "</script><script>alert"]
    counts = [page.count(text) for text in raw]
    assert counts == [0] * 4, counts
    assert "alert(1)" in page, "the name is shown"
    assert 'src="http' not in page
    assert "Content-Security-Policy" in page
    see("0 raw hits")


def test_S8_cells_of_the_csv_are_no_formulas(
    here: Path, monkeypatch: pytest.MonkeyPatch, see: See
) -> None:
    """text that begins with = + - @ tab or CR is prefixed; numbers are not"""
    search(here / "study", budget__trials=1)
    view = read_study(StudyFolder(here / "study"))
    params = {"=name": "=1+1", "b": -1.5, "c": "@x", "d": "+1", "e": "-x", "f": "\tx", "g": "he"}
    hostile = TrialRecord(0, "failed", params, cause='=HYPERLINK("http://evil")')
    changed = replace(view, trials=[hostile])
    monkeypatch.setattr("hpsearch.storage.view.read_study", lambda _: changed)
    head, cells = csv.reader(io.StringIO(run("trials", "study", "--csv").out, newline=""))
    assert "'=name" in head
    assert cells[-8:-1] == ["'=1+1", "-1.5", "'@x", "'+1", "'-x", "'\tx", "he"]
    assert cells[-1].startswith("'=HYPERLINK")
    see(cells[-8:])


@pytest.mark.parametrize("name", ["../../escaped", "<script>", "a/b", "con:", "~root"])
def test_S9_a_name_is_never_a_path(here: Path, name: str) -> None:
    """every file lies in the study's folder, whatever the study is called"""
    write_study(here / "in", STUDY.replace("small", json.dumps(name)))
    before = set(snapshot(here))
    search(here / "study", file=here / "in" / "small.yaml", budget__trials=1)
    run("export", "study")
    assert all(new.startswith("study") for new in set(snapshot(here)) - before)
    assert not (here.parent / "escaped").exists()


def test_S9_only_the_owner_may_enter_a_study(here: Path, see: See) -> None:
    """folder 0700, that keeps others out; whole files are 0600, those appended to are not"""
    search(here / "study", budget__trials=1)
    assert run("export", "study").code == run("report", "study").code == 0
    folder = StudyFolder(here / "study")
    trial = folder.trial(0)
    assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700
    files = [path for path in folder.root.rglob("*") if path.is_file()]
    others = {path for path in files if stat.S_IMODE(path.stat().st_mode) != 0o600}
    assert others <= {folder.database, trial.checkpoint, trial.epochs}
    with as_nobody(here):
        assert not [path for path in files if readable(path)]
    see(f"{len(files)} files, {len(files) - len(others)} of them 0600, in a folder of 0700")


def readable(path: Path) -> bool:
    """Say whether a file can be opened; one's own always can."""
    with contextlib.suppress(PermissionError):
        path.open("rb").close()
        return path.stat().st_uid != os.geteuid()
    return False


def test_S12_an_image_is_measured_before_it_is_decoded() -> None:
    """see B70 to B74; Pillow's own limit is in force too"""
    from PIL import Image

    assert Image.MAX_IMAGE_PIXELS is not None
    assert Image.MAX_IMAGE_PIXELS < 10**9


def test_S14_control_characters_do_not_reach_the_terminal(here: Path, see: See) -> None:
    """a file's name and a study's name with escapes are shown without them"""
    evil = here / "a\x1b[31mred\x07.yaml"
    evil.write_text("- list\n")
    done = run("search", evil)
    assert done.code == 2
    assert "\x1b" not in done.err
    assert "\x07" not in done.err
    see(repr(done.err))
