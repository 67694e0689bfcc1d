"""The page's application, called in-process: what it answers, and what it never touches."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hpsearch.serving import recognition_page
from hpsearch.serving.picture import LARGEST_BODY
from hpsearch.serving.recognition_page import RecognitionPage
from tests.support.command_line import CommandLine
from tests.support.models import ESCAPES, HOSTILE, draw, write_support
from tests.support.wsgi import HOST, Answer, ask

from .conftest import KINDS, made_page, png


def recognised(page: RecognitionPage, picture: bytes) -> dict[str, Any]:
    """Return what a page answers to a picture."""
    answer = ask(page.guarded(), "/recognise", "POST", picture, CONTENT_TYPE="image/png")
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == "application/json"
    found: dict[str, Any] = json.loads(answer.body)
    return found


def test_it_answers_what_recognise_prints(
    page: RecognitionPage, hpsearch: CommandLine, model: Path, support: Path, tmp_path: Path
) -> None:
    for kind in KINDS:
        query = tmp_path / f"{kind}.png"
        draw(kind, 4).save(query)
        command = ["recognise", model, "--support", support, query, "--false-accept", 0.05]
        (printed,) = json.loads(hpsearch(*command, "--json").out)
        found = recognised(page, query.read_bytes())
        assert found["none_of_these"] == printed["none_of_these"]
        assert found["probability"] == pytest.approx(printed["probability"], abs=1e-9)
        ranked = [{"class": one["class"], "score": one["score"]} for one in found["ranked"]]
        assert ranked == [
            {"class": one["class"], "score": pytest.approx(one["score"], abs=1e-9)}
            for one in printed["ranked"]
        ]
        assert (found["false_accept"], found["notices"]) == (0.05, [])


def test_none_of_these_is_answered_below_the_threshold(
    model: Path, support: Path, roof: bytes
) -> None:
    strict, lax, never = (made_page(model, support, rate) for rate in (0.05, 0.2, None))
    scribble = Image.fromarray(np.random.default_rng(0).integers(0, 256, (105, 105), np.uint8))
    for page in (strict, lax):
        for picture in (roof, png(scribble)):
            found = recognised(page, picture)
            assert found["none_of_these"] == (found["probability"] <= found["threshold"])
    assert recognised(strict, png(scribble))["none_of_these"]
    assert not recognised(lax, png(draw("roof")))["none_of_these"]
    found = recognised(never, png(scribble))
    assert (found["none_of_these"], found["threshold"], found["false_accept"]) == (
        False,
        None,
        None,
    )
    text = ask(strict, "/").body.decode()
    threshold = recognised(strict, roof)["threshold"]
    assert f"with probability {threshold:.3f} or less" in text
    assert "5 % of the pictures of unknown classes" in text
    assert "rejects no picture" in ask(never, "/").body.decode()


def test_the_pictures_are_the_known_ones(page: RecognitionPage, support: Path) -> None:
    best = recognised(page, (support / "roof" / "1.png").read_bytes())["ranked"][0]
    assert (best["class"], best["images"], len(best["pictures"])) == ("roof", 2, 2)
    for number, address in enumerate(best["pictures"]):
        answer = ask(page, address)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "image/png")
        assert "immutable" in answer.headers["Cache-Control"]
        with Image.open(io.BytesIO(answer.body)) as shown:
            shown_pixels = np.asarray(shown)
        with Image.open(support / "roof" / f"{number}.png") as original:
            np.testing.assert_array_equal(shown_pixels, np.asarray(original))


def test_the_picture_that_was_sent_is_shown_as_the_network_sees_it(
    page: RecognitionPage, roof: bytes
) -> None:
    uri = recognised(page, roof)["picture"]
    head, _, data = uri.partition(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as shown:
        assert shown.size == (105, 105)


def test_a_class_of_many_pictures_shows_the_first(model: Path, tmp_path: Path) -> None:
    kinds = {f"class {n:03}": ("roof", 6 if n == 1 else 1) for n in range(60)}
    page = made_page(model, write_support(tmp_path / "many", kinds))
    text = ask(page, "/").body.decode()
    assert "60 classes (65 pictures)" in text
    assert "The first 48 of 60 classes" in text
    assert text.count("<bdi>class ") == 48
    found = recognised(page, png(draw("roof")))
    assert len(found["ranked"]) == 60
    (many,) = [one for one in found["ranked"] if one["images"] == 6]
    assert len(many["pictures"]) == 4


@pytest.mark.parametrize(
    ("method", "path", "body", "environ", "status", "words"),
    [
        ("GET", "/nowhere", b"", {}, 404, "there are /, /recognise"),
        ("GET", "/../conftest.py", b"", {}, 404, "there are"),
        ("GET", "/pictures/../../etc/passwd", b"", {}, 404, "there are"),
        ("GET", f"/pictures/{'0' * 32}.png", b"", {}, 404, "there are"),
        ("GET", "/recognise", b"", {}, 405, "POST an image file"),
        ("POST", "/", b"x", {}, 405, "GET this"),
        ("DELETE", "/", b"", {}, 405, "GET this"),
        ("POST", "/recognise", b"", {}, 400, "no picture"),
        ("POST", "/recognise", b"x" * 9, {}, 415, "no picture of a known format"),
        ("POST", "/recognise", b"x", {"CONTENT_TYPE": "multipart/form-data"}, 415, "no form"),
        ("POST", "/recognise", b"x" * (LARGEST_BODY + 1), {}, 413, "the body is above"),
    ],
)
def test_other_requests_are_refused_in_one_line(
    page: RecognitionPage,
    method: str,
    path: str,
    body: bytes,
    environ: dict[str, str],
    status: int,
    words: str,
) -> None:
    answer = ask(page.guarded(), path, method, body, **environ)
    assert answer.status == status
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    found = json.loads(answer.body)
    assert list(found) == ["error"]
    assert words in found["error"]
    assert answer.body.count(b"\n") == 1


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        ({"HTTP_HOST": "evil.example"}, 403),
        ({"HTTP_ORIGIN": "http://evil.example"}, 403),
        ({"HTTP_ORIGIN": "null"}, 403),
        ({"HTTP_ORIGIN": "http://["}, 400),
        ({"HTTP_ORIGIN": f"http://{HOST}"}, 200),
        ({"HTTP_HOST": "localhost:9000", "HTTP_ORIGIN": "http://localhost:9000"}, 200),
        ({"HTTP_HOST": "[::1]:9000", "HTTP_ORIGIN": "http://[::1]:9000"}, 200),
    ],
)
def test_only_this_machine_may_ask(
    page: RecognitionPage, roof: bytes, environ: dict[str, str], status: int
) -> None:
    answer = ask(page.guarded(), "/recognise", "POST", roof, **environ)
    assert answer.status == status
    assert b"\n" not in answer.body.rstrip(b"\n")


def test_a_head_has_no_body(page: RecognitionPage) -> None:
    whole, head = ask(page, "/"), ask(page, "/", "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == str(len(whole.body))
    refused = ask(page.guarded(), "/", "HEAD", HTTP_HOST="elsewhere")
    assert (refused.status, refused.body) == (403, b"")


def test_the_policy_allows_this_script_and_style_only(page: RecognitionPage) -> None:
    answer = ask(page.guarded(), "/")
    policy, text = answer.headers["Content-Security-Policy"], answer.body.decode()
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        (inner,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not re.search(r"""(src|href)=["'](https?:)?//""", text)
    assert not re.search(r"<[^>]* (style|on\w+)=", text)


