"""Print the table of states and events as markdown: ``python scripts/print_journey.py > docs/journey.md``."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from kepgw.journey import states
from kepgw.journey.states import KEEPS, TABLE, Event, State

# What a state or event means stands behind it in the source
_MEMBER = re.compile(r'^    [A-Z0-9_]+ = "([a-z0-9-]+)"(?:  # (.*))?$', re.MULTILINE)
MEANING = {value: meaning for value, meaning in _MEMBER.findall(Path(states.__file__).read_text("utf-8")) if meaning}
EVIDENCE = "evidence {} of the recipient's provider, or our own"


def meaning(member: State | Event) -> str:
    """What a state or event means, in one line."""
    return MEANING.get(member.value) or EVIDENCE.format(member.value.removeprefix("evidence-"))


def page() -> Iterator[str]:
    """The lines of docs/journey.md."""
    yield "# The journey of a message"
    yield ""
    yield "Made by `python scripts/print_journey.py > docs/journey.md` from `kepgw/journey/states.py`; do not edit."
    yield ""
    yield "One machine for each recipient of each dispatch. Codes of evidence: 10 accepted, 20/21 taken or"
    yield "refused by the recipient's provider, 31 not reached, 40/41 delivered or not, 60/61 read or not in time."
    yield '31, and 41 by the sender\'s provider, say "no proof until then": a proof that comes later wins.'
    yield ""
    yield "## States"
    yield ""
    yield "| state | meaning |"
    yield "| --- | --- |"
    yield from (f"| `{state.value}` | {meaning(state)} |" for state in State)
    yield ""
    yield "## Events"
    yield ""
    yield "| event | meaning |"
    yield "| --- | --- |"
    yield from (f"| `{event.value}` | {meaning(event)} |" for event in Event)
    yield ""
    yield "## Steps"
    yield ""
    yield "| in state | event | next state | to be done |"
    yield "| --- | --- | --- | --- |"
    for state in State:
        for event in Event:
            step = TABLE.get((state, event))
            if step is not None:
                actions = ", ".join(f"`{action.value}`" for action in step.actions)
                yield f"| `{state.value}` | `{event.value}` | `{step.state.value}` | {actions} |"
    yield ""
    yield "## Events that are recorded and change nothing"
    yield ""
    yield "| in state | events |"
    yield "| --- | --- |"
    for state in State:
        kept = [f"`{event.value}`" for event in Event if event in KEEPS.get(state, ())]
        if kept:
            yield f"| `{state.value}` | {', '.join(kept)} |"
    yield ""
    yield "Every other pair is impossible: it is an error of the program and undoes the transaction that met it."


if __name__ == "__main__":
    sys.stdout.write("\n".join(page()) + "\n")
