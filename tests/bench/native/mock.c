/* A provider that is never the bottleneck: one thread, epoll, three formats, the answer's shape in the model's name.
 *
 * POST ../chat/completions   OpenAI (DeepSeek, Ollama's /v1): JSON and SSE; the usage chunk where it is asked for
 * POST ../messages           Anthropic: JSON and SSE
 * POST /api/chat             Ollama: JSON and NDJSON
 * POST /api/show, GET /api/tags, /api/version, /api/ps, ../models, /__stats, /
 *
 * A model's name says what to answer: NAME-cN-dN-tN = N content deltas, N microseconds apart (0: one write each,
 * at full speed), after N microseconds of thinking. With -b1 the whole stream leaves in one write.
 *
 * mock -p PORT [-m MODEL,MODEL...]     the models that /api/tags and ../models list
 */
#include "answers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_PEERS 65536
#define DEFAULT_CHUNKS 100

typedef struct {
    long chunks, delay_us, think_us;
    int is_burst;
} Shape;

typedef struct Peer {
    int fd;
    Buffer in, out;
    size_t sent;        /* bytes of `out` that have left */
    int is_blocked;     /* the socket took no more: EPOLLOUT is awaited */
    Format format;      /* of the answer in progress, or NO_ANSWER */
    int is_stream, with_usage, closes;
    Shape shape;
    long chunk;         /* deltas written; -1 before the head */
    uint64_t due;       /* when to go on */
    int place;          /* in the heap, or -1 */
} Peer;

static int poller;
static Peer *heap[MAX_PEERS];
static int heap_size;
static unsigned long long requests;
static long open_streams;
static Buffer tags, models;

/* The answers in progress, by the time they go on. */

static void heap_put(int place, Peer *p) {
    heap[place] = p;
    p->place = place;
}

static void heap_rise(int place, Peer *p) {
    while (place && heap[(place - 1) / 2]->due > p->due) {
        heap_put(place, heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    heap_put(place, p);
}

static void heap_sink(int place, Peer *p) {
    for (;;) {
        int child = 2 * place + 1;
        if (child >= heap_size) break;
        if (child + 1 < heap_size && heap[child + 1]->due < heap[child]->due) child++;
        if (heap[child]->due >= p->due) break;
        heap_put(place, heap[child]);
        place = child;
    }
    heap_put(place, p);
}

static void schedule(Peer *p, uint64_t due) {
    if (heap_size == MAX_PEERS) {
        fprintf(stderr, "too many answers at once\n");
        exit(1);
    }
    p->due = due;
    heap_rise(heap_size++, p);
}

static void unschedule(Peer *p) {
    if (p->place < 0) return;
    int place = p->place;
    Peer *last = heap[--heap_size];
    p->place = -1;
    if (last == p) return;
    if (place && heap[(place - 1) / 2]->due > last->due)
        heap_rise(place, last);
    else
        heap_sink(place, last);
}

/* Connections. */

static void end_peer(Peer *p) {
    if (p->format != NO_ANSWER && p->is_stream) open_streams--;
    unschedule(p);
    close(p->fd);
    free(p->in.data);
    free(p->out.data);
    free(p);
}

static void await_writable(Peer *p, int wanted) {
    if (p->is_blocked == wanted) return;
    p->is_blocked = wanted;
    struct epoll_event event = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0), .data.ptr = p};
    epoll_ctl(poller, EPOLL_CTL_MOD, p->fd, &event);
}

/* Send what waits: 1 all of it left, 0 some is left, -1 the peer has gone. */
static int flush(Peer *p) {
    while (p->sent < p->out.length) {
        ssize_t n = send(p->fd, p->out.data + p->sent, p->out.length - p->sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN) return -1;
            await_writable(p, 1);
            return 0;
        }
        p->sent += (size_t)n;
    }
    p->sent = p->out.length = 0;
    await_writable(p, 0);
    return 1;
}

/* Requests. Every function below returns -1 when the peer has gone (and is freed), else 0. */

static int read_requests(Peer *p);

static int end_answer(Peer *p) {
    if (p->is_stream) open_streams--;
    p->format = NO_ANSWER;
    int left = flush(p);
    if (left < 0 || (left == 1 && p->closes)) {
        end_peer(p);
        return -1;
    }
    return read_requests(p);
}

