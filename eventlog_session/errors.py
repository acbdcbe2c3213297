"""Everything this library raises, and what to do about each.

::

    EventLogError
    ├── InvalidItem (ValueError, TypeError)   the item is not JSON. Fix the item; nothing was written.
    ├── Conflict                              another writer won every race. Nothing was written; call again.
    ├── Unavailable        (ConnectionError)  the store can't be reached. Nothing was written; call again later.
    ├── StoreRefused                          the store rejects the request itself. Fix the configuration.
    ├── OutcomeUnknown                        the write may have landed. Read before you write it again.
    ├── CorruptLog         (ValueError)       stored bytes are damaged or missing. Restore them; they are never written over.
    │   └── UnsupportedFormat                 a newer release wrote them. Upgrade this one.
    ├── ForkDetected                          the store forgot what it had acknowledged. Check it; the next call starts anew.
    ├── TtlTooShort        (ValueError)       the ttl would let history expire under a live session. Start a new session.
    ├── NoSuchPoint        (LookupError)      the version or time asked for is not in the log.
    ├── ReadOnlySession    (RuntimeError)     a past state can't be changed. Write to the session itself.
    └── SessionClosed      (RuntimeError)     the session was closed. Make a new one.

Messages name keys and positions, never items, nor session ids but in the key of a DaprSession: an error text ends up in logs.
"""


class EventLogError(Exception):
    """Base of every error that this library raises on purpose."""


class InvalidItem(EventLogError, ValueError, TypeError):
    """
    An item can't be stored as JSON without changing it; nothing was written. Fix the item.

    Both errors that `json.dumps` raises, and with it the SDK's own sessions, for whoever catches either.
    """


class Conflict(EventLogError):
    """Other writers won every race within the retry budget; nothing was written. Calling again is safe."""


class Unavailable(EventLogError, ConnectionError):
    """The store can't be reached and nothing was written. Calling again later is safe."""


class StoreRefused(EventLogError):
    """The store rejected the request as such (no such store, no permission, no transactions). Fix the configuration."""


class OutcomeUnknown(EventLogError):
    """
    The write was sent, its reply was lost and the head could not be read back in time: it may have landed.

    Read the session before you write the same thing again: if *event_ids* are in its log, the write is there.
    """

    def __init__(self, message: str, *, event_ids: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.event_ids = event_ids


class CorruptLog(EventLogError, ValueError):
    """Bytes in the store are damaged or missing; the message names the key. Restore that key; it is never written over."""


class UnsupportedFormat(CorruptLog):
    """The log was written in a newer format than this release reads. Upgrade eventlog-session; nothing is damaged."""


class ForkDetected(EventLogError):
    """
    An acknowledged version no longer stands in the store: a failover or a restore took it back, or the head was deleted.

    Raised once. The cache is dropped and the next call starts from what the store holds now.
    """


class TtlTooShort(EventLogError, ValueError):
    """The write would let the session outlive history that it names. Start a new session or one without a ttl."""


class NoSuchPoint(EventLogError, LookupError):
    """The log has no such version or time yet. Ask for a point between its beginning and its newest version."""


class ReadOnlySession(EventLogError, RuntimeError):
    """A session at a past point can't be written to. Write to the session that it was taken from."""


class SessionClosed(EventLogError, RuntimeError):
    """The session owned its client and was closed. Make a new session."""
