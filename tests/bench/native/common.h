/* What the mock provider and the load generator share: a clock, a growing buffer, more file descriptors. */
#ifndef CHATVAULT_BENCH_COMMON_H
#define CHATVAULT_BENCH_COMMON_H

#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* Every content delta carries '@' and this many digits: CLOCK_MONOTONIC in ns when the mock wrote it. */
#define STAMP_DIGITS 19

static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void die(const char *what) {
    perror(what);
    exit(1);
}

static inline void *grow(void *memory, size_t size) {
    void *grown = realloc(memory, size);
    if (!grown) die("out of memory");
    return grown;
}

static inline void raise_file_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

typedef struct {
    char *data;
    size_t length, capacity;
} Buffer;

static inline void buffer_reserve(Buffer *b, size_t more) {
    if (b->length + more <= b->capacity) return;
    b->capacity = (b->length + more) * 2 + 4096;
    b->data = grow(b->data, b->capacity);
}

static inline void buffer_add(Buffer *b, const void *data, size_t length) {
    buffer_reserve(b, length);
    memcpy(b->data + b->length, data, length);
    b->length += length;
}

static inline void buffer_add_text(Buffer *b, const char *text) { buffer_add(b, text, strlen(text)); }

#endif
