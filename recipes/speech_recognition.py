"""Distill a speech recognizer: DNN-HMM teacher, small streaming student, control, comparison, model card.

    accelerate launch recipes/speech_recognition.py recipes/speech_recognition/fsdd.yaml
    python recipes/speech_recognition.py fsdd.yaml --student streamcnn32 --output_dir runs/digits-small

`distil-nlp run FILE.yaml` does the same in one process. The YAML files beside this script list the expected results.
"""

from distil_nlp.cli.commands import main

if __name__ == "__main__":
    main()
