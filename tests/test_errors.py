"""Provider errors -> Anthropic errors: the statuses and words that real providers send, and what Claude Code makes of them."""

# ruff: noqa: E501 - what providers say is kept in one piece

import json
import re
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.wire.errors import LONGEST_WORDS, ApiError, from_provider
from engine.wire.redact import redact

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"

TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 409: "conflict_error", 413: "request_too_large", 429: "rate_limit_error",
    500: "api_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip


def told(
    status: int, message: Any = None, headers: dict[str, str] | None = None, window: int | None = None, **more: Any
) -> ApiError:
    return from_provider("acme", status, {"message": message} | more, headers or {}, context_window=window)


# What real providers sent: recorded bodies by the end of their file's name, under the status that the client is to see

RECORDED = {
    400: """f3677ac6 55737613 dcb8fb98 30f6ba38 2283f090 d893e893 2602e6ec 79de143d c160e5a8 4dd0278b 60df3cd8 593a16c5
        8a317de0 dce7ab23 04cbeb75 d69025ae 15689d55 d3c8ded5 b08a982e 1d1ba26d d8255b58 0d3327c6 50c3ab81 2af909f0
        91f35e7b 22ce56c3 e6c67ff4 4aedf142""",
    401: "696d117e 6f36b347 980120b5 b0b20372 6d8bc075 7d798882 9c535368 98dd264f 67a44b90 0a5dd007",
    403: "b06a9c62",
    404: "3a8968ff f7316909 3439f169 74639e91 c7b54920 66f14b60 997935f8 7c810226 179b9721 1fe23655 00c40532 53d1c92f 33b13da4 faa657db",
    429: "ae8755e6 5f4bb330 247ae7e1 8ef3c495 b1946723",
    500: "eeb33959 79dd41e9 4249ea94",
    529: "ceff0fce",
}
EXPECTED = {key: status for status, keys in RECORDED.items() for key in keys.split()}


def recorded_errors() -> list[dict[str, Any]]:
    if not CORPUS.exists():
        return []
    lines = map(json.loads, (CORPUS / "INDEX.jsonl").read_text().splitlines())
    return [line for line in lines if line["status"] >= 400 or {"error", "error_midstream"} & set(line["features"])]


def extracted(reply: Any) -> dict[str, Any]:
    """What a mapping's error section would find, by the order of providers.md 5.6."""
    if not isinstance(reply, dict):
        return {"message": reply}
    error = reply.get("error")
    if not isinstance(error, dict):
        return {
            "message": error or reply.get("message") or reply.get("detail"),
            "code": reply.get("code"),
            "type": reply.get("type"),
        }
    raw = error.get("metadata", {}).get("raw")
    return {
        "message": raw if isinstance(raw, str) else error.get("message"),
        "type": error.get("type") or error.get("status"),
    } | {key: error.get(key) for key in ("code", "details")}


def error_within(entry: dict[str, Any], record: dict[str, Any]) -> Any:
    """The reply that tells of the error: the whole answer, one choice of it, or the chunk of a stream."""
    if entry["stream"]:
        chunks = [json.loads(data) for data in re.findall(r"^data: (\{.*)$", record["response_raw"], re.MULTILINE)]
        return next(found for chunk in chunks if (found := chunk.get("response", chunk)).get("error"))
    reply = record["response"]
    return reply if "error" in reply or not reply.get("choices") else reply["choices"][0]


@pytest.mark.skipif(not CORPUS.exists(), reason="the recorded traffic (../shared/corpus) is not here")
@pytest.mark.parametrize("entry", recorded_errors(), ids=lambda entry: entry["file"].split("/")[-1])
def test_E02_a_recorded_error_keeps_its_words_under_anthropics_status(entry):
    reply = error_within(entry, json.loads((CORPUS / entry["file"]).read_text()))
    found = extracted(reply)
    error = from_provider("acme", entry["status"], found, {})

    expected = EXPECTED[entry["file"].split(".")[-2]]
    assert (error.status, error.type) == (expected, TYPES[expected])
    assert "acme: " in error.message
    words = re.findall(r"[A-Za-z]{4,}", json.dumps(found["message"]))
    lost = [
        word for word in words if word not in error.message and word not in {"errors", "message", "code", "success", "result"}
    ]
    assert len(lost) <= len(words) / 4, f"lost {lost} of {found['message']!r} in {error.message!r}"