def test_hostile_names_are_text(model: Path, tmp_path: Path, roof: bytes) -> None:
    names = (HOSTILE.replace("/", "\N{FRACTION SLASH}"), ESCAPES, "caf\udce9", "'\"&<b>")
    kinds = {name: ("roof", 1) for name in names}
    page = made_page(model, write_support(tmp_path / "s", kinds))
    text = ask(page, "/").body.decode()
    assert "<script>alert" not in text
    assert not set("\x1b\x07\x9b\u202e") & set(text)
    assert "&#39;&#34;&amp;&lt;b&gt;" in text
    assert {one["class"] for one in recognised(page, roof)["ranked"]} == set(names)


WATCHED: list[str] | None = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if WATCHED is not None and (event == "open" or event.startswith(("os.", "shutil.", "temp"))):
        WATCHED.append(f"{event} {arguments[0]!r}")


@pytest.fixture(scope="module")
def watched() -> None:
    """Let Python tell of every file that is opened; such a hook cannot be taken away."""
    sys.addaudithook(_note)


def test_a_request_touches_no_file(page: RecognitionPage, roof: bytes, watched: None) -> None:
    global WATCHED
    app, known = page.guarded(), recognised(page, roof)["ranked"][0]["pictures"][0]

    def ask_all() -> None:
        for path in ("/", known, "/../../etc/passwd"):
            ask(app, path)
        for body in (roof, b"no picture", png(draw("cross", size=(900, 600)))):
            ask(app, "/recognise", "POST", body)

    ask_all()  # imports what reads pictures
    WATCHED = []
    try:
        with Path(__file__).open("rb"):
            assert any(Path(__file__).name in one for one in WATCHED)
        WATCHED.clear()
        ask_all()
        found = list(WATCHED)
    finally:
        WATCHED = None
    assert found == []


