"""The life of a message, without I/O and without a clock: it decides, others do."""

from kepgw.journey.machine import step
from kepgw.journey.states import Action, Event, State, Step
from kepgw.journey.summary import keywords

__all__ = ["Action", "Event", "State", "Step", "keywords", "step"]
