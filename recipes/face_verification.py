"""Distill a face embedding: large teacher, small student with the teacher's vector space, control, comparison, card.

    accelerate launch recipes/face_verification.py recipes/face_verification/orl.yaml
    python recipes/face_verification.py orl.yaml --held_out_people 0.25 --output_dir runs/orl-open

`distil-nlp run FILE.yaml` does the same in one process. The YAML files beside this script list the expected results.
"""

from distil_nlp.cli.commands import main

if __name__ == "__main__":
    main()
