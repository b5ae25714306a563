"""Questions about texts of a handful of words, in SQuAD's form: nothing is downloaded."""

import json
import random

import datasets

from tests.tiny import WORDS


def make_questions(num_rows, *, num_words=(6, 14), kinds=("answer",), seed=0):
    """A data set of random questions.

    Args:
        num_words: Fewest and most words of a context.
        kinds (list of `str`): What a row has, in turns: "answer", "no answer" or "unknown".
    """
    draw, rows = random.Random(seed), []
    for index in range(num_rows):
        words = draw.choices(WORDS, k=draw.randint(*num_words))
        first = draw.randrange(len(words))
        answer = " ".join(words[first : first + draw.randint(1, 3)])
        start = len(" ".join([*words[:first], ""]))
        known = {"answer": {"text": [answer], "answer_start": [start]}, "no answer": {"text": [], "answer_start": []}}
        rows.append(
            {
                "id": str(index),
                "question": " ".join(draw.choices(WORDS, k=draw.randint(2, 4))),
                "context": " ".join(words),
                "answers": known.get(kinds[index % len(kinds)]),
            }
        )
    return datasets.Dataset.from_list(rows)


def save_questions(path, *args, **settings):
    """The same as a jsonl file."""
    rows = list(make_questions(*args, **settings))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
