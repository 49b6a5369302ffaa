"""A provider's words, less what is nobody else's business: keys, account ids, addresses, stack traces."""

import re

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_IPV6 = r"[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7} | (?=[0-9a-f:]*\d)(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,5})?::[0-9a-f:]*"

# `re` compiles the patterns when they are first wanted, and keeps them.
_FLAGS = re.IGNORECASE | re.VERBOSE

# In this order: first what the words around it tell of, then what its own shape gives away.
_SECRETS = (
    (r"(://)[^/\s:@]+:[^/\s@]+@", r"\1[key]@"),
    (r"([?&](?:api[_-]?key|key|token|access_token|sig|signature)=)[^&\s\"']+", r"\1[key]"),
    (r"\b(bearer|basic)[ ](?=[\w.~+/*-]*[\d*])[\w.~+/*=-]{6,}", r"\1 [key]"),
    (
        r"""(\b(?:(?:api|access)[ _-]?key|secret|passw(?:or)?d|token)\b(?:[ ]provided)?["']?\s*[:=]\s*["'`]?)
        [^\s"'`,;]+(?<![.)])""",
        r"\1[key]",
    ),
    (r"(\bapi[ ]key[ :]{1,3}(?:is[ ])?[\"'`]?)(?=[^\s\"'`]{0,200}[*\d])[^\s\"'`,;]{6,}(?<![.)])", r"\1[key]"),
    (r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?", "[key]"),
    (r"\b(?:AIza|ya29\.|AQ\.|AKIA|ASIA)[\w-]{10,}", "[key]"),
    (
        r"""\b(?:sk|pk|rk|ak|gsk|xai|nvapi|hf|r8|fw|csk|pplx|tgp|glpat|gh[opsu]|github_pat|key|api)[-_]
        (?=[\w*-]{0,200}[\d*])[\w*-]{8,}""",
        "[key]",
    ),
    (r"\barn:aws[\w-]*:[\w:/.*-]+", "[account]"),
    (
        rf"""\b((?:project|account|tenant|subscription|team|organi[sz]ation|workspace|customer|user)
        (?:[ _-]?(?:id|number))?\W{{1,3}})(?:{_UUID}|\d{{6,}}|[0-9a-f]{{16,}})\b""",
        r"\1[account]",
    ),
    (r"\b(projects|organizations|accounts|subscriptions|tenants)/[\w-]*\d[\w-]*", r"\1/[account]"),
    # Ids, not names such as user_message: they hold a digit or a capital.
    (r"\b(?:org|proj|user|team|acct|wrkspc|cus)[-_](?-i:(?=[a-z]*[A-Z0-9]))\w{6,}", "[account]"),
    (r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+\b", "[e-mail]"),
    (r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?(?![\w.]*\d)", "[address]"),
    (rf"(?<![\w:.])\[?(?:{_IPV6})\]?(?![\w:])", "[address]"),
    (r"(?<![\w.-])(?:[\w-]{1,63}\.){1,8}(?:internal|local|svc|lan|corp|intranet)(?::\d+)?\b", "[address]"),
    # Keys without a prefix: long, of letters and digits mixed.
    (r"(?<![\w/-])(?=[a-z]*\d)(?=\d*[a-z])[a-z0-9]{32,}(?:\.[a-z0-9]{8,})?(?![\w/-])", "[key]"),
)

_PYTHON_TRACE = r"Traceback \(most recent call last\):\n(?:[ \t]+.*\n?|\n)*"
_FRAMES = r"""
      ^[ \t]+at[ ]\S.*$                      # JavaScript, Java
    | ^[ \t]*File[ ]".*",[ ]line[ ]\d+.*$    # Python, cut short
    | ^goroutine[ ]\d+[\s\S]*                # Go
    | ^stack[ ]backtrace:[\s\S]*             # Rust
    """

_KEYS = tuple((pattern, stand_in) for pattern, stand_in in _SECRETS[:-1] if "[key]" in stand_in)
"""Those for keys that tell what they are."""


def without_keys(text: str) -> str:
    """A text with `[key]` for whatever looks like one; all else is left, so that it can be read again."""
    for pattern, stand_in in _KEYS:
        text = re.sub(pattern, stand_in, text, flags=_FLAGS)
    return text


def redact(words: str) -> str:
    """The words with `[key]`, `[account]`, `[address]` or `[e-mail]` for what they gave away, and without stack traces."""
    words = re.sub(_FRAMES, "", re.sub(_PYTHON_TRACE, "", words), flags=re.MULTILINE | _FLAGS)
    for pattern, stand_in in _SECRETS:
        words = re.sub(pattern, stand_in, words, flags=_FLAGS)
    return re.sub(r"\n{3,}", "\n\n", words).strip()