def test_links_that_lead_out_of_the_folder_are_never_read(
    hpsearch: CommandLine, model: Path, tmp_path: Path
) -> None:
    kinds = {"bar": ("bar", 1), "roof": ("roof", 1)}
    folder = write_support(tmp_path / "support", kinds)
    secret = write_support(tmp_path / "secret", {"cross": ("cross", 1), "box": ("box", 1)})
    (folder / "cross").symlink_to(secret / "cross")
    (folder / "roof" / "1.png").symlink_to(secret / "box" / "0.png")
    (folder / "roof" / "2.png").symlink_to(folder / "bar" / "0.png")
    from hpsearch.recognition.support import read_support

    found = read_support(folder, inside=True)
    assert (found.names, len(found.images)) == (("bar", "roof"), 3)
    (line,) = found.left_out
    assert line == ("left out, links that lead out of the folder: 2 (cross/0.png, roof/1.png)")
    linked = tmp_path / "linked"
    linked.symlink_to(folder)
    assert len(read_support(linked, inside=True).images) == 3
    only = tmp_path / "only"
    only.mkdir()
    (only / "cross").symlink_to(secret / "cross")
    (only / "box").symlink_to(secret / "box")
    done = hpsearch("serve", model, "--support", only)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "no images" in done.err


def test_those_that_wait_too_long_are_told_to_come_again(
    page: RecognitionPage, roof: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recognition_page, "WAIT_S", 0.1)
    held, go_on = threading.Semaphore(0), threading.Event()
    real = recognition_page.read_picture

    def slow(content: bytes, **asked: Any) -> Any:
        held.release()
        assert go_on.wait(60)
        return real(content, **asked)

    monkeypatch.setattr(recognition_page, "read_picture", slow)
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(page, "/recognise", "POST", roof)))
        for _ in range(recognition_page.AT_ONCE)
    ]
    for thread in threads:
        thread.start()
        assert held.acquire(timeout=60)
    late = ask(page, "/recognise", "POST", roof)
    assert (late.status, json.loads(late.body)["error"][:4]) == (503, "busy")
    go_on.set()
    for thread in threads:
        thread.join()
    assert [one.status for one in answers] == [200] * len(threads)
    assert ask(page, "/recognise", "POST", roof).status == 200


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["nowhere"], "nowhere: no such model folder"),
        (["m", "--support", "nowhere"], "nowhere: no such folder of support images"),
        (["m", "--support", "empty"], "empty: no images; put at least two classes"),
        (["m", "--support", "single"], "one class only (bar)"),
        (["m", "--support", "broken"], "broken/roof/0.png: not a whole image"),
        (["m", "--port", "0"], "--port"),
        (["m", "--port", "70000"], "--port"),
        (["m", "--false-accept", "2"], "--false-accept 2: must be between 0 and 1"),
        (["m", "--false-accept", "0.01"], "--false-accept 0.01: must be from 0.05 to 0.2"),
        (["plain", "--false-accept", "0.05"], "holds no figures for it"),
        (["diverged"], "scores are not finite"),
    ],
)
def test_wrong_input_is_one_line(
    hpsearch: CommandLine,
    model: Path,
    support: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    named: str,
) -> None:
    import torch

    from tests.support.models import write_model

    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").symlink_to(model)
    write_model(tmp_path / "plain")
    write_model(tmp_path / "diverged", **{"output.bias": torch.tensor([torch.nan])})
    (tmp_path / "empty").mkdir()
    write_support(tmp_path / "single", {"bar": ("bar", 2)})
    write_support(tmp_path / "broken", {"bar": ("bar", 1), "roof": ("roof", 1)})
    (tmp_path / "broken" / "roof" / "0.png").write_bytes(b"no image")
    given = words if "--support" in words else [*words, "--support", support]
    done = hpsearch("serve", *given)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert named in done.err


def test_without_a_support_folder_it_says_what_is_missing(
    hpsearch: CommandLine, model: Path
) -> None:
    done = hpsearch("serve", model)
    assert done.code == 2
    assert "--support" in done.err
