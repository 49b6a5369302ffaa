"""Provider errors -> Anthropic errors."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from engine.wire import waiting

LONGEST_WORDS = 1_000
# An error that goes on longer than this quotes something.
_READ = 8_000
# Of the many things that a validator may have found wrong.
_MOST_FOUND = 10


class ApiError(Exception):
    """An error as the client is told it: Anthropic's status, type and words (https://platform.claude.com/docs/en/api/errors).

    `retry_after` is in seconds, as the header says it. `should_retry` is None where the status says enough.
    """

    def __init__(
        self, status: int, type: str, message: str, *, retry_after: str | None = None, should_retry: bool | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.message = message
        self.retry_after = retry_after
        self.should_retry = should_retry

    def body(self, request_id: str) -> dict[str, Any]:
        return {"type": "error", "error": {"type": self.type, "message": self.message}, "request_id": request_id}

    def headers(self) -> dict[str, str]:
        said = {"retry-after": self.retry_after, "x-should-retry": {True: "true", False: "false", None: None}[self.should_retry]}
        return {name: value for name, value in said.items() if value is not None}


class Kind(NamedTuple):
    """What sort of trouble it is: Anthropic's status and type, and whether trying again is of use (None: the status says)."""

    status: int
    type: str
    should_retry: bool | None = None


INVALID = Kind(400, "invalid_request_error")
# The client tries 401 ten times over, and asks again without streaming on 404; neither helps.
UNAUTHENTICATED = Kind(401, "authentication_error", False)
BILLING = Kind(402, "billing_error", False)
FORBIDDEN = Kind(403, "permission_error", False)
NOT_FOUND = Kind(404, "not_found_error", False)
CONFLICT = Kind(409, "conflict_error")
TOO_LARGE = Kind(413, "request_too_large", False)
THROTTLED = Kind(429, "rate_limit_error")
BROKEN = Kind(500, "api_error")
TIMEOUT = Kind(504, "timeout_error")
OVERLOADED = Kind(529, "overloaded_error")

REFUSED = INVALID._replace(should_retry=False)
EXHAUSTED = THROTTLED._replace(should_retry=False)
MISSTEP = INVALID._replace(should_retry=True)

_STATUS = {
    401: UNAUTHENTICATED, 402: BILLING, 403: FORBIDDEN, 404: NOT_FOUND, 408: TIMEOUT, 409: CONFLICT, 410: NOT_FOUND,
    413: TOO_LARGE, 429: THROTTLED, 498: OVERLOADED, 501: INVALID, 503: OVERLOADED, 504: TIMEOUT, 524: TIMEOUT, 529: OVERLOADED,
}  # fmt: skip

# Codes and types that say more than the status they come with, whoever sends them.
_TELLING: dict[Kind, str] = {
    BILLING: "insufficient_quota exceeded_current_quota_error billing_error payment_required arrearage 1113",
    EXHAUSTED: "1308 1309 GoUsageLimitError FreeUsageLimitError subscription_usage_limit_exceeded",
    REFUSED: "content_filter content_policy_violation data_inspection_failed ResponsibleAIPolicyViolation invalid_prompt "
    "bio_policy misalignment_policy_violation 1301 1026 1027",
    NOT_FOUND: "model_not_found model_not_available invalid_model 1211 1500",
    UNAUTHENTICATED: "invalid_api_key API_KEY_INVALID invalid_authentication_error ExpiredTokenException "
    "UnrecognizedClientException",
    OVERLOADED: "engine_overloaded_error overloaded_error provider_overloaded server_busy model_overloaded 1305 3505",
    TIMEOUT: "DEADLINE_EXCEEDED ModelTimeoutException",
    THROTTLED: "rate_limit_exceeded rate_limit_reached_error ThrottlingException ModelNotReadyException 1302 1303",
    MISSTEP: "tool_use_failed MALFORMED_FUNCTION_CALL",
}

# Types that say what the status would have said, had there been one: in a stream that began with 200.
_GENERAL: dict[Kind, str] = {
    INVALID: "invalid_request_error invalid_request invalid_argument failed_precondition BadRequestError ValidationException",
    UNAUTHENTICATED: "authentication_error authentication unauthenticated unauthorized",
    FORBIDDEN: "permission_error permission_denied permission_denied_error AccessDeniedException",
    NOT_FOUND: "not_found not_found_error resource_not_found_error ResourceNotFoundException",
    TOO_LARGE: "request_too_large payload_too_large",
    THROTTLED: "rate_limit_error rate_limit rate_limited too_many_requests resource_exhausted",
    TIMEOUT: "timeout timeout_error",
    OVERLOADED: "overloaded unavailable unavailable_error service_unavailable provider_unavailable ServiceUnavailableException",
}

# Patterns that only errors want: `re` compiles them when they first are, and keeps them.
_FLAGS = re.IGNORECASE | re.VERBOSE

