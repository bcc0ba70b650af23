"""docs/events.md from the event descriptions."""
from model import EventType


def document(types: list[EventType], before: str) -> str:
    return before
