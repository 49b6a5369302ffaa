"""One request's journey there and back."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

from engine.gateway import http, logs, refusals
from engine.gateway.answer import Answer
from engine.gateway.attempts import Attempt, Attempts, merged
from engine.gateway.client_watch import ClientWatch
from engine.gateway.connection import MOST_BYTES, Reply
from engine.gateway.exchange import Exchange
from engine.gateway.http import ClientLeft, Receive, Scope, Send
from engine.gateway.limits import Limiter
from engine.gateway.metrics import Call, Metrics
from engine.gateway.opening import Opening
from engine.gateway.providers import Provider
from engine.gateway.refusals import Verbatim
from engine.gateway.relay import Relay, passed
from engine.gateway.router import Asked, Router
from engine.gateway.sections import TranslationError
from engine.gateway.settings import Config
from engine.gateway.translation import Translation, translate
from engine.gateway.upstream import check_model, too_large
from engine.wire import framing, jsontext, tokens, validate
from engine.wire.assembler import fold
from engine.wire.errors import ApiError

if TYPE_CHECKING:
    from engine.gateway.recording import Recording

log = logging.getLogger("ccproxy")

T = TypeVar("T")

SESSION = "x-claude-code-session-id"

COUNTING = 10.0
"""Seconds that a provider may take to count tokens; then they are counted here."""


class Proxy:
    """Serves `/v1/messages` and `/v1/messages/count_tokens` from the providers of a router.

    `metrics` and `limiter` count what is served, whatever configuration it is served by.
    """

    def __init__(self, config: Config, router: Router, metrics: Metrics, limiter: Limiter):
        self.config = config
        self.router = router
        self.metrics = metrics
        self.limiter = limiter
        self.running: set[ClientWatch] = set()

    def messages(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return _Call(self, scope, receive, send).serve(_Call.messages)

    def count_tokens(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return _Call(self, scope, receive, send).serve(_Call.count_tokens, counting=True)


class _Call:
    """One request of a client, from its first byte to its line in the log; `record` is what is told of it elsewhere."""

    def __init__(self, proxy: Proxy, scope: Scope, receive: Receive, send: Send):
        self.proxy = proxy
        self.client = http.protocol_headers(scope)
        self.length = http.length(scope)
        self.receive = receive
        self.send = send
        self.id = http.request_id()
        self.record = Call(self.id, key=scope.get(http.KEY_NAME), session=self.client.get(SESSION))
        self.began = perf_counter()
        self.waited = 0.0
        self.waits_since: float | None = None
        self.attempt: Attempt | None = None
        self.has_begun = False  # some of an answer has gone out, so that no other can take its place
        self.lost: dict[str, str] = {}
        self.made: Translation | None = None
        self.failure: ApiError | None = None
        self.reply: Reply | None = None
        self.recording: Recording | None = None
        self.data = b""
        self.passed: list[tuple[str, str]] = []  # headers of the provider's answer
        self.answer = Answer(send, self._headers)

    async def serve(self, work: Callable[["_Call", dict[str, Any]], Awaitable[None]], *, counting: bool = False) -> None:
        """Do the work; whatever goes wrong is told in Anthropic's words, if anything can still be told."""
        left = False
        places: tuple[str, ...] = ()
        self.watch = ClientWatch(self.receive, self.proxy.running)
        try:
            if not counting:
                self.proxy.metrics.begin(self.record)
                places = self.proxy.limiter.admit(self.record.key, self.proxy.config)
            request = await self._request(counting=counting)
            self.watch.has_come()
            await work(self, request)
        except (ClientLeft, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and self.watch.reason is None:
                raise
            if isinstance(self.watch.reason, ApiError) and not self.answer.is_complete:
                await self._refuse(self.watch.reason)
            else:
                left = not self.answer.is_complete
        except Exception as error:  # noqa: BLE001 - the client waits for an answer, whatever happened
            await self._refuse(self._api_error(error))
        finally:
            self.watch.end()
            self.proxy.limiter.leave(places)
            self.answer.close()
            self._close_record(left=left)
            if not counting:
                self.proxy.metrics.end(self.record)
            self._log()
            # It knows this call, which knows it: only the collector would ever find the two, and the whole request with them.
            del self.answer

    async def _refuse(self, error: ApiError) -> None:
        """As a status, or where pings have gone out already as the last event of the stream."""
        self._note(error)
        if self.answer.status:
            event = {"type": "error", "error": {"type": error.type, "message": error.message}}
            await self.answer.events(framing.encode([event]), last=True)
        elif isinstance(error, Verbatim):
            self.passed = error.passed
            await self.answer.body(error.own_status, error.data)
        else:
            await self.answer.json(error.status, error.body(self.id), error.headers().items())

    def _note(self, error: ApiError) -> None:
        """What went wrong, for the record: the status is the error's, though a stream that breaks has begun with 200."""
        self.failure = error
        self.record.status, self.record.error = error.status, (error.type, error.message)

    def _close_record(self, *, left: bool) -> None:
        record = self.record
        record.status = 499 if left else record.status or self.answer.status
        record.whole = perf_counter() - self.began
        record.lost = self.lost
        if self.made:
            record.tokens = self.made.usage

    async def _request(self, *, counting: bool) -> dict[str, Any]:
        self.data = await http.read_body(self.receive, self.proxy.config.request_bytes, self.length)
        request = http.read_json(self.data)
        if isinstance(request, dict) and request.get("thinking") is True:
            request["thinking"] = {"type": "enabled"}  # written by hand it may be just this
        validate.check(request, counting=counting)
        assert isinstance(request, dict)
        return request

    def _api_error(self, error: Exception) -> ApiError:
        """What the client is told of trouble. What only its maker can mend goes to the log as well, and is not the provider's."""
        if isinstance(error, ApiError):
            # Its trace would hold the whole request for as long as anybody remembers the error.
            error.__traceback__ = error.__context__ = error.__cause__ = None
            return error
        if self.attempt:
            self.attempt.trial.says_something = False
        if isinstance(error, RecursionError):
            return ApiError(400, "invalid_request_error", "the request is nested too deeply")
        if isinstance(error, TranslationError):
            # What it quotes may be the key, where that is what the mapping has made a mistake with.
            key = (self.attempt.key if self.attempt else None) or "\0"
            log.error("%s %s", self.id, str(error).replace(key, "[key]"))
            return ApiError(500, "api_error", f"the mapping failed: {error.problem}".replace(key, "[key]"))
        log.error("%s failed", self.id, exc_info=error)
        return ApiError(500, "api_error", "ccproxy failed; its log has the trace under this request's id")

    def _headers(self) -> list[tuple[str, str]]:
        headers = [("request-id", self.id)]
        if self.attempt:
            self.record.own = self._own
            headers += [
                ("x-ccproxy-provider", self.attempt.target.provider.name),
                ("x-ccproxy-model", self.attempt.target.model),
                ("x-ccproxy-route", self.attempt.reason),
                ("x-ccproxy-overhead-ms", f"{self.record.own * 1000:.2f}"),
            ]
        if self.lost:
            headers.append(("x-ccproxy-dropped", ", ".join(self.lost)))
        return headers + self.passed

    @property
    def _own(self) -> float:
        """The seconds until now in which there was something to do but wait."""
        now = perf_counter()
        waits = 0.0 if self.waits_since is None else now - self.waits_since
        return now - self.began - self.waited - waits - (self.reply.waited if self.reply else 0.0)

    async def _wait(self, coming: Awaitable[T]) -> T:
        """What passes until it comes is not the proxy's own time."""
        self.waits_since = perf_counter()
        try:
            return await coming
        finally:
            self.waited += perf_counter() - self.waits_since
            self.waits_since = None

    def _log(self) -> None:
        record = self.record
        about: dict[str, Any] = {name: count for name, count in record.tokens.items() if count}
        if record.session:
            about["session"] = record.session
        if record.key:
            about["key"] = record.key
        logs.access(self.id, str(self.attempt or "-"), record.status, record.whole, about)

    # To a provider

    def _attempts(self, request: dict[str, Any]) -> Attempts:
        route = self.proxy.router.route(Asked(request, self.client, len(self.data)))
        return Attempts(route, self.client.get(SESSION))

    def _translation(self, request: dict[str, Any], attempt: Attempt) -> Translation:
        """The request on its way to the provider that it is tried with."""
        self._is_on(attempt)
        self.passed = []
        provider, model = attempt.target.provider, attempt.target.model
        self.record.prices = provider.facts_of(model)
        made = translate(
            provider.name, provider.mapping, model, request, self.data, request_id=self.id, key=attempt.key, client=self.client
        )
        self.lost, self.made = made.lost, made
        return made

    def _is_on(self, attempt: Attempt) -> None:
        """This is the attempt that the client and everybody else are told of."""
        self.attempt = attempt
        record, target = self.record, attempt.target
        record.route, record.provider, record.model = attempt.reason, target.provider.name, target.model

    @property
    def trying(self) -> Attempt:
        """The attempt that is being made."""
        assert self.attempt is not None
        return self.attempt

    @property
    def provider(self) -> Provider:
        return self.trying.target.provider

    async def _post(self, where: dict[str, Any], body: Any, meanwhile: Callable[[], object] | None = None) -> Reply:
        """The provider's answer, unread; what passes until then is the provider's time."""
        check_model(where["url"], self.trying.target.model)
        self.trying.trial.says_something = True
        data = body if isinstance(body, bytes) else http.json(body)
        if self.reply:  # the rest of its answer is asked for
            self.waited, self.reply = self.waited + self.reply.waited, None
        upstream = self.provider.upstream
        self.reply = reply = await self._wait(upstream.post(where["url"], where.get("headers") or {}, data, meanwhile))
        self.waited -= reply.waited  # which knows of it
        if self.recording:
            self.recording.answered(reply)
            reply.heard = self.recording.hear
        return reply

    # Counting

    async def count_tokens(self, request: dict[str, Any]) -> None:
        made = self._translation(request, self._attempts(request).first)
        counted = await self._counted_there(made)
        if counted is None:
            counted = tokens.count(made.request, made.facts.tokenizer)
        await self.answer.json(200, {"input_tokens": counted})

    async def _counted_there(self, made: Translation) -> int | None:
        """The provider's own count; None where it has no counter, or one that does not answer, or is left alone."""
        where = made.count_endpoint(self.provider.base_url)
        if where is None or self.trying.breaker.state != "closed" or self.provider.keys.is_resting(self.trying.key):
            return None
        with suppress(ApiError, TimeoutError, ValueError):
            async with asyncio.timeout(COUNTING):
                with await self._post(where, made.count_body) as reply:
                    counted = await reply.read()
                    return made.counted(jsontext.loads(counted)) if reply.status == 200 else None
        return None

    # Answering

    async def messages(self, request: dict[str, Any]) -> None:
        attempts = self._attempts(request)
        self.record.stream = request.get("stream") is True
        if self.record.stream:
            self.answer.keep_alive(self.proxy.config.timeouts.silence, self.watch.has_left)
        for attempt in attempts:
            if self.attempt:
                log.info("%s %s failed, next is %s", self.id, http.one_line(str(self.attempt)), http.one_line(str(attempt)))
            began, waited = perf_counter(), self.waited
            is_over, failure = False, None
            try:
                if attempt.wait:
                    await self._wait(asyncio.sleep(attempt.wait))
                await self._answer(request, attempt)
                is_over, failure = True, self.failure
                return
            except (ApiError, TranslationError) as error:
                is_over, failure = True, self._api_error(error)
                if self.has_begun:
                    raise
                # What came to nothing was waited for.
                self.waited = waited + perf_counter() - began
                attempts.failed(attempt, failure)
            finally:
                attempt.breaker.over(attempt.trial, failure, known=is_over and attempt.trial.says_something)
                if self.recording:
                    await self._write_recording(self.recording)
                if failure:
                    self.proxy.metrics.attempt_failed(self.record.provider, self.record.model, failure.status)
        attempt, failure = attempts.best
        self._is_on(attempt)
        raise failure

    async def _answer(self, request: dict[str, Any], attempt: Attempt) -> None:
        """What comes of one attempt. Raises ApiError or TranslationError where that is nothing."""
        made = self._translation(request, attempt)
        if self.proxy.config.record:
            from engine.gateway.recording import Recording

            self.recording = Recording(self.provider.mapping, made.provider, made.model, request, self._secrets())
        try:
            await (self._relay(made) if isinstance(made, Relay) else self._exchange(made, stream=self.record.stream))
        finally:
            if self.reply:
                self.reply.close()
                self.reply = None

    def _secrets(self) -> list[str]:
        config = self.proxy.config
        return [self.trying.key or "", config.api_key or "", *(client.key for client in config.api_keys.values())]

    async def _write_recording(self, recording: "Recording") -> None:
        folder, self.recording = self.proxy.config.record, None
        if folder:
            about = f"Recorded by {self.id}: {self.attempt}."
            try:
                await asyncio.to_thread(recording.write, folder, self.id, about)
            except Exception:  # the client has its answer, whatever becomes of this
                log.exception("%s could not be recorded", self.id)

    def _body(self, made: Translation) -> Any:
        """What goes to the provider: what the mapping makes of the request, and the route's parameters."""
        parameters = self.trying.target.parameters
        if not parameters:
            return made.body
        return merged(jsontext.loads(made.body) if isinstance(made.body, bytes) else made.body, parameters)

    async def _exchange(self, exchange: Exchange, *, stream: bool) -> None:
        """An answer that is translated."""
        if (events := exchange.answer_here()) is not None:
            await (self.answer.events(framing.encode(events), last=True) if stream else self.answer.json(200, fold(events)))
            return
        reply = await self._asked(exchange)
        work = self._pass_on if stream else self._gather if exchange.streams else self._whole
        await work(exchange, reply)

    async def _relay(self, relay: Relay) -> None:
        """An answer that passes as it is."""
        reply = await self._post(relay.endpoint(self.provider.base_url), self._body(relay))
        if reply.status < 400 and relay.streams and reply.is_stream:
            await self._relay_stream(relay, reply)
            return
        data = await reply.read()
        if reply.status >= 400:
            error = relay.refuse(reply.status, data, reply.headers)
            if (as_it_came := relay.as_it_came(data, self.id)) is not None:
                error = Verbatim(error, reply.status, as_it_came, passed(reply.headers))
            raise error
        answer = relay.answer(data)
        if self.answer.status:
            raise ApiError(500, "api_error", f"{relay.provider}: after a silence it answered whole, and not with a stream")
        self._check_not_empty(jsontext.loads(answer))
        self.passed = passed(reply.headers)
        await self.answer.body(200, answer)

    async def _relay_stream(self, relay: Relay, reply: Reply) -> None:
        self.passed = passed(reply.headers)
        opening = Opening(relay, may_be_empty=self.trying.is_last)
        rest = await self._pass(reply, lambda data: opening.receive(relay.receive(data)), lambda: relay.is_complete)
        if rest and not relay.is_complete:  # who is told that it broke off is told what came before
            await self._say(rest)
            rest = b""
        if relay.failure:
            self._note(relay.failure)
        await self._say(rest + opening.receive(relay.finish()), last=True)
        if relay.is_complete:
            await reply.drain()

    def _begin(self) -> None:
        """The answer is this attempt's from here on."""
        if not self.has_begun:
            self.has_begun = True
            self.record.first = perf_counter() - self.began
            self.trying.breaker.begins(self.trying.trial)

    def _say(self, events: bytes, *, last: bool = False) -> Awaitable[None]:
        """Events of an answer."""
        self._begin()
        return self.answer.events(events, last=last)

    async def _pass(self, reply: Reply, receive: Callable[[bytes], bytes], is_over: Callable[[], bool]) -> bytes:
        """Send what `receive` makes of each piece of a body in the moment in which that comes, until it `is_over` or the body
        ends. Gives the events that are then still to be sent, for they go out with the end."""
        events = b""

        def take(data: bytes) -> bool:
            nonlocal events
            events = receive(data)
            if is_over() or reply.is_whole or (events and not self.answer.events_soon(events)):
                return True
            events = b""
            return False

        while await reply.hand(take) and not (is_over() or (reply.is_whole and not reply.pieces)):
            await self._say(events)
            events = b""
        if events:
            self._begin()
        return events

    def _check_not_empty(self, message: dict[str, Any]) -> None:
        """Raises ApiError for an answer without a word where another may have one; the last one's goes to the client."""
        if not self.trying.is_last and not message.get("content") and message.get("stop_reason") == "end_turn":
            raise refusals.empty(self.provider.name)

    async def _asked(self, exchange: Exchange) -> Reply:
        """The provider's answer, unread. Raises ApiError where it refuses."""
        reply = await self._post(exchange.endpoint(self.provider.base_url), self._body(exchange), exchange.get_ready)
        if reply.status < 400:
            return reply
        raise exchange.refuse(reply.status, await reply.read(), reply.headers)

    async def _whole(self, exchange: Exchange, reply: Reply) -> None:
        data = await reply.read()
        try:
            answer = jsontext.loads(data)
        except ValueError:
            raise exchange.no_answer(data, reply.headers) from None
        message = exchange.answer(answer)
        self._check_not_empty(message)
        await self.answer.json(200, message)

    async def _gather(self, exchange: Exchange, reply: Reply) -> None:
        """A whole answer from a provider that is asked for a stream."""
        events: list[dict[str, Any]] = []
        size = 0
        try:
            while (data := await reply.next()) or exchange.goes_on():
                if not data:
                    reply = await self._asked(exchange)
                    continue
                size += len(data)
                if size > MOST_BYTES:
                    raise too_large(exchange.provider)
                events += exchange.receive(data)
                if exchange.over:
                    break
            events += exchange.finish()
        except framing.FramingError as error:
            raise exchange.refuse(502, error.body.encode(), reply.headers) from error
        message = exchange.gather(events)
        self._check_not_empty(message)
        await self.answer.json(200, message)

    async def _pass_on(self, exchange: Exchange, reply: Reply) -> None:
        """A stream, each of the provider's pieces as it comes; the last ones go out with the end."""
        rest = b""

        def receive(data: bytes) -> bytes:
            events = exchange.receive_framed(data)
            self.record.written = exchange.written
            return events

        try:
            rest = await self._pass(reply, receive, lambda: exchange.over)
            while not exchange.over and exchange.goes_on():
                if rest:
                    await self._say(rest)
                    rest = b""
                reply = await self._asked(exchange)
                rest = await self._pass(reply, receive, lambda: exchange.over)
            events = exchange.finish()
        except Exception as error:
            if isinstance(error, framing.FramingError):
                error = exchange.refuse(502, error.body.encode(), reply.headers)
            if not self.has_begun:
                raise error from None
            # The client waits for an end, whatever happened.
            failure = self._api_error(error)
            self._note(failure)
            events = exchange.fail(failure)
        if exchange.failure:
            if not self.has_begun:
                raise exchange.failure
            self._note(exchange.failure)
            events = events or exchange.fail(exchange.failure)
        elif not self.has_begun:
            self._check_not_empty(fold(events))
        await self._say(rest + framing.encode(events), last=True)
        if exchange.is_complete:
            await reply.drain()