# Wording, the first that fits. What a status or a code says in general is the last resort: many say 400 or 429 to everything.
_WORDING = (
    (EXHAUSTED, r"usage\ limit\ (?:has\ been\ )?reached | monthly\ usage\ limit | subscription_sharing_\w+_limit"),
    (BILLING, r"(?:requests|tokens)_?perday"),
    (THROTTLED, r"per\ ?minute | \b[RT]P[MD]\b | (?:retry|try\ again)\ in\ \d | retryDelay"),
    (
        BILLING,
        r"""insufficient\ (?:account\ )?(?:balance|credits?|funds) | available\ balance | balance\ is\ too\ low
        | out\ of\ (?:budget|credits?) | exceeded\ your\ (?:current\ quota|monthly) | billing\ (?:details|hard\ limit)
        | (?:buy|purchase|add)\ (?:more\ )?credits | overdue\ payment""",
    ),
    (
        UNAUTHENTICATED,
        r"""api[ _]key\ (?:not\ valid|provided|is\ invalid) | (?:incorrect|invalid|missing)\ (?:api[ _-]?key|x-api-key)
        | authentication\ fails | invalid[ _](?:bearer|token)\b | login\ fail""",
    ),
    (
        NOT_FOUND,
        r"""supported\ api\ model\ names | (?:unknown|invalid)\ model | no\ endpoints\ found | models/\S+\ is\ not\ found
        | \bmodel\b.{0,120}(?:does\ not\ exist|not\ found|was\ removed|(?:been|was)\ deprecated|end\ of\ its\ life)""",
    ),
    (REFUSED, r"content[ _](?:filter|management\ policy|policy) | data\ ?inspection\ ?failed | usage\ polic(?:y|ies)"),
    # Not what a tool is called: get_rate_limit.
    (THROTTLED, r"\brate.?limit | rate.?limit(?:ed|s)?[_ ]?(?:exceeded|reached|error|hit) | too\ many\ requests"),
    (OVERLOADED, r"overloaded | at\ capacity | capacity\ exceeded | high\ demand | server.?busy"),
)

# What gateways say of any trouble behind them: it tells something only where the status says no more than that there is some.
_BEHIND = r"provider returned error"

# A status at which wording may say more than the status does. 401 to 404 are never about anything else.
UNSAID = 0
_BROKEN = {UNSAID, 500, 502, 520}
_VAGUE = _BROKEN | {400, 403, 413, 422, 429}

# Where servers put their words, the first that holds some.
_WHERE = (
    ("error", "metadata", "raw"), ("error", "message"), ("error",), ("errors",), ("message",), ("detail",),
    ("title",), ("error_description",), ("base_resp", "status_msg"), ("status_msg",), ("msg",),
)  # fmt: skip

# Where a validator begins to quote what of the request it refuses, which may speak of anything (E10).
_QUOTE = r"""[{,]\s*\\?['"]input\\?['"]:|\binput_value="""

_REQUESTED = r"limit:? (\d[\d,]{0,20})\b.{0,60}requested:? (\d[\d,]{0,20})"
_HOPELESS = "One request alone is more than may be sent in a minute, so waiting does not help; a shorter one does."


def from_provider(
    provider: str,
    status: int,
    told: Mapping[str, Any],
    headers: Mapping[str, str],
    *,
    context_window: int | None = None,
    key: str | None = None,
) -> ApiError:
    """The client's error for a provider's.

    `told` is what the mapping found in the answer: `message`, `type`, `code`, `status`, and whatever else may tell the reason
    (`details`), each possibly missing or of any type. `status` is the answer's own, 200 for an error inside a stream.
    The message keeps the provider's words, less what `redact` takes and the `key`, behind the provider's name: some quote the
    key that they refuse, and not every key looks like one.
    """
    said = _said(told.get("message")).replace(key or "\0", "[key]")
    status = _status(status, told)
    evidence = " ".join(re.split(_QUOTE, part[:_READ], maxsplit=1)[0] for part in _evidence(said, told))
    message = f"{provider}: {_words(status, said, told)}"
    if too_long := _too_long(status, evidence, told, context_window):
        return ApiError(INVALID.status, INVALID.type, f"{too_long}\n{message}")
    if _more_than_allowed(evidence):
        return ApiError(INVALID.status, INVALID.type, f"{message}\n{_HOPELESS}", should_retry=False)
    kind = _kind(status, evidence, _codes(told, headers))
    should_retry = _OPINION.get(headers.get("x-should-retry", ""), kind.should_retry)
    wait = waiting.seconds(headers, evidence) if should_retry is not False else None
    return ApiError(kind.status, kind.type, message, retry_after=wait, should_retry=should_retry)


_OPINION = {"true": True, "false": False}


# What was said


