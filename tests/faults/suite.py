"""The whole fault suite: `python -m tests.faults.suite [--cases 300] [--seed N] [--folder DIR]`, or `make test-faults`.

Every case runs a command with a fault (kills, full disks, damaged, moved and changed files, two runs at once, signals) and
then the same command again, which must end bit-identical to an undisturbed run, or refuse with a sentence where the fault
is damage. The seed is printed; results are kept in DIR/results.jsonl, and the same command continues from there.
"""

import argparse
import collections
import json
import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.forked import ForkServer

from .cases import KINDS, Bench, as_record, draw


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=int(time.strftime("%j")), help="Default: the day of the year.")
    parser.add_argument("--folder", type=Path, help="Default: runs/faults-SEED.")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    args = parser.parse_args(argv)
    folder = args.folder or Path("runs") / f"faults-{args.seed}"
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    print(f"seed {args.seed}, {args.cases} cases, results in {folder / 'results.jsonl'}", flush=True)
    cases, results = draw(args.cases, args.seed), finished(folder / "results.jsonl")
    left = [case for case in cases if case.name not in results]
    with (folder / "results.jsonl").open("a") as log, ThreadPoolExecutor(args.workers) as pool:

        def work(worker):
            forks = ForkServer({**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"})
            bench = Bench(forks, folder / f"worker-{worker}")
            for case in left[worker :: args.workers]:
                results[case.name] = result = bench.try_out(case)
                log.write(json.dumps(as_record(case, result)) + "\n")
                log.flush()
                print(f"{len(results)}/{args.cases} {case.name}: {result[:300]}", flush=True)
            forks.close()
            shutil.rmtree(folder / f"worker-{worker}", ignore_errors=True)

        list(pool.map(work, range(args.workers)))
    results = {case.name: results[case.name] for case in cases}
    show(cases, results)
    sys.exit(any(result.startswith("FAIL") for result in results.values()))


def finished(path):
    """Results of an earlier start of the same command, by the name of the case."""
    if not path.exists():
        return {}
    records = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
    return {f"{r['command']}: {r['kind']} at {r['at']:.3f}, seed {r['seed']}": r["result"] for r in records}


def show(cases, results):
    """A table of outcomes by kind of fault."""
    counts = {kind: collections.Counter() for kind in KINDS}
    for case in cases:
        counts[case.kind][results[case.name].split(":")[0]] += 1
    print(f"{'fault':<28} {'identical':>9} {'refused':>9} {'FAIL':>9}")
    for kind, outcomes in counts.items():
        print(f"{kind:<28} " + " ".join(f"{outcomes[outcome]:>9}" for outcome in ("identical", "refused", "FAIL")))


if __name__ == "__main__":
    main()
