"""From finished recipe runs to a page of results: every number is read from a report.json.

    python benchmarks/results.py runs/sst2-3l-full runs/sst2-3l-6k --title SST-2 --write docs/results/sst2.md

Beside the page lies a copy of each report, with folders of this machine shown by their last component.
"""

import argparse
import json
from pathlib import Path

from distil_nlp.hub.redaction import public_command, public_name
from distil_nlp.internals.files import write_json, write_text
from distil_nlp.metrics import display
from distil_nlp.metrics.display import short_count


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="Output folders of finished runs.")
    parser.add_argument("--title", default="Results")
    parser.add_argument("--write", help="Markdown file to write, with the reports beside it. Default: print only.")
    return parser.parse_args()


def main():
    args = parse_args()
    reports = {Path(run).name: public(json.loads((Path(run) / "report.json").read_text())) for run in args.runs}
    page = "\n".join([f"# {args.title}", "", *table(reports), "", *commands(reports), "", *circumstances(reports), ""])
    if args.write:
        for name, report in reports.items():
            write_json(Path(args.write).parent / f"{name}.json", report)
        write_text(args.write, page)
    print(page)


def public(value):
    """A report without folders of this machine."""
    if isinstance(value, dict):
        return {key: public_command(one) if key == "command" else public(one) for key, one in value.items()}
    if isinstance(value, list):
        return [public(one) for one in value]
    return public_name(value) if isinstance(value, str) and "/" in value and " " not in value else value


def table(reports):
    header = "run|labels|seeds|teacher|student|control|kept|student - teacher|student - control|speed-up|parameters"
    rows = [row(name, report) for name, report in reports.items()]
    return [f"| {' | '.join(header.split('|'))} |", f"|{'---|' * len(header.split('|'))}", *rows]


def row(name, report):
    models = {}
    for model in report["models"]:
        models.setdefault(model["role"], model)  # the first control is the student without the teacher
    metric, student = report["metric"], models["student"]
    cells = [
        name,
        f"{report['data']['learned_from']['labeled']:,}",
        str(len(report["seeds"])),
        *(quality(models.get(role), metric) for role in ("teacher", "student", "control")),
        f"{100 * student['kept']:.1f} %",
        *(difference(report, "student", models.get(role)) for role in ("teacher", "control")),
        f"{student['speed_up']['value']:.1f}x",
        short_count(student["parameters"]),
    ]
    return f"| {' | '.join(cells)} |"


def quality(model, metric):
    if model is None:
        return "not trained"
    return display(metric).number(model["metrics"][metric], (model.get("spread") or {}).get(metric))


def difference(report, of, to):
    found = [one for one in report["differences"] if to and one["of"] == of and one["to_name"] == to["name"]]
    if not found:
        return "-"
    value, low, high = (display(report["metric"]).signed(found[0][key]) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def commands(reports):
    return ["Each row is printed by its command:", "", "```", *(one["command"] for one in reports.values()), "```"]


def circumstances(reports):
    first = next(iter(reports.values()))
    shown = display(first["metric"])
    unit = " in per cent" * shown.percent + " (lower is better)" * shown.lower_is_better
    where, packages = first["environment"], first["environment"]["packages"]
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    return [
        f"{shown.short[:1].upper() + shown.short[1:]}{unit} on {compared_on(reports)}; ± is the standard deviation over "
        f"seeds; in brackets the 95 % bootstrap interval over examples. Speed-up at batch 1"
        f"{timed_on(str(first['task']))}, against the teacher. "
        f"{where['cpu']}, {where['threads']} threads, Python {where['python']}, {versions}."
    ]


def compared_on(reports):
    """How many examples of which split, and in which runs where they differ."""
    runs = {}
    for name, report in reports.items():
        runs.setdefault(f"{report['num_examples']:,} examples ({report['data']['compared_on']})", []).append(name)
    if len(runs) == 1:
        return next(iter(runs))
    return ", ".join(f"{examples} in {' and '.join(names)}" for examples, names in runs.items())


def timed_on(task):
    """How long the example is that models of a task are timed on."""
    if "audio" in task or "speech" in task:
        return ", a second of sound"
    return "" if task.startswith(("image", "object")) else ", 32 tokens"


if __name__ == "__main__":
    main()
