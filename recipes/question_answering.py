"""Distill an extractive question-answering model: BERT-type teacher, smaller student, control, comparison, card.

    accelerate launch recipes/question_answering.py recipes/question_answering/squad.yaml
    distil-nlp run recipes/question_answering/squad.yaml --teacher my/teacher --train_file train.jsonl \\
        --validation_file dev.jsonl

Data in the format of SQuAD; long contexts are divided into windows. The YAML file beside this script
lists the expected results.
"""

from distil_nlp.cli.commands import main

if __name__ == "__main__":
    main()
