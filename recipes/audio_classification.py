"""Distill an audio classifier, for example of keywords: large teacher, small student, control, comparison, model card.

    accelerate launch recipes/audio_classification.py recipes/audio_classification/fsdd.yaml
    python recipes/audio_classification.py fsdd.yaml --student streamcnn16 --output_dir runs/streamcnn16

`distil-nlp run FILE.yaml` does the same in one process. The YAML files beside this script list the expected results.
"""

from distil_nlp.cli.commands import main

if __name__ == "__main__":
    main()
