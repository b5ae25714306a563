"""Distil a model that answers questions from a text: BERT-type teacher, smaller student, control, comparison, card.

    accelerate launch recipes/question_answering.py recipes/question_answering/squad.yaml
    distil-nlp run recipes/question_answering/squad.yaml --teacher my/teacher --train_file train.jsonl \\
        --validation_file dev.jsonl

Data of SQuAD's form; long contexts are read in windows. The YAML file beside this script says what to expect.
"""

from distil_nlp.cli.commands import main

if __name__ == "__main__":
    main()
