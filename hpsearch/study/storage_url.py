"""Checks where a study is stored: in its folder, or on a server that a URL names."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

URL_SETTINGS = frozenset(
    {
        "application_name", "channel_binding", "connect_timeout", "gssencmode", "host", "hostaddr",
        "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "krbsrvname",
        "load_balance_hosts", "port", "require_auth", "ssl_min_protocol_version", "sslcert",
        "sslcrl", "sslkey", "sslmode", "sslnegotiation", "sslrootcert", "target_session_attrs",
        "tcp_user_timeout", "user",
    }
)  # fmt: skip
"""Settings that a server's URL may hold after its question mark; none is secret."""


def check_storage(storage: str) -> str:
    """Return a valid storage: "sqlite", or a server's URL without a password.

    Raises:
        ValueError: It is neither, or holds a password, which files and process lists would show.
    """
    if storage == "sqlite":
        return storage
    parts = urlsplit(storage)
    if parts.scheme != "postgresql" or not parts.path.strip("/"):
        raise ValueError("write sqlite, or postgresql://[USER@]HOST[:PORT]/DATABASE")
    if ":" in unquote(parts.netloc.rpartition("@")[0]) or "@" in parts.path:
        raise ValueError("take the password out of the URL: set PGPASSWORD, or use ~/.pgpass")
    settings = [pair.partition("=") for pair in parts.query.split("&") if pair]
    may = ", ".join(sorted(URL_SETTINGS))
    for key, equals, value in settings:
        if key not in URL_SETTINGS or "=" in unquote(value) or ";" in value:
            raise ValueError(
                f"take {unquote(key) if equals else 'what has no name'} out of the URL, a "
                f"password comes from PGPASSWORD or ~/.pgpass; after ? it may set {may}"
            )
    try:
        whole = parts.port != 0 and not parts.fragment
    except ValueError:  # its message could repeat half a password
        whole = False
    if not whole:
        raise ValueError("write postgresql://[USER@]HOST[:PORT]/DATABASE")
    return storage
