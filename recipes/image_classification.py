"""Distil an image classifier: CNN or ViT teacher, smaller student, control, comparison, model card.

    accelerate launch recipes/image_classification.py recipes/image_classification/fashion-mnist.yaml
    python recipes/image_classification.py fashion-mnist.yaml --student mobilenetv2x0.5 --output_dir runs/mobilenet

`distil-nlp run FILE.yaml` is the same thing in one process. The YAML files beside this script say what to expect.
"""

from distil_nlp.cli.commands import main

if __name__ == "__main__":
    main()
