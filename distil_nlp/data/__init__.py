"""From files and data sets to rows: splits, columns, labels, images, audio, tokenization, example ids."""
