"""A folder of sound files, one subfolder a class, as `datasets` would read it if it had torchcodec."""

from pathlib import Path

import datasets

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif")
_SPLITS = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "test": "test"}


def sound_files(folder):
    """The sound files below a folder, in the order of their paths; none where it is no folder."""
    folder = Path(folder).expanduser()
    return sorted(one for one in folder.rglob("*") if one.suffix.lower() in SUFFIXES) if folder.is_dir() else []


def sound_folder(folder):
    """The splits of a folder: train/CLASS/clip.wav and so on, or CLASS/clip.wav, which is all training.

    Args:
        folder (`str` or `Path`): With sound files in it.

    Returns:
        `datasets.DatasetDict`: columns "audio" (paths, not decoded) and "label".

    Raises:
        ValueError: A file that lies in no subfolder of a class; says which.
    """
    root = Path(folder).expanduser().resolve()
    found = {}
    for file in sound_files(root):
        folders = file.relative_to(root).parts[:-1]
        split = _SPLITS.get(folders[0].lower()) if len(folders) == 2 else "train"
        if len(folders) not in (1, 2) or split is None:
            raise ValueError(
                f"{file} is neither in CLASS/ nor in SPLIT/CLASS/ below {root}, where SPLIT is one of "
                f"{', '.join(_SPLITS)}: the subfolder says what is heard. Move it."
            )
        found.setdefault(split, []).append((str(file), folders[-1]))
    names = sorted({name for files in found.values() for _, name in files})
    features = datasets.Features(
        {
            "audio": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
            "label": datasets.ClassLabel(names=names),
        }
    )
    return datasets.DatasetDict(
        {
            split: datasets.Dataset.from_dict(
                {
                    "audio": [{"bytes": None, "path": path} for path, _ in files],
                    "label": [names.index(name) for _, name in files],
                },
                features,
            ).cast_column("audio", datasets.Audio(decode=False))
            for split, files in found.items()
        }
    )
