"""The thinnest slice, on every store."""

from agents.items import TResponseInputItem

from eventlog_session import EventLogSession, Store


async def test_what_was_added_is_there(store: Store, session_id: str) -> None:
    """Items come back in order, from another session object too."""
    items: list[TResponseInputItem] = [{"role": "user", "content": f"{number}"} for number in range(3)]
    session = EventLogSession(session_id, store=store)
    await session.add_items(items[:2])
    await session.add_items(items[2:])
    assert await EventLogSession(session_id, store=store).get_items() == items
    assert await session.pop_item() == items[2]
    assert await session.get_items(1) == [items[1]]