def test_E02_the_body_is_anthropics_with_the_requests_id():
    error = ApiError(429, "rate_limit_error", "acme: slow down", retry_after="3", should_retry=False)
    assert error.body("req_1") == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "acme: slow down"},
        "request_id": "req_1",
    }
    assert error.headers() == {"retry-after": "3", "x-should-retry": "false"}
    assert ApiError(400, "invalid_request_error", "no").headers() == {}


# Overflow

OVERFLOWS = {
    "This model's maximum context length is 128000 tokens. However, your messages resulted in 150000 tokens.": (150000, 128000),
    "This endpoint's maximum context length is 131072 tokens. However, you requested about 140000 tokens (132000 of text input, "
    "8000 in the output). Please reduce the length of either one.": (132000, 131072),
    "This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens. Please reduce the length of the "
    "input messages.": (5000, 4096),
    "You passed 5001 input tokens and requested 0 output tokens. However, the model's context length is only 4096 tokens.": (
        5001,
        4096,
    ),
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).": (1200000, 1048576),
    "prompt token count of 130000 exceeds the limit of 128000": (130000, 128000),
    "This model's maximum prompt length is 131072 but the request contains 537812 tokens.": (537812, 131072),
    "The input (516368 tokens) is longer than the model's context length (262144 tokens).": (516368, 262144),
    "request (40,069 tokens) exceeds the available context size (22,016 tokens), try increasing it": (40069, 22016),
    "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length": (40000, 32768),
    "Invalid request: Your request exceeded model token limit: 262144 (requested: 300000)": (300000, 262144),
    "Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192": (9000, 8192),
    "prompt tokens (9000) exceed model maximum (8192)": (9000, 8192),
    "input too long: 9000 input tokens, limit is 8192": (9000, 8192),
    "prompt is too long: 215000 tokens > 200000 maximum": (215000, 200000),
    "Requested token count exceeds the model's maximum context length of 8192 tokens. You requested a total of 10000 tokens: 9000 tokens "
    "from the input messages and 1000 tokens for the completion.": (9000, 8192),
    "prompt too long; exceeded max context length by 1119046 tokens": (1319046, 200000),
    "Unable to submit request because the input token count is 1251952 but model only supports up to 1048576. Reduce the input token "
    "count and try again. You can also use the CountTokens API to calculate prompt token count and billable characters.": (
        1251952,
        1048576,
    ),
    "The sum of prompt length (9351.0), query length (0) should not exceed max_num_tokens (8192)": (9351, 8192),
    # The prompt's size is not said: one more than the window is all that is certain.
    "Range of input length should be [1, 983616]": (983617, 983616),
    "Your input exceeds the context window of this model. Please adjust your input and try again.": (200001, 200000),
    "Prompt exceeds max length": (200001, 200000),
    "Input is too long for requested model.": (200001, 200000),
    "litellm.ContextWindowExceededError: too much": (200001, 200000),
    "Please reduce the length of the messages or completion.": (200001, 200000),
    "Trying to keep the first 9000 tokens when context the overflows.": (200001, 200000),
    "tokens to keep from the initial prompt is greater than the context length": (200001, 200000),
    "invalid params, context window exceeds limit": (200001, 200000),
    "Error: model_context_window_exceeded": (200001, 200000),
    "Context size has been exceeded.": (200001, 200000),
}


