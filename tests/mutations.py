"""Breaks the core on purpose, one line at a time, and shows which tests notice.

    python tests/mutations.py                # all, a few minutes
    python tests/mutations.py temperature    # those with this word in their name

Each mutation is a replacement of source text in a temporary copy of the repository; nothing is changed here. Prints
a table and ends with status 1 if a mutation survives. Not collected by pytest.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Mutation:
    """`old` becomes `new` in a file of the package; `tests` are those that should notice."""

    name: str
    file: str
    old: str
    new: str
    tests: str


MUTATIONS = [
    Mutation(
        "the margin of an angle forgotten",
        "losses/margins.py",
        "moved.where(own, cosines), labels)",
        "cosines, labels)",
        "tests/losses/test_margins.py tests/losses/test_against_naive.py",
    ),
    Mutation(
        "an angle and its margin beyond pi",
        "losses/margins.py",
        "moved.where(cosines > -angle.cos(), cosines - margin * angle.sin())",
        "moved",
        "tests/losses/test_margins.py tests/losses/test_against_naive.py",
    ),
    Mutation(
        "centres of embeddings instead of directions",
        "losses/margins.py",
        "directions = normalize(widened(embeddings[known]), dim=-1)",
        "directions = widened(embeddings[known])",
        "tests/losses/test_margins.py tests/objectives/test_margins.py",
    ),
    Mutation(
        "the teacher's centres never looked up",
        "trainer.py",
        "objective.survey(self._all_training_batches, self.teacher)",
        "pass",
        "tests/trainer/test_identities.py",
    ),
    Mutation(
        "an image drawn twice a pair with itself",
        "metrics/verification.py",
        "same & (facts[first, 0] != facts[second, 0])",
        "same",
        "tests/evaluation/test_verification.py",
    ),
    Mutation(
        "one impostor too many let in",
        "metrics/verification.py",
        "genuine > refused",
        "genuine >= refused",
        "tests/evaluation/test_verification.py",
    ),
    Mutation(
        "people held out left in training",
        "tasks/face_verification.py",
        "kept[name] = split.select(np.flatnonzero(~ours))",
        "kept[name] = split",
        "tests/tasks/test_face_verification.py",
    ),
    Mutation(
        "maps: a tap that keeps no copy",
        "taps.py",
        "return tensor.clone()",
        "return tensor",
        "tests/test_taps.py",
    ),
    Mutation(
        "maps: channels without temperature squared",
        "losses/maps.py",
        ".mean(dim=-1) * temperature**2",
        ".mean(dim=-1)",
        "tests/losses",
    ),
    Mutation(
        "maps: attention that is not brought to length 1",
        "losses/maps.py",
        "(normalize(one.flatten(1), dim=-1) for",
        "(one.flatten(1) for",
        "tests/losses",
    ),
    Mutation(
        "maps: a head that is not read",
        "objectives/base.py",
        "student.logits if self.head is None else student.features[self.head]",
        "student.logits",
        "tests/trainer/test_two_heads.py",
    ),
    Mutation(
        "maps: soft labels that are missing count",
        "objectives/problems.py",
        "(labels >= 0).all(-1) if labels.is_floating_point()",
        "(labels >= -100).all(-1) if labels.is_floating_point()",
        "tests/trainer/test_maps.py",
    ),
    Mutation(
        "maps: looking for stages in train mode",
        "stages.py",
        "in_eval_mode(model), torch.no_grad()",
        "torch.no_grad()",
        "tests/test_stages.py",
    ),
    Mutation(
        "maps: the beginning of a block ends a stage",
        "stages.py",
        "if not _begins_a_block(runs, name))",
        "if name)",
        "tests/test_stages.py",
    ),
    Mutation(
        "generalised IoU without the hull",
        "losses/boxes.py",
        " - (hull - union) / hull.clamp(min=tiny)",
        "",
        "tests/losses/test_boxes.py",
    ),
    Mutation(
        "no object weighs as much as an object",
        "losses/boxes.py",
        "NO_OBJECT_WEIGHT, 1.0)",
        "1.0, 1.0)",
        "tests/losses/test_boxes.py",
    ),
    Mutation(
        "classes of queries divided by the queries of a step",
        "objectives/boxes.py",
        "return found + NO_OBJECT_WEIGHT * (self.items(batch).sum() - found)",
        "return self.items(batch).sum()",
        "tests/losses/test_boxes.py",
    ),
    Mutation(
        "mirrored images keep their boxes",
        "tasks/box_collator.py",
        "1 - boxes[..., :1]",
        "boxes[..., :1]",
        "tests/tasks/test_object_detection.py",
    ),
    Mutation(
        "soft targets without temperature squared",
        "losses/soft.py",
        "(teacher - student)).sum(dim=-1) * temperature**2",
        "(teacher - student)).sum(dim=-1)",
        "tests/losses tests/trainer/test_gradients.py",
    ),
    Mutation(
        "multi-label soft targets without temperature squared",
        "losses/soft.py",
        "(yes + no).mean(dim=-1) * temperature**2",
        "(yes + no).mean(dim=-1)",
        "tests/losses tests/trainer/test_gradients.py",
    ),
    Mutation(
        "drawn targets without temperature squared",
        "losses/sparse.py",
        "return values * temperature**2",
        "return values",
        "tests/losses",
    ),
    Mutation(
        "the rest of top-k targets forgotten",
        "losses/sparse.py",
        "values - rest * others",
        "values",
        "tests/losses",
    ),
    Mutation(
        "points of a draw all at one place",
        "sparse.py",
        ".unsqueeze(-1) + steps) / self.num_draws",
        ".unsqueeze(-1) + 0 * steps) / self.num_draws",
        "tests/test_sparse.py",
    ),
    Mutation(
        "drawn before the distribution is softened",
        "sparse.py",
        "logits.float()) / temperature",
        "logits.float())",
        "tests/test_sparse.py",
    ),
    Mutation(
        "parts of a distribution learned at another temperature",
        "objectives/soft.py",
        "if targets.temperature != self.temperature:",
        "if False:",
        "tests/objectives/test_sparse_targets.py",
    ),
    Mutation(
        "every term takes parts of a distribution",
        "objectives/base.py",
        "needs_logits = True",
        "needs_logits = False",
        "tests/objectives/test_sparse_targets.py",
    ),
    Mutation(
        "mean instead of sum over classes",
        "losses/soft.py",
        "(teacher - student)).sum(dim=-1) * temperature**2",
        "(teacher - student)).mean(dim=-1) * temperature**2",
        "tests/losses tests/trainer/test_gradients.py",
    ),
    Mutation(
        "softmax in the precision that comes",
        "losses/precision.py",
        "return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor",
        "return tensor",
        "tests/losses tests/objectives",
    ),
    Mutation(
        "the mask is forgotten",
        "losses/reduction.py",
        "values.masked_fill(~mask, 0).sum()",
        "values.sum()",
        "tests/losses tests/trainer/test_gradients.py tests/trainer/test_padding.py",
    ),
    Mutation(
        "a missing label counts",
        "objectives/problems.py",
        "if labels.is_floating_point() else labels >= 0",
        "if labels.is_floating_point() else labels >= -100",
        "tests/trainer/test_gradients.py tests/trainer/test_padding.py",
    ),
    Mutation(
        "the teacher speaks in train mode",
        "teachers/online.py",
        "self.model.eval()",
        "self.model.train()",
        "tests/teachers tests/trainer/test_teacher.py",
    ),
    Mutation(
        "nobody puts the teacher into eval mode",
        "teachers/online.py",
        "        self.model.eval()\n",
        "",
        "tests/teachers tests/trainer/test_teacher.py",
    ),
    Mutation(
        "Trainer divides by the micro-batches once more",
        "trainer.py",
        "loss_is_scaled_for_ga = True",
        "loss_is_scaled_for_ga = False",
        "tests/trainer/test_gradients.py tests/trainer/test_own_loss.py",
    ),
    Mutation(
        "counts of one micro-batch",
        "trainer.py",
        "counts = self.objective.count([inputs]) if num_items_in_batch is None else num_items_in_batch",
        "counts = self.objective.count([inputs])",
        "tests/trainer/test_gradients.py tests/trainer/test_own_loss.py",
    ),
    Mutation(
        "counts of one process",
        "trainer.py",
        'return self.accelerator.reduce(counts, "sum") if self.accelerator.num_processes > 1 else counts',
        "return counts",
        "tests/distributed",
    ),
    Mutation(
        "not multiplied by the number of processes",
        "trainer.py",
        "loss = loss * self.accelerator.num_processes",
        "loss = loss * 1",
        "tests/distributed",
    ),
    Mutation(
        "projections are not synchronised over processes",
        "trainer.py",
        "self.accelerator.prepare_model(self.objective) if trains else self.objective",
        "self.objective",
        "tests/distributed",
    ),
    Mutation(
        "projections are not cleared",
        "trainer.py",
        "        self.add_callback(_ClearProjections(self.objective))\n",
        "",
        "tests/trainer/test_gradients.py tests/trainer/test_resume.py",
    ),
    Mutation(
        "projections are not clipped",
        "trainer.py",
        "together = [*model.parameters(), *self.objective.parameters()]",
        "together = [*model.parameters()]",
        "tests/trainer/test_gradients.py",
    ),
    Mutation(
        "projections are not optimised",
        "trainer.py",
        'nn.ModuleDict({"student": student, "objective": self.objective})',
        "student",
        "tests/trainer/test_teacher.py tests/trainer/test_resume.py",
    ),
    Mutation(
        "projections are not saved",
        "trainer.py",
        "            save_projections(self.objective, output_dir)",
        "            pass",
        "tests/trainer/test_resume.py",
    ),
    Mutation(
        "projections are not read back",
        "trainer.py",
        "        load_projections(self.objective, resume_from_checkpoint)\n",
        "",
        "tests/trainer/test_resume.py",
    ),
    Mutation(
        "a half-written checkpoint is resumed from",
        "checkpoints.py",
        "        if _is_complete(checkpoint):\n",
        "        if True:\n",
        "tests/test_checkpoints.py tests/trainer/test_resume.py tests/trainer/test_kill.py",
    ),
    Mutation(
        "every epoch in the same order",
        "sampling.py",
        "self.seed + 1_000_003 * self.epoch",
        "self.seed",
        "tests/test_sampling.py tests/trainer/test_resume.py",
    ),
    Mutation(
        "length groups from the global random state",
        "sampling.py",
        "generator = torch.Generator().manual_seed(self.seed + 1_000_003 * self.epoch)",
        "generator = torch.default_generator",
        "tests/test_sampling.py tests/trainer/test_resume.py",
    ),
    Mutation(
        "the sampler is not told the epoch",
        "trainer.py",
        "        self.add_callback(_FollowEpochs(self))\n",
        "",
        "tests/distributed",
    ),
    Mutation(
        "labels are not reordered",
        "teachers/online.py",
        "logits = ordered(logits, self._order, len(self.label_names))",
        "pass",
        "tests/teachers tests/trainer/test_labels.py",
    ),
    Mutation(
        "cached labels are not reordered",
        "teachers/cached.py",
        'logits = ordered(logits, self._order, len(self.header["labels"]))',
        "pass",
        "tests/teachers",
    ),
    Mutation(
        "labels are passed to the student",
        "signals.py",
        "return tuple(name for name in named if name not in LABELS)",
        "return tuple(named)",
        "tests/test_signals.py tests/trainer/test_own_loss.py",
    ),
    Mutation(
        "the teacher's columns are dropped",
        "trainer.py",
        "[*self._signature_columns, *TASK_COLUMNS, *teacher, *raw]",
        "[*self._signature_columns, *TASK_COLUMNS, *raw]",
        "tests/trainer/test_teacher.py tests/trainer/test_gradients.py",
    ),
    Mutation(
        "evaluation asks the teacher always",
        "trainer.py",
        "self._teacher_says(inputs) if self.args.eval_with_teacher else None",
        "self._teacher_says(inputs)",
        "tests/trainer/test_evaluation.py",
    ),
    Mutation(
        "nobody probes the teacher",
        "trainer.py",
        "        self._probe_teacher()\n",
        "",
        "tests/trainer/test_silence.py",
    ),
    Mutation(
        "tags on every piece of a word",
        "tasks/token_classification.py",
        "first = (word >= 0) & ((word != np.roll(word, 1)) | (row != np.roll(row, 1)))",
        "first = word >= 0",
        "tests/tasks/test_token_classification.py",
    ),
    Mutation(
        "words that were cut off are not judged",
        "tasks/token_classification.py",
        "scored = [row != MISSING_LABEL for row in words]",
        "scored = [(row != MISSING_LABEL) & here for row, here in zip(words, is_seen)]",
        "tests/tasks/test_token_classification.py",
    ),
    Mutation(
        "tagging: the teacher counts at padding",
        "tasks/token_classification.py",
        '"soft_items": False}',
        '"soft_items": True}',
        "tests/tasks/test_token_classification.py tests/trainer/test_tagging.py",
    ),
    Mutation(
        "ensemble: logits are averaged, not probabilities",
        "losses/mixture.py",
        "(log_softmax(logits, dim=-1) + weights.log()).logsumexp(dim=0)",
        "(log_softmax(logits, dim=-1) * weights).sum(dim=0)",
        "tests/losses/test_mixture.py tests/teachers/test_ensemble.py",
    ),
    Mutation(
        "ensemble: averaged at temperature 1 whatever is asked for",
        "teachers/ensemble.py",
        "torch.stack(answers), self._shares, temperature=temperature)",
        "torch.stack(answers), self._shares, temperature=1.0)",
        "tests/teachers/test_ensemble.py",
    ),
    Mutation(
        "ensemble: a label keeps the weights of teachers that do not know it",
        "teachers/ensemble.py",
        "return table / table.sum(0)",
        "return table",
        "tests/teachers/test_ensemble.py",
    ),
    Mutation(
        "ensemble: labels of a teacher that knows some are put in the first places",
        "teachers/ensemble.py",
        "places[..., known] = logits",
        "places[..., : len(known)] = logits",
        "tests/teachers/test_ensemble.py",
    ),
    Mutation(
        "tagging: the end of an entity does not count",
        "metrics/tagging.py",
        "(true_end[starts] == ends) & (true_type[starts] == types)",
        "(true_end[starts] >= 0) & (true_type[starts] == types)",
        "tests/evaluation/test_tagging.py",
    ),
    Mutation(
        "tagging: an I- of another type goes on with the entity",
        "metrics/tagging.py",
        " | (types != type_before)",
        "",
        "tests/evaluation/test_tagging.py",
    ),
]


def copied(folder):
    """A copy of what the tests need."""
    for name in ("distil_nlp", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)


def mutate(folder, mutation):
    path = folder / "distil_nlp" / mutation.file
    source = path.read_text(encoding="utf-8")
    if source.count(mutation.old) != 1:
        sys.exit(
            f"'{mutation.name}' replaces {mutation.old!r} in {mutation.file}, which holds it {source.count(mutation.old)} "
            f"times instead of once. The source has changed; change the mutation with it."
        )
    path.write_text(source.replace(mutation.old, mutation.new), encoding="utf-8")


def run_tests(folder, tests):
    """(tests run, names of the tests that failed or could not start)."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-rfE", "-p", "no:cacheprovider", *tests.split()]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        sys.exit(f"pytest could not run {tests}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+?::[^\[\s]+)", done.stdout, flags=re.MULTILINE)
    ran = sum(int(number) for number in re.findall(r"(\d+) (?:passed|failed|errors?)\b", done.stdout))
    return ran, failed


def try_out(mutation):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        copied(folder)
        if mutation is not None:
            mutate(folder, mutation)
        return run_tests(folder, mutation.tests if mutation is not None else "tests/losses tests/test_sampling.py")


def main(words):
    _, failed = try_out(None)
    if failed:
        sys.exit(f"tests fail without any mutation ({', '.join(failed)}): a table would say nothing.")
    survivors = 0
    print("| mutation | failed tests | for example | caught |\n|---|---|---|---|", flush=True)
    for mutation in MUTATIONS:
        if words and not any(word in mutation.name for word in words):
            continue
        ran, failed = try_out(mutation)
        survivors += not failed
        example = failed[0].rsplit("::", 1)[-1] if failed else ""
        print(f"| {mutation.name} | {len(failed)} of {ran} | {example} | {'yes' if failed else 'NO'} |", flush=True)
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
