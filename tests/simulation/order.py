"""One log as an order in time: what was heard of it when, and which of its versions there were at which moment."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from eventlog_session.core.events import ADOPTED

from .editor import Editor, editors
from .history import Call, State, require
from .left import Log


class Order:
    """The order of one log, as far as it can be known from the calls that made it."""

    def __init__(self, calls: Sequence[Call], log: Log, sent: Mapping[str, int], *, left: State, forgot: bool) -> None:
        self.log = log
        self.sent = sent
        self.forgot = forgot
        if forgot and log.events[:1] and log.events[0].kind != ADOPTED:
            left = []  # the store forgot the head in the middle of a takeover; what was left is still where it was
        self.oldest = 1 if left else 0
        """The version that there was before anybody did anything."""
        taken_over = bool(left and log.events and log.events[0].kind == ADOPTED)
        as_it_was = not left or not log.events or (taken_over and log.states[1] == left)
        require(as_it_was or forgot, "what was left was not taken over as it was")
        by_name = {call.name: call for call in calls}
        made = [by_name.get(name) if name is not None else None for name in log.names]
        """For each version the call that made it."""
        for name, call in zip(log.names[1:], made[1:], strict=True):
            require(call or (taken_over and name is None), f"{name} was never called")
        self.editors: list[Editor] = editors(log, made)
        self.began = [0]
        """For each version, when the last call began without which it can't be."""
        for call in made[1:]:
            self.began.append(max(self.began[-1], call.began if call else 0))
        self.writers = {call.name: version for version, call in enumerate(made) if call is not None}
        """What each call has made: of a whole log the last version."""
        self.places = {call.mark: version for version, call in enumerate(made) if call is not None}
        """What each call and those with the same key have made."""
        self.makers = [call for call in calls if call.kind == "restore" and self.may_hold(call) and self._may_make(call)]
        """Who may have restored it, if it was restored."""
        copied = _copied(made)
        require(len(self.places) + taken_over + copied == len(log.events), "an event is in the log twice, or nobody wrote it")
        self.misused = {call.key for call in calls if call.other and call.name in self.writers}
        if left and not log.events:
            log.states.append(left)
            log.names.append(None)  # as of the event that would have taken it over
            log.floors.append(0)
            log.tags.append({})
            self.began.append(0)
            self.editors.append(Editor(bottom=1))
        self._listen(calls)

    def _listen(self, calls: Sequence[Call]) -> None:
        heard: list[tuple[int, int]] = []
        for call in calls:
            past = call.kind == "read" and (call.target is not None or call.tag is not None)
            version = self.places.get(call.mark) if call.done else call.version
            if call.ended is not None and call.error is None and version is not None and not past and self.must_hold(call):
                heard.append((call.ended, version))
        heard.sort()
        self.ends = [ended for ended, _ in heard]
        self.newest = [0]
        """The newest version that anybody has heard of, after each of *ends*."""
        for _, version in heard:
            self.newest.append(max(self.newest[-1], version))

    def may_hold(self, call: Call) -> bool:
        """Whether this was the log at some moment of *call*."""
        began_before = self.log.until is None or call.began < self.log.until
        return began_before and (call.ended is None or call.ended > self.log.epoch.since)

    def must_hold(self, call: Call) -> bool:
        """Whether this was the log at every moment of *call*."""
        ended_before = self.log.until is None or (call.ended is not None and call.ended < self.log.until)
        return ended_before and call.began > self.log.epoch.since

    def _may_make(self, call: Call) -> bool:
        return call.fate != "not written" or not self.must_hold(call)  # written and erased is as good as not written

    def heard(self, when: int) -> int:
        """Return the newest version that had been heard of by *when*, 0 if the store may have forgotten it since."""
        return 0 if self.forgot else self.newest[bisect_left(self.ends, when)]

    def only(self, version: int, call: Call) -> bool:
        """Whether *version* was the newest at every moment of *call*."""
        following = self.began[version + 1 : version + 2]
        return self.heard(call.began) == version and (not following or following[0] > (call.ended or 0))

    def meanwhile(self, call: Call) -> Iterator[int]:
        """Yield the versions that may have been the newest at some moment of *call*."""
        version = max(self.heard(call.began), self.oldest)
        while version < len(self.log.states) and self.began[version] < (call.ended or 0):
            yield version
            version += 1


def _copied(made: Sequence[Call | None]) -> int:
    """Return how many events more than one a log began with that was restored at once."""
    first = made[1] if len(made) > 1 else None
    if first is None or first.kind != "restore":
        return 0
    number = len(first.items)
    require(made[1 : number + 1] == [first] * number, f"{first.name} was restored in part")
    return number - 1
