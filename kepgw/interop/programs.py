"""Programs of the administrator's choice: what of our environment they get.

A PIN may stand in it (``pin_env`` of a token): no program of others is told.
"""

import os
from typing import Final

PASSED_ON: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")


def environment(**more: str) -> dict[str, str]:
    """The environment of a program that we start."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | more
