"""Words as sequences of units, and units as chains of states."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..internals.messages import listed, shown

SILENCE = "<sil>"


@dataclass(frozen=True)
class Lexicon:
    """The states of each word.

    Args:
        words (`dict[str, list[str]]`): Word -> its units: the word itself in a whole-word model, or units shared by words.
        lengths (`dict[str, int]`): Unit -> its number of states, left to right; includes silence.

    Attributes:
        state_names (`list[str]`): Names by state number, such as "seven.3".

    Raises:
        ValueError: There are no words; a word has no units; a unit has no length or no states.
    """

    words: dict[str, list[str]]
    lengths: dict[str, int]
    state_names: list[str] = field(init=False)
    _first: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        if not self.words:
            raise ValueError(f"A lexicon needs at least one word; got {shown(self.words)}.")
        if SILENCE in self.words:
            raise ValueError(f"{shown(SILENCE)} is reserved for silence between words. Rename this word.")
        for word, units in self.words.items():
            unknown = [unit for unit in units if unit not in self.lengths]
            if not units or unknown:
                raise ValueError(
                    f"The word {shown(word)} should be a list of units of known length; got {shown(units)}"
                    f"{f', of which {shown(unknown[0])} has no length' if unknown else ''}."
                )
        if SILENCE not in self.lengths or min(self.lengths.values()) < 1:
            raise ValueError(
                f"Every unit, and {shown(SILENCE)}, needs a number of states, 1 or more; got {dict(self.lengths)}."
            )
        names, first = [], {}
        for unit, length in self.lengths.items():
            first[unit] = len(names)
            names += [f"{unit}.{index}" for index in range(length)]
        object.__setattr__(self, "state_names", names)
        object.__setattr__(self, "_first", first)

    @classmethod
    def whole_words(cls, words: Iterable[str], *, num_states: int = 8, silence_states: int = 3) -> "Lexicon":
        """Make a lexicon in which each word is a unit.

        Args:
            words (`Iterable[str]`): The words. They are sorted, so that the same words give the same states.
            num_states (`int`): States per word, which is also its minimum number of frames.
            silence_states (`int`): States of silence.
        """
        words = sorted(set(words))
        lengths = {SILENCE: silence_states, **dict.fromkeys(words, num_states)}
        return cls({word: [word] for word in words}, lengths)

    @property
    def num_states(self) -> int:
        """Number of states of all units."""
        return len(self.state_names)

    def chain(self, word: str) -> list[int]:
        """States of a word, or of silence, in order.

        Raises:
            ValueError: The word is not in the lexicon.
        """
        if word != SILENCE and word not in self.words:
            raise ValueError(
                f"The word {shown(word)} is not among the {len(self.words)} of the lexicon ({listed(self.words)})."
            )
        units = [SILENCE] if word == SILENCE else self.words[word]
        return [self._first[unit] + index for unit in units for index in range(self.lengths[unit])]

    def to_dict(self) -> dict:
        """Return a JSON-ready dict. Units are a list, because their order numbers the states and configs sort keys."""
        units = [[unit, length] for unit, length in self.lengths.items()]
        return {"words": {word: list(parts) for word, parts in self.words.items()}, "units": units}

    @classmethod
    def from_dict(cls, settings: Mapping) -> "Lexicon":
        """Rebuild a lexicon from the result of `to_dict`."""
        return cls(settings["words"], dict(settings["units"]))
