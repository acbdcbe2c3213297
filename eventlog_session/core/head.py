"""
The head: the only key of a session that ever changes, and the only thing that says what exists.

::

    head ── index ─┬─ node ─┬─ segment   older events, compressed, under their own keys; named by the digest of their bytes
                   │        └─ segment
                   ├─ segment
                   ├─ carried            the newest segment to be: compressed, inside the head until it is full
                   └─ tail               the newest events, raw

    ["eventlog-head", 1, "<length and checksum>", {fields}, [items of the tail]]

    s session id          g generation        c, u created and updated, in microseconds since 1970
    v version             n length            h hash chain: BLAKE2b(chain before, event's bytes)
    d ttl in seconds, and the version that set it
    e when the first value that it names expires, in seconds since 1970
    r ids of the newest events that are neither in the tail nor carried
    y idempotency keys of the newest events: versions, digests   o generations that were erased under this key
    x the index, a row for each `Ref`           z carried run: its zstd frame in base64, or that frame's CRC-32, see below
    w version up to which events' own keys were deleted, since they are sealed
    f oldest version that can be read            a tags: versions by name
    p [source, version] that it was forked from  q rows of what was merged or trimmed away, until it is deleted
    t columns of the tail: see `run`

    ["eventlog-node", 1, "<length and checksum>", {"v": first version, "c": origin of times, "x": rows as above}, []]

Where the store keeps bytes, the carried frame follows the JSON as it is, and then its length as 8 hexadecimal digits. So it
takes a quarter less than in base64, and nobody encodes or decodes it.

Laws: 1. The head never grows with the history. 2. What it names was written before it or with it. 3. ``Head.of`` of
``to_bytes`` is the same head. 4. An absent head is ``Head.absent(session_id)``: version 0, no generation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple
from zlib import crc32

from ..errors import CorruptLog, HistoryTrimmed
from . import blob
from .algebra import Summary
from .keys import ID_LENGTH, KEY_LENGTH
from .run import Run, frame, unframe


class Ref(NamedTuple):
    """Names an immutable value and says what is in it, so that a reader knows what to fetch before it fetches."""

    name: str
    """Digest of the stored bytes, and the last part of the key."""
    level: int
    """0 for a segment; a node of level n names values of level n - 1."""
    first: int
    """Version that the first event in it makes."""
    events: int
    size: int
    """Stored bytes."""
    began: int
    """Commit time of its first event, in microseconds since 1970; `ended` of its last."""
    ended: int
    base: int | None
    """`Summary` of the whole, with *pops* and *adds*."""
    pops: int
    adds: int
    length: int
    """Length of the history after it."""
    oldest_base: int | None = None
    """Oldest version before it that an event in it starts from: what trimming must keep for its sake."""

    @property
    def hole(self) -> bool:
        """Whether it names nothing any more: the versions in it were trimmed."""
        return not self.name

    @property
    def last(self) -> int:
        """Version that its last event makes."""
        return self.first + self.events - 1

    @property
    def summary(self) -> Summary:
        """What the whole of it does to the history before it."""
        return Summary(self.base, self.pops, self.adds)


class Keyed(NamedTuple):
    """An idempotency key that the head remembers."""

    version: int
    """What the event with this key made."""
    key: str
    """65 bits of the key's digest; *content* those of the items it came with."""
    content: str


@dataclass(frozen=True, slots=True)
class Carried:
    """A sealed run that still lives in the head, with the frame it is stored as."""

    run: Run
    frame: bytes


