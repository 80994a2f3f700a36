"""Two streams that arrive in any order, paired as they come: the blocks of a sequential test.

Who sees what is drawn by a hash, and a block is cut by who arrived, never by what was seen. So
under the hypothesis that the challenger is no worse, the difference of the two means of a block
has an expectation of at most 0 given every block before it, which is all that an e-process needs.
Source: Turner, Ly and Grünwald 2024, "Generic E-variables for exact sequential k-sample tests that
allow for optional stopping", J. Stat. Planning and Inference 230, doi 10.1016/j.jspi.2023.106116.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, Literal, NamedTuple, TypeVar

T = TypeVar("T")

Arm = Literal["champion", "challenger"]

#: At most so many of one side wait for the other; the oldest go first.
WAITING = 64
#: One of the champion's stands against one of the challenger's, and against so much of its queue.
_SHARE = 4


class Block(NamedTuple, Generic[T]):
    """What is compared: some of the challenger's, some of the champion's, one at least of each."""

    challenger: list[T]
    champion: list[T]


@dataclass
class Streams(Generic[T]):
    """What waits for the other side; one of the two lists is always empty."""

    champion: list[T] = field(default_factory=list)
    challenger: list[T] = field(default_factory=list)

    def add(self, arm: Arm, item: T) -> Block[T] | None:
        """Take one more; return the block that it completes, if it does."""
        mine = self.champion if arm == "champion" else self.challenger
        mine.append(item)
        if len(mine) > WAITING:
            del mine[0]
        if not (self.champion and self.challenger):
            return None
        taken = 1 + (len(self.challenger) - 1) // _SHARE
        block = Block(self.challenger[:taken], self.champion)
        self.challenger, self.champion = self.challenger[taken:], []
        return block
