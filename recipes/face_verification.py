"""Distil a face embedder: a small network whose vectors tell people apart as the teacher's do.

    accelerate launch recipes/face_verification.py recipes/face_verification/orl.yaml
    python recipes/face_verification.py orl.yaml --held_out_people 0.25 --output_dir runs/orl-open

`distil-nlp run FILE.yaml` is the same thing in one process. The YAML files beside this script say what to expect.
"""

from distil_nlp.cli.commands import main

if __name__ == "__main__":
    main()
