"""Display of metrics in tables, reports and cards: short name, unit, and whether lower is better."""

import math
from dataclasses import dataclass

NOTHING = "-"


@dataclass(frozen=True)
class Display:
    """Display of one metric.

    Attributes:
        short (`str`): Its name in a table.
        percent (`bool`): A fraction, displayed times 100 with one decimal; otherwise a plain number with two.
        lower_is_better (`bool`): As for perplexity.
    """

    short: str
    percent: bool = True
    lower_is_better: bool = False

    def number(self, value: float | None, spread: float | None = None) -> str:
        """Format a value: "91.3" or "12.34", with "± 0.2" where there is a spread; "-" for None and NaN."""
        text = self._text(value)
        return text if spread is None else f"{text} ± {self._text(spread)}"

    def change(self, value: float | None) -> str:
        """Format a difference: "+1.2 points" of a percentage, "-0.34" of a plain number."""
        text = self.signed(value)
        return f"{text} points" if self.percent else text

    def signed(self, value: float | None) -> str:
        """Format a difference without its unit, such as an end of its interval."""
        return self._text(value, sign="+")

    def _text(self, value: float | None, sign: str = "") -> str:
        if value is None or math.isnan(value):
            return NOTHING
        return format(100 * value, f"{sign}.1f") if self.percent else format(value, f"{sign}.2f")


# Default: a fraction, better when higher, under its own name.
_DISPLAYS = {
    "map": Display("mAP"),
    "map_50": Display("mAP at 0.5"),
    "matthews_correlation": Display("matthews"),
    "perplexity": Display("perplexity", percent=False, lower_is_better=True),
    "rank_1": Display("rank-1"),
    "spearmanr": Display("spearman"),
    "tar_at_far_0.001": Display("TAR@0.1%"),
    "tar_at_far_0.01": Display("TAR@1%"),
    "verification_auc": Display("AUC"),
    "cer": Display("CER", lower_is_better=True),
    "wer": Display("WER", lower_is_better=True),
}


def display(name: str) -> Display:
    """The `Display` of a metric by name."""
    return _DISPLAYS.get(name) or Display(name)


def short_count(value: int) -> str:
    """Format a count: 10654464 as "10.7M", 9200 as "9.2k", 920 unchanged."""
    if value < 1000:
        return str(value)
    return f"{value / 1e6:.1f}M" if value >= 1e6 else f"{value / 1e3:.1f}k"
