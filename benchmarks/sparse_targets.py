"""What is lost when a teacher's distribution over a vocabulary is kept in parts: gradients, and students.

    python benchmarks/sparse_targets.py                          # stories, 512 tokens; about 10 minutes of one core
    python benchmarks/sparse_targets.py --pair masked --num_draws 50 --teacher runs/mlm-3l/teacher   # 30,522; 15

Five ways to keep it, the sparse ones at the same bytes a token: dense; the k likeliest, with the probability of the
others or scaled to a sum of 1; independent draws; systematic draws. Systematic ones, `SampledFormat`, are made as many as
--num_draws says. Independent draws and k are then as many as take the same bytes; where k is no whole number, top-k gets
the next one, so it is never the smaller.

Printed are, for each way, the angle between the gradient of the student's parameters and that of dense targets, over
single batches and over all of them together, at the first weights and at the last ones of the student taught densely; and
students of each way and of the labels alone, all from the same first weights over the same batches. A token keeps its
draws from epoch to epoch, as in a cache. Temperature is 1, and no term looks at labels.
"""

import argparse
import math

import numpy as np
import torch
from language_pairs import language_pair
from timing import load_average, parse, share_cores, text_table, write_result
from tqdm.auto import tqdm
from transformers.utils import logging

from distil_nlp.losses import cross_entropy, soft_target_kl, sparse_target_kl
from distil_nlp.teachers.cache.sparse import SampledFormat, TopKFormat, sampling_offsets

SAMPLED, INDEPENDENT, TAIL, SCALED = "systematic", "independent", "top-k and the rest", "top-k, scaled"
DENSE, LABELS = "dense", "labels alone"
SPARSE = (TAIL, SCALED, INDEPENDENT, SAMPLED)
QUICK = {
    "num_draws": [12],
    "seeds": 1,
    "angle_batches": 1,
    "scale": 0.03,
    "output": "runs/benchmarks/sparse_targets.json",
}
TEACHERS = {"stories": "../shared/data/models/stories260k", "masked": None}


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", choices=["stories", "masked"], default="stories")
    parser.add_argument("--teacher", help="Default of stories: stories260k. Of masked there is none.")
    parser.add_argument("--data", default="../shared/data/wikitext2", help="Of masked.")
    parser.add_argument("--num_draws", type=int, nargs="+", default=[12, 50], help="Each is a size to compare at.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--angle_batches", type=int, default=12)
    parser.add_argument("--scale", type=float, default=1.0, help="Of the amount of text.")
    parser.add_argument("--output", help="Default: benchmarks/results/sparse_targets_<pair>.json")
    args = parse(parser, argv, quick=QUICK)
    args.teacher = args.teacher or TEACHERS[args.pair]
    if args.teacher is None:
        parser.error("--pair masked needs --teacher, a folder with a masked language model.")
    return args


def main():
    args = parse_args()
    share_cores(1)
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    load, pair = (
        load_average(),
        language_pair(args.pair, teacher=args.teacher, data=args.data, scale=args.scale, quick=args.quick),
    )
    batches = pair.train[: args.angle_batches]
    ways = {draws: Ways(pair, batches, draws) for draws in args.num_draws}
    students = [train(pair, ways, seed) for seed in range(args.seeds)]
    scores = [{name: score(pair, student) for name, student in of.items()} for of in students]
    points = {"first weights": pair.student(0), "taught densely": students[0][DENSE]}
    gradients = {
        point: {draws: compare_gradients(pair, student, batches, of) for draws, of in ways.items()}
        for point, student in points.items()
    }
    found = {
        "teacher": score(pair, pair.teacher),
        "entropy": ways[args.num_draws[0]].entropy,
        "ways": {draws: of.describe() for draws, of in ways.items()},
        "gradients": gradients,
        "students": summary(scores),
        "scores": scores,
    }
    show(found)
    settings = {name: value for name, value in vars(args).items() if name not in ("teacher", "data", "output")}
    path = args.output or f"benchmarks/results/sparse_targets_{args.pair}.json"
    models = {"teacher": pair.teacher, "student": points["first weights"]}
    sizes = {name: sum(one.numel() for one in model.parameters()) for name, model in models.items()}
    result = {"settings": settings, "vocabulary": pair.vocabulary, "parameters": sizes, **found}
    write_result(path, result, threads=1, load=load)


