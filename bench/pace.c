/* Streams by the clock, seen by who sends them: the provider and the client of a proxy, in one thread.

   What a proxy adds to a chunk are some dozen microseconds. Whoever measures them has to be lighter than what he measures: the same
   in Python took half a core of the two that the proxy needs, and came late itself.

   pace FOLDER LISTEN ASK STREAMS CHUNKS SECONDS

   It listens as the provider on one port of this machine and asks on another, which may be the same. The folder holds what is sent:
   `request` by the client, and by the provider `head`, then so many times `chunk`, one every 5 ms, in which the %lld is the
   nanosecond at which it is sent, then `tail`. Each stream is followed by the next one until the time is up.

   Written are lines of a word and of nanoseconds: `chunk`, from its being sent to its arrival; `first`, from a request to the
   first chunk. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 4096, EVENTS = 64, BYTES = 1 << 16, STAMP = 32 };

static const long long SECOND = 1000000000, GAP = 5000000;
static const long long APART = 3700000; /* between the first requests: not all in step, as the clocks of providers are not */
static const long long PATIENCE = 60;   /* seconds for the last streams to end */

typedef struct {
    char *bytes;
    size_t size;
} Text;

typedef struct {
    int socket;
    enum { LISTENER, PROVIDER, CLIENT } kind;
    size_t kept; /* bytes read and not done with */
    char buffer[BYTES + 1];
    int left;            /* of a provider: chunks of the stream */
    long long due;       /* and when the next one is sent; 0 where none is */
    long long asked;     /* of a client: when */
    int waits_for_first; /* and whether no chunk has come since */
} Connection;

static Connection *connections[MOST];
static int count, queue, chunks, running;
static Text request, head, chunk, tail;
static long long until;

static void die(const char *words, ...) {
    va_list values;
    va_start(values, words);
    fputs("pace: ", stderr);
    vfprintf(stderr, words, values);
    fputc('\n', stderr);
    exit(1);
}

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

static Text content(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) die("%s: %s", path, strerror(errno));
    Text text = {.size = ftell(file)};
    text.bytes = calloc(1, text.size + 1);
    rewind(file);
    if (fread(text.bytes, 1, text.size, file) != text.size) die("%s cannot be read", path);
    fclose(file);
    return text;
}

static Connection *add(int socket, int kind) {
    int yes = 1;
    if (count == MOST) die("more than %d connections", MOST);
    Connection *made = connections[count++] = calloc(1, sizeof *made);
    made->socket = socket;
    made->kind = kind;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    fcntl(socket, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = made};
    if (epoll_ctl(queue, EPOLL_CTL_ADD, socket, &event)) die("epoll_ctl: %s", strerror(errno));
    return made;
}

static int socket_at(int port, int (*place)(int, const struct sockaddr *, socklen_t)) {
    int made = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (place(made, (struct sockaddr *)&here, sizeof here)) die("port %d: %s", port, strerror(errno));
    return made;
}

static void write_to(Connection *to, const char *bytes, size_t size) {
    ssize_t sent = send(to->socket, bytes, size, MSG_NOSIGNAL);
    /* A stream is shorter than what a socket holds. */
    if (sent >= 0 && (size_t)sent < size) die("what is sent is not read");
    if (sent < 0 && errno != EPIPE && errno != ECONNRESET) die("send: %s", strerror(errno));
}

/* Bytes that have come, behind those that were kept; 0 at the end. */
static ssize_t read_from(Connection *from) {
    ssize_t come = recv(from->socket, from->buffer + from->kept, BYTES - from->kept, 0);
    if (come > 0) from->buffer[from->kept += come] = 0;
    return come;
}

/* The provider */

static void send_chunk(Connection *to) {
    char data[4096], framed[8192];
    int size = snprintf(data, sizeof data, chunk.bytes, now());
    size = snprintf(framed, sizeof framed, "%x\r\n%s\r\n%s", size, data, --to->left ? "" : tail.bytes);
    to->due = to->left ? to->due + GAP : 0;
    write_to(to, framed, size);
}

