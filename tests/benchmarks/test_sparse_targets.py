"""The benchmark of sparse targets compares ways that take the same bytes, from the same first weights."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))  # where `python benchmarks/x.py` finds what they share

import language_pairs  # noqa: E402
import sparse_targets  # noqa: E402
from sparse_targets import DENSE, INDEPENDENT, LABELS, SAMPLED, SCALED, SPARSE, TAIL, Ways  # noqa: E402

VOCABULARY = 200


def model(seed, width, spread):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = nn.Sequential(nn.Embedding(VOCABULARY, width), nn.Linear(width, VOCABULARY))
    for parameter in made.parameters():
        parameter.data *= spread
    return made


@pytest.fixture
def pair():
    """A pair of models that say the next token from one token alone."""
    batches = list(torch.randint(VOCABULARY, (6, 16), generator=torch.Generator().manual_seed(0)))
    return SimpleNamespace(
        teacher=model(0, 16, 3.0),
        student=lambda seed: model(seed, 4, 1.0),
        logits=lambda one, batch: one(batch[:-1]),
        labels=lambda batch: batch[1:],
        vocabulary=VOCABULARY,
        train=batches[:4],
        held_out=batches[4:],
        learning_rate=1e-2,
        num_epochs=2,
    )


def test_the_ways_take_the_same_bytes_and_top_k_is_never_the_smaller(pair):
    ways = Ways(pair, pair.train, 20)
    sampled, independent, tail = (ways.bytes(way) for way in (SAMPLED, INDEPENDENT, TAIL))
    assert sampled <= tail < sampled + 3 and independent == pytest.approx(sampled, rel=0.05)
    assert ways.num_independent > 20 and ways.bytes(DENSE) == 2 * VOCABULARY


def test_draws_of_a_batch_are_the_same_every_time_and_others_for_another_seed(pair):
    ways, teacher = Ways(pair, pair.train, 20), pair.logits(pair.teacher, pair.train[0])
    for way in (SAMPLED, INDEPENDENT):
        first, again, other = (ways.targets(way, teacher, 3, seed) for seed in (0, 0, 1))
        assert torch.equal(first["ids"], again["ids"])
        assert first["ids"].shape != other["ids"].shape or not torch.equal(first["ids"], other["ids"])


def test_the_mean_gradient_of_draws_is_the_dense_one_and_that_of_top_k_is_not(pair):
    ways, student, batch = Ways(pair, pair.train, 20), pair.student(0), pair.train[0]
    teacher = pair.logits(pair.teacher, batch).detach()

    def mean_gradient(way, num_seeds):
        values = [sparse_targets.loss(way, ways, pair, student, teacher, batch, 0, seed) for seed in range(num_seeds)]
        return sparse_targets.flat_gradient(sum(values) / num_seeds, student)

    dense = mean_gradient(DENSE, 1)
    angles = {
        way: sparse_targets.angle(mean_gradient(way, 200 if way in (SAMPLED, INDEPENDENT) else 1), dense)
        for way in SPARSE
    }
    assert angles[SAMPLED] < 1 and angles[INDEPENDENT] < 2
    assert angles[TAIL] > 3 and angles[SCALED] > 3


def test_an_angle_is_in_degrees_and_exact_where_it_is_small():
    one = torch.tensor([1.0, 0.0], dtype=torch.float64)
    for degrees in (0.0, 1e-5, 30.0, 90.0, 180.0):
        turned = torch.tensor(degrees, dtype=torch.float64).deg2rad()
        other = 7 * torch.stack([turned.cos(), turned.sin()])
        assert sparse_targets.angle(one, other) == pytest.approx(degrees, rel=1e-6, abs=1e-9)


def test_students_of_all_ways_begin_alike_and_learn(pair):
    ways = {20: Ways(pair, pair.train, 20)}
    students = sparse_targets.train(pair, ways, 0)
    assert set(students) == {DENSE, LABELS, *(f"{way} (20)" for way in SPARSE)}
    before = sparse_targets.score(pair, pair.student(0))["kl"]
    assert all(sparse_targets.score(pair, student)["kl"] < before for student in students.values())
    pair.learning_rate = 0.0
    unmoved = [one.state_dict()["0.weight"] for one in sparse_targets.train(pair, ways, 0).values()]
    assert all(torch.equal(one, unmoved[0]) for one in unmoved)


def test_differences_are_taken_seed_by_seed():
    scores = [{DENSE: {"kl": a, "words": 1.0}, "x": {"kl": a + 0.5, "words": 1.0}} for a in (1.0, 3.0)]
    found = sparse_targets.summary(scores)
    assert found["x"]["kl"]["sd"] == pytest.approx(2**0.5) and found["x"]["kl_above_dense"] == {"mean": 0.5, "sd": 0}


def test_without_a_teacher_the_message_says_what_is_missing(tmp_path, capsys):
    with pytest.raises(SystemExit, match="config.json is missing.*--teacher"):
        language_pairs.language_pair("stories", teacher=str(tmp_path), data="", scale=1.0)
    with pytest.raises(SystemExit):
        sparse_targets.parse_args(["--pair", "masked"])
    assert "needs --teacher" in capsys.readouterr().err
