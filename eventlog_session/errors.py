"""Everything this library raises, and what to do about each.

::

    EventLogError
    ├── InvalidItem (ValueError, TypeError)   the item is not JSON. Fix the item; nothing was written.
    ├── IdempotencyKeyReused (ValueError)     the key came with other items before. Nothing was written; mint a new key.
    ├── Conflict                              another writer was first. Nothing was written; read, decide, call again.
    ├── SessionExists                         a log was to be copied to where there is one. Take another id, or erase that one.
    ├── InvalidExport      (ValueError)       a file of events is damaged or no whole log. Nothing was written; get it anew.
    ├── TooManyTags                           the session has all the tags it can hold. Take one away first.
    ├── Unavailable        (ConnectionError)  the store can't be reached. Nothing was written; call again later.
    ├── StoreRefused                          the store rejects the request itself. Fix the configuration.
    ├── OutcomeUnknown                        the write may have landed. Read before you write it again.
    ├── CorruptLog         (ValueError)       stored bytes are damaged or missing. Restore them; they are never written over.
    │   └── UnsupportedFormat                 a newer release wrote them. Upgrade this one.
    ├── ForkDetected                          the store forgot what it had acknowledged. Check it; the next call starts anew.
    ├── BeingErased                           an erasure has not finished. Wait for it, or call erase() again.
    ├── NoSuchPoint        (LookupError)      the version or time asked for is not in the log.
    │   └── HistoryTrimmed                    it was, and was given up. Ask for a later one.
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


class IdempotencyKeyReused(EventLogError, ValueError):
    """
    The idempotency key belongs to an event with other items; nothing was written.

    A key names one batch of items for good: mint a new one for another batch.
    """


class Conflict(EventLogError):
    """
    The session does not stand at the version expected, or other writers won every race within the retry budget.

    Nothing was written, and nothing of it can land later. Read the session and decide anew; without *expected_version*
    calling again is safe as it is.
    """


class SessionExists(EventLogError):
    """
    There is a session, or a `DaprSession`'s history, where a log was to be copied to; nothing of it was touched.

    Take another session id, or erase that one first.
    """


class InvalidExport(EventLogError, ValueError):
    """A file of events is damaged, cut short or not of a whole log; the message names the line. Nothing was written."""


class TooManyTags(EventLogError):
    """The session has as many tags as it can hold (`Limits.tags`); nothing was written. Take one away, or move one."""


class Unavailable(EventLogError, ConnectionError):
    """The store can't be reached and nothing was written. Calling again later is safe."""


class StoreRefused(EventLogError):
    """The store rejected the request as such (no such store, no permission, no transactions). Fix the configuration."""


class OutcomeUnknown(EventLogError):
    """
    The write was sent, its reply was lost and the head could not be read back in time: it may have landed, or land yet.

    Ask `EventLogSession.resolve` with this error once the store answers again. Or call again with the same
    *idempotency_key*, if there was one: it is written once, whatever became of the first call.

    *event_ids* are what was sent, onto version *base* of *generation*.
    """

    def __init__(self, message: str, *, event_ids: tuple[str, ...] = (), base: int = 0, generation: str = "") -> None:
        super().__init__(message)
        self.event_ids = event_ids
        self.base = base
        self.generation = generation


class CorruptLog(EventLogError, ValueError):
    """Bytes in the store are damaged or missing; the message names the key. Restore that key; it is never written over."""


class UnsupportedFormat(CorruptLog):
    """The log was written in a newer format than this release reads. Upgrade eventlog-session; nothing is damaged."""


class ForkDetected(EventLogError):
    """
    An acknowledged version no longer stands in the store: a failover or a restore took it back, or the head was deleted.

    Raised once. The cache is dropped and the next call starts from what the store holds now.
    """


class BeingErased(EventLogError):
    """The session is being erased and takes no writes until that is done. Wait, or call erase() again if it was cut short."""


class NoSuchPoint(EventLogError, LookupError):
    """The log has no such version or time yet. Ask for a point between its beginning and its newest version."""


class HistoryTrimmed(NoSuchPoint):
    """The version or time asked for was given up by trim(). Ask for a later one."""


class ReadOnlySession(EventLogError, RuntimeError):
    """A session at a past point can't be written to. Write to the session that it was taken from."""


class SessionClosed(EventLogError, RuntimeError):
    """The session owned its client and was closed. Make a new session."""
