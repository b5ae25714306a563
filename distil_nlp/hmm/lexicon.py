"""Words as sequences of units, units as chains of states."""

from dataclasses import dataclass, field

SILENCE = "<sil>"


@dataclass(frozen=True)
class Lexicon:
    """Which states a word goes through.

    Args:
        words (`dict[str, list[str]]`): A word to its units: itself for a model of whole words, or parts that words share.
        lengths (`dict[str, int]`): A unit to its number of states, left to right; silence among them.

    Attributes:
        state_names (`list[str]`): Such as "seven.3", by the number of the state.

    Raises:
        ValueError: No word; a word without units; a unit of unknown length, or of none.
    """

    words: dict
    lengths: dict
    state_names: list = field(init=False)
    _first: dict = field(init=False)

    def __post_init__(self):
        if not self.words:
            raise ValueError(f"A lexicon has at least one word; got {self.words!r}.")
        if SILENCE in self.words:
            raise ValueError(f"{SILENCE!r} is what stands between words, and cannot be one. Rename it.")
        for word, units in self.words.items():
            unknown = [unit for unit in units if unit not in self.lengths]
            if not units or unknown:
                raise ValueError(
                    f"The word {word!r} should be a list of units of known length; got {units!r}"
                    f"{f', of which {unknown[0]!r} has no length' if unknown else ''}."
                )
        if SILENCE not in self.lengths or min(self.lengths.values()) < 1:
            raise ValueError(
                f"Every unit, and {SILENCE!r}, has a number of states, 1 or more; got {dict(self.lengths)}."
            )
        names, first = [], {}
        for unit, length in self.lengths.items():
            first[unit] = len(names)
            names += [f"{unit}.{place}" for place in range(length)]
        object.__setattr__(self, "state_names", names)
        object.__setattr__(self, "_first", first)

    @classmethod
    def whole_words(cls, words, *, num_states=8, silence_states=3):
        """Each word a unit of its own.

        Args:
            words (`Iterable[str]`): Sorted here, so that the same words give the same states.
            num_states (`int`): Of a word. It lasts at least so many frames.
            silence_states (`int`): Of silence.
        """
        words = sorted(set(words))
        lengths = {SILENCE: silence_states, **dict.fromkeys(words, num_states)}
        return cls({word: [word] for word in words}, lengths)

    @property
    def num_states(self):
        """Of all units together."""
        return len(self.state_names)

    def chain(self, word):
        """The states of a word, or of silence, in their order.

        Raises:
            ValueError: A word that is not in the lexicon.
        """
        if word != SILENCE and word not in self.words:
            raise ValueError(
                f"The word {word!r} is not among the {len(self.words)} of the lexicon ({', '.join(list(self.words)[:10])})."
            )
        units = [SILENCE] if word == SILENCE else self.words[word]
        return [self._first[unit] + place for unit in units for place in range(self.lengths[unit])]

    def to_dict(self):
        """As config.json keeps it: units as a list, because their order numbers the states and a config sorts its keys."""
        units = [[unit, length] for unit, length in self.lengths.items()]
        return {"words": {word: list(parts) for word, parts in self.words.items()}, "units": units}

    @classmethod
    def from_dict(cls, kept):
        """From what `to_dict` gave."""
        return cls(kept["words"], dict(kept["units"]))