class Ways:
    """The ways to keep a distribution, with sizes at which they take the same bytes.

    Args:
        pair: Of `language_pairs`.
        batches (list): Over which bytes are measured.
        num_draws (`int`): Of systematic sampling.
    """

    def __init__(self, pair, batches, num_draws):
        self.vocabulary = pair.vocabulary
        self.sampled = SampledFormat(pair.vocabulary, num_draws=num_draws)
        with torch.no_grad():
            teachers = [pair.logits(pair.teacher, batch) for batch in batches]
        counted = [self.sampled.encode(one, offsets(index, len(one))) for index, one in enumerate(teachers)]
        self.sizes = {SAMPLED: float(np.concatenate([one["sizes"] for one in counted]).mean())}
        self.entropy = float(np.concatenate([one["entropy"] for one in counted]).astype(np.float64).mean())
        self.num_independent = self._as_many_independent(teachers)
        self.sizes[INDEPENDENT] = self._distinct(teachers, self.num_independent)
        one = TopKFormat(pair.vocabulary, k=1).arrays
        self._top_bytes, self._rest_bytes = one["entries"][1][-1], one["rest"][0].itemsize
        k = math.ceil((self.bytes(SAMPLED) - self._rest_bytes) / self._top_bytes)
        self.top = TopKFormat(pair.vocabulary, k=min(k, pair.vocabulary))

    def bytes(self, way):
        """A token, on average."""
        if way in (TAIL, SCALED):
            return self.top.k * self._top_bytes + (self._rest_bytes if way == TAIL else 0)
        if way == DENSE:
            return 2 * self.vocabulary  # float16
        form = self.sampled if way == SAMPLED else SampledFormat(self.vocabulary, num_draws=self.num_independent)
        fixed = form.arrays["sizes"][0].itemsize + form.arrays["entropy"][0].itemsize
        return self.sizes[way] * form.arrays["entries"][1][0] + fixed

    def targets(self, way, teacher, index, seed=0):
        """What is kept of one batch's logits, as arguments of `sparse_target_kl`: a function of batch and seed."""
        if way == SAMPLED:
            kept = self.sampled.decode(self.sampled.encode(teacher, offsets(index, len(teacher), seed)))
            return {"ids": kept.ids, "weights": kept.weights, "entropy": kept.entropy}
        if way == INDEPENDENT:
            draw = torch.Generator().manual_seed(1_000_003 * seed + index)
            ids = teacher.softmax(-1).multinomial(self.num_independent, replacement=True, generator=draw)
            return {"ids": ids, "weights": torch.full(ids.shape, 1 / self.num_independent)}
        kept = self.top.decode(self.top.encode(teacher))
        if way == TAIL:
            return {"ids": kept.ids, "weights": kept.weights, "rest": kept.rest}
        return {"ids": kept.ids, "weights": kept.weights / kept.weights.sum(-1, keepdim=True)}

    def describe(self):
        """What was kept by each way."""
        entries = {**self.sizes, TAIL: self.top.k, SCALED: self.top.k}
        return {
            "num_independent": self.num_independent,
            "k": self.top.k,
            "bytes": {way: self.bytes(way) for way in (DENSE, *SPARSE)},
            "entries": entries,
        }

    def _as_many_independent(self, teachers):
        """Independent draws that name as many different tokens as the systematic ones."""
        low, high = self.sampled.num_draws, 8 * self.sampled.num_draws
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._distinct(teachers, middle) < self.sizes[SAMPLED] else (low, middle)
        return low

    def _distinct(self, teachers, draws):
        """Expected number of different tokens among independent draws."""
        counts = [-(draws * (-one.softmax(-1)).log1p()).expm1().sum(-1) for one in teachers[:4]]
        return float(torch.cat(counts).mean())


def offsets(index, count, seed=0):
    """Of the items of a batch."""
    return sampling_offsets(seed, index, count)


def loss(way, ways, pair, student, teacher, batch, index, seed=0):
    """Mean over the items of a batch."""
    ours = pair.logits(student, batch)
    if way == LABELS:
        return cross_entropy(ours, pair.labels(batch)).mean()
    if way == DENSE:
        return soft_target_kl(ours, teacher, temperature=1.0).mean()
    return sparse_target_kl(ours, **ways.targets(way, teacher, index, seed), temperature=1.0).mean()


# ---- Gradients ----


def compare_gradients(pair, student, batches, ways):
    """Angle in degrees and ratio of norms to the gradient of dense targets, by way."""
    student.eval()
    sums, angles = {}, {}
    for index, batch in enumerate(tqdm(batches, desc="Gradients", disable=None, leave=False)):
        with torch.no_grad():
            teacher = pair.logits(pair.teacher, batch)
        found = {
            way: flat_gradient(loss(way, ways, pair, student, teacher, batch, index), student)
            for way in (DENSE, LABELS, *SPARSE)
        }
        for way, one in found.items():
            angles.setdefault(way, []).append(angle(one, found[DENSE]))
            sums[way] = sums.get(way, 0) + one
    return {
        way: {
            "angle_of_a_batch": float(np.mean(angles[way])),
            "angle_of_all": angle(sums[way], sums[DENSE]),
            "norm_ratio": float(sums[way].norm() / sums[DENSE].norm()),
        }
        for way in (LABELS, *SPARSE)
    }


