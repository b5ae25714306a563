"""Distill a token classifier, for example of named entities: BERT-type teacher, smaller student, control, comparison, card.

    accelerate launch recipes/token_classification.py recipes/token_classification/conll2003.yaml
    python recipes/token_classification.py conll2003.yaml --num_layers 6 --soft_pieces all --output_dir runs/conll-6l

`distil-nlp run FILE.yaml` does the same in one process. The YAML files beside this script list the expected results.
"""

from distil_nlp.cli.commands import main

if __name__ == "__main__":
    main()
