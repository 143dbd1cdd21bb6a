/* The answers of the mock provider, in the three formats it speaks. */
#ifndef CHATVAULT_BENCH_ANSWERS_H
#define CHATVAULT_BENCH_ANSWERS_H

#include "common.h"

typedef enum { NO_ANSWER, OPENAI, ANTHROPIC, OLLAMA } Format;

#define PROMPT_TOKENS 25

static const char TEXT[] =
    "The quick brown fox jumps over the lazy dog and keeps running through the forest until it reaches the "
    "river, where it stops to drink some water and look at the sky. Then it lies down, closes its eyes and "
    "dreams about rabbits, fields and the long summer days that are still to come before the first snow "
    "falls on the hills.";

static void add_chunk(Buffer *out, const char *data, int length) {
    char size[16];
    int n = snprintf(size, sizeof size, "%x\r\n", (unsigned)length);
    buffer_add(out, size, (size_t)n);
    buffer_add(out, data, (size_t)length);
    buffer_add(out, "\r\n", 2);
}

static void add_chunk_text(Buffer *out, const char *text) { add_chunk(out, text, (int)strlen(text)); }

static void add_stream_head(Buffer *out, Format format) {
    const char *type = format == OLLAMA ? "application/x-ndjson" : "text/event-stream; charset=utf-8";
    char head[256];
    snprintf(head, sizeof head,
             "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n",
             type);
    buffer_add_text(out, head);
    if (format == ANTHROPIC) {
        char start[768];
        snprintf(start, sizeof start,
                 "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_mock\","
                 "\"type\":\"message\",\"role\":\"assistant\",\"model\":\"mock\",\"content\":[],"
                 "\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":%d,"
                 "\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":1}}}\n\n"
                 "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
                 "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
                 PROMPT_TOKENS);
        add_chunk_text(out, start);
    }
}

static void add_delta(Buffer *out, Format format) {
    char event[512];
    unsigned long long stamp = now_ns();
    const char *shape;
    switch (format) {
    case ANTHROPIC:
        shape = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
                "\"delta\":{\"type\":\"text_delta\",\"text\":\"@%019llu \"}}\n\n";
        break;
    case OLLAMA:
        shape = "{\"model\":\"mock\",\"created_at\":\"2026-01-01T00:00:00.000000Z\",\"message\":"
                "{\"role\":\"assistant\",\"content\":\"@%019llu \"},\"done\":false}\n";
        break;
    default:
        shape = "data: {\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
                "\"model\":\"mock\",\"system_fingerprint\":\"fp_mock\",\"choices\":[{\"index\":0,\"delta\":"
                "{\"content\":\"@%019llu \"},\"logprobs\":null,\"finish_reason\":null}]}\n\n";
    }
    int n = snprintf(event, sizeof event, shape, stamp);
    add_chunk(out, event, n);
}

static void add_stream_end(Buffer *out, Format format, long chunks, int with_usage) {
    char event[768];
    switch (format) {
    case ANTHROPIC:
        snprintf(event, sizeof event,
                 "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
                 "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\","
                 "\"stop_sequence\":null},\"usage\":{\"output_tokens\":%ld}}\n\n"
                 "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
                 chunks);
        add_chunk_text(out, event);
        break;
    case OLLAMA:
        snprintf(event, sizeof event,
                 "{\"model\":\"mock\",\"created_at\":\"2026-01-01T00:00:00.000000Z\",\"message\":"
                 "{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\","
                 "\"total_duration\":4883583458,\"load_duration\":1334875,\"prompt_eval_count\":%d,"
                 "\"prompt_eval_duration\":342546000,\"eval_count\":%ld,\"eval_duration\":4535599000}\n",
                 PROMPT_TOKENS, chunks);
        add_chunk_text(out, event);
        break;
    default:
        add_chunk_text(out,
                       "data: {\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
                       "\"model\":\"mock\",\"system_fingerprint\":\"fp_mock\",\"choices\":[{\"index\":0,\"delta\":{},"
                       "\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n");
        if (with_usage) {
            snprintf(event, sizeof event,
                     "data: {\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
                     "\"model\":\"mock\",\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%ld,"
                     "\"total_tokens\":%ld,\"prompt_tokens_details\":{\"cached_tokens\":0}}}\n\n",
                     PROMPT_TOKENS, chunks, chunks + PROMPT_TOKENS);
            add_chunk_text(out, event);
        }
        add_chunk_text(out, "data: [DONE]\n\n");
    }
    buffer_add_text(out, "0\r\n\r\n");
}

static void add_plain(Buffer *out, int status, const char *body) {
    char head[160];
    snprintf(head, sizeof head, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", status,
             status == 200 ? "OK" : "Not Found", strlen(body));
    buffer_add_text(out, head);
    buffer_add_text(out, body);
}

static void add_whole_answer(Buffer *out, Format format, long chunks) {
    char body[2048];
    unsigned long long stamp = now_ns();
    switch (format) {
    case ANTHROPIC:
        snprintf(body, sizeof body,
                 "{\"id\":\"msg_mock\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"mock\",\"content\":"
                 "[{\"type\":\"text\",\"text\":\"@%019llu %s\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,"
                 "\"usage\":{\"input_tokens\":%d,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"
                 "\"output_tokens\":%ld}}",
                 stamp, TEXT, PROMPT_TOKENS, chunks);
        break;
    case OLLAMA:
        snprintf(body, sizeof body,
                 "{\"model\":\"mock\",\"created_at\":\"2026-01-01T00:00:00.000000Z\",\"message\":{\"role\":\"assistant\","
                 "\"content\":\"@%019llu %s\"},\"done\":true,\"done_reason\":\"stop\",\"total_duration\":4883583458,"
                 "\"load_duration\":1334875,\"prompt_eval_count\":%d,\"prompt_eval_duration\":342546000,"
                 "\"eval_count\":%ld,\"eval_duration\":4535599000}",
                 stamp, TEXT, PROMPT_TOKENS, chunks);
        break;
    default:
        snprintf(body, sizeof body,
                 "{\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"mock\","
                 "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"@%019llu %s\"},"
                 "\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":%d,"
                 "\"completion_tokens\":%ld,\"total_tokens\":%ld,\"prompt_tokens_details\":{\"cached_tokens\":0}},"
                 "\"system_fingerprint\":\"fp_mock\"}",
                 stamp, TEXT, PROMPT_TOKENS, chunks, chunks + PROMPT_TOKENS);
    }
    add_plain(out, 200, body);
}

#endif
