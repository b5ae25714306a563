"""Distil a classifier of sound (keywords, for example): large teacher, small student, control, comparison, model card.

    accelerate launch recipes/audio_classification.py recipes/audio_classification/fsdd.yaml
    python recipes/audio_classification.py fsdd.yaml --student streamcnn16 --output_dir runs/streamcnn16

`distil-nlp run FILE.yaml` is the same thing in one process. The YAML files beside this script say what to expect.
"""

from distil_nlp.cli.commands import main

if __name__ == "__main__":
    main()
