/* Every mistake that a host can make with handles, pointers, sizes and values is an error code. */
#include <math.h>

#include "check.h"

/* A struct from a future version: this one and something after it. */
#define FUTURE(type) struct { type known; uint64_t newer[2]; }

static const char* path;
static r1_model* model;
static r1_session* session;
static r1_chat* chat;
static r1_tokenizer* tokenizer;

/* Values that no function gave out. */
static const uintptr_t garbage[] = {1, 2, 0xdeadbeef, UINTPTR_MAX, 0x7ffffffffff1};

static void handles(void) {
    r1_session* other = NULL;
    r1_stream* stream = NULL;
    r1_event event = R1_EVENT_INIT;
    size_t count;
    uint32_t token = 5;

    EXPECT(R1_ERR_NULL_ARG, r1_session_len(NULL, &count, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_session_append(NULL, &token, 1, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_session_truncate(NULL, 0, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_session_fork(NULL, &other, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_session_generate(NULL, &token, 1, NULL, &stream, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_session_new(NULL, NULL, &other, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_stream_next(NULL, &event, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_chat_send(NULL, "a", 1, NULL, &stream, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_tokenizer_len(NULL, &count, &err));
    EXPECT_BARE(R1_ERR_NULL_ARG, r1_cancel_fire(NULL));
    EXPECT_BARE(R1_ERR_NULL_ARG, r1_cancel_reset(NULL));

    EXPECT_BARE(R1_OK, r1_model_free(NULL));
    EXPECT_BARE(R1_OK, r1_session_free(NULL));
    EXPECT_BARE(R1_OK, r1_chat_free(NULL));
    EXPECT_BARE(R1_OK, r1_stream_free(NULL));
    EXPECT_BARE(R1_OK, r1_tokenizer_free(NULL));
    EXPECT_BARE(R1_OK, r1_cancel_free(NULL));
    EXPECT_BARE(R1_OK, r1_string_free(NULL));
    EXPECT_BARE(R1_OK, r1_error_free(NULL));

    EXPECT(R1_OK, r1_session_new(model, NULL, &other, &err));
    EXPECT_BARE(R1_OK, r1_session_free(other));
    EXPECT_BARE(R1_ERR_HANDLE, r1_session_free(other));
    EXPECT(R1_ERR_HANDLE, r1_session_len(other, &count, &err));
    EXPECT(R1_ERR_HANDLE, r1_session_append(other, &token, 1, &err));

    EXPECT(R1_ERR_HANDLE, r1_session_new((r1_model*)session, NULL, &other, &err));
    EXPECT(R1_ERR_HANDLE, r1_session_len((r1_session*)model, &count, &err));
    EXPECT(R1_ERR_HANDLE, r1_stream_next((r1_stream*)chat, &event, &err));
    EXPECT_BARE(R1_ERR_HANDLE, r1_model_free((r1_model*)tokenizer));
    EXPECT_BARE(R1_ERR_HANDLE, r1_cancel_fire((r1_cancel*)session));
    EXPECT_BARE(R1_ERR_HANDLE, r1_session_free((r1_session*)&count));

    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        EXPECT(R1_ERR_HANDLE, r1_session_len((r1_session*)garbage[i], &count, &err));
        EXPECT_BARE(R1_ERR_HANDLE, r1_session_free((r1_session*)garbage[i]));
        EXPECT_BARE(R1_ERR_HANDLE, r1_error_free((r1_error*)garbage[i]));
        EXPECT_BARE(R1_ERR_HANDLE, r1_cancel_fire((r1_cancel*)garbage[i]));
        CHECK(r1_string_data((r1_string*)garbage[i], &count) == NULL);
        CHECK(strcmp(r1_error_message((r1_error*)garbage[i]), "not a live r1_error") == 0);
    }
    CHECK(r1_error_code(NULL) == R1_OK);
    CHECK(strcmp(r1_error_message(NULL), "no error") == 0);
    CHECK(strcmp(r1_status_str(12345), "R1_ERR_UNKNOWN") == 0);

    r1_error* failure = NULL;
    r1_status status = r1_session_len(NULL, &count, &failure);
    CHECK(status == R1_ERR_NULL_ARG && failure != NULL);
    EXPECT_BARE(R1_OK, r1_error_free(failure));
    EXPECT_BARE(R1_ERR_HANDLE, r1_error_free(failure));
    CHECK(r1_error_code(failure) == R1_ERR_HANDLE);
    EXPECT_BARE(R1_ERR_NULL_ARG, r1_session_len(NULL, &count, NULL));
}

static void pointers(void) {
    size_t count = 77;
    uint32_t tokens[4] = {0};
    unsigned char room[64] = {0};
    char* odd = (char*)room + 1;
    r1_stream* stream = NULL;

    EXPECT(R1_ERR_NULL_ARG, r1_session_len(session, NULL, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_model_tokenizer(model, NULL, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_session_new(model, NULL, NULL, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_chat_send(chat, "a", 1, NULL, NULL, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_session_append(session, NULL, 3, &err));
    EXPECT(R1_ERR_RANGE, r1_session_append(session, tokens, SIZE_MAX, &err));
    EXPECT(R1_ERR_RANGE, r1_session_append(session, tokens, SIZE_MAX / 4, &err));
    EXPECT(R1_ERR_RANGE, r1_session_append(session, (uint32_t*)(void*)odd, 1, &err));
    EXPECT(R1_ERR_RANGE, r1_session_len(session, (size_t*)(void*)odd, &err));
    EXPECT_BARE(R1_ERR_NULL_ARG, r1_session_len(session, NULL, (r1_error**)(void*)odd));
    EXPECT(R1_OK, r1_session_append(session, NULL, 0, &err));

    EXPECT(R1_ERR_NULL_ARG, r1_tokenizer_encode(tokenizer, NULL, 1, 0, tokens, 4, &count, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_tokenizer_encode(tokenizer, NULL, R1_NUL, 0, tokens, 4, &count, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_tokenizer_encode(tokenizer, "a", 1, 0, NULL, 4, &count, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_tokenizer_encode(tokenizer, "a", 1, 0, tokens, 4, NULL, &err));
    EXPECT(R1_ERR_RANGE, r1_tokenizer_encode(tokenizer, "a", SIZE_MAX - 1, 0, tokens, 4, &count, &err));
    EXPECT(R1_ERR_UTF8, r1_tokenizer_encode(tokenizer, "a\xff", 2, 0, tokens, 4, &count, &err));
    EXPECT(R1_ERR_UTF8, r1_tokenizer_encode(tokenizer, "\xe6\x97", 2, 0, tokens, 4, &count, &err));
    EXPECT(R1_ERR_VERSION, r1_tokenizer_encode(tokenizer, "a", 1, 1u << 31, tokens, 4, &count, &err));
    CHECK(count == 77);
    EXPECT(R1_OK, r1_tokenizer_encode(tokenizer, "a\xff", 2, R1_ENCODE_BYTES, NULL, 0, &count, &err));
    EXPECT(R1_OK, r1_tokenizer_encode(tokenizer, NULL, 0, 0, NULL, 0, &count, &err));
    CHECK(count == 0);
    EXPECT(R1_ERR_BUFFER, r1_tokenizer_encode(tokenizer, "1 + 2 = 3, 4 + 5 = 9", R1_NUL, 0, tokens, 1, &count, &err));
    CHECK(count > 1 && tokens[0] == 0);

    tokens[1] = UINT32_MAX;
    EXPECT(R1_ERR_RANGE, r1_tokenizer_decode(tokenizer, tokens, 2, 0, (char*)room, sizeof room, &count, &err));
    EXPECT(R1_ERR_VERSION, r1_tokenizer_decode(tokenizer, tokens, 1, 64, (char*)room, sizeof room, &count, &err));
    EXPECT(R1_ERR_MISSING, r1_tokenizer_find(tokenizer, "no such token", R1_NUL, tokens, &err));
    EXPECT(R1_ERR_RANGE, r1_tokenizer_special(tokenizer, 99, tokens, &err));
    int32_t end = 0;
    EXPECT(R1_ERR_RANGE, r1_tokenizer_is_end(tokenizer, UINT32_MAX, &end, &err));
    EXPECT(R1_ERR_UTF8, r1_chat_send(chat, "\xc0\x80", 2, NULL, &stream, &err));
    CHECK(stream == NULL);
}

static void sizes(void) {
    r1_session* made = NULL;
    r1_stream* stream = NULL;
    r1_memory memory = R1_MEMORY_INIT;
    FUTURE(r1_session_options) future;
    memset(&future, 0, sizeof future);
    const r1_session_options* options = &future.known;

    static const uint32_t wrong[] = {0, 1, 4, offsetof(r1_session_options, thread_start) - 1, 5000, UINT32_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        future.known.struct_size = wrong[i];
        EXPECT(R1_ERR_VERSION, r1_session_new(model, options, &made, &err));
        memory.struct_size = wrong[i];
        EXPECT(R1_ERR_VERSION, r1_estimate(path, R1_NUL, NULL, &memory, &err));
    }
    future.known.struct_size = sizeof future;
    EXPECT(R1_OK, r1_session_new(model, options, &made, &err));
    EXPECT_BARE(R1_OK, r1_session_free(made));
    future.newer[1] = 1;
    EXPECT(R1_ERR_VERSION, r1_session_new(model, options, &made, &err));
    future.known.struct_size = sizeof future.known;
    future.known.flags = 2;
    EXPECT(R1_ERR_VERSION, r1_session_new(model, options, &made, &err));
    const char* odd = (const char*)options + 1;
    EXPECT(R1_ERR_VERSION, r1_session_new(model, (const r1_session_options*)(const void*)odd, &made, &err));

    r1_generate_options generate = R1_GENERATE_OPTIONS_INIT;
    generate.flags = 1u << 30;
    EXPECT(R1_ERR_VERSION, r1_chat_send(chat, "a", 1, &generate, &stream, &err));
    r1_chat_options conversation = R1_CHAT_OPTIONS_INIT;
    r1_chat* talk = NULL;
    conversation.flags = R1_CHAT_NO_GENERATION_PROMPT;
    EXPECT(R1_ERR_VERSION, r1_chat_new(model, &conversation, &talk, &err));
    future.known.struct_size = 3;
    conversation.flags = 0;
    conversation.session = options;
    EXPECT(R1_ERR_VERSION, r1_chat_new(model, &conversation, &talk, &err));

    EXPECT_BARE(R1_ERR_NULL_ARG, r1_session_options_init(NULL, sizeof future));
    EXPECT_BARE(R1_ERR_VERSION, r1_session_options_init(&future.known, 3));
    EXPECT_BARE(R1_ERR_VERSION, r1_generate_options_init(&generate, SIZE_MAX));
    EXPECT_BARE(R1_OK, r1_session_options_init(&future.known, sizeof future));
    CHECK(future.known.struct_size == sizeof future && future.known.flags == 0 && future.newer[1] == 0);

    FUTURE(r1_memory) result;
    memset(&result, 0xff, sizeof result);
    result.known.struct_size = sizeof result;
    EXPECT(R1_OK, r1_estimate(path, R1_NUL, NULL, &result.known, &err));
    CHECK(result.known.struct_size == sizeof result && result.known.weights > 1000000 && result.newer[0] == 0);
}

static r1_generate_options defaults(void) {
    r1_generate_options options = R1_GENERATE_OPTIONS_INIT;
    return options;
}

static void values(void) {
    r1_stream* stream = NULL;
    static const float bad[] = {-1.0f, (float)NAN, (float)INFINITY};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r1_generate_options options = defaults();
        options.temperature = bad[i];
        EXPECT(R1_ERR_ARGUMENT, r1_chat_send(chat, "a", 1, &options, &stream, &err));
        options = defaults();
        options.top_p = bad[i];
        EXPECT(R1_ERR_ARGUMENT, r1_chat_send(chat, "a", 1, &options, &stream, &err));
        options = defaults();
        options.min_p = bad[i];
        EXPECT(R1_ERR_ARGUMENT, r1_chat_send(chat, "a", 1, &options, &stream, &err));
        options = defaults();
        options.repetition_penalty = bad[i];
        EXPECT(R1_ERR_ARGUMENT, r1_chat_send(chat, "a", 1, &options, &stream, &err));
    }
    r1_generate_options options = defaults();
    options.presence_penalty = (float)NAN;
    EXPECT(R1_ERR_ARGUMENT, r1_chat_send(chat, "a", 1, &options, &stream, &err));
    options = defaults();
    r1_logit_bias bias = {3, (float)NAN};
    options.logit_bias_count = 1;
    EXPECT(R1_ERR_NULL_ARG, r1_chat_send(chat, "a", 1, &options, &stream, &err));
    options.logit_bias = &bias;
    EXPECT(R1_ERR_ARGUMENT, r1_chat_send(chat, "a", 1, &options, &stream, &err));
    options = defaults();
    options.stop_count = 2;
    EXPECT(R1_ERR_NULL_ARG, r1_chat_send(chat, "a", 1, &options, &stream, &err));
    const char* stops[] = {"x", NULL};
    options.stop = stops;
    EXPECT(R1_ERR_NULL_ARG, r1_chat_send(chat, "a", 1, &options, &stream, &err));
    stops[1] = "\xff";
    EXPECT(R1_ERR_UTF8, r1_chat_send(chat, "a", 1, &options, &stream, &err));
    options = defaults();
    options.phase = 9;
    EXPECT(R1_ERR_RANGE, r1_chat_send(chat, "a", 1, &options, &stream, &err));
    options = defaults();
    options.think_open = "<think>";
    EXPECT(R1_ERR_ARGUMENT, r1_chat_send(chat, "a", 1, &options, &stream, &err));
    options.think_close = "";
    EXPECT(R1_ERR_ARGUMENT, r1_chat_send(chat, "a", 1, &options, &stream, &err));

    r1_session* made = NULL;
    r1_session_options settings = R1_SESSION_OPTIONS_INIT;
    settings.cache = 200;
    EXPECT(R1_ERR_RANGE, r1_session_new(model, &settings, &made, &err));
    r1_session_options_init(&settings, sizeof settings);
    settings.context = UINT32_MAX;
    EXPECT(R1_ERR_ARGUMENT, r1_session_new(model, &settings, &made, &err));
    settings.context = 16;
    settings.threads = 100000;
    settings.prefill_chunk = UINT32_MAX;
    EXPECT(R1_OK, r1_session_new(model, &settings, &made, &err));
    size_t value = 0;
    EXPECT(R1_OK, r1_session_threads(made, &value, &err));
    CHECK(value >= 1 && value <= 1024);
    EXPECT(R1_OK, r1_session_context(made, &value, &err));
    CHECK(value == 16);
    uint32_t tokens[17] = {0};
    EXPECT(R1_ERR_CONTEXT_FULL, r1_session_append(made, tokens, 17, &err));
    EXPECT(R1_ERR_CONTEXT_FULL, r1_session_replace(made, tokens, 17, NULL, &err));
    EXPECT(R1_ERR_CONTEXT_FULL, r1_session_generate(made, tokens, 17, NULL, &stream, &err));
    tokens[0] = UINT32_MAX;
    EXPECT(R1_ERR_ARGUMENT, r1_session_append(made, tokens, 1, &err));
    EXPECT(R1_OK, r1_session_truncate(made, SIZE_MAX, &err));
    EXPECT_BARE(R1_OK, r1_session_free(made));

    r1_session* empty = NULL;
    float logit;
    EXPECT(R1_OK, r1_session_new(model, NULL, &empty, &err));
    EXPECT(R1_ERR_STATE, r1_session_logits(empty, &logit, 1, &value, &err));
    EXPECT(R1_ERR_STATE, r1_session_generate(empty, NULL, 0, NULL, &stream, &err));
    tokens[0] = 5;
    EXPECT(R1_OK, r1_session_append(empty, tokens, 2, &err));
    EXPECT(R1_ERR_BUFFER, r1_session_logits(empty, &logit, 1, &value, &err));
    CHECK(value > 100);
    EXPECT(R1_OK, r1_session_truncate(empty, 1, &err));
    EXPECT(R1_ERR_STATE, r1_session_logits(empty, NULL, 0, &value, &err));
    EXPECT_BARE(R1_OK, r1_session_free(empty));
    CHECK(stream == NULL);
}

/* Options of thoughts that differ from the defaults in one field. */
#define THINK(status, field, value)                                            \
    do {                                                                       \
        r1_think_options think = R1_THINK_OPTIONS_INIT;                        \
        r1_generate_options with = R1_GENERATE_OPTIONS_INIT;                   \
        with.think = &think;                                                   \
        think.field = value;                                                   \
        EXPECT(status, r1_chat_send(chat, "a", 1, &with, &stream, &err));      \
        if (status == R1_OK) EXPECT_BARE(R1_OK, r1_stream_free(stream));       \
        stream = NULL;                                                         \
    } while (0)

static void thoughts(void) {
    r1_stream* stream = NULL;
    static const float bad[] = {-1.0f, (float)NAN, (float)INFINITY};
    static char text[5000];
    const char *none[] = {NULL}, *empty[] = {""};
    memset(text, 'a', sizeof text - 1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        THINK(R1_ERR_ARGUMENT, ramp_share, bad[i]);
        THINK(R1_ERR_ARGUMENT, ramp_strength, bad[i]);
        THINK(R1_ERR_ARGUMENT, ramp_margin, bad[i]);
        THINK(R1_ERR_ARGUMENT, answer_temperature, bad[i]);
        THINK(R1_ERR_ARGUMENT, answer_top_p, bad[i]);
        THINK(R1_ERR_ARGUMENT, answer_min_p, bad[i]);
        THINK(R1_ERR_ARGUMENT, answer_repetition_penalty, bad[i]);
    }
    static const int32_t beyond[] = {-1, 5, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        THINK(R1_ERR_RANGE, boundary, beyond[i]);
        THINK(R1_ERR_RANGE, on_budget, beyond[i]);
        THINK(R1_ERR_RANGE, loops, beyond[i]);
        THINK(R1_ERR_RANGE, guard_eos, beyond[i]);
    }
    THINK(R1_ERR_RANGE, budget, 1; think.flags = R1_THINK_NOTHING);
    THINK(R1_ERR_RANGE, grace, 1; think.flags = R1_THINK_NO_GRACE);
    THINK(R1_ERR_RANGE, answer_reserve, 1; think.flags = R1_THINK_NO_RESERVE);
    THINK(R1_ERR_RANGE, message, "now"; think.flags = R1_THINK_NO_MESSAGE);
    THINK(R1_ERR_ARGUMENT, minimum, 1; think.flags = R1_THINK_NOTHING);
    THINK(R1_ERR_ARGUMENT, minimum, 9; think.block_budget = 8);
    THINK(R1_ERR_ARGUMENT, message, text);
    THINK(R1_ERR_ARGUMENT, wait, text);
    THINK(R1_ERR_ARGUMENT, wait, " "; think.extensions = 1);
    THINK(R1_ERR_UTF8, wait, "\xff");
    THINK(R1_ERR_UTF8, message, "\xff");
    THINK(R1_ERR_NULL_ARG, tool_open_count, 1);
    THINK(R1_ERR_RANGE, tool_open, none; think.tool_open_count = SIZE_MAX);
    THINK(R1_ERR_NULL_ARG, tool_open, none; think.tool_open_count = 1);
    THINK(R1_ERR_ARGUMENT, tool_open, empty; think.tool_open_count = 1);
    THINK(R1_ERR_VERSION, flags, 1u << 31);
    THINK(R1_ERR_VERSION, reserved, 1);
    THINK(R1_ERR_NULL_ARG, until_count, 1);
    THINK(R1_ERR_NULL_ARG, until, none; think.until_count = 1);
    THINK(R1_ERR_ARGUMENT, until, empty; think.until_count = 1);
    THINK(R1_ERR_ARGUMENT, until_line, "[");
    THINK(R1_ERR_NULL_ARG, close_tag_count, 1);
    THINK(R1_ERR_ARGUMENT, close_tags, empty; think.close_tag_count = 1);
    THINK(R1_ERR_ARGUMENT, scripts, "english");
    THINK(R1_ERR_ARGUMENT, scripts, "");
    THINK(R1_OK, scripts, "latin, Hani");
    THINK(R1_ERR_VERSION, struct_size, 0);
    THINK(R1_ERR_VERSION, struct_size, offsetof(r1_think_options, until) - 1);
    THINK(R1_ERR_VERSION, struct_size, UINT32_MAX);
    THINK(R1_ERR_VERSION, struct_size, sizeof think; with.reserved = &think);
    THINK(R1_OK, struct_size, offsetof(r1_think_options, until));
    THINK(R1_OK, budget, UINT64_MAX);
    THINK(R1_OK, message, "");
    THINK(R1_OK, flags, 127);
    THINK(R1_OK, deadline_think_ms, UINT64_MAX; think.deadline_total_ms = UINT64_MAX; think.grace = UINT64_MAX);
    THINK(R1_OK, extensions, UINT32_MAX; think.max_blocks = UINT32_MAX; think.answer_reserve = UINT64_MAX);

    FUTURE(r1_think_options) future;
    r1_generate_options options = defaults();
    EXPECT_BARE(R1_ERR_NULL_ARG, r1_think_options_init(NULL, sizeof future));
    EXPECT_BARE(R1_ERR_VERSION, r1_think_options_init(&future.known, 3));
    EXPECT_BARE(R1_OK, r1_think_options_init(&future.known, sizeof future));
    options.think = &future.known;
    EXPECT(R1_OK, r1_chat_send(chat, "a", 1, &options, &stream, &err));
    EXPECT_BARE(R1_OK, r1_stream_free(stream));
    future.newer[0] = 1;
    EXPECT(R1_ERR_VERSION, r1_chat_send(chat, "a", 1, &options, &stream, &err));
}

static void steering(void) {
    r1_stream* stream = NULL;
    FUTURE(r1_think_state) state;
    r1_event event = R1_EVENT_INIT;
    r1_generate_options options = defaults();
    int32_t phase = 0;
    int32_t* odd = (int32_t*)(void*)((char*)&event + 1);
    options.max_tokens = 4;
    memset(&state, 0xff, sizeof state);
    state.known.struct_size = sizeof state;
    r1_chat* talk = NULL;
    EXPECT(R1_OK, r1_chat_new(model, NULL, &talk, &err));
    EXPECT(R1_OK, r1_chat_send(talk, "1+1", 3, &options, &stream, &err));

    EXPECT_BARE(R1_ERR_NULL_ARG, r1_think_close(NULL, &phase));
    EXPECT_BARE(R1_ERR_NULL_ARG, r1_think_set_budget(NULL, 5, &phase));
    EXPECT_BARE(R1_ERR_NULL_ARG, r1_think_get_state(NULL, &state.known));
    EXPECT_BARE(R1_ERR_NULL_ARG, r1_think_get_state(stream, NULL));
    EXPECT_BARE(R1_ERR_RANGE, r1_think_close(stream, odd));
    EXPECT_BARE(R1_ERR_RANGE, r1_think_set_budget(stream, 5, odd));
    EXPECT_BARE(R1_ERR_VERSION, r1_think_get_state(stream, (r1_think_state*)(void*)odd));
    static const uint32_t wrong[] = {0, 4, sizeof(r1_think_state) - 1, 5000, UINT32_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        state.known.struct_size = wrong[i];
        EXPECT_BARE(R1_ERR_VERSION, r1_think_get_state(stream, &state.known));
    }
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        EXPECT_BARE(R1_ERR_HANDLE, r1_think_close((r1_stream*)garbage[i], &phase));
        EXPECT_BARE(R1_ERR_HANDLE, r1_think_set_budget((r1_stream*)garbage[i], 5, &phase));
    }
    EXPECT_BARE(R1_ERR_HANDLE, r1_think_close((r1_stream*)chat, &phase));
    CHECK(phase == 0);

    state.known.struct_size = sizeof state;
    EXPECT_BARE(R1_OK, r1_think_get_state(stream, &state.known));
    CHECK(state.known.phase == R1_REPLY_THINKING && state.known.reasoning_tokens == 0 && state.newer[1] == 0);
    while (r1_stream_next(stream, &event, NULL) == R1_OK) continue;
    EXPECT_BARE(R1_OK, r1_think_close(stream, &phase));
    CHECK(phase == R1_REPLY_ENDED);
    EXPECT_BARE(R1_OK, r1_think_close(stream, NULL));
    EXPECT_BARE(R1_OK, r1_think_set_budget(stream, R1_THINK_UNLIMITED, &phase));
    CHECK(phase == R1_REPLY_ENDED);
    EXPECT_BARE(R1_OK, r1_think_get_state(stream, &state.known));
    CHECK(state.known.phase == R1_REPLY_ENDED && state.known.struct_size == sizeof state);
    EXPECT_BARE(R1_OK, r1_stream_free(stream));
    EXPECT_BARE(R1_ERR_HANDLE, r1_think_close(stream, &phase));
    EXPECT_BARE(R1_ERR_HANDLE, r1_think_set_budget(stream, 5, NULL));
    EXPECT_BARE(R1_ERR_HANDLE, r1_think_get_state(stream, &state.known));
    EXPECT_BARE(R1_OK, r1_chat_free(talk));
}

static void votes(void) {
    static const char* const kinds[] = {"", "essay", "regex:(", "Math"};
    static const char* const rules[] = {"", "window:0", "window:-1", "beta:0.4", "beta:nan", "first:x", "Certain"};
    r1_vote *vote = NULL, *second = NULL;
    r1_stream* stream = NULL;
    uint32_t token = 5;
    FUTURE(r1_vote_event) event;
    memset(&event, 0, sizeof event);
    event.known.struct_size = sizeof event;
    r1_vote_options options = R1_VOTE_OPTIONS_INIT;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        options.answer_kind = kinds[i];
        EXPECT(R1_ERR_ARGUMENT, r1_chat_vote(chat, "a", 1, &options, &vote, &err));
    }
    options.answer_kind = "\xff";
    EXPECT(R1_ERR_UTF8, r1_chat_vote(chat, "a", 1, &options, &vote, &err));
    options.answer_kind = NULL;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        options.early_stop = rules[i];
        EXPECT(R1_ERR_ARGUMENT, r1_session_vote(session, &token, 1, &options, &vote, &err));
    }
    options.early_stop = NULL;
    options.samples = 4097;
    EXPECT(R1_ERR_ARGUMENT, r1_chat_vote(chat, "a", 1, &options, &vote, &err));
    options.samples = 2;
    options.flags = 4;
    EXPECT(R1_ERR_VERSION, r1_chat_vote(chat, "a", 1, &options, &vote, &err));
    options.flags = 0;
    r1_generate_options generate = defaults();
    options.generate = &generate;
    generate.temperature = (float)NAN;
    EXPECT(R1_ERR_ARGUMENT, r1_chat_vote(chat, "a", 1, &options, &vote, &err));
    generate = defaults();
    generate.struct_size = offsetof(r1_generate_options, json_schema) - 1;
    EXPECT(R1_ERR_VERSION, r1_session_vote(session, &token, 1, &options, &vote, &err));
    options.struct_size = 3;
    EXPECT(R1_ERR_VERSION, r1_session_vote(session, &token, 1, &options, &vote, &err));
    EXPECT_BARE(R1_ERR_VERSION, r1_vote_options_init(&options, 3));
    EXPECT_BARE(R1_ERR_NULL_ARG, r1_vote_options_init(NULL, sizeof options));
    EXPECT_BARE(R1_OK, r1_vote_options_init(&options, sizeof options));

    EXPECT(R1_ERR_NULL_ARG, r1_chat_vote(NULL, "a", 1, NULL, &vote, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_chat_vote(chat, NULL, 1, NULL, &vote, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_chat_vote(chat, "a", 1, NULL, NULL, &err));
    EXPECT(R1_ERR_UTF8, r1_chat_vote(chat, "\xff", 1, NULL, &vote, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_session_vote(NULL, &token, 1, NULL, &vote, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_session_vote(session, NULL, 1, NULL, &vote, &err));
    EXPECT(R1_ERR_HANDLE, r1_session_vote((r1_session*)chat, &token, 1, NULL, &vote, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_vote_next(NULL, &event.known, &err));
    EXPECT_BARE(R1_OK, r1_vote_free(NULL));
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        EXPECT(R1_ERR_HANDLE, r1_vote_next((r1_vote*)garbage[i], &event.known, &err));
        EXPECT_BARE(R1_ERR_HANDLE, r1_vote_free((r1_vote*)garbage[i]));
    }
    CHECK(vote == NULL && event.known.kind == 0);

    options.samples = 2;
    EXPECT(R1_OK, r1_chat_vote(chat, "1+1", 3, &options, &vote, &err));
    EXPECT(R1_ERR_BUSY, r1_chat_vote(chat, "1+1", 3, &options, &second, &err));
    EXPECT(R1_ERR_BUSY, r1_chat_send(chat, "1+1", 3, NULL, &stream, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_vote_next(vote, NULL, &err));
    event.known.struct_size = 8;
    EXPECT(R1_ERR_VERSION, r1_vote_next(vote, &event.known, &err));
    event.known.struct_size = sizeof event;
    EXPECT(R1_OK, r1_vote_next(vote, &event.known, &err));
    CHECK(event.known.kind == R1_VOTE_PROGRESS && event.known.running > 0 && event.known.text == NULL);
    EXPECT_BARE(R1_ERR_HANDLE, r1_think_close((r1_stream*)vote, NULL));
    EXPECT_BARE(R1_ERR_HANDLE, r1_stream_free((r1_stream*)vote));
    EXPECT_BARE(R1_OK, r1_vote_free(vote));
    EXPECT_BARE(R1_ERR_HANDLE, r1_vote_free(vote));
    EXPECT(R1_ERR_HANDLE, r1_vote_next(vote, &event.known, &err));
    CHECK(second == NULL && stream == NULL);
}

static void files(void) {
    static const char page[] = "<!DOCTYPE html><html><body>not found</body></html>";
    r1_model* made = NULL;
    r1_string* text = NULL;
    r1_tokenizer* words = NULL;
    r1_model_options options = R1_MODEL_OPTIONS_INIT;
    r1_memory memory = R1_MEMORY_INIT;

    EXPECT(R1_ERR_NULL_ARG, r1_model_load(NULL, R1_NUL, NULL, &made, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_model_load(NULL, 0, NULL, &made, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_model_load(path, R1_NUL, NULL, NULL, &err));
    EXPECT(R1_ERR_RANGE, r1_model_load(path, SIZE_MAX - 1, NULL, &made, &err));
    EXPECT(R1_ERR_IO, r1_model_load("", 0, NULL, &made, &err));
    EXPECT(R1_ERR_IO, r1_model_load("/no/such/file.gguf", R1_NUL, NULL, &made, &err));
    EXPECT(R1_ERR_IO, r1_model_load("a\0b", 3, NULL, &made, &err));
    EXPECT(R1_ERR_IO, r1_model_load("\xff\xfe", 2, NULL, &made, &err));
    EXPECT(R1_ERR_IO, r1_tokenizer_load("/no/such/file.gguf", R1_NUL, &words, &err));
    EXPECT(R1_ERR_IO, r1_inspect_json("/no/such/file.gguf", R1_NUL, &text, &err));
    EXPECT(R1_ERR_IO, r1_estimate("/no/such/file.gguf", R1_NUL, NULL, &memory, &err));
    EXPECT(R1_ERR_NOT_GGUF, r1_model_load(__FILE__, R1_NUL, NULL, &made, &err));
    EXPECT(R1_ERR_NOT_GGUF, r1_inspect_json(__FILE__, R1_NUL, &text, &err));
    r1_status directory = r1_model_load("/", 1, NULL, &made, NULL);
    CHECK(directory == R1_ERR_IO || directory == R1_ERR_NOT_GGUF);

    const uint8_t* data = (const uint8_t*)page;
    EXPECT(R1_ERR_NULL_ARG, r1_model_load_memory(NULL, 10, NULL, &made, &err));
    EXPECT(R1_ERR_RANGE, r1_model_load_memory(data, SIZE_MAX, NULL, &made, &err));
    EXPECT(R1_ERR_NOT_GGUF, r1_model_load_memory(data, sizeof page, NULL, &made, &err));
    r1_status nothing = r1_model_load_memory(data, 0, NULL, &made, NULL);
    CHECK(nothing == R1_ERR_NOT_GGUF || nothing == R1_ERR_MALFORMED);
    options.flags = R1_MODEL_BORROW;
    EXPECT(R1_ERR_NOT_GGUF, r1_model_load_memory(data, sizeof page, &options, &made, &err));
    EXPECT(R1_ERR_RANGE, r1_model_load(path, R1_NUL, &options, &made, &err));
    options.flags = 0;
    options.kernels = "abacus";
    EXPECT(R1_ERR_ARGUMENT, r1_model_load(path, R1_NUL, &options, &made, &err));
    options.kernels = "\xff";
    EXPECT(R1_ERR_UTF8, r1_model_load(path, R1_NUL, &options, &made, &err));
    options.kernels = NULL;
    options.cancel = (const r1_cancel*)model;
    EXPECT(R1_ERR_HANDLE, r1_model_load(path, R1_NUL, &options, &made, &err));
    r1_cancel* cancel = NULL;
    EXPECT(R1_OK, r1_cancel_new(&cancel, &err));
    options.cancel = cancel;
    EXPECT_BARE(R1_OK, r1_cancel_fire(cancel));
    EXPECT_BARE(R1_OK, r1_cancel_fire(cancel));
    EXPECT(R1_ERR_CANCELLED, r1_model_load(path, R1_NUL, &options, &made, &err));
    EXPECT_BARE(R1_OK, r1_cancel_free(cancel));
    EXPECT_BARE(R1_ERR_HANDLE, r1_cancel_fire(cancel));
    EXPECT_BARE(R1_ERR_HANDLE, r1_cancel_free(cancel));
    EXPECT(R1_ERR_HANDLE, r1_model_load(path, R1_NUL, &options, &made, &err));
    CHECK(made == NULL && text == NULL && words == NULL);
}

static void conversations(void) {
    static const char* const wrong[] = {"", "{", "{}", "[1]", "[{\"role\": 7}]", "[{\"content\": \"a\"}]"};
    r1_chat_options options = R1_CHAT_OPTIONS_INIT;
    r1_chat* made = NULL;
    r1_string* text = NULL;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        options.messages_json = wrong[i];
        EXPECT(R1_ERR_ARGUMENT, r1_chat_new(model, &options, &made, &err));
        EXPECT(R1_ERR_ARGUMENT, r1_chat_render(model, wrong[i], R1_NUL, NULL, 0, &text, &err));
    }
    options.messages_json = "\xff";
    EXPECT(R1_ERR_UTF8, r1_chat_new(model, &options, &made, &err));
    options.messages_json = NULL;
    options.chat_template = "{% bad";
    EXPECT(R1_ERR_TEMPLATE, r1_chat_new(model, &options, &made, &err));
    EXPECT(R1_ERR_TEMPLATE, r1_chat_render(model, "[]", R1_NUL, "{% bad", 0, &text, &err));
    options.chat_template = NULL;
    options.flags = R1_CHAT_THINK | R1_CHAT_NO_THINK;
    EXPECT(R1_ERR_RANGE, r1_chat_new(model, &options, &made, &err));
    EXPECT(R1_ERR_VERSION, r1_chat_render(model, "[]", R1_NUL, NULL, 1u << 20, &text, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_chat_render(model, NULL, 9, NULL, 0, &text, &err));
    CHECK(made == NULL && text == NULL);

    r1_stream *stream = NULL, *second = NULL;
    r1_event event = R1_EVENT_INIT;
    EXPECT(R1_OK, r1_chat_send(chat, "1+1", 3, NULL, &stream, &err));
    EXPECT(R1_ERR_BUSY, r1_chat_send(chat, "1+1", 3, NULL, &second, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_stream_next(stream, NULL, &err));
    event.struct_size = 8;
    EXPECT(R1_ERR_VERSION, r1_stream_next(stream, &event, &err));
    event.struct_size = sizeof event;
    EXPECT(R1_OK, r1_stream_next(stream, &event, &err));
    EXPECT_BARE(R1_OK, r1_stream_free(stream));
    EXPECT_BARE(R1_ERR_HANDLE, r1_stream_free(stream));
    EXPECT(R1_ERR_HANDLE, r1_stream_next(stream, &event, &err));
    EXPECT(R1_OK, r1_chat_send(chat, "1+1", 3, NULL, &second, &err));
    EXPECT_BARE(R1_OK, r1_stream_free(second));
    EXPECT(R1_OK, r1_chat_messages_json(chat, &text, &err));
    CHECK(strcmp(r1_string_data(text, NULL), "[]") == 0);
    EXPECT_BARE(R1_OK, r1_string_free(text));
    EXPECT_BARE(R1_ERR_HANDLE, r1_string_free(text));
    CHECK(r1_string_data(text, NULL) == NULL);
}

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    path = argv[1];
    EXPECT(R1_OK, r1_model_load(path, R1_NUL, NULL, &model, &err));
    EXPECT(R1_OK, r1_model_tokenizer(model, &tokenizer, &err));
    EXPECT(R1_OK, r1_session_new(model, NULL, &session, &err));
    EXPECT(R1_OK, r1_chat_new(model, NULL, &chat, &err));
    handles();
    pointers();
    sizes();
    values();
    thoughts();
    steering();
    votes();
    files();
    conversations();
    EXPECT_BARE(R1_OK, r1_model_free(model));
    EXPECT_BARE(R1_ERR_HANDLE, r1_model_free(model));
    EXPECT_BARE(R1_OK, r1_chat_free(chat));
    EXPECT_BARE(R1_OK, r1_session_free(session));
    EXPECT_BARE(R1_OK, r1_tokenizer_free(tokenizer));
    return report();
}
