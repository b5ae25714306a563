"""`distil-nlp`: the command line. Answers --help without importing torch."""

import argparse
import json
import sys
from pathlib import Path

from .. import __version__

_HELP = """\
examples:
  distil-nlp run recipes/text_classification/sst2.yaml --output_dir runs/sst2
  distil-nlp run sst2.yaml --student 4x256 --seeds 3     flags override the file
  distil-nlp run --help                                  every setting of a recipe
  distil-nlp cache sst2.yaml --teacher_cache caches/sst2  ask the teacher once, for any number of runs
  distil-nlp sweep sst2.yaml --sweep "{temperature: [1, 2, 4]}"   try settings, keep the best
  distil-nlp compare runs/sst2                           the table of a finished run, once more
  distil-nlp push runs/sst2/student user/my-student      put a student on the Hub
  distil-nlp export runs/digits/student student.onnx     a network of images or sound as an ONNX file
  distil-nlp listen runs/digits/student clip.wav         words of a recording, as if it were live

With several processes: accelerate launch recipes/text_classification.py FILE.yaml [settings]
                        accelerate launch -m distil_nlp.cli cache FILE.yaml [settings]
"""


def main(argv=None):
    """Entry point of `distil-nlp`.

    Args:
        argv (`list[str]`, *optional*): Command line without the program's name.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="distil-nlp",
        description="Make a small, fast student out of a good, slow teacher, and prove what it kept.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"distil-nlp {__version__}")
    subcommands = parser.add_subparsers(dest="command", metavar="command", required=True)
    subcommands.add_parser("run", help="run a recipe: FILE.yaml [--setting value ...]", add_help=False)
    subcommands.add_parser("cache", help="build the cache of a recipe's teacher, and no more", add_help=False)
    subcommands.add_parser("sweep", help="try settings of a recipe: FILE.yaml [--setting value ...]", add_help=False)
    compare = subcommands.add_parser("compare", help="show the table of a finished run again")
    compare.add_argument("folder", help="output folder of the run")
    push = subcommands.add_parser("push", help="upload a student and its card to the Hub")
    push.add_argument("folder", help="folder of the student")
    push.add_argument("repo_id", help="user/name")
    push.add_argument("--private", action="store_true", default=None, help="make a new repository private")
    export = subcommands.add_parser("export", help="write a network of images or sound as an ONNX file")
    export.add_argument("folder", help="folder of the model, or its Hub id")
    export.add_argument("file", help="the ONNX file")
    listen = subcommands.add_parser("listen", help="hear a recording as if it were live, and print its words")
    listen.add_argument(
        "folder", help="folder or Hub id of a model of hybrid-speech-recognition or audio-classification"
    )
    listen.add_argument("file", help="sound file: WAV, FLAC, OGG, MP3")
    chosen, rest = parser.parse_known_args(argv)
    if chosen.command in ("run", "cache", "sweep"):
        from . import commands

        action = {"run": commands.run, "cache": commands.build_cache, "sweep": commands.sweep}[chosen.command]
        return commands.main(argv[argv.index(chosen.command) + 1 :], action=action)
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    actions = {"compare": _compare, "push": _push, "export": _export, "listen": _listen}
    return actions[chosen.command](chosen)


def _compare(chosen):
    report = Path(chosen.folder) / "report.json"
    if not report.is_file():
        sys.exit(f"error: {chosen.folder} holds no report.json; the comparison is the last stage of a run. Finish it.")
    from ..reports import text_table

    print(text_table(json.loads(report.read_text(encoding="utf-8"))))


def _push(chosen):
    from ..hub import push_to_hub

    try:
        print(push_to_hub(chosen.folder, chosen.repo_id, private=chosen.private))
    except (OSError, ValueError, RuntimeError) as error:
        sys.exit(f"error: {error}")


def _export(chosen):
    from ..export import export_onnx
    from ..models import load_network

    try:
        path = export_onnx(load_network(chosen.folder), chosen.file)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, answers as the model does")
    except (OSError, ValueError, TypeError, RuntimeError, ImportError) as error:
        sys.exit(f"error: {error}")


def _listen(chosen):
    from ..streaming.live import print_live

    try:
        print_live(chosen.folder, chosen.file)
    except (OSError, ValueError, TypeError, ImportError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
