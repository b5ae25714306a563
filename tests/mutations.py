"""Breaks the core on purpose, one line at a time, and shows which tests notice.

    python tests/mutations.py                # all, half an hour
    python tests/mutations.py temperature    # those with this word in their name

Each mutation, one of mutations.yaml, is a replacement of source text in a temporary copy of the repository; nothing is
changed here. Prints a table and ends with status 1 if a mutation survives. Not collected by pytest.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

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
    Mutation(**one) for one in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
]


def copied(folder):
    """A copy of what the tests need."""
    for name in ("distil_nlp", "tests", "recipes"):
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
    """(tests run until the first failure, names of the tests that failed or could not start)."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=no", "-rfE", "-p", "no:cacheprovider", *tests.split()]
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
        return run_tests(
            folder, mutation.tests if mutation is not None else "tests/losses tests/training/test_sampling.py"
        )


def main(words):
    _, failed = try_out(None)
    if failed:
        sys.exit(f"tests fail without any mutation ({', '.join(failed)}): a table would say nothing.")
    survivors = 0
    print("| mutation | tests until one failed | which | caught |\n|---|---|---|---|", flush=True)
    for mutation in MUTATIONS:
        if words and not any(word in mutation.name for word in words):
            continue
        ran, failed = try_out(mutation)
        survivors += not failed
        example = failed[0].rsplit("::", 1)[-1] if failed else ""
        print(f"| {mutation.name} | {ran} | {example} | {'yes' if failed else 'NO'} |", flush=True)
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
