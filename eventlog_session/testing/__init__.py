"""
For tests of what is built on this package: the suite that every `Store` must pass, stores that watch and fail others.

`StoreContract` needs pytest and pytest-asyncio, the rest nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .faulty import Chance, Fault, FaultyStore, Script
from .profiles import PROFILES, Profile, ProfiledStore
from .stores import CountingStore

if TYPE_CHECKING:
    from .contract import StoreContract

__all__ = [
    "PROFILES", "Chance", "CountingStore", "Fault", "FaultyStore", "Profile", "ProfiledStore", "Script", "StoreContract",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name != "StoreContract":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # before its import, so that a failing assert of the suite says what it compared
    import_module("pytest").register_assert_rewrite(f"{__name__}.contract")
    return import_module(".contract", __name__).StoreContract
