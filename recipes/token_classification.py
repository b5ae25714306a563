"""Distil a tagger of words, such as names and places: BERT-type teacher, smaller student, control, comparison, card.

    accelerate launch recipes/token_classification.py recipes/token_classification/conll2003.yaml
    python recipes/token_classification.py conll2003.yaml --num_layers 6 --soft_pieces all --output_dir runs/conll-6l

`distil-nlp run FILE.yaml` is the same thing in one process. The YAML files beside this script say what to expect.
"""

from distil_nlp.cli.commands import main

if __name__ == "__main__":
    main()
