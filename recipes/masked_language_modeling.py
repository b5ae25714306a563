"""Distill a masked language model on plain text, as DistilBERT was: soft targets, masked words, hidden states.

    accelerate launch recipes/masked_language_modeling.py recipes/masked_language_modeling/wikitext2.yaml
    python recipes/masked_language_modeling.py wikitext2.yaml --train_file text.jsonl --validation_file held_out.jsonl

`distil-nlp run FILE.yaml` does the same in one process. The YAML files beside this script list the expected results.
"""

from distil_nlp.cli.commands import main

if __name__ == "__main__":
    main()
