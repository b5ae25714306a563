"""Distill a text classifier: BERT-type teacher, smaller student, control, comparison, model card.

    accelerate launch recipes/text_classification.py recipes/text_classification/sst2.yaml
    python recipes/text_classification.py sst2.yaml --student 4x256 --temperature 4 --output_dir runs/sst2-4x256

`distil-nlp run FILE.yaml` does the same in one process. The YAML files beside this script list the expected results.
"""

from distil_nlp.cli.commands import main

if __name__ == "__main__":
    main()
