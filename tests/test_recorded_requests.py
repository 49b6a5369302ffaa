"""What recorded clients asked of a provider, said in Anthropic's words and put through the provider's mapping: the same again."""

import json
import re
from pathlib import Path

from engine.gateway.exchange import Exchange
from engine.wire import validate
from tests.conversations import anthropic_request, differences, read
from tests.corpus_table import CORPUS, mapping_of
from tests.every_mapping import format_of, mapping
from tests.test_conversations import REASONS, each_recording, load, needs_corpus
from tests.test_every_mapping import as_far_as_told, is_added

pytestmark = needs_corpus

# Settings of the recorded client's own, which Anthropic has no words for: test_conversations.py lists them.
SETTINGS = re.compile(r"settings\.")


@each_recording
def test_the_mapping_says_what_was_recorded(file: str, format: str) -> None:
    if Path(file).stem in REASONS:
        return
    recording = json.loads((CORPUS / file).read_text())
    _, conversation = load(file, format)
    request = anthropic_request(conversation, "claude-test")
    validate.check(request)
    name = mapping_of(recording)
    exchange = Exchange(name, mapping(name), recording["model"] or "some-model", request, request_id="req_1")
    got = read(format_of(name), json.loads(json.dumps(exchange.body)), exchange.endpoint("http://upstream")["url"])
    told = differences(*as_far_as_told(conversation, got, exchange))
    assert [difference for difference in told if not is_added(difference) and not SETTINGS.match(difference)] == []
