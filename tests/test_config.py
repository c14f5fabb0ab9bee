"""Settings: decoded in one place, with errors a person can act on."""

import pytest

from code2lora_lsp.config import (
    CompletionSettings,
    Settings,
    decode_settings,
    setting_names,
)
from code2lora_lsp.errors import ConfigError
from code2lora_lsp.settings_shape import merged


def test_nothing_given_is_the_defaults():
    assert decode_settings(None) == Settings()
    assert decode_settings({}) == Settings()


def test_camel_case_names_reach_their_fields_and_leave_the_rest():
    decoded = decode_settings({"completion": {"maxTokens": 7}, "model": {"device": "cpu"}})
    assert decoded.completion.max_tokens == 7
    assert decoded.model.device == "cpu"
    assert decoded.completion.deadline_s == Settings().completion.deadline_s


def test_a_partial_change_keeps_what_was_set_before():
    base = decode_settings({"completion": {"maxTokens": 7}})
    changed = decode_settings({"completion": {"maxLines": 3}}, base)
    assert (changed.completion.max_tokens, changed.completion.max_lines) == (7, 3)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"modle": {}}, ["modle", "model"]),
        ({"completion": {"maxToken": 3}}, ["completion.maxToken", "maxTokens"]),
        ({"completion": {"maxTokens": "many"}}, ["completion.maxTokens", "int", "many"]),
        ({"completion": {"maxTokens": True}}, ["completion.maxTokens", "True"]),
        ({"completion": {"maxTokens": 0}}, ["completion.maxTokens", "0", "1024"]),
        ({"completion": {"minConfidence": 1.5}}, ["completion.minConfidence", "1.5"]),
        ({"model": {"device": "tpu"}}, ["model.device", "tpu", "cuda"]),
        ({"follow": {"exclude": "*.key"}}, ["follow.exclude", "list"]),
        ({"follow": {"exclude": ["docs/", "!"]}}, ["follow.exclude", "'!'", "gitignore"]),
        ({"model": "nano"}, ["model", "object", "nano"]),
        ([], ["code2lora", "object"]),
        ({"code2lora": 3}, ["code2lora", "object", "3"]),
        ({"completion.maxLine": 3}, ["completion.maxLine", "maxLines"]),
        ({"completion.maxLines.x": 3}, ["completion.maxLines", "int"]),
    ],
)
def test_a_wrong_setting_names_itself_its_value_and_the_remedy(raw, words):
    with pytest.raises(ConfigError) as caught:
        decode_settings(raw)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    "raw",
    [
        {"completion": {"maxLines": 4, "maxTokens": 7}},
        {"completion.maxLines": 4, "completion.maxTokens": 7},
        {"completion.maxLines": 4, "completion": {"maxTokens": 7}},
        {"code2lora": {"completion": {"maxLines": 4, "maxTokens": 7}}},
        {"code2lora": {"completion.maxLines": 4, "completion": {"maxTokens": 7}}},
        {"code2lora.completion.maxLines": 4, "code2lora.completion.maxTokens": 7},
        {"code2lora": {"completion": {"maxLines": 4}}, "completion.maxTokens": 7},
    ],
)
def test_names_may_be_nested_dotted_and_under_our_own(raw):
    expected = CompletionSettings(max_lines=4, max_tokens=7)
    assert decode_settings(raw) == Settings(completion=expected)


def test_of_two_spellings_the_later_wins():
    assert merged({"follow.pollS": 2}, {"code2lora": {"follow": {"pollS": 3}}}) == {
        "follow": {"pollS": 3}
    }
    late = merged({"follow": {"pollS": 2, "poll_s": 3}}, {"follow.pollS": 4})
    assert decode_settings(late).follow.poll_s == 4.0


def test_the_default_suffix_gives_way_to_a_small_prompt():
    small = decode_settings({"completion": {"promptTokens": 200}})
    assert small.completion.prompt_tokens == 200
    sent_by_an_editor = {"completion": {"promptTokens": 200, "suffixTokens": 128}}
    assert decode_settings(sent_by_an_editor) == small


def test_a_suffix_that_cannot_be_in_its_prompt_names_both_settings():
    with pytest.raises(ConfigError) as caught:
        decode_settings({"completion": {"promptTokens": 200, "suffixTokens": 101}})
    words = ("completion.suffixTokens", "completion.promptTokens", "101", "200")
    assert all(word in str(caught.value) for word in words)


def test_every_setting_has_a_json_name_and_a_default_that_decodes_back():
    names = setting_names()
    assert len(names) < 25
    for name, value in names.items():
        group, leaf = name.split(".")
        decode_settings({group: {leaf: list(value) if isinstance(value, tuple) else value}})