class Head(NamedTuple):
    """What exists of a session. Fields are those drawn above. A tuple: a dataclass takes several times as long to copy."""

    session_id: str
    tail: Run
    generation: str = ""
    created: int = 0
    updated: int = 0
    version: int = 0
    length: int = 0
    chain: str = ""
    ttl: int | None = None
    ttl_since: int = 0
    values_expire: int | None = None
    recent: str = ""
    keyed: tuple[Keyed, ...] = ()
    erased: tuple[str, ...] = ()
    index: tuple[Ref, ...] = ()  # type: ignore[assignment]  # in the place of tuple.index, which nobody wants of a head
    carried: Carried | None = None
    swept: int = 0
    floor: int = 0
    trash: tuple[Ref, ...] = ()
    tags: Mapping[str, int] = MappingProxyType({})
    forked: tuple[str, int] | None = None
    """The source of the log that this one began as a copy of, and the last version of that in it."""
    extra: Mapping[str, Any] = MappingProxyType({})
    """Fields of this format that this release does not know: handed on untouched."""

    @classmethod
    def absent(cls, session_id: str, erased: tuple[str, ...] = ()) -> "Head":
        """Return the head of a session that has none in the store; *erased* are generations that it had before."""
        return cls(session_id=session_id, erased=erased, tail=Run(1, 0))

    @property
    def expires(self) -> float:
        """When the session expires, in seconds since 1970; infinite without a ttl. The store keeps the head for longer."""
        return float("inf") if self.ttl is None else self.updated / 1e6 + self.ttl

    def recent_id(self, version: int) -> str | None:
        """Return the id of the event that makes *version*, or None when the head no longer repeats it."""
        for run in (self.tail, self.carried.run if self.carried else self.tail):
            if version >= run.first:
                return run.id_of(version) if version <= self.version else None
        start = len(self.recent) - (run.first - version) * ID_LENGTH
        return self.recent[start : start + ID_LENGTH] if start >= 0 else None

    def runs(self) -> list[Run]:
        """Return the runs that the head holds itself, oldest first."""
        return [self.carried.run, self.tail] if self.carried else [self.tail]

    def trimmed(self, version: int) -> HistoryTrimmed:
        """Return the error for a *version* that was given up."""
        return HistoryTrimmed(f"version {version} was trimmed; the log goes from {self.floor} to {self.version}")

    def remembered(self, key: str) -> Keyed | None:
        """Return what is remembered of the idempotency key with digest *key*."""
        return next((one for one in self.keyed if one.key == key), None)

    def to_bytes(self, *, binary: bool = False) -> bytes:
        """Return the head as it is stored; *binary* says that the store keeps bytes, the head is text otherwise."""
        fields: dict[str, Any] = {
            **self.extra,
            "s": _storable(self.session_id),
            "g": self.generation, "c": self.created, "u": self.updated, "v": self.version, "n": self.length,
            "h": self.chain, "r": self.recent, "x": rows_of(self.index, self.created), "t": self.tail.columns(),
        }  # fmt: skip
        if self.ttl is not None:
            fields["d"] = [self.ttl, self.ttl_since]
        if self.values_expire is not None:
            fields["e"] = self.values_expire
        packed = self.carried.frame if self.carried is not None else b""
        if packed:
            fields["z"] = crc32(packed) if binary else blob.to_text(packed)
        if self.keyed:
            fields["y"] = [[one.version for one in self.keyed], "".join(one.key + one.content for one in self.keyed)]
        if self.trash:
            fields["q"] = loose_rows_of(self.trash, self.created)
        fields.update((name, value) for name, value in (("w", self.swept), ("f", self.floor), ("o", self.erased)) if value)
        fields.update((name, value) for name, value in (("a", dict(self.tags)), ("p", self.forked)) if value)
        value = frame("head", fields, self.tail.items)
        return b"%s%s%08x" % (value, packed, len(packed)) if packed and binary else value

    @classmethod
    def of(cls, value: bytes, *, limit: int, known: Carried | None = None) -> "Head":
        """
        Return the head stored as *value*.

        *limit* bounds the decompressed bytes of the carried run; *known* is one that need not be decompressed again.
        Raises CorruptLog or UnsupportedFormat.
        """
        value, packed = _cut(value)
        fields, items = unframe("head", value)
        try:
            told = fields.pop("z", None)
            if packed is None:
                packed = blob.from_text(told) if told is not None else b""
            elif crc32(packed) != told:
                raise CorruptLog("the carried run's bytes are not those that were written")
            carried = known if known is not None and known.frame == packed else _carried(packed, limit)
            ttl, ttl_since = fields.pop("d", (None, 0))
            return cls(
                session_id=_session_id(fields.pop("s")),
                generation=fields.pop("g"),
                updated=fields.pop("u"),
                version=fields.pop("v"),
                length=fields.pop("n"),
                chain=fields.pop("h"),
                ttl=ttl,
                ttl_since=ttl_since,
                values_expire=fields.pop("e", None),
                recent=fields.pop("r"),
                keyed=_keyed(*fields.pop("y", ((), ""))),
                erased=tuple(fields.pop("o", ())),
                index=refs_of(fields.pop("x"), fields["c"], 1),
                carried=carried,
                swept=fields.pop("w", 0),
                floor=fields.pop("f", 0),
                trash=loose_refs_of(fields.pop("q", ()), fields["c"]),
                tags=dict(fields.pop("a", ())),
                forked=tuple(fields.pop("p", ())) or None,
                tail=Run.of_columns(fields.pop("t"), items),
                created=fields.pop("c"),
                extra=fields,
            )._checked()
        except CorruptLog:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptLog("not the fields of a head") from error

    def _checked(self) -> "Head":
        """Return self when its parts fit together: what is missing from a damaged head must not read as a shorter history."""
        upto, length = (self.index[-1].last, self.index[-1].length) if self.index else (0, 0)
        for run in self.runs():
            if (run.first, run.length_before) != (upto + 1, length):
                raise CorruptLog("its runs have a gap")
            upto, length = run.last, run.length_at(run.last)
        if (upto, length) != (self.version, self.length):
            raise CorruptLog("its version or length is not that of its last event")
        return self


