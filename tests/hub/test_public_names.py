"""What a card may say in public."""

import pytest

from distil_nlp.hub.redaction import public_command, public_name, public_pairs


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("google-bert/bert-base-uncased", "google-bert/bert-base-uncased"),
        ("imdb", "imdb"),
        ("/home/ada/models/teacher", "teacher"),
        ("/home/ada/models/teacher/", "teacher"),
        ("../teacher", "teacher"),
        ("~/teacher", "teacher"),
        ("runs/sst2/teacher", "teacher"),
        ("data/train.csv", "train.csv"),
        (r"D:\work\teacher", "teacher"),
        ("https://ada:pw@host.example/models/teacher", "teacher"),
        ("hf_abcdefghijklmnop", "***"),
        ("google-bert/bert-base-uncased + /home/ada/teacher", "google-bert/bert-base-uncased + teacher"),
    ],
)
def test_a_hub_id_stays_and_a_path_becomes_its_last_component(name, shown):
    assert public_name(name) == shown


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("distil-nlp run recipes/a/b.yaml --seed 1", "distil-nlp run recipes/a/b.yaml --seed 1"),
        ("/home/ada/.venv/bin/python /home/ada/x.py", "python x.py"),
        ("x --teacher=/home/ada/t --output_dir ../runs/y", "x --teacher=t --output_dir y"),
        ("x --hub_token hf_abc --seed 1", "x --hub_token *** --seed 1"),
        ("x --hub_token=hf_abc --api-key=1", "x --hub_token=*** --api-key=***"),
        ("HF_TOKEN=abc HF_HOME=/home/ada/hf x", "HF_TOKEN=*** HF_HOME=hf x"),
        ("x recipes/../../ada/b.yaml", "x b.yaml"),
        ("x 'an unbalanced /home/ada/quote", "x ''\"'\"'an' unbalanced quote"),
        (["x", "--text_columns", "a b"], "x --text_columns 'a b'"),
        ("x --max_tokens 5", "x --max_tokens 5"),
    ],
)
def test_a_command_keeps_its_options_and_loses_folders_and_secrets(command, shown):
    assert public_command(command) == shown


def test_facts_are_flat_and_without_names_of_machines_people_and_secrets():
    facts = {"torch": "2.13.0+cpu", "cpu": {"cores": 2, "model": "x"}, "hostname": "h", "user": "ada", "api_key": "k"}
    assert public_pairs(facts) == [("torch", "2.13.0+cpu"), ("cpu.cores", "2"), ("cpu.model", "x")]