@pytest.mark.parametrize(("words", "numbers"), OVERFLOWS.items(), ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("status", [400, 413, 422, 500, 200])
def test_E01_an_overflow_is_told_in_the_words_that_make_the_client_compact(status, words, numbers):
    error = told(status, words, window=200_000)
    assert (error.status, error.type) == (400, "invalid_request_error")
    first, original = error.message.split("\n", 1)
    assert tuple(map(int, re.findall(r"prompt is too long: \D*(\d+) tokens > (\d+) maximum", first)[0])) == numbers
    assert original == f"acme: {words}"


def test_E01_an_overflow_without_any_number_is_still_recognised():
    message = told(400, "Input is too long for requested model.").message
    assert message.startswith("prompt is too long")
    assert "capability_rejected: prompt_too_long" in message


def test_E01_numbers_beside_the_words_are_taken():
    error = told(400, "too much", type="exceed_context_size_error", n_prompt_tokens=40069, n_ctx=22016)
    assert error.message.startswith("prompt is too long: 40069 tokens > 22016 maximum\n")


@pytest.mark.parametrize(
    "more", [{"code": "context_length_exceeded"}, {"type": "token_limit_exceeded"}, {"code": "1261"}, {"code": 1261}], ids=str
)
def test_E01_a_code_says_it_where_the_words_do_not(more):
    assert told(400, "no", **more).message.startswith("prompt is too long")


@pytest.mark.parametrize("status", [400, 413])
def test_E01_a_refusal_without_a_body_is_an_overflow(status):
    assert told(status, "").message.startswith("prompt is too long")


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 65536 tokens. However, you requested 66434 tokens (58242 in the messages, 8192 in the "
        "completion).",
        "'max_tokens' or 'max_completion_tokens' is too large: 8192. This model's maximum context length is 65536 tokens and your "
        "request has 58242 input tokens (8192 > 65536 - 58242).",
        "`inputs` tokens + `max_new_tokens` must be <= 65536. Given: 58242 `inputs` tokens and 8192 `max_new_tokens`",
        "input length and `max_tokens` exceed context limit: 58242 + 8192 > 65536, decrease input length",
    ],
    ids=lambda words: words[:30],
)
def test_E01_an_answer_that_does_not_fit_is_told_so_that_the_client_lowers_max_tokens(words):
    own = "input length and `max_tokens` exceed context limit: 58242 + 8192 > 65536, decrease input length or `max_tokens` and try again"
    assert told(400, words).message.split("\n")[0] == own


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (429, "Rate limit reached: too many tokens, limit 128000 per minute"),
        (400, "Too many tokens, please wait before trying again."),
        (400, "string too long: string_above_max_length, maximum context length is 10"),
        (400, "max_tokens is too large: 100000. This model supports at most 16384 completion tokens"),
        (400, "Request too large: tokens per minute (TPM): Limit 60000, Requested 5, please reduce the length of the messages"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_E01_other_trouble_with_tokens_is_no_overflow(status, words):
    assert told(status, words).message.startswith(f"acme: {words}")


# What sort of trouble

KINDS: list[tuple[int, dict[str, Any], int, bool | None]] = [
    (400, {"message": "messages: bad"}, 400, None),
    (422, {"message": [{"type": "missing", "msg": "Field required"}]}, 400, None),
    (405, {"message": "Method Not Allowed"}, 400, None),
    (415, {"message": "Unsupported Media Type"}, 400, None),
    (501, {"message": "Not Implemented"}, 400, None),
    (400, {"message": "API key not valid. Please pass a valid API key."}, 401, False),
    (401, {"message": "nope"}, 401, False),
    (402, {"message": "Insufficient Balance"}, 402, False),
    (429, {"message": "You exceeded your current quota, please check your plan and billing details.", "code": "insufficient_quota"}, 402, False),
    (429, {"message": "no", "type": "exceeded_current_quota_error"}, 402, False),
    (429, {"message": "余额不足", "code": "1113"}, 402, False),
    (400, {"message": "Access denied, please make sure your account is in good standing", "code": "Arrearage"}, 402, False),
    (429, {"message": "Quota exceeded", "details": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}, 402, False),
    (403, {"message": "no"}, 403, False),
    (400, {"message": "The supported API model names are a and b"}, 404, False),
    (400, {"message": "Unknown Model, please check the model code.", "code": "1211"}, 404, False),
    (410, {"message": "gone"}, 404, False),
    (408, {"message": "no"}, 504, None),
    (524, {"message": "no"}, 504, None),
    (500, {"message": "too late", "type": "DEADLINE_EXCEEDED"}, 504, None),
    (409, {"message": "no"}, 409, None),
    (413, {"message": "Payload too large"}, 413, False),
    (429, {"message": "Your account reached its usage limit", "code": "1308"}, 429, False),
    (429, {"message": "Usage limit reached for 5 hour. Your limit will reset at 2026-11-24 12:00:00"}, 429, False),
    (429, {"message": "The engine is currently overloaded", "type": "engine_overloaded_error"}, 529, None),
    (498, {"message": "flex"}, 529, None),
    (503, {"message": "Loading model", "type": "unavailable_error"}, 529, None),
    (502, {"message": "Provider returned error"}, 529, None),
    (502, {"message": "Bad Gateway"}, 500, None),
    (530, {"message": "origin"}, 500, None),
    (400, {"message": "The response was filtered", "code": "content_filter"}, 400, False),
    (400, {"message": "Input data may contain inappropriate content.", "code": "DataInspectionFailed"}, 400, False),
    (400, {"message": "Failed to call a function.", "code": "tool_use_failed", "failed_generation": "rate limit"}, 400, True),
    # Under status 200: in a stream, or with a status of its own inside
    (200, {"message": "no", "code": 429}, 429, None),
    (200, {"message": "no", "code": "502"}, 500, None),
    (200, {"message": "no", "status": 402, "code": 1008}, 402, False),
    (200, {"message": "insufficient balance", "code": 1008}, 402, False),
    (200, {"message": "Overloaded", "type": "overloaded_error"}, 529, None),
    (200, {"message": "no", "type": "invalid_request_error"}, 400, None),
    (200, {"message": "no", "type": "RESOURCE_EXHAUSTED"}, 429, None),
    (200, {"message": "no", "code": "server_error"}, 500, None),
    (200, {"message": "no", "type": "throttlingException"}, 429, None),
    (200, {}, 500, None),
]  # fmt: skip


@pytest.mark.parametrize(("status", "found", "expected", "should_retry"), KINDS, ids=lambda value: str(value)[:60])
def test_E07_each_sort_of_trouble_has_its_status_and_says_whether_to_try_again(status, found, expected, should_retry):
    error = from_provider("acme", status, found, {})
    assert (error.status, error.type, error.should_retry) == (expected, TYPES[expected], should_retry)


@pytest.mark.parametrize(
    "prompt",
    ["Add a rate limit", "Overloaded? Retry in 30 seconds", "billing details", "the model does not exist", "prompt is too long"],
)
@pytest.mark.parametrize(
    "message",
    [
        "[{'type': 'string_type', 'loc': ('body', 'messages'), 'msg': 'Input should be a valid string', 'input': [{'text': 'PROMPT'}]}]",
        "1 validation error for Request\n  Input should be a valid string [type=string_type, input_value='PROMPT', input_type=str]",
        [{"type": "string_type", "loc": ["body"], "msg": "Input should be a valid string", "input": "PROMPT"}],
    ],
    ids=["vllm", "pydantic", "fastapi"],
)
def test_E10_a_prompt_that_is_quoted_is_no_reason(message, prompt):
    quoting = json.loads(json.dumps(message).replace("PROMPT", prompt))
    error = told(400, quoting, window=200_000)
    assert (error.status, error.type, error.should_retry, error.retry_after) == (400, "invalid_request_error", None, None)
    assert "Input should be a valid string" in error.message
    assert not error.message.startswith("prompt is too long")


@pytest.mark.parametrize("words", ["userRateLimitExceeded", "org_rate_limit_exceeded", "UserRateLimitReached", "rate-limited"])
def test_E07_a_limit_may_have_a_longer_name(words):
    assert (told(400, words).status, told(403, words).status, told(500, words).status) == (429, 429, 429)


def test_E10_a_tool_that_is_named_is_no_reason():
    error = told(400, "Invalid schema for function 'mcp__github__get_rate_limit': array schema missing items.")
    assert (error.status, error.type) == (400, "invalid_request_error")


@pytest.mark.parametrize("status", [413, 429, 200])
def test_E07_a_request_larger_than_a_minutes_allowance_is_not_tried_again(status):
    words = (
        "Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 30000, please reduce your message size"
    )
    error = told(status, words, code="rate_limit_exceeded")
    assert (error.status, error.should_retry) == (400, False)
    assert words in error.message
    assert told(413, words.replace("30000", "3000"), code="rate_limit_exceeded").status == 429


def test_E07_amazons_name_for_an_error_stands_in_a_header():
    error = told(400, "no", {"x-amzn-errortype": "ThrottlingException:http://internal.amazon.com/coral/"})
    assert error.status == 429


@pytest.mark.parametrize(
    ("headers", "words", "expected"),
    [
        ({"retry-after": "45"}, "", "45"),
        ({"retry-after-ms": "1500", "retry-after": "9"}, "", "2"),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, "", "Wed, 21 Oct 2026 07:28:00 GMT"),
        ({}, "Rate limit reached. Please try again in 16.23s. Visit", "17"),
        ({}, "Please try again in 7m12.5s", "433"),
        ({}, "Please retry after 20 seconds.", "20"),
        ({}, "try again in 850ms", "1"),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "2m59.56s"}, "slow", "180"),
        ({"x-ratelimit-remaining-tokens": "9", "x-ratelimit-reset-tokens": "2m59.56s"}, "slow", None),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1754667660000"}, "slow", None),
        ({"retry-after": "Sunday, 06-Nov-94 08:49:37 GMT"}, "", "Sunday, 06-Nov-94 08:49:37 GMT"),
        ({"retry-after": "Sun Nov  6 08:49:37 1994"}, "", "Sun Nov  6 08:49:37 1994"),
        *[({"retry-after": said}, "", None) for said in ("inf", "nan", "-3", "1e99", "9" * 10, "soon", "Wed, inf")],
        ({"retry-after": "nan"}, "Please retry after 20 seconds.", "20"),
        ({}, "slow down", None),
    ],
)  # fmt: skip
def test_E07_how_long_to_wait_is_passed_on(headers, words, expected):
    assert told(429, words, headers).retry_after == expected


