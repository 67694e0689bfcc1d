"""OE2: a server's URL holds no password in any form, and nothing that is refused is repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpsearch.errors import InputError, hide_passwords
from hpsearch.study.storage_url import check_storage
from tests.support.cases import STUDY, refused, write_study

CANARY = "canary"
SECRET = (
    "postgresql://me:canary@h/db",
    "postgresql://:canary@h/db",
    "postgresql://me%3Acanary@h/db",
    "postgresql://me:ca/canary@h/db",
    "postgresql://me:ca#canary@h/db",
    "postgresql://me:ca?canary@h/db",
    "postgresql://me:canary/db",
    "postgresql://me@h/db?password=canary",
    "postgresql://me@h/db?PASSWORD=canary",
    "postgresql://me@h/db?pass%77ord=canary",
    "postgresql://me@h/db?password=ca%26canary",
    "postgresql://me@h/db?passfile=/canary",
    "postgresql://me@h/db?sslpassword=canary",
    "postgresql://me@h/db?options=-c%20x.y%3Dcanary",
    "postgresql://me@h/db?sslmode=require&password=canary",
    "postgresql://me@h/db?sslmode=a%26password%3Dcanary",
    "postgresql://me@h/db?sslmode=require;password=canary",
    "postgresql://me@h/db?canary",
    "postgresql://me@h/db#password=canary",
    "postgres://me:canary@h/db",
    "postgresql+psycopg://h/db?password=canary",
    "host=h password=canary dbname=x",
)
FINE = (
    "sqlite",
    "postgresql://h/db",
    "postgresql://me@h:5432/db",
    "postgresql://me@[::1]:5432/a%7Bb%7D%25c%2040%25",
    "postgresql://me@h/db?sslmode=require&connect_timeout=3",
    "postgresql:///db?host=/run/postgresql&user=me",
)


@pytest.mark.parametrize("url", SECRET)
def test_oe2_a_password_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match=r"postgresql://|PGPASSWORD") as refusal:
        check_storage(url)
    for shown in (repr(url), f"--to {url}: x", f"a traceback\n  {url}\n"):
        assert CANARY not in hide_passwords(shown)
    assert CANARY not in str(InputError(f"storage: {refusal.value} (found {url!r})"))


@pytest.mark.parametrize("url", FINE)
def test_oe2_what_is_no_secret_is_taken_and_shown(url: str) -> None:
    assert check_storage(url) == url
    assert str(InputError(f"storage: {url}: refused")) == f"storage: {url}: refused"


@pytest.mark.parametrize("url", [SECRET[7], SECRET[2]])
def test_oe2_wherever_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path)
    (tmp_path / "stored.yaml").write_text(f"{STUDY}storage: {url}\n")
    for arguments in (
        ("search", "small.yaml", "--storage", url),
        ("search", "small.yaml", "--set", f"storage={url}"),
        ("search", "small.yaml", "--set", f"storag={url}"),
        ("search", "stored.yaml"),
        ("search", url),
        ("status", url),
        ("search", "small.yaml", url),
        ("copy", "small.yaml", "--to", url),
    ):
        line = refused(tmp_path, "", *arguments)
        assert CANARY not in line, line


def test_oe2_other_lines_stay_as_they_are() -> None:
    for line in (
        "see http://127.0.0.1:8080/ and https://a.example/b?c=d",
        "study.yaml: line 3: seed: write seed: 4 (found 'x=y')",
        "write sqlite, or postgresql://[USER@]HOST[:PORT]/DATABASE",
        "--set budget.trials=3 conv1.filter_size=5",
    ):
        assert hide_passwords(line) == line
