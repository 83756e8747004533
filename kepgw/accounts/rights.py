"""What an operator (işlem yetkilisi) may do with an account; rights are given one by one."""

from enum import IntFlag
from typing import Final


class Right(IntFlag):
    """Rights of an operator; the numbers stand in the store and never change."""

    READ = 1  # read bodies; only such reading makes evidence 60
    SEND = 2
    DELETE = 4
    ARCHIVE = 8


ALL: Final = Right.READ | Right.SEND | Right.DELETE | Right.ARCHIVE  # the main operator (ana işlem yetkilisi)
NONE: Final = Right(0)


def names(rights: Right) -> list[str]:
    """The names of the rights in lower case, in the order of the numbers."""
    return [right.name.lower() for right in Right if right in rights and right.name]
