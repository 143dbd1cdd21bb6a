/* Load for OpenAI-shaped endpoints: a closed loop of N keep-alive connections in one thread; prints one JSON object.
 *
 * loadgen -p PORT -u PATH -T TOKEN -m MODEL [-s] -c CONNECTIONS -w WARM -t SECONDS -g GRACE -b PROMPT_BYTES -n STAMPS
 *
 * A figure counts what happened between WARM and WARM + SECONDS; `all_requests` and `all_stamps` count everything, for
 * dividing the server's CPU time. No request starts after that; those under way have GRACE seconds to end, then they
 * are cut. With -n an answer with another number of stamps (content deltas) is counted as broken.
 */
#include "stamps.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_ROOM 16384
#define MAX_FAILURES 1000

/* Where the bytes of a chunked body stand. */
typedef enum { SIZE, EXTENSION, DATA, DATA_END, TRAILER } Part;

typedef struct {
    int fd, is_connecting, is_ended;
    size_t sent;
    uint64_t started;
    char head[HEAD_ROOM + 1];
    size_t head_length;
    int has_head, status, is_chunked, closes, is_answered;
    long long length, got; /* of the body; length -1 = until the end */
    Part part;
    long long part_left;
    StampFinder finder;
    long stamps;
    uint64_t read_at;
} Client;

static struct sockaddr_in address = {.sin_family = AF_INET};
static Buffer request;
static int poller, active, is_stream;
static long expected_stamps = -1;
static uint64_t warm_end, end;
static Samples latency, first_stamp, delay;
static uint64_t requests, stamps, all_requests, all_stamps, failures, refused, broken, cut;
static char first_problem[512];

static int is_measured(uint64_t at) { return at >= warm_end && at < end; }

static void note_problem(const char *what, const char *detail, size_t length) {
    if (first_problem[0]) return;
    int n = snprintf(first_problem, sizeof first_problem, "%s: ", what);
    for (size_t i = 0; i < length && n < (int)sizeof first_problem - 1; i++) {
        unsigned char c = (unsigned char)detail[i];
        first_problem[n++] = (c < 32 || c > 126 || c == '"' || c == '\\') ? ' ' : (char)c;
    }
    first_problem[n] = 0;
}

static void watch(Client *c, int operation, uint32_t wanted) {
    struct epoll_event event = {.events = wanted, .data.ptr = c};
    epoll_ctl(poller, operation, c->fd, &event);
}

