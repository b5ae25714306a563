"""Distil a recognizer of words: DNN-HMM teacher, small student that hears while somebody speaks, control, comparison.

    accelerate launch recipes/speech_recognition.py recipes/speech_recognition/fsdd.yaml
    python recipes/speech_recognition.py fsdd.yaml --student streamcnn32 --output_dir runs/digits-small

`distil-nlp run FILE.yaml` is the same thing in one process. The YAML files beside this script say what to expect.
"""

from distil_nlp.cli.commands import main

if __name__ == "__main__":
    main()