def _said(value: Any) -> str:
    """The words in a message, which may be the JSON text of another error, or that error itself."""
    if isinstance(value, str):
        inner = _parsed(value)
        return value.strip() if inner is None else _said(inner) or value.strip()
    if isinstance(value, list):
        return "; ".join(filter(None, (_said(each) for each in value[:_MOST_FOUND] if not isinstance(each, list))))
    words = next(filter(None, (_said(found) for path in _WHERE if (found := _at(value, path)) is not None)), "")
    where = _at(value, ("loc",))  # https://fastapi.tiangolo.com/tutorial/handling-errors/
    return f"{'.'.join(map(str, where))}: {words}" if words and isinstance(where, list) else words


def _parsed(text: str) -> Any:
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and len(value) > step:
            value = value[step]
        else:
            return None
    return value


def _words(status: int, said: str, told: Mapping[str, Any]) -> str:
    """What the client is told after the provider's name."""
    from engine.wire.redact import redact  # its patterns take a while to compile, and nothing may go wrong

    if _is_page(said):
        title = re.search(r"(?is)<(title|h1)[^>]{0,200}>(.{0,200}?)</\1>", said[:_READ])
        name = " ".join(re.sub(r"<[^>]+>", " ", title[2]).split()) if title else f"HTTP {status}"
        return f"{redact(name[:200])} (an HTML page: a firewall or proxy on the way answered rather than the API)"
    words = redact(said[:_READ])
    if not words:
        what = "an error" if status == UNSAID else f"HTTP {status}"
        return f"{what} without a word of explanation" + "".join(f" ({redact(code)})" for code in _codes(told, {})[:1])
    return words if len(words) <= LONGEST_WORDS else words[:LONGEST_WORDS].rstrip() + " …"


def _is_page(said: str) -> bool:
    return said[:1_000].lstrip().lower().startswith(("<!doctype", "<html", "<head", "<?xml")) or "<html" in said[:1_000].lower()


# What sort of trouble it is


def _status(status: int, told: Mapping[str, Any]) -> int:
    """The HTTP status that tells most: the answer's own, or, where that was a success, one that stands in the error."""
    inside = (_number(told.get("status")), _number(told.get("code")))
    return status if status >= 400 else next((code for code in inside if code and 400 <= code < 600), UNSAID)


def _number(value: Any) -> int | None:
    return int(value) if isinstance(value, int | str) and re.fullmatch(r"\d{1,6}", str(value)) else None


def _codes(told: Mapping[str, Any], headers: Mapping[str, str]) -> list[str]:
    # Amazon's name for the error is in a header: https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html
    named = (told.get("code"), told.get("type"), told.get("status"), told.get("reason"), headers.get("x-amzn-errortype"))
    return [re.split(r"[:#]", str(name))[0].strip() for name in named if isinstance(name, int | str) and name != ""]


def _evidence(said: str, told: Mapping[str, Any]) -> Iterator[str]:
    """All that may tell the reason; the request's own words that some errors quote are left out."""
    for name in ("type", "code", "status", "reason", "message", "details"):
        value = told.get(name)
        if value is not None:
            yield value if isinstance(value, str) else json.dumps(value, default=str)
    yield said


def _too_long(status: int, evidence: str, told: Mapping[str, Any], context_window: int | None) -> str | None:
    if status in {401, 402, 403, 404, 429}:
        return None
    from engine.wire import overflow  # as above

    # A prompt too long for a server in front of the model is refused without a body.
    if status in {400, 413} and all(value in (None, "") for value in told.values()):
        return overflow.unsaid(context_window)
    return overflow.retold(evidence, told, context_window)


def _more_than_allowed(evidence: str) -> bool:
    found = re.search(_REQUESTED, evidence, re.IGNORECASE)
    return found is not None and int(found[2].replace(",", "")) > int(found[1].replace(",", ""))


def _kind(status: int, evidence: str, codes: list[str]) -> Kind:
    by_code = next((kind for code in codes if (kind := _TELLING_CODES.get(_plain(code)))), None)
    by_wording = next((kind for kind, wording in _WORDING if re.search(wording, evidence, _FLAGS)), None)
    telling = (by_code or by_wording) if status in _VAGUE else None
    if telling is None and status in _BROKEN and re.search(_BEHIND, evidence, re.IGNORECASE):
        return OVERLOADED
    return telling or _STATUS.get(status) or (_general(codes) if status == UNSAID else INVALID if status < 500 else BROKEN)


def _general(codes: list[str]) -> Kind:
    return next((kind for code in codes if (kind := _GENERAL_CODES.get(_plain(code)))), BROKEN)


def _plain(code: str) -> str:
    return re.sub(r"[^a-z0-9]", "", code.lower())


def _by_code(table: dict[Kind, str]) -> dict[str, Kind]:
    return {_plain(code): kind for kind, codes in table.items() for code in codes.split()}


_TELLING_CODES = _by_code(_TELLING)
_GENERAL_CODES = _by_code(_GENERAL)