def test_E07_a_delay_among_the_details_is_passed_on():
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.4s"}]
    error = told(429, "You exceeded your current quota, please check your plan.", details=details)
    assert (error.status, error.retry_after) == (429, "35")


def test_E07_the_providers_own_word_on_trying_again_wins():
    assert told(500, "no", {"x-should-retry": "false"}).should_retry is False
    assert told(400, "no", {"x-should-retry": "true"}).should_retry is True


# Words


def test_E08_a_page_is_told_by_its_title():
    page = "<!DOCTYPE html><html><head><title>502 Bad\n Gateway</title></head><body><center>nginx</center></body></html>"
    assert told(502, page).message.startswith("acme: 502 Bad Gateway (an HTML page")
    assert told(403, "<html><body><h1>Blocked</h1>by rule 17</body></html>").message.startswith("acme: Blocked (an HTML page")
    assert told(500, "<html></html>").message.startswith("acme: HTTP 500 (an HTML page")


def test_E02_silence_is_told_as_such():
    assert told(500).message == "acme: HTTP 500 without a word of explanation"
    assert told(429, None, code="1302").message == "acme: HTTP 429 without a word of explanation (1302)"


@pytest.mark.parametrize(
    "message",
    [
        '{"errors":[{"message":"AiError: Internal server error","code":3043}],"success":false}',
        '{"error":{"message":"AiError: Internal server error"}}',
        {"error": {"metadata": {"raw": '{"error": "AiError: Internal server error"}'}, "message": "Provider returned error"}},
        [{"error": {"message": "AiError: Internal server error"}}],
        {"detail": [{"msg": "AiError: Internal server error"}]},
        {"base_resp": {"status_code": 1000, "status_msg": "AiError: Internal server error"}},
    ],
    ids=str,
)
def test_E02_words_wrapped_in_json_are_unwrapped(message):
    assert told(500, message).message == "acme: AiError: Internal server error"