static void connect_client(Client *c) {
    int yes = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) die("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(c->fd, (void *)&address, sizeof address) && errno != EINPROGRESS) die("connect");
    c->is_connecting = 1;
    watch(c, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

static void retire(Client *c) {
    close(c->fd);
    c->is_ended = 1;
    active--;
}

/* Send what is left of the request; returns -1 when the connection has gone. */
static int send_rest(Client *c) {
    while (c->sent < request.length) {
        ssize_t n = send(c->fd, request.data + c->sent, request.length - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            return 0;
        }
        if (n < 0) return -1;
        c->sent += (size_t)n;
    }
    return 0;
}

static void start_request(Client *c) {
    c->sent = c->head_length = 0;
    c->has_head = c->is_chunked = c->closes = c->is_answered = 0;
    c->length = -1;
    c->got = c->part_left = 0;
    c->part = SIZE;
    c->finder = (StampFinder){0};
    c->stamps = 0;
    c->started = now_ns();
    /* A connection that has gone shows itself at the next read. */
    send_rest(c);
}

static void fail(Client *c, const char *what) {
    failures++;
    note_problem(what, c->head, c->head_length);
    close(c->fd);
    if (failures < MAX_FAILURES && now_ns() < end)
        connect_client(c);
    else {
        c->is_ended = 1;
        active--;
    }
}

static void on_stamp(void *context, uint64_t stamp) {
    Client *c = context;
    c->stamps++;
    all_stamps++;
    if (is_measured(c->read_at)) {
        stamps++;
        if (c->read_at > stamp) sample(&delay, c->read_at - stamp);
    }
    if (!c->is_answered) {
        c->is_answered = 1;
        if (c->started >= warm_end) sample(&first_stamp, c->read_at - c->started);
    }
}

static void finish(Client *c) {
    all_requests++;
    if (c->status != 200) {
        refused++;
        note_problem("answer", c->head, c->head_length);
    } else if (expected_stamps >= 0 && c->stamps != expected_stamps) {
        broken++;
        note_problem("a stream of another length", c->head, c->head_length);
    }
    if (is_measured(c->read_at)) requests++;
    if (c->started >= warm_end) sample(&latency, c->read_at - c->started);
    if (c->read_at >= end)
        retire(c);
    else if (c->closes) {
        close(c->fd);
        connect_client(c);
    } else
        start_request(c);
}

/* Take the body's bytes; returns 1 at its end. */
static int take_body(Client *c, const char *data, size_t length) {
    const char *d = data, *stop = data + length;
    if (!c->is_chunked) {
        find_stamps(&c->finder, data, length, on_stamp, c);
        c->got += (long long)length;
        return c->length >= 0 && c->got >= c->length;
    }
    while (d < stop) {
        switch (c->part) {
        case SIZE:
            if (*d == '\n') {
                c->part = c->part_left ? DATA : TRAILER;
                c->got = 0;
            } else if (*d == ';')
                c->part = EXTENSION;
            else if (*d != '\r')
                c->part_left = c->part_left * 16 + (*d <= '9' ? *d - '0' : (*d | 32) - 'a' + 10);
            d++;
            break;
        case EXTENSION:
            if (*d++ == '\n') c->part = c->part_left ? DATA : TRAILER;
            break;
        case DATA: {
            long long n = stop - d < c->part_left ? stop - d : c->part_left;
            find_stamps(&c->finder, d, (size_t)n, on_stamp, c);
            d += n;
            c->part_left -= n;
            if (!c->part_left) c->part = DATA_END;
            break;
        }
        case DATA_END:
            if (*d++ == '\n') c->part = SIZE;
            break;
        case TRAILER:
            if (*d++ == '\n') return 1;
        }
    }
    return 0;
}

/* Take the head's bytes; returns how many of them were the head's, or -1 while it goes on. */
static long take_head(Client *c, const char *data, size_t length) {
    size_t before = c->head_length, n = length < HEAD_ROOM - before ? length : HEAD_ROOM - before;
    memcpy(c->head + before, data, n);
    c->head_length += n;
    c->head[c->head_length] = 0;
    char *stop = strstr(c->head, "\r\n\r\n");
    if (!stop) return -1;
    c->has_head = 1;
    c->status = c->head_length > 12 ? atoi(c->head + 9) : 0;
    char kept = stop[2];
    stop[2] = 0;
    const char *size = strcasestr(c->head, "\r\ncontent-length:");
    if (size) c->length = atoll(size + 17);
    c->is_chunked = strcasestr(c->head, "\r\ntransfer-encoding: chunked") != NULL;
    c->closes = strcasestr(c->head, "\r\nconnection: close") != NULL;
    stop[2] = kept;
    return stop + 4 - c->head - (long)before;
}

static void on_readable(Client *c) {
    static char data[262144];
    ssize_t n = recv(c->fd, data, sizeof data, 0);
    if (n < 0 && errno == EAGAIN) return;
    c->read_at = now_ns();
    if (n <= 0) {
        if (n == 0 && c->has_head && !c->is_chunked && c->length < 0) {
            c->closes = 1;
            finish(c);
        } else
            fail(c, "the connection broke");
        return;
    }
    size_t used = 0;
    if (!c->has_head) {
        long head = take_head(c, data, (size_t)n);
        if (head < 0) {
            if (c->head_length == HEAD_ROOM) fail(c, "a head without end");
            return;
        }
        used = (size_t)head;
    }
    if (take_body(c, data + used, (size_t)n - used) || c->length == 0) finish(c);
}

static void on_event(Client *c, uint32_t events) {
    if (c->is_ended) return;
    if (c->is_connecting) {
        if (events & (EPOLLERR | EPOLLHUP)) {
            fail(c, "can't connect");
        } else if (events & EPOLLOUT) {
            c->is_connecting = 0;
            watch(c, EPOLL_CTL_MOD, EPOLLIN);
            start_request(c);
        }
        return;
    }
    if (events & EPOLLOUT) {
        watch(c, EPOLL_CTL_MOD, EPOLLIN);
        send_rest(c);
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_readable(c);
}

static void write_request(const char *path, int port, const char *token, const char *model, size_t prompt_bytes) {
    Buffer body = {0};
    char text[1024];
    snprintf(text, sizeof text,
             "{\"model\":\"%s\",\"messages\":[{\"role\":\"system\",\"content\":\"You are a helpful assistant.\"},"
             "{\"role\":\"user\",\"content\":\"",
             model);
    buffer_add_text(&body, text);
    for (size_t i = 0; i < prompt_bytes; i++) buffer_add(&body, i % 6 == 5 ? " " : "p", 1);
    buffer_add_text(&body, "\"}],\"temperature\":0.7,\"max_tokens\":1024");
    if (is_stream) buffer_add_text(&body, ",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    buffer_add_text(&body, "}");
    snprintf(text, sizeof text,
             "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"
             "Accept: */*\r\nUser-Agent: loadgen/1\r\nContent-Length: %zu\r\n\r\n",
             path, port, token, body.length);
    buffer_add_text(&request, text);
    buffer_add(&request, body.data, body.length);
}

static void print_result(double seconds) {
    sort_samples(&latency);
    sort_samples(&first_stamp);
    sort_samples(&delay);
    printf("{\"seconds\":%.4f,\"requests\":%lu,\"stamps\":%lu,\"all_requests\":%lu,\"all_stamps\":%lu,\"failures\":%lu,"
           "\"refused\":%lu,\"broken\":%lu,\"cut\":%lu,\"p50_ms\":%.4f,\"p99_ms\":%.4f,\"max_ms\":%.4f,"
           "\"first_p50_ms\":%.4f,\"first_p99_ms\":%.4f,\"delay_p50_ms\":%.4f,\"delay_p99_ms\":%.4f,\"problem\":\"%s\"}\n",
           seconds, requests, stamps, all_requests, all_stamps, failures, refused, broken, cut, quantile(&latency, .5),
           quantile(&latency, .99), quantile(&latency, 1), quantile(&first_stamp, .5), quantile(&first_stamp, .99),
           quantile(&delay, .5), quantile(&delay, .99), first_problem);
}

int main(int argc, char **argv) {
    const char *path = "/v1/chat/completions", *token = "none", *model = "mock";
    int port = 0, connections = 1, option;
    double warm = 0.1, seconds = 1, grace = 5;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    size_t prompt_bytes = 200;
    while ((option = getopt(argc, argv, "a:p:u:T:m:sc:w:t:g:b:n:")) > 0) switch (option) {
        case 'a': if (inet_pton(AF_INET, optarg, &address.sin_addr) != 1) return 2; break;
        case 'p': port = atoi(optarg); break;
        case 'u': path = optarg; break;
        case 'T': token = optarg; break;
        case 'm': model = optarg; break;
        case 's': is_stream = 1; break;
        case 'c': connections = atoi(optarg); break;
        case 'w': warm = atof(optarg); break;
        case 't': seconds = atof(optarg); break;
        case 'g': grace = atof(optarg); break;
        case 'b': prompt_bytes = (size_t)atol(optarg); break;
        case 'n': expected_stamps = atol(optarg); break;
        default: return 2;
        }
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    address.sin_port = htons((uint16_t)port);
    write_request(path, port, token, model, prompt_bytes);
    poller = epoll_create1(0);
    Client *clients = calloc((size_t)connections, sizeof *clients);
    if (!clients) die("out of memory");
    warm_end = now_ns() + (uint64_t)(warm * 1e9);
    end = warm_end + (uint64_t)(seconds * 1e9);
    uint64_t deadline = end + (uint64_t)(grace * 1e9);
    for (int i = 0; i < connections; i++, active++) connect_client(&clients[i]);
    static struct epoll_event events[1024];
    while (active > 0) {
        int count = epoll_wait(poller, events, 1024, 20);
        for (int i = 0; i < count; i++) on_event(events[i].data.ptr, events[i].events);
        if (now_ns() >= deadline) {
            cut = (uint64_t)active;
            note_problem("still under way at the end", "", 0);
            break;
        }
    }
    print_result(seconds);
    return 0;
}
