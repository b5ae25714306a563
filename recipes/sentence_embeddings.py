"""Distill a sentence encoder: fewer or narrower layers, the same vectors, loadable in sentence-transformers.

    accelerate launch recipes/sentence_embeddings.py recipes/sentence_embeddings/stsb.yaml
    python recipes/sentence_embeddings.py stsb.yaml --unlabeled_file sentences.jsonl --output_dir runs/stsb-3l

`distil-nlp run FILE.yaml` does the same in one process. The YAML file beside this script lists the expected results.
"""

from distil_nlp.cli.commands import main

if __name__ == "__main__":
    main()
