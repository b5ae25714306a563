"""Distill a detector: DETR-type teacher, smaller student, control, comparison, pictures of boxes, model card.

    accelerate launch recipes/object_detection.py recipes/object_detection/bccd.yaml
    distil-nlp run recipes/object_detection/bccd.yaml --teacher my/detector --student my/smaller-detector

Data in the format of COCO. Every model of `AutoModelForObjectDetection` works, if its image processor resizes images to one
height and width. The YAML file beside this script lists the expected results.
"""

from distil_nlp.cli.commands import main

if __name__ == "__main__":
    main()
