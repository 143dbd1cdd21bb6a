/* Finds the mock's stamps in an answer's bytes, whatever the pieces they come in, and keeps what was measured. */
#ifndef CHATVAULT_BENCH_STAMPS_H
#define CHATVAULT_BENCH_STAMPS_H

#include "common.h"

typedef struct {
    uint64_t *values;
    size_t count, capacity;
} Samples;

static void sample(Samples *s, uint64_t value) {
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? s->capacity * 2 : 4096;
        s->values = grow(s->values, s->capacity * sizeof *s->values);
    }
    s->values[s->count++] = value;
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void sort_samples(Samples *s) { qsort(s->values, s->count, sizeof *s->values, by_value); }

/* In milliseconds; the samples must be sorted. */
static double quantile(const Samples *s, double q) {
    if (!s->count) return 0;
    return (double)s->values[(size_t)(q * (double)(s->count - 1) + 0.5)] / 1e6;
}

typedef struct {
    int is_inside, digits;
    uint64_t value;
} StampFinder;

/* Call `found(context, stamp)` for each stamp in the bytes. */
static void find_stamps(StampFinder *f, const char *data, size_t length, void (*found)(void *, uint64_t), void *context) {
    const char *c = data, *end = data + length;
    while (c < end) {
        if (!f->is_inside) {
            c = memchr(c, '@', (size_t)(end - c));
            if (!c) return;
            c++;
            *f = (StampFinder){.is_inside = 1};
        }
        while (c < end && f->digits < STAMP_DIGITS && *c >= '0' && *c <= '9') {
            f->value = f->value * 10 + (uint64_t)(*c++ - '0');
            f->digits++;
        }
        if (f->digits == STAMP_DIGITS) found(context, f->value);
        if (c < end || f->digits == STAMP_DIGITS) f->is_inside = 0;
    }
}

#endif