def test_E02_a_long_message_is_cut():
    assert len(told(500, "word " * 100_000).message) < 1_100


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["error", "message", "code", "detail", "x"]), inner)
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(
    status=st.integers(100, 999),
    found=st.dictionaries(
        st.sampled_from(["message", "type", "code", "status", "details", "n_ctx", "n_prompt_tokens"]), json_values
    ),
    headers=st.dictionaries(
        st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-remaining-x", "x-should-retry"]), st.text()
    ),
)
def test_E02_whatever_is_told_becomes_an_error_of_anthropics(status, found, headers):
    error = from_provider("acme", status, found, headers)
    assert error.type == TYPES[error.status]
    assert "acme: " in error.message
    json.dumps(error.body("req_1"))


# What is left out

SECRETS = [
    "sk-proj-abcDEF123_456-ghi789jklMNO", "sk-ant-api03-AbCdEf123456789", "sk-or-v1-0123456789abcdef0123456789abcdef", "sk-ab12***************wxyz",
    "gsk_AbCd1234EfGh5678IjKl9012", "AIzaSyA1234567890abcdefghijklmnopqrstu", "xai-AbCdEf1234567890GhIj", "nvapi-AbCd-1234_efghIJKL5678",
    "hf_AbCdEfGhIjKl12345678", "csk-abc123def456ghi789jkl", "pplx-0a1b2c3d4e5f6a7b8c9d", "fw_3ZabcDEF12345678", "r8_AbCdEf123456789",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N", "AKIAIOSFODNN7EXAMPLE", "ya29.a0AfH6SMBx1234567",
    "0123456789abcdef0123456789abcdef", "a1b2c3d4e5f6a7b8c9d0a1b2c3d4e5f6.Xy12Zw34Uv56",
    "org-AbCdEf123456GhIjKl", "org_01h8zabcDEF", "proj_AbCdEf123456", "user_2abCDefGHi34",
    "arn:aws:bedrock:us-east-1:123456789012:inference-profile/x", "someone.else+x@mail.example.com",
    "10.12.13.14:8080", "192.168.1.7", "2001:db8:85a3:0:0:8a2e:370:7334", "fe80::1ff:fe23:4567:890a", "llm-7.gpu.svc.cluster.local:8000",
    "vault.prod.internal",
]  # fmt: skip


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("sentence", ["The thing {} was refused.", 'It said "{}", twice', "failed for {}"])
def test_a_secret_does_not_reach_the_client(secret, sentence):
    before, after = sentence.split("{}")
    left = redact(sentence.format(secret))
    assert re.fullmatch(re.escape(before) + r"\[(key|account|address|e-mail)\]" + re.escape(after), left)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("Incorrect API key provided: invalid-key. You can find", "Incorrect API key provided: [key]. You can find"),
        ("Your api key: ****-key is invalid", "Your api key: [key] is invalid"),
        ("Authorization: Bearer abc123.def-456 refused", "Authorization: Bearer [key] refused"),
        ("GET https://api.example.com/v1?key=abc123&alt=sse", "GET https://api.example.com/v1?key=[key]&alt=sse"),
        ("https://me:pass@proxy.example.com/", "https://[key]@proxy.example.com/"),
        ("for consumer 'project_number:348715329010'.", "for consumer 'project_number:[account]'."),
        ("team 01234567-89ab-cdef-0123-456789abcdef has", "team [account] has"),
        ("projects/my-shop-123/locations/x", "projects/[account]/locations/x"),
        ("Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    g()\nKeyError: 'x'", "KeyError: 'x'"),
        ("TypeError: no\n    at f (/app/x.js:1:2)\n    at async g (/app/y.js:3:4)", "TypeError: no"),
        ("boom\ngoroutine 1 [running]:\nmain.main()\n\t/app/main.go:5", "boom"),
    ],
    ids=lambda words: words[:30],
)
def test_what_stands_around_a_secret_stays(words, expected):
    assert redact(words) == expected


