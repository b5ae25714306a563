"""Files that should not be opened, or not be read whole: formats of images, lines and texts without end, column names."""

import io

import datasets
import pytest
from PIL import EpsImagePlugin, Image

from distil_nlp.data import splits as data_splits
from distil_nlp.data.audio import load_audio_folder
from distil_nlp.data.columns import check_texts
from distil_nlp.data.images import image_sizes, open_images
from distil_nlp.data.splits import load_splits
from distil_nlp.models import parse_network_name
from distil_nlp.models.networks import make_network

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n/x 1 def\n%%EOF\n"


def encoded(image_format, mode="RGB", **options):
    buffer = io.BytesIO()
    Image.new(mode, (8, 8)).save(buffer, image_format, **options)
    return buffer.getvalue()


def split_of(*images, decode=False):
    features = datasets.Features({"image": datasets.Image(decode=decode)})
    return datasets.Dataset.from_dict({"image": [{"bytes": data, "path": None} for data in images]}, features=features)


@pytest.mark.parametrize("name", ["$HOME", "x${HOME}", "a::b"])
def test_a_path_that_datasets_would_read_as_another_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "other")
    (tmp_path / name).mkdir()
    (tmp_path / "other").mkdir()
    for folder in (name, "other"):
        (tmp_path / folder / "t.csv").write_text(f"text,label\n{folder},1\n{folder},2\n")
    file = tmp_path / name / "t.csv"
    with pytest.raises(ValueError, match="the library datasets would read other files. Rename"):
        load_splits(train_file=file, validation_file=tmp_path / "other" / "t.csv")


@pytest.mark.parametrize("name", ["a*b", "a?b", "[a]", "a\nb", "a::b"])
def test_a_folder_that_datasets_would_read_as_a_pattern_is_refused(name, tmp_path):
    for folder in (name, "axb"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "train.csv").write_text("text,label\na,1\nb,2\n")
    with pytest.raises(ValueError, match="dataset_name=.*the library datasets would read other files. Rename"):
        load_splits(dataset_name=str(tmp_path / name))


@pytest.mark.parametrize("split", ["validation_file", "test_file"])
def test_a_link_to_the_training_file_is_the_training_file(split, tmp_path):
    file, link = tmp_path / "t.csv", tmp_path / "v.csv"
    file.write_text("text,label\na,1\nb,2\n")
    link.symlink_to(file)
    with pytest.raises(ValueError, match=f"train_file and {split} are the same file .*learned by heart"):
        load_splits(**{"train_file": file, "validation_file": tmp_path / "x.csv", split: link})


@pytest.mark.parametrize("data", [EPS, encoded("ICNS"), encoded("TGA"), encoded("PDF"), b"<svg/>"], ids=str)
def test_an_image_of_another_format_is_refused_and_starts_no_program(data, monkeypatch):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was started"))
    for read in (open_images, image_sizes):
        with pytest.raises(ValueError, match="cannot be read as an image: it is none of PNG, JPEG, "):
            list(read(split_of(data), "image", "train"))


def test_the_usual_formats_are_opened_the_first_image_of_several():
    frames = {"save_all": True, "append_images": [Image.new("RGB", (8, 8), "red")]}
    files = [encoded(name) for name in ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM")]
    files += [encoded("GIF", **frames), encoded("MPO", **frames), encoded("JPEG", "CMYK"), encoded("PNG", "LA")]
    images = list(open_images(split_of(*files), "image", "train"))
    assert all(image.convert("RGB").getpixel((0, 0)) == (0, 0, 0) or image.mode == "CMYK" for image in images)
    assert image_sizes(split_of(*files), "image", "train").tolist() == [[8, 8]] * len(files)


def test_a_cut_or_bomb_or_deep_image_is_refused_by_name(monkeypatch):
    for data, message in ((encoded("PNG")[:40], "cut off"), (encoded("PNG", "I;16"), "16 or more bits")):
        with pytest.raises(ValueError, match=message):
            list(open_images(split_of(data), "image", "train"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match="exceeds limit"):
        list(open_images(split_of(encoded("PNG")), "image", "train"))


def test_loaded_splits_decode_no_image_on_their_own(tmp_path):
    split_of(EPS, encoded("PNG"), decode=True).to_parquet(tmp_path / "a.parquet")
    split_of(encoded("PNG"), decode=True).to_parquet(tmp_path / "b.parquet")
    splits = load_splits(train_file=tmp_path / "a.parquet", validation_file=tmp_path / "b.parquet")
    assert splits["train"][0]["image"]["bytes"] == splits.whole["train"][0]["image"]["bytes"] == EPS


def test_a_line_or_a_text_without_end_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(data_splits, "_HUGE_LINE", 1 << 10)
    rows = "text,label\n" + "short,good\n" * 200
    (tmp_path / "a.csv").write_text(rows)
    (tmp_path / "b.csv").write_text(rows + "x" * 2_000 + ",bad\n")
    load_splits(train_file=tmp_path / "a.csv", train_val_split=0.5)
    with pytest.raises(ValueError, match="has a line of more than .* one line is one row"):
        load_splits(train_file=tmp_path / "b.csv", train_val_split=0.5)
    monkeypatch.setattr("distil_nlp.data.columns._MAX_TEXT_BYTES", 100)
    texts = datasets.Dataset.from_dict({"text": ["a", "é" * 51, "b"]})
    with pytest.raises(ValueError, match="Row 1 .* has a text of 102 bytes in column 'text'; at most 100"):
        check_texts(texts, "train", ["text"])


def test_column_names_that_occur_twice_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("text,label,text\na,good,b\nc,bad,d\n")
    with pytest.raises(ValueError, match="its column names 'text' occur twice"):
        load_splits(train_file=tmp_path / "a.csv", train_val_split=0.5)


def test_a_network_of_absurd_size_is_refused():
    for name in ("resnet1000000000x2", "cnn1000000000", "resnet8x1000000000"):
        with pytest.raises(ValueError, match="is at most 100,000; got 1,000,000,000"):
            make_network(*parse_network_name(name), num_labels=2, num_channels=3)


def test_hidden_copies_of_clips_are_no_clips(tmp_path):
    for name in (
        "train/yes/1.wav",
        "train/yes/._1.wav",
        "__MACOSX/train/yes/1.wav",
        ".trash/no/2.wav",
        "train/no/2.wav",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    splits = load_audio_folder(tmp_path)
    assert [clip["path"] for clip in splits["train"]["audio"]] == [
        str(tmp_path / "train" / name) for name in ("no/2.wav", "yes/1.wav")
    ]