def flat_gradient(value, student):
    parameters = [one for one in student.parameters() if one.requires_grad]
    found = torch.autograd.grad(value, parameters, allow_unused=True)
    return torch.cat([one.flatten().double() for one in found if one is not None])


def angle(one, other):
    """In degrees, exact for small ones, too."""
    one, other = one / one.norm(), other / other.norm()
    return math.degrees(2 * math.atan2(float((one - other).norm()), float((one + other).norm())))


# ---- Students ----


def train(pair, ways, seed):
    """Students of all ways side by side, over the same batches: `{name: student}`."""
    learners = {(DENSE, None), (LABELS, None), *((way, draws) for draws in ways for way in SPARSE)}
    learners = sorted(learners, key=str)
    students = [pair.student(seed).train() for _ in learners]
    num_steps = pair.num_epochs * len(pair.train)
    optimizers = [torch.optim.AdamW(one.parameters(), lr=pair.learning_rate, weight_decay=0.0) for one in students]
    order = np.random.default_rng(seed)
    steps = [int(index) for _ in range(pair.num_epochs) for index in order.permutation(len(pair.train))]
    for step, index in enumerate(tqdm(steps, desc=f"Students of seed {seed}", disable=None, leave=False)):
        batch = pair.train[index]
        with torch.no_grad():
            teacher = pair.logits(pair.teacher, batch)
        for (way, draws), student, optimizer in zip(learners, students, optimizers, strict=True):
            torch.manual_seed(step)  # dropout, where there is some, is the same for all
            loss(way, ways.get(draws), pair, student, teacher, batch, index, seed).backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            for group in optimizer.param_groups:
                group["lr"] = pair.learning_rate * (1 - step / num_steps) * min(1, (step + 1) / 20)
            optimizer.step()
            optimizer.zero_grad()
    return {name_of(*learner): student.eval() for learner, student in zip(learners, students, strict=True)}


def name_of(way, draws):
    return way if draws is None else f"{way} ({draws})"


def score(pair, student):
    """Over the text that was held out: KL divergence from the teacher, and the loss on the words themselves, in nats."""
    kl, words = [], []
    with torch.no_grad():
        for batch in pair.held_out:
            ours, theirs = (pair.logits(model, batch) for model in (student, pair.teacher))
            kl.append(soft_target_kl(ours, theirs, temperature=1.0))
            words.append(cross_entropy(ours, pair.labels(batch)))
    return {"kl": float(torch.cat(kl).double().mean()), "words": float(torch.cat(words).double().mean())}


def summary(scores):
    """Mean and standard deviation over seeds by student, and how much more KL than the densely taught one's, in pairs."""
    result = {}
    for name in scores[0]:
        result[name] = {
            key: {"mean": float(np.mean(values)), "sd": spread(values)}
            for key, values in (
                ("kl", [one[name]["kl"] for one in scores]),
                ("words", [one[name]["words"] for one in scores]),
                ("kl_above_dense", [one[name]["kl"] - one[DENSE]["kl"] for one in scores]),
            )
        }
    return result


def spread(values):
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


# ---- Shown ----


def show(found):
    for draws, of in found["ways"].items():
        print(
            f"\n{draws} systematic draws: {of['entries'][SAMPLED]:.1f} kept, {of['bytes'][SAMPLED]:.1f} bytes a token; as "
            f"many bytes: {of['num_independent']} independent draws, k = {of['k']}. Dense float16: {of['bytes'][DENSE]}."
        )
        for point, gradients in found["gradients"].items():
            print(f"\nGradients, {point}:\n{gradient_table(gradients[draws], of)}")
    print(f"\nTeacher: entropy {found['entropy']:.2f} nats, loss on the words {found['teacher']['words']:.3f}.")
    print(f"\nStudents, held-out text:\n{student_table(found)}")


def gradient_table(gradients, ways):
    header = ["kept as", "bytes a token", "angle of a batch", "angle of all", "norm ratio"]
    rows = [
        [
            way,
            f"{ways['bytes'][way]:.1f}" if way in ways["bytes"] else "",
            f"{one['angle_of_a_batch']:.1f}°",
            f"{one['angle_of_all']:.1f}°",
            f"{one['norm_ratio']:.3f}",
        ]
        for way, one in gradients.items()
    ]
    return text_table(header, rows)


def student_table(found):
    header = ["taught by", "KL", "sd", "KL above dense, in pairs", "sd", "loss on the words", "sd"]
    rows = sorted(found["students"].items(), key=lambda row: row[1]["kl"]["mean"])
    cells = [
        [name, *(cell for key in ("kl", "kl_above_dense", "words") for cell in number(one[key]))] for name, one in rows
    ]
    return text_table(header, cells)


def number(one):
    return f"{one['mean']:.4f}", "" if one["sd"] is None else f"{one['sd']:.4f}"


if __name__ == "__main__":
    main()