static void answer(Connection *to) {
    if (read_from(to) <= 0) {
        close(to->socket);
        to->due = 0;
        return;
    }
    char *end = strstr(to->buffer, "\r\n\r\n"), *length = strcasestr(to->buffer, "\r\ncontent-length:");
    long body = length && end && length < end ? atol(length + strlen("\r\ncontent-length:")) : 0;
    if (!end || to->buffer + to->kept < end + 4 + body) return;
    to->kept = 0;
    write_to(to, head.bytes, head.size);
    to->left = chunks;
    to->due = now();
    send_chunk(to);
}

/* The client */

static void ask(Connection *of) {
    of->kept = 0;
    of->waits_for_first = 1;
    of->asked = now();
    write_to(of, request.bytes, request.size);
}

static void hear(Connection *from) {
    ssize_t come = read_from(from);
    long long at = now();
    if (come <= 0) die("a connection was closed in the middle of a stream, behind: %s", from->buffer);
    char *rest = from->buffer, *end = from->buffer + from->kept;
    for (char *mark = rest; (mark = memchr(mark, '@', end - mark));) {
        char *behind;
        long long sent = strtoll(mark + 1, &behind, 10);
        if (behind > mark + 1 && *behind == '@') {
            printf("chunk %lld\n", at - sent);
            if (from->waits_for_first) printf("first %lld\n", at - from->asked);
            from->waits_for_first = 0;
            rest = mark = behind + 1;
        } else {
            mark++;
        }
    }
    int is_over = end - rest >= 7 && !memcmp(end - 7, "\r\n0\r\n\r\n", 7);
    if (is_over && from->waits_for_first) die("a stream without a chunk: %s", from->buffer);
    from->kept = end - rest;
    if (from->kept > STAMP && !from->waits_for_first) from->kept = STAMP;
    memmove(from->buffer, end - from->kept, from->kept + 1);
    if (is_over && at < until) {
        ask(from);
    } else if (is_over) {
        running--;
    }
}

static void take(Connection *of) {
    int made;
    while ((made = accept(of->socket, NULL, NULL)) >= 0) add(made, PROVIDER);
}

int main(int arguments, char **argument) {
    if (arguments != 7) die("FOLDER LISTEN ASK STREAMS CHUNKS SECONDS");
    request = content(argument[1], "request");
    head = content(argument[1], "head");
    chunk = content(argument[1], "chunk");
    tail = content(argument[1], "tail");
    int streams = atoi(argument[4]), begun = 0;
    chunks = atoi(argument[5]);
    queue = epoll_create1(0);
    Connection *listener = add(socket_at(atoi(argument[2]), bind), LISTENER);
    if (listen(listener->socket, 1024)) die("listen: %s", strerror(errno));
    static char written[1 << 24]; /* nothing is written while it is measured, if there is room */
    setvbuf(stdout, written, _IOFBF, sizeof written);
    void (*ready[])(Connection *) = {[LISTENER] = take, [PROVIDER] = answer, [CLIENT] = hear};

    long long begin = now();
    until = begin + atof(argument[6]) * SECOND;
    for (running = streams; running;) {
        long long at = now(), next = at + SECOND;
        if (at > until + PATIENCE * SECOND) die("%d streams did not end", running);
        if (begun < streams && at >= begin + begun * APART) {
            ask(add(socket_at(atoi(argument[3]), connect), CLIENT));
            begun++;
        }
        if (begun < streams) next = begin + begun * APART;
        for (int each = 0; each < count; each++) {
            Connection *one = connections[each];
            if (one->due && one->due <= at) send_chunk(one);
            if (one->due && one->due < next) next = one->due;
        }
        long long left = next - now();
        struct timespec wait = {.tv_sec = left > 0 ? left / SECOND : 0, .tv_nsec = left > 0 ? left % SECOND : 0};
        struct epoll_event events[EVENTS];
        int found = epoll_pwait2(queue, events, EVENTS, &wait, NULL);
        for (int each = 0; each < found; each++) {
            Connection *one = events[each].data.ptr;
            ready[one->kind](one);
        }
    }
    return 0;
}
