"""A student goes to a Hub and comes back, with the real client on both ways."""

import json

import pytest

from tests.hub.client import REPO
from tests.hub.sample import save_student

PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK")


@pytest.fixture(scope="module")
def seen(hub, tmp_path_factory):
    """What the client saw (see client.py). One process for all tests here: starting one takes seconds."""
    folder = save_student(tmp_path_factory.mktemp("saved") / "student")
    return json.loads(hub.python("-m", "tests.hub.client", folder).splitlines()[-1])


def test_logits_after_the_round_trip_are_bit_identical(seen):
    assert seen["bit_identical"] and seen["logits_differ_between_texts"]


def test_pipeline_from_the_hub_gives_the_labels_and_scores_of_the_saved_student(seen):
    assert [answer["label"] for answer in seen["pipeline"]] == [answer["label"] for answer in seen["expected"]]
    for answer, expected in zip(seen["pipeline"], seen["expected"], strict=True):
        assert answer["score"] == pytest.approx(expected["score"], abs=1e-6)


def test_pipeline_finds_its_task_in_the_card(seen):
    assert seen["pipeline_without_task"] == "text-classification"


def test_the_card_on_the_hub_parses_back_to_its_metadata(seen):
    card = seen["card"]
    assert card["library_name"] == "transformers" and card["datasets"] == ["nyu-mll/glue"]
    assert card["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.8995


def test_the_address_that_push_returns_is_the_repository(seen, hub):
    assert seen["url"] == f"{hub.state.url}/{REPO}"
    assert seen["branch_url"] == f"{hub.state.url}/{REPO}/tree/v2"


def test_a_second_push_updates_the_same_repository(seen, hub):
    assert seen["second_url"] == seen["url"]
    assert b"second push" in hub.state.files(REPO)["config.json"]


def test_a_push_without_changes_makes_no_commit(seen, hub):
    assert seen["unchanged_url"] == seen["url"]
    assert "nothing changed" not in hub.state.repos[REPO].messages


def test_a_push_to_a_missing_branch_creates_it(seen, hub):
    assert "model.safetensors" in hub.state.files(REPO, revision="v2") and seen["branch_is_bit_identical"]


def test_a_private_push_is_private_and_lands_in_the_users_own_namespace(seen, hub):
    assert seen["private_url"] == f"{hub.state.url}/tester/sst2-private"
    assert hub.state.repos["tester/sst2-private"].private


def test_exactly_the_student_its_tokenizer_and_its_card_are_uploaded(seen, hub):
    expected = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"}
    assert set(hub.state.files(REPO)) - {".gitattributes"} == expected


def test_the_uploaded_card_loads_the_student_from_its_repository(seen, hub):
    card = hub.state.files(REPO)["README.md"].decode()
    assert f'from_pretrained("{REPO}")' in card and "ada/sst2-small" not in card.split("```")[1]


def test_no_uploaded_file_is_a_pickle(seen, hub):
    contents = [content for repo_id in hub.state.repos for content in hub.state.files(repo_id).values()]
    assert len(contents) > 5
    assert not [content[:8] for content in contents if content.startswith(PICKLES)]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("read-only token", ["403", "write access", "token="]),
        ("unknown token", ["401", "hf auth login", "HF_TOKEN"]),
    ],
)
def test_a_refused_token_says_what_to_do_and_keeps_the_clients_error(seen, case, words):
    refusal = seen["refusals"][case]
    assert refusal["kind"] == "PermissionError" and refusal["cause"].endswith("Error")
    assert all(word in refusal["message"] for word in words), refusal["message"]


def test_no_message_repeats_the_token(seen):
    assert not [refusal for refusal in seen["refusals"].values() if "hf_unknown" in refusal["message"]]


def test_private_true_never_publishes_into_a_public_repository(seen):
    refusal = seen["refusals"]["private over public"]
    assert refusal["kind"] == "ValueError" and "public" in refusal["message"]


def test_a_refused_push_leaves_no_repository_behind(seen, hub):
    assert f"{REPO}-2" not in hub.state.repos


def test_the_stub_knew_every_request_that_the_client_needed(seen, hub):
    optional = ("/api/agent-harnesses", "/api/models/ada/bert-sst2")
    assert [request for request in hub.state.unknown_requests if not request.endswith(optional)] == []
