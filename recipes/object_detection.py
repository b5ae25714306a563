"""Distil a detector: DETR-type teacher, smaller student, control, comparison, boxes side by side, model card.

    accelerate launch recipes/object_detection.py recipes/object_detection/bccd.yaml
    distil-nlp run recipes/object_detection/bccd.yaml --teacher my/detector --student my/smaller-detector

Data of COCO's form. Every model that `AutoModelForObjectDetection` loads will do; its image processor must bring images to
one height and width. The YAML file beside this script says what to expect.
"""

from distil_nlp.cli.commands import main

if __name__ == "__main__":
    main()