def node_bytes(refs: tuple[Ref, ...]) -> bytes:
    """Return an index node naming *refs*, before compression."""
    return frame("node", {"v": refs[0].first, "c": refs[0].began, "x": rows_of(refs, refs[0].began)}, b"")


def node_refs(value: bytes) -> tuple[Ref, ...]:
    """Return what `node_bytes` gave *value* for. Raises CorruptLog or UnsupportedFormat."""
    fields, _ = unframe("node", value)
    try:
        return refs_of(fields["x"], fields["c"], fields["v"])
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptLog("not an index node") from error


def rows_of(refs: tuple[Ref, ...], origin: int) -> list[list[Any]]:
    """Return *refs* as they are stored: first versions follow from one another, times are counted from *origin*."""
    return [
        [name, level, events, size, began - origin, ended - began, *effect]
        for name, level, _, events, size, began, ended, *effect in refs
    ]


def refs_of(rows: Any, origin: int, first: int) -> tuple[Ref, ...]:
    """Return what `rows_of` gave *rows* for; *first* is the version that the first of them begins with."""
    refs: list[Ref] = []
    for name, level, events, size, since, lasted, *effect in rows:
        refs.append(Ref(name, level, first, events, size, origin + since, origin + since + lasted, *effect))
        first += events
    return tuple(refs)


def loose_rows_of(refs: tuple[Ref, ...], origin: int) -> list[list[Any]]:
    """Return *refs* as `rows_of` does, each after its first version: they need not follow from one another."""
    return [[ref.first, *rows_of((ref,), origin)[0]] for ref in refs]


def loose_refs_of(rows: Any, origin: int) -> tuple[Ref, ...]:
    """Return what `loose_rows_of` gave *rows* for."""
    return tuple(refs_of([row], origin, first)[0] for first, *row in rows)


def _keyed(versions: list[int], digests: str) -> tuple[Keyed, ...]:
    cut = [digests[start : start + KEY_LENGTH] for start in range(0, len(digests), KEY_LENGTH)]
    return tuple(Keyed(*one) for one in zip(versions, cut[::2], cut[1::2], strict=True))


def carry(run: Run) -> Carried:
    """Return *run* compressed, to be carried in the head."""
    return Carried(run, blob.compress(run.to_bytes()))


def _cut(value: bytes) -> tuple[bytes, bytes | None]:
    """Return the JSON of a stored head, and the frame that follows it, None if there is none."""
    if not value.endswith(b"]]"):
        try:
            size = int(value[-8:], 16)
        except ValueError:
            return value, None
        if 0 < size < len(value) - 8 and value.endswith(b"%08x" % size):
            return value[: -8 - size], value[-8 - size : -8]
    return value, None


def _carried(packed: bytes, limit: int) -> Carried | None:
    if not packed:
        return None
    return Carried(Run.of(blob.decompress(packed, limit), whole=True), packed)  # the head's own checksums were right


def _storable(session_id: str) -> str | list[int]:
    """Return the id; one with lone surrogates, which orjson can't write, as a list of code points."""
    try:
        session_id.encode()
    except UnicodeEncodeError:
        return list(map(ord, session_id))
    return session_id


def _session_id(stored: Any) -> str:
    return stored if isinstance(stored, str) else "".join(map(chr, stored))
