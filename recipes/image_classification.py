"""Distill an image classifier: CNN or ViT teacher, smaller student, control, comparison, model card.

    accelerate launch recipes/image_classification.py recipes/image_classification/fashion-mnist.yaml
    python recipes/image_classification.py fashion-mnist.yaml --student mobilenetv2x0.5 --output_dir runs/mobilenet

`distil-nlp run FILE.yaml` does the same in one process. The YAML files beside this script list the expected results.
"""

from distil_nlp.cli.commands import main

if __name__ == "__main__":
    main()
