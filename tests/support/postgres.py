"""A PostgreSQL server of the tests' own, on this machine, in a temporary folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

PASSWORD = "ca{n}ary%40$ecret"
"""Must never be seen; its braces and percent signs must do no harm."""
USER = "searcher"


def find_programs() -> Path | None:
    """Return the folder of PostgreSQL's server programs, None where it is not installed."""
    on_path = shutil.which("initdb")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = Path(on_path) if on_path else (installed[-1] if installed else None)
    return found.parent if found else None


@dataclass
class Server:
    """A server that can be stopped and started."""

    programs: Path
    folder: Path
    port: int

    @classmethod
    def start(cls, programs: Path) -> Server:
        """Make a server in a new folder, and start it."""
        folder = Path(tempfile.mkdtemp(prefix="hpsearch-postgres-"))
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if os.getuid() == 0:  # it refuses to run as root
            shutil.chown(folder, "postgres", "postgres")
            shutil.chown(secret, "postgres")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = cls(programs, folder, port)
        server._run("initdb", "-U", USER, "-A", "scram-sha-256", "--pwfile", str(secret), "-N")
        with (folder / "data" / "postgresql.conf").open("a") as config:
            config.write("fsync = off\nlisten_addresses = '127.0.0.1'\n")
            config.write(f"port = {port}\nunix_socket_directories = ''\n")
        server.go()
        return server

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), "-D", str(self.folder / "data"), *arguments]
        as_user = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
        log = self.folder / f"{program}.log"
        with log.open("wb") as output:
            done = subprocess.run(
                command,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                timeout=60,
                extra_groups=[] if as_user else None,
                check=False,
                **as_user,  # type: ignore[call-overload]
            )
        assert done.returncode == 0, log.read_text()

    def go(self) -> None:
        """Start the server and wait until it answers."""
        self._run("pg_ctl", "start", "-w", "-l", str(self.folder / "data" / "server.log"))

    def stop(self) -> None:
        """Stop the server as a crash would: it recovers when it starts again."""
        self._run("pg_ctl", "stop", "-m", "immediate")

    def remove(self) -> None:
        """Stop the server for good."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        """Return a database's URL, without the password, which PGPASSWORD holds."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def new_database(self, name: str) -> str:
        """Make an empty database and return its URL."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            for statement in (
                f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)',
                f'CREATE DATABASE "{name}"',
            ):
                connection.execute(statement)  # type: ignore[call-overload]
        return self.url(name)
