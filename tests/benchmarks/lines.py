"""What a case is given, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """A measured figure and its target."""

    what: str
    figure: float
    target: float
    unit: str = "x"
    #: Whether more is better.
    is_floor: bool = False
    #: The measurements behind the figure.
    note: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the figure reaches its target, to the precision that is printed."""
        better = (-1 if self.is_floor else 1) * (self.figure - self.target)
        return better < 0.005


@dataclass(frozen=True)
class Options:
    """How thorough the benchmark is."""

    #: The part of the usual amount of data.
    share: float = 1
    repeat: int = 5

    def of(self, number: int, step: int = 1000) -> int:
        """The share of a number, in whole steps."""
        return max(1, round(number * self.share / step)) * step