@pytest.mark.parametrize(
    "words",
    [
        "The model `gpt-6.1-sol-2026-10-01` does not exist. See https://platform.openai.com/docs/models.",
        "You can find your API key at https://platform.openai.com/account/api-keys.",
        "Invalid API key. Missing bearer token.",
        "messages.3.content.0.tool_use.name: user_message_with_a_long_name does not match ^[a-zA-Z0-9_-]{1,64}$",
        "request id req_011CTicMbc8TQfyrU6bud7nJ at 12:30:45, ref: 96164522-08b2-4cbf-886e-e5a38961a688",
        "Failed at line 1 column 197 of std::string, version 1.2.3",
        "maximum context length is 131072 tokens",
    ],
    ids=lambda words: words[:30],
)
def test_what_is_no_secret_stays(words):
    assert redact(words) == words


@pytest.mark.parametrize("piece", ["word ", "a.", "sk-", "a-", "1:", "key: ", "@a.", "at x\n"])
def test_a_long_message_is_read_in_a_moment(piece):
    start = perf_counter()
    told(500, piece * 100_000)
    # Patterns that try again from each letter took minutes for some of these.
    assert perf_counter() - start < 0.5


def test_a_key_across_the_cut_leaves_nothing_of_itself() -> None:
    key = "zzyyxxwwvvuutt"
    told = from_provider("p", 401, {"message": "x" * (LONGEST_WORDS - 7) + key + " is wrong"}, {}, key=key)
    assert "zzyy" not in told.message
