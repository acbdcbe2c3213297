"""What a store keeps of a session, asked of the store itself and not of the sidecar: values that live, not rows that died."""

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from redis import Redis
from rig import Rig


class Kept(NamedTuple):
    """Bytes at rest."""

    keys: int
    values: int
    """Of the values, as their lengths are to the store."""
    stored: int
    """Of the values, as they are kept: less where the store compresses them itself."""
    whole: int
    """With keys, etags and what else the store adds, as far as it tells."""


def kept(rig: Rig, store: str, part: str) -> Kept:
    """Return what *store* keeps under the keys that contain *part*. ValueError if that is nothing."""
    found = {"redis": _redis, "postgresql": _postgresql, "sqlite": _sqlite}[store](rig, part)
    if not found.keys:
        raise ValueError(f"{store} keeps nothing under a key with {part}")
    return found


def _redis(rig: Rig, part: str) -> Kept:
    """A key is a hash of value and version; the whole is what Redis says that it takes in memory."""
    with Redis(port=rig.redis.port) as client:
        keys = list(client.scan_iter(match=f"*{part}*", count=10_000))
        pipe = client.pipeline(transaction=False)
        for key in keys:
            pipe.hstrlen(key, "data").memory_usage(key, samples=0)
        sizes = pipe.execute()
    return Kept(len(keys), sum(sizes[::2]), sum(sizes[::2]), sum(sizes[1::2]))


def _postgresql(rig: Rig, part: str) -> Kept:
    """Values are measured as PostgreSQL keeps them: it compresses long ones."""
    sums = "sum(octet_length(value)), sum(pg_column_size(value)), sum(pg_column_size(state))"
    query = f"SELECT count(*), {sums} FROM state WHERE strpos(key, :'part') > 0"
    server = rig.postgres
    command = [str(Path(server.command()[0]).with_name("psql")), "-h", str(server.home), "-p", "5432", "-U", "postgres", "-At"]
    done = subprocess.run([*command, "-v", f"part={part}"], input=query, capture_output=True, text=True, check=True)
    return Kept(*(int(one or 0) for one in done.stdout.strip().split("|")))


def _sqlite(rig: Rig, part: str) -> Kept:
    """Values are text there, and base64 of those that are none."""
    sizes = "length(CAST(value AS BLOB))", "length(CAST(value AS BLOB)) + length(key) + length(etag)"
    query = f"SELECT count(*), sum({sizes[0]}), sum({sizes[1]}) FROM state WHERE instr(key, ?) > 0"
    with closing(sqlite3.connect(f"file:{rig.directory / 'sqlite.db'}?mode=ro", uri=True)) as connection:
        keys, stored, whole = connection.execute(query, (part,)).fetchone()
    return Kept(keys, stored or 0, stored or 0, whole or 0)