static int go_on(Peer *p) {
    if (!p->is_stream) {
        add_whole_answer(&p->out, p->format, p->shape.chunks);
        return end_answer(p);
    }
    if (p->chunk < 0) {
        add_stream_head(&p->out, p->format);
        p->chunk = 0;
    }
    do {
        if (p->chunk < p->shape.chunks) {
            add_delta(&p->out, p->format);
            p->chunk++;
        }
    } while (p->shape.is_burst && p->chunk < p->shape.chunks);
    if (p->chunk >= p->shape.chunks) {
        add_stream_end(&p->out, p->format, p->shape.chunks, p->with_usage);
        return end_answer(p);
    }
    int left = flush(p);
    if (left < 0) {
        end_peer(p);
        return -1;
    }
    uint64_t now = now_ns(), due = p->due + (uint64_t)p->shape.delay_us * 1000;
    /* A blocked stream goes on when its socket takes bytes again. */
    if (left == 1) schedule(p, due > now ? due : now);
    return 0;
}

static Shape read_shape(const char *name, const char *end) {
    Shape shape = {.chunks = DEFAULT_CHUNKS};
    for (const char *c = name; c + 1 < end; c++) {
        if (*c != '-') continue;
        if (c[2] < '0' || c[2] > '9') continue;
        long value = strtol(c + 2, NULL, 10);
        if (c[1] == 'b') shape.is_burst = value != 0;
        if (c[1] == 'c') shape.chunks = value;
        if (c[1] == 'd') shape.delay_us = value;
        if (c[1] == 't') shape.think_us = value;
    }
    return shape;
}

/* Find the value of a top-level-looking JSON key: good enough for bodies that a benchmark sends. */
static const char *find_value(const char *body, size_t length, const char *key) {
    const char *found = memmem(body, length, key, strlen(key));
    if (!found) return NULL;
    found += strlen(key);
    while (found < body + length && (*found == ' ' || *found == ':')) found++;
    return found < body + length ? found : NULL;
}

static int is_true(const char *value) { return value && *value == 't'; }

static Format format_of(const char *path) {
    if (strstr(path, "/chat/completions")) return OPENAI;
    if (strstr(path, "/messages")) return ANTHROPIC;
    if (strstr(path, "/api/chat")) return OLLAMA;
    return NO_ANSWER;
}

static int answer_plainly(Peer *p, const char *path) {
    char stats[96];
    if (strstr(path, "/api/tags"))
        add_plain(&p->out, 200, tags.data);
    else if (strstr(path, "/api/version"))
        add_plain(&p->out, 200, "{\"version\":\"0.33.0\"}");
    else if (strstr(path, "/api/ps"))
        add_plain(&p->out, 200, "{\"models\":[]}");
    else if (strstr(path, "/api/show"))
        add_plain(&p->out, 200,
                  "{\"details\":{\"family\":\"llama\"},\"model_info\":{\"general.architecture\":\"llama\","
                  "\"llama.context_length\":131072},\"capabilities\":[\"completion\",\"tools\"]}");
    else if (strstr(path, "/models"))
        add_plain(&p->out, 200, models.data);
    else if (strstr(path, "/__stats")) {
        snprintf(stats, sizeof stats, "{\"requests\":%llu,\"open_streams\":%ld}", requests, open_streams);
        add_plain(&p->out, 200, stats);
    } else
        add_plain(&p->out, strcmp(path, "/") ? 404 : 200, "{}");
    if (flush(p) < 0) {
        end_peer(p);
        return -1;
    }
    return 0;
}

static int begin_answer(Peer *p, Format format, const char *body, size_t length) {
    const char *name = find_value(body, length, "\"model\""), *stream = find_value(body, length, "\"stream\"");
    const char *end = name ? memchr(name + 1, '"', (size_t)(body + length - name - 1)) : NULL;
    p->shape = end ? read_shape(name, end) : (Shape){.chunks = DEFAULT_CHUNKS};
    p->format = format;
    p->is_stream = stream ? is_true(stream) : format == OLLAMA;
    p->with_usage = is_true(find_value(body, length, "\"include_usage\""));
    p->chunk = -1;
    p->due = now_ns() + (uint64_t)p->shape.think_us * 1000;
    if (p->is_stream) open_streams++;
    return 0;
}

