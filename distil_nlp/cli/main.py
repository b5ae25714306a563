"""`distil-nlp`: the command line. Answers --help without importing torch."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import __version__
from ..internals.messages import printable, shown
from .errors import run_command
from .quick import answered

_HELP = """\
examples:
  distil-nlp quickstart                                  a complete distillation in five minutes
  distil-nlp recipes                                     the recipes that come with the package
  distil-nlp run sst2 --output_dir runs/sst2             run one of them, or your own file
  distil-nlp run sst2.yaml --student 4x256 --seeds 3     flags override the file
  distil-nlp run --help                                  the settings that most runs need
  distil-nlp settings temperature                        every setting with this word, with its default
  distil-nlp cache sst2.yaml --teacher_cache caches/sst2  store the teacher's outputs, for any number of runs
  distil-nlp sweep sst2.yaml --sweep "{temperature: [1, 2, 4]}"   try settings, keep the best
  distil-nlp compare runs/sst2                           the table of a finished run
  distil-nlp push runs/sst2/student user/my-student      put a student on the Hub
  distil-nlp export runs/digits/student student.onnx     an image or audio network as an ONNX file
  distil-nlp listen runs/digits/student clip.wav         recognize a recording in small chunks, as live audio

With several processes: accelerate launch recipes/text_classification.py FILE.yaml [settings]
                        accelerate launch -m distil_nlp.cli cache FILE.yaml [settings]
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `distil-nlp`.

    Args:
        argv (`list[str]`, *optional*): Command line without the program's name.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="distil-nlp",
        description="Train a small, fast student with a large teacher, and measure what it retains.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"distil-nlp {__version__}")
    subcommands = parser.add_subparsers(dest="command", metavar="command", required=True)
    subcommands.add_parser("quickstart", help="a complete distillation on text that is there", add_help=False)
    subcommands.add_parser("run", help="run a recipe: FILE.yaml or NAME [--setting value ...]", add_help=False)
    subcommands.add_parser("cache", help="build the cache of a recipe's teacher, and nothing else", add_help=False)
    subcommands.add_parser(
        "sweep", help="train with settings of a search space: FILE.yaml [--setting value ...]", add_help=False
    )
    recipes = subcommands.add_parser(
        "recipes", help="list the recipes of the package, or copy one: copy NAME [FOLDER]"
    )
    recipes.add_argument("words", nargs="*", metavar="copy NAME [FOLDER]", help="copy a recipe, to change it")
    settings = subcommands.add_parser("settings", help="list settings of recipes: their choices, defaults, meaning")
    settings.add_argument("word", nargs="?", help="part of a name, or a word of the description")
    settings.add_argument("--schema", action="store_true", help="print a JSON schema, by which editors check recipes")
    compare = subcommands.add_parser("compare", help="show the table of a finished run again")
    compare.add_argument("folder", help="output folder of the run")
    push = subcommands.add_parser("push", help="upload a student and its card to the Hub")
    push.add_argument("folder", help="folder of the student")
    push.add_argument("repo_id", help="user/name")
    push.add_argument("--private", action="store_true", default=None, help="make a new repository private")
    export = subcommands.add_parser("export", help="write an image or audio network as an ONNX file")
    export.add_argument("folder", help="folder of the model, or its Hub id")
    export.add_argument("file", help="the ONNX file")
    listen = subcommands.add_parser(
        "listen", help="recognize a recording in small chunks, as live audio, and print its words"
    )
    listen.add_argument(
        "folder", help="folder or Hub id of a model of hybrid-speech-recognition or audio-classification"
    )
    listen.add_argument("file", help="sound file: WAV, FLAC, OGG, MP3")
    arguments, rest = parser.parse_known_args(argv)
    if rest and arguments.command not in _RECIPE_COMMANDS:
        parser.error(f"unrecognized arguments: {' '.join(map(printable, rest))}")
    run_command(lambda: _ACTIONS[arguments.command](arguments, argv))


def _run_recipe(arguments: argparse.Namespace, argv: Sequence[str]) -> None:
    words = argv[list(argv).index(arguments.command) + 1 :]
    if answered(arguments.command, words):
        return
    from . import commands

    commands.main(words, action=commands.action_of(arguments.command))


def _recipes(arguments: argparse.Namespace, argv: Sequence[str]) -> None:
    from ..internals import recipe_files

    if not arguments.words:
        print(recipe_files.listing())
    elif arguments.words[0] == "copy" and len(arguments.words) in (2, 3):
        print(
            f"Copied to {printable(recipe_files.copy(*arguments.words[1:]))}. Run it: distil-nlp run with this file."
        )
    else:
        raise ValueError(f"distil-nlp recipes takes nothing, or copy NAME [FOLDER]; got {shown(arguments.words)}.")


def _settings(arguments: argparse.Namespace, argv: Sequence[str]) -> None:
    from ..recipe.settings import page, schema

    print(json.dumps(schema(), indent=2) if arguments.schema else page(arguments.word))


def _compare(arguments: argparse.Namespace, argv: Sequence[str]) -> None:
    report = Path(arguments.folder) / "report.json"
    if not report.is_file():
        raise FileNotFoundError(
            f"{arguments.folder} contains no report.json, which a run writes at its end. Repeat the run's command to "
            f"finish it, or give its output folder."
        )
    from ..internals.files import read_json
    from ..reports import Report

    finished = Report.from_dict(read_json(report))
    if not finished.models:
        raise ValueError(f"{report} contains no model. Repeat the run's command to write it again.")
    print(finished)


def _push(arguments: argparse.Namespace, argv: Sequence[str]) -> None:
    from ..hub import push_to_hub

    print(push_to_hub(arguments.folder, arguments.repo_id, private=arguments.private))


def _export(arguments: argparse.Namespace, argv: Sequence[str]) -> None:
    from ..export import export_onnx
    from ..models import load_network

    path = export_onnx(load_network(arguments.folder), arguments.file)
    print(f"{printable(path)}: {path.stat().st_size / 1e6:.1f} MB, the same outputs as the model")


def _listen(arguments: argparse.Namespace, argv: Sequence[str]) -> None:
    from ..streaming.live import print_live

    print_live(arguments.folder, arguments.file)


_RECIPE_COMMANDS = ("quickstart", "run", "cache", "sweep")
_ACTIONS = {
    **dict.fromkeys(_RECIPE_COMMANDS, _run_recipe),
    "recipes": _recipes, "settings": _settings, "compare": _compare, "push": _push, "export": _export, "listen": _listen,
}  # fmt: skip

if __name__ == "__main__":
    main()
