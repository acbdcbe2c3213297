"""A session as it was."""

from typing import TYPE_CHECKING, NoReturn

from agents.memory.session import SessionABC
from agents.memory.session_settings import SessionSettings

from .errors import ReadOnlySession
from .given import SessionView
from .points import Point

if TYPE_CHECKING:
    from agents.items import TResponseInputItem

    from .timetravel import TimeTravel


class PastSession(SessionABC):
    """
    A session at a past point: reads like the session it was taken from did then, and refuses to be changed.

    It is a valid ``session=`` for whatever only reads. A run adds what it is asked, and raises ReadOnlySession before the model
    is called.
    """

    def __init__(self, session: "TimeTravel", point: Point) -> None:
        self.session_id = session.session_id
        self.session_settings = session.session_settings
        self._session = session
        self._point = point

    async def get_items(self, limit: int | None = None, *, turns: int | None = None) -> "list[TResponseInputItem]":
        """Return the newest items as of the point, oldest first; as `EventLogSession.get_items` does of now."""
        return (await self.read(limit, turns=turns)).items

    async def read(self, limit: int | None = None, *, turns: int | None = None) -> SessionView:
        """Return the items as of the point together with the version they stand at."""
        return await self._session._view(limit, self._point, turns, self.session_settings or SessionSettings())

    async def add_items(self, items: "list[TResponseInputItem]") -> None:  # noqa: ARG002 the protocol's
        """Raise ReadOnlySession."""
        self._refuse()

    async def pop_item(self) -> "TResponseInputItem | None":
        """Raise ReadOnlySession."""
        self._refuse()

    async def clear_session(self) -> None:
        """Raise ReadOnlySession."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ReadOnlySession(
            "the past can't be changed, and a run adds to its session: take the session that at() was called on, or "
            "fork(new_session_id, at=...) it there; nothing was written"
        )
