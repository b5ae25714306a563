"""Checks of numbers that a user sets: finite, of the right type, in their range."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .messages import shown

_END_OF_INT64 = 2**63


@dataclass(frozen=True)
class Interval:
    """The values that a number may have.

    Args:
        low, high (`float`): Ends of the range. Infinite ends are not values: a setting is always finite.
        above, below (`float`): Ends that the number may not reach.
        whole (`bool`): A whole number.
    """

    low: float = -math.inf
    high: float = math.inf
    above: float = -math.inf
    below: float = math.inf
    whole: bool = False

    def check(self, value: Any, name: str, reason: str = "") -> Any:
        """Return the number; a whole one as an int (3.0 as 3).

        Args:
            value: What the user has set.
            name (`str`): Of the setting, for the message.
            reason (`str`): A sentence at the end of the message.

        Raises:
            ValueError: Not a number (true and false are none), not finite, not whole, or out of range.
        """
        is_number = (
            not isinstance(value, (bool, str)) and hasattr(value, "__float__") and not getattr(value, "ndim", 0)
        )
        number = _as_float(value) if is_number else math.nan
        fits = self.low <= number <= self.high and self.above < number < self.below  # NaN and infinity do not
        is_too_large = self.whole and fits and abs(number) >= _END_OF_INT64
        fits = fits and not is_too_large
        if not fits or (self.whole and number != int(number)):
            finite = " and finite" if is_number and not math.isfinite(number) else ""
            finite += " and below 2**63" if is_too_large else ""
            allowed = str(self) if is_number or self.whole else "be a number"
            raise ValueError(f"{name} must {allowed}{finite}; got {shown(value)}." + (f" {reason}" if reason else ""))
        return int(value) if self.whole else value

    def __str__(self) -> str:
        kind = "be a whole number" if self.whole else "be"
        if self.high < math.inf and self.above > -math.inf:
            return f"{kind} greater than {self.above:g} and at most {self.high:g}"
        if self.high < math.inf:
            start = f"{kind}, " if self.whole else "lie in "
            return (
                f"{start}{self.low:g} to {self.high:,.0f}"
                if self.high > 1
                else f"{start}{self.low:g} to {self.high:g}"
            )
        if self.below < math.inf:
            start = f"{self.low:g} or greater" if self.low > self.above else f"greater than {self.above:g}"
            return f"{kind} {start} and below {self.below:g}"
        if self.above > -math.inf:
            return f"{kind} greater than {self.above:g}"
        if self.low > -math.inf:
            return f"{kind}{',' * self.whole} {self.low:g} or greater"
        return kind if self.whole else "be a number"


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return math.inf if value > 0 else -math.inf


NUMBER, WHOLE_NUMBER = Interval(), Interval(whole=True)
FRACTION, NOT_NEGATIVE, POSITIVE = Interval(0, 1), Interval(0), Interval(above=0)
COUNT, COUNT_OR_ZERO = Interval(1, whole=True), Interval(0, whole=True)
SEED = Interval(0, 2**32 - 1, whole=True)
# Beyond it float32 loses what a temperature should show: softened predictions are equal, or all but one class is 0.
TEMPERATURE = Interval(0.001, 1000)


def check_numbers(settings: Any, intervals: Mapping[str, Interval]) -> None:
    """Check the numbers among the attributes of an object: None is not set, a list is checked element by element.

    Args:
        settings: A dataclass, for example.
        intervals (`dict[str, Interval]`): By name of the attribute; those of other objects are skipped.

    Raises:
        ValueError: See `Interval.check`.
    """
    for name, value in list(vars(settings).items()):
        if name not in intervals or value is None:
            continue
        if isinstance(value, (list, tuple)):
            setattr(settings, name, [intervals[name].check(element, f"Each of {name}") for element in value])
        else:
            setattr(settings, name, intervals[name].check(value, name))