/* Take the requests that lie whole in `in`, one answer at a time. */
static int read_requests(Peer *p) {
    while (p->in.length && p->format == NO_ANSWER) {
        char *end = memmem(p->in.data, p->in.length, "\r\n\r\n", 4);
        if (!end) return 0;
        size_t head = (size_t)(end - p->in.data) + 4, body = 0;
        *end = 0;
        const char *length = strcasestr(p->in.data, "\r\ncontent-length:");
        int is_chunked = strcasestr(p->in.data, "\r\ntransfer-encoding:") != NULL;
        p->closes = strcasestr(p->in.data, "\r\nconnection: close") != NULL;
        *end = '\r';
        if (is_chunked) {
            char *last = memmem(p->in.data + head, p->in.length - head, "0\r\n\r\n", 5);
            if (!last) return 0;
            body = (size_t)(last + 5 - p->in.data) - head;
        } else if (length)
            body = strtoul(length + 17, NULL, 10);
        if (p->in.length < head + body) return 0;
        requests++;
        char path[256] = "";
        int is_post = p->in.data[0] == 'P';
        sscanf(p->in.data, "%*s %255s", path);
        Format format = is_post ? format_of(path) : NO_ANSWER;
        if (format != NO_ANSWER) begin_answer(p, format, p->in.data + head, body);
        p->in.length -= head + body;
        memmove(p->in.data, p->in.data + head + body, p->in.length);
        p->in.data[p->in.length] = 0;
        if (format == NO_ANSWER) {
            if (answer_plainly(p, path) < 0) return -1;
        } else if (p->shape.think_us)
            schedule(p, p->due);
        else
            return go_on(p);
    }
    return 0;
}

static int on_readable(Peer *p) {
    buffer_reserve(&p->in, 65536 + 1);
    ssize_t n = recv(p->fd, p->in.data + p->in.length, p->in.capacity - p->in.length - 1, 0);
    if (n < 0 && errno == EAGAIN) return 0;
    if (n <= 0) {
        end_peer(p);
        return -1;
    }
    p->in.length += (size_t)n;
    p->in.data[p->in.length] = 0;
    return p->format == NO_ANSWER ? read_requests(p) : 0;
}

static int on_writable(Peer *p) {
    int left = flush(p);
    if (left < 0) {
        end_peer(p);
        return -1;
    }
    if (left == 1 && p->format != NO_ANSWER && p->place < 0) schedule(p, now_ns());
    return 0;
}

static void accept_peers(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), yes = 1;
        if (fd < 0) return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        Peer *p = calloc(1, sizeof *p);
        if (!p) die("out of memory");
        p->fd = fd;
        p->place = -1;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = p};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (void *)&address, sizeof address) || listen(fd, 4096)) die("listen");
    return fd;
}

static void list_models(char *names) {
    buffer_add_text(&tags, "{\"models\":[");
    buffer_add_text(&models, "{\"object\":\"list\",\"data\":[");
    char *rest = names, *name, entry[768];
    for (int i = 0; (name = strsep(&rest, ",")); i++) {
        snprintf(entry, sizeof entry,
                 "%s{\"name\":\"%s\",\"model\":\"%s\",\"modified_at\":\"2026-01-01T00:00:00Z\",\"size\":1000,"
                 "\"digest\":\"d%d\",\"details\":{\"format\":\"gguf\",\"family\":\"llama\",\"families\":[\"llama\"],"
                 "\"parameter_size\":\"1B\",\"quantization_level\":\"Q4_0\"}}",
                 i ? "," : "", name, name, i);
        buffer_add_text(&tags, entry);
        snprintf(entry, sizeof entry, "%s{\"id\":\"%s\",\"object\":\"model\",\"created\":1700000000,\"owned_by\":\"mock\"}",
                 i ? "," : "", name);
        buffer_add_text(&models, entry);
    }
    buffer_add(&tags, "]}", 3);
    buffer_add(&models, "]}", 3);
}

static int wait_for_events(struct epoll_event *events, int room) {
    if (!heap_size) return epoll_wait(poller, events, room, -1);
    uint64_t now = now_ns(), left = heap[0]->due > now ? heap[0]->due - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(left / 1000000000u), .tv_nsec = (long)(left % 1000000000u)};
    return epoll_pwait2(poller, events, room, &timeout, NULL);
}

int main(int argc, char **argv) {
    int port = 0, option;
    char nothing[] = "mock", *names = nothing;
    while ((option = getopt(argc, argv, "p:m:")) > 0) {
        if (option == 'p') port = atoi(optarg);
        if (option == 'm') names = optarg;
    }
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    list_models(names);
    int listener = listen_on(port);
    poller = epoll_create1(0);
    struct epoll_event listening = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &listening);
    static struct epoll_event events[1024];
    for (;;) {
        int count = wait_for_events(events, 1024);
        for (int i = 0; i < count; i++) {
            Peer *p = events[i].data.ptr;
            if (!p) {
                accept_peers(listener);
                continue;
            }
            if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && on_readable(p) < 0) continue;
            if (events[i].events & EPOLLOUT) on_writable(p);
        }
        uint64_t now = now_ns();
        while (heap_size && heap[0]->due <= now) {
            Peer *p = heap[0];
            unschedule(p);
            go_on(p);
        }
    }
}
