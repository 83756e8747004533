"""One step of the machine."""

from kepgw.errors import KepError
from kepgw.journey.states import KEEPS, TABLE, Event, State, Step


class Impossible(KepError):
    """An event that cannot happen in a state: a fault of ours, never of a peer or a user."""


def step(state: State, event: Event) -> Step:
    """The step that ``event`` makes from ``state``. A repeated or overtaken proof keeps the state.

    Raises Impossible when the table knows no such step.
    """
    found = TABLE.get((state, event))
    if found is not None:
        return found
    if event in KEEPS.get(state, frozenset()):
        return Step(state)
    raise Impossible(f"{event.value} in state {state.value}")


def after(event: Event) -> str:
    """The KEP code (two digits) that a proof event records, or "" for an event that is no proof."""
    name = event.value
    return name.removeprefix("evidence-") if name.startswith("evidence-") else ""
