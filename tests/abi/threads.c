/* Several threads, cancel tokens and callbacks: errors instead of races, each object still usable afterwards. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "check.h"

enum { LONG = 600 };

static const char* path;
static r1_model* model;
static r1_session* session;
static r1_stream* stream;
static r1_cancel* cancel;
static uint32_t prompt[LONG];
static int calls, drops, lines;

/* The second thread of a test, run to its end while the first is inside a call. */
static void meanwhile(void* (*work)(void*)) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, NULL) != 0) exit(3);
    pthread_join(thread, NULL);
}

static void on_drop(void* user) {
    CHECK(user == &drops);
    drops++;
}

static void* second_user(void* unused) {
    size_t len = 0;
    r1_session* fork = NULL;
    r1_stream* other = NULL;
    EXPECT(R1_ERR_BUSY, r1_session_len(session, &len, &err));
    EXPECT(R1_ERR_BUSY, r1_session_append(session, prompt, 1, &err));
    EXPECT(R1_ERR_BUSY, r1_session_truncate(session, 0, &err));
    EXPECT(R1_ERR_BUSY, r1_session_fork(session, &fork, &err));
    EXPECT(R1_ERR_BUSY, r1_session_generate(session, prompt, 1, NULL, &other, &err));
    return unused;
}

static int32_t on_progress_busy(void* user, int32_t stage, uint64_t done, uint64_t total) {
    CHECK(user == &drops && stage == R1_STAGE_PREFILL && done <= total && total == LONG);
    if (calls++ == 0) meanwhile(second_user);
    return 0;
}

static int32_t on_progress_reenter(void* user, int32_t stage, uint64_t done, uint64_t total) {
    size_t len = 0;
    (void)user, (void)stage, (void)done, (void)total;
    EXPECT_BARE(R1_ERR_REENTRANT, r1_session_len(session, &len, NULL));
    EXPECT_BARE(R1_ERR_REENTRANT, r1_session_append(session, prompt, 1, NULL));
    EXPECT_BARE(R1_ERR_REENTRANT, r1_cancel_new(&cancel, NULL));
    CHECK(r1_abi_version() == R1_ABI_VERSION);
    calls++;
    return 0;
}

static int32_t on_progress_stop(void* user, int32_t stage, uint64_t done, uint64_t total) {
    (void)user, (void)stage, (void)done, (void)total;
    calls++;
    return 1;
}

static int32_t on_progress_fire(void* user, int32_t stage, uint64_t done, uint64_t total) {
    (void)user, (void)stage, (void)done, (void)total;
    calls++;
    EXPECT_BARE(R1_OK, r1_cancel_fire(cancel));
    return 0;
}

static void* free_all(void* unused) {
    EXPECT_BARE(R1_OK, r1_stream_free(stream));
    EXPECT_BARE(R1_OK, r1_session_free(session));
    EXPECT_BARE(R1_ERR_HANDLE, r1_stream_free(stream));
    return unused;
}

static int32_t on_progress_free(void* user, int32_t stage, uint64_t done, uint64_t total) {
    (void)user, (void)stage, (void)done, (void)total;
    if (calls++ == 0) meanwhile(free_all);
    return 0;
}

static void* second_reader(void* unused) {
    r1_event event = R1_EVENT_INIT;
    EXPECT(R1_ERR_BUSY, r1_stream_next(stream, &event, &err));
    CHECK(event.kind == 0 && event.text == NULL);
    return unused;
}

static int32_t on_progress_read(void* user, int32_t stage, uint64_t done, uint64_t total) {
    (void)user, (void)stage, (void)done, (void)total;
    if (calls++ == 0) meanwhile(second_reader);
    return 0;
}

static r1_session* new_session(r1_progress_fn progress) {
    r1_session* made = NULL;
    r1_session_options options = R1_SESSION_OPTIONS_INIT;
    options.threads = 1;
    options.prefill_chunk = 32;
    options.cancel = cancel;
    options.progress = progress;
    options.progress_user = &drops;
    options.progress_drop = on_drop;
    calls = drops = 0;
    EXPECT(R1_OK, r1_session_new(model, &options, &made, &err));
    return made;
}

static atomic_uint_least32_t started;

static void on_thread(void* user, uint32_t thread) {
    if (user == &drops && thread >= 1 && thread < 32) atomic_fetch_or(&started, 1u << thread);
}

/* Every thread but the caller's, of a session and of its fork; the pointer is dropped when both are gone. */
static void thread_start(void) {
    r1_session* fork = NULL;
    r1_session_options options = R1_SESSION_OPTIONS_INIT;
    options.threads = 3;
    options.thread_start = on_thread;
    options.thread_start_user = &drops;
    options.thread_start_drop = on_drop;
    drops = 0;
    EXPECT(R1_OK, r1_session_new(model, &options, &session, &err));
    EXPECT(R1_OK, r1_session_fork(session, &fork, &err));
    EXPECT(R1_OK, r1_session_append(session, prompt, LONG, &err));
    EXPECT_BARE(R1_OK, r1_session_free(session));
    CHECK(atomic_load(&started) == 6 && drops == 0);
    atomic_store(&started, 0);
    EXPECT_BARE(R1_OK, r1_session_free(fork));
    CHECK(drops == 1);
}

static void busy(void) {
    session = new_session(on_progress_busy);
    EXPECT(R1_OK, r1_session_append(session, prompt, LONG, &err));
    CHECK(calls >= 1 && drops == 0);
    EXPECT_BARE(R1_OK, r1_session_free(session));
    CHECK(drops == 1);
}

static void two_readers(void) {
    r1_event event = R1_EVENT_INIT;
    session = new_session(on_progress_read);
    EXPECT(R1_OK, r1_session_generate(session, prompt, LONG, NULL, &stream, &err));
    EXPECT(R1_OK, r1_stream_next(stream, &event, &err));
    CHECK(calls >= 1);
    EXPECT_BARE(R1_OK, r1_stream_free(stream));
    EXPECT_BARE(R1_OK, r1_session_free(session));
}

static void reentry(void) {
    session = new_session(on_progress_reenter);
    EXPECT(R1_OK, r1_session_append(session, prompt, LONG, &err));
    CHECK(calls >= 1);
    EXPECT_BARE(R1_OK, r1_session_free(session));
}

static void stopping(void) {
    size_t len = 0;
    session = new_session(on_progress_stop);
    EXPECT(R1_ERR_CANCELLED, r1_session_append(session, prompt, LONG, &err));
    EXPECT(R1_OK, r1_session_len(session, &len, &err));
    CHECK(calls == 1 && len < LONG);
    EXPECT(R1_OK, r1_session_append(session, prompt, 1, &err));
    EXPECT_BARE(R1_OK, r1_session_free(session));

    r1_model* made = NULL;
    r1_model_options options = R1_MODEL_OPTIONS_INIT;
    calls = drops = 0;
    options.progress = on_progress_stop;
    options.progress_user = &drops;
    options.progress_drop = on_drop;
    options.kernels = "abacus";
    EXPECT(R1_ERR_ARGUMENT, r1_model_load(path, R1_NUL, &options, &made, &err));
    CHECK(drops == 1 && calls == 0);
    options.kernels = NULL;
    EXPECT(R1_ERR_CANCELLED, r1_model_load(path, R1_NUL, &options, &made, &err));
    CHECK(drops == 2 && calls >= 1);
    options.flags = 1u << 31;
    EXPECT(R1_ERR_VERSION, r1_model_load(path, R1_NUL, &options, &made, &err));
    r1_session_options settings = R1_SESSION_OPTIONS_INIT;
    r1_memory memory = R1_MEMORY_INIT;
    settings.progress_user = &drops;
    settings.progress_drop = on_drop;
    EXPECT(R1_OK, r1_estimate(path, R1_NUL, &settings, &memory, &err));
    CHECK(drops == 2);
}

static void cancelling(void) {
    r1_event event = R1_EVENT_INIT;
    r1_generate_options options = R1_GENERATE_OPTIONS_INIT;
    options.flags = R1_GENERATE_IGNORE_END | R1_GENERATE_GREEDY;
    EXPECT(R1_OK, r1_cancel_new(&cancel, &err));
    session = new_session(on_progress_fire);

    /* During the prompt of a call. */
    EXPECT(R1_ERR_CANCELLED, r1_session_append(session, prompt, LONG, &err));
    /* Before: the token stays fired. */
    EXPECT(R1_ERR_CANCELLED, r1_session_append(session, prompt, 1, &err));
    EXPECT_BARE(R1_OK, r1_cancel_reset(cancel));

    /* During the prompt of a stream. */
    EXPECT(R1_OK, r1_session_generate(session, prompt, LONG, &options, &stream, &err));
    r1_status status;
    int32_t finish = 0;
    while ((status = r1_stream_next(stream, &event, NULL)) == R1_OK)
        if (event.kind == R1_EVENT_DONE) finish = event.finish;
    CHECK((status == R1_DONE && finish == R1_FINISH_CANCELLED) || status == R1_ERR_CANCELLED);
    EXPECT_BARE(R1_OK, r1_stream_free(stream));
    EXPECT_BARE(R1_OK, r1_cancel_reset(cancel));
    EXPECT_BARE(R1_OK, r1_session_free(session));

    /* Between two events, after the end, and when the token is gone. */
    session = new_session(NULL);
    EXPECT(R1_OK, r1_session_generate(session, prompt, 4, &options, &stream, &err));
    finish = 0;
    EXPECT(R1_OK, r1_stream_next(stream, &event, &err));
    EXPECT_BARE(R1_OK, r1_cancel_fire(cancel));
    while ((status = r1_stream_next(stream, &event, NULL)) == R1_OK)
        if (event.kind == R1_EVENT_DONE) finish = event.finish;
    CHECK(status == R1_DONE && finish == R1_FINISH_CANCELLED);
    EXPECT_BARE(R1_OK, r1_cancel_fire(cancel));
    EXPECT(R1_DONE, r1_stream_next(stream, &event, &err));
    EXPECT_BARE(R1_OK, r1_stream_free(stream));
    EXPECT_BARE(R1_OK, r1_cancel_reset(cancel));
    EXPECT_BARE(R1_OK, r1_cancel_free(cancel));
    cancel = NULL;
    EXPECT(R1_OK, r1_session_append(session, prompt, 4, &err));
    EXPECT_BARE(R1_OK, r1_session_free(session));
}

/* From a second thread, or a callback, while the first is inside r1_stream_next: never R1_ERR_BUSY. */
static void* steer(void* unused) {
    int32_t phase = 0;
    r1_think_state state = R1_THINK_STATE_INIT;
    EXPECT_BARE(R1_OK, r1_think_get_state(stream, &state));
    CHECK(state.phase == R1_REPLY_THINKING && state.answer_tokens == 0);
    EXPECT_BARE(R1_OK, r1_think_set_budget(stream, 1000, &phase));
    CHECK(phase == R1_REPLY_THINKING);
    phase = 0;
    EXPECT_BARE(R1_OK, r1_think_close(stream, &phase));
    CHECK(phase == R1_REPLY_THINKING);
    return unused;
}

static void* starve(void* unused) {
    int32_t phase = 0;
    EXPECT_BARE(R1_OK, r1_think_set_budget(stream, 0, &phase));
    CHECK(phase == R1_REPLY_THINKING);
    return unused;
}

/* Watches until the thought is under way, then closes it. Counts no checks: the first thread does so meanwhile. */
static void* watch(void* steered) {
    int32_t phase = 0;
    r1_status status = R1_OK;
    r1_think_state state = R1_THINK_STATE_INIT;
    do {
        status |= r1_think_get_state(stream, &state);
        sched_yield();
    } while (state.phase == R1_REPLY_THINKING && state.reasoning_tokens < 4);
    status |= r1_think_close(stream, &phase);
    *(int*)steered = status == R1_OK && phase == R1_REPLY_THINKING;
    return NULL;
}

static int32_t on_progress_steer(void* user, int32_t stage, uint64_t done, uint64_t total) {
    (void)user, (void)stage, (void)done, (void)total;
    if (calls++ == 0) {
        meanwhile(steer);
        steer(NULL);
    }
    return 0;
}

/* A thought that only a request can end. */
static void think_on(uint32_t len) {
    r1_think_options think = R1_THINK_OPTIONS_INIT;
    r1_generate_options options = R1_GENERATE_OPTIONS_INIT;
    think.extensions = UINT32_MAX;
    think.loops = R1_LOOP_NONE;
    think.guard_eos = R1_EOS_MASK;
    options.think = &think;
    options.flags = R1_GENERATE_GREEDY | R1_GENERATE_TOKENS;
    options.phase = R1_PHASE_THOUGHT;
    options.max_tokens = 600;
    EXPECT(R1_OK, r1_session_generate(session, prompt, len, &options, &stream, &err));
}

/* Reads the rest, joining the other thread, if there is one, after some events at the latest. */
static void answered(int32_t reason, pthread_t* other, uint64_t least, uint64_t most) {
    r1_event event = R1_EVENT_INIT;
    uint64_t forced = 0, events = 0;
    int32_t close = 0;
    while (r1_stream_next(stream, &event, NULL) == R1_OK) {
        if (event.kind == R1_EVENT_TOKEN) {
            CHECK(event.provenance == R1_PROVENANCE_SAMPLED || event.provenance == R1_PROVENANCE_FORCED);
            forced += event.provenance == R1_PROVENANCE_FORCED;
        } else {
            CHECK(event.provenance == 0);
        }
        if (event.kind == R1_EVENT_USAGE) {
            CHECK(event.forced_tokens == forced && forced > 0 && event.answer_tokens > 0);
            CHECK(event.reasoning_tokens >= least && event.reasoning_tokens <= most);
            CHECK(event.thinking_ns + event.answering_ns == event.decode_ns && event.charged_tokens == 0);
        }
        if (event.kind == R1_EVENT_DONE) close = event.close;
        if (other != NULL && ++events == 200) pthread_join(*other, NULL), other = NULL;
    }
    if (other != NULL) pthread_join(*other, NULL);
    CHECK(close == reason);
    EXPECT_BARE(R1_OK, r1_stream_free(stream));
}

static void steering(void) {
    r1_event event = R1_EVENT_INIT;
    pthread_t other;
    int steered = 0;

    /* During the prompt: nothing is thought. */
    session = new_session(on_progress_steer);
    think_on(LONG);
    answered(R1_CLOSE_INTERRUPT, NULL, 0, 0);
    CHECK(calls >= 1);
    EXPECT_BARE(R1_OK, r1_session_free(session));

    /* Between two events. */
    session = new_session(NULL);
    think_on(4);
    do EXPECT(R1_OK, r1_stream_next(stream, &event, &err));
    while (event.kind != R1_EVENT_THOUGHT);
    meanwhile(steer);
    CHECK(calls == 0);
    answered(R1_CLOSE_INTERRUPT, NULL, 1, 8);
    think_on(4);
    do EXPECT(R1_OK, r1_stream_next(stream, &event, &err));
    while (event.kind != R1_EVENT_THOUGHT);
    meanwhile(starve);
    answered(R1_CLOSE_BUDGET, NULL, 1, 8);

    /* At any moment. */
    think_on(4);
    if (pthread_create(&other, NULL, watch, &steered) != 0) exit(3);
    answered(R1_CLOSE_INTERRUPT, &other, 4, 220);
    CHECK(steered);
    EXPECT_BARE(R1_OK, r1_session_free(session));
}

static void freeing_while_streaming(void) {
    r1_event event = R1_EVENT_INIT;
    session = new_session(on_progress_free);
    EXPECT(R1_OK, r1_session_generate(session, prompt, LONG, NULL, &stream, &err));
    EXPECT(R1_OK, r1_stream_next(stream, &event, &err));
    CHECK(calls >= 1 && drops == 1);
    EXPECT(R1_ERR_HANDLE, r1_stream_next(stream, &event, &err));
}

static void on_line(void* user, int32_t level, const char* text, size_t len) {
    size_t count = 0;
    CHECK(user == &drops && level >= R1_LOG_ERROR && level <= R1_LOG_DEBUG && strlen(text) == len);
    EXPECT_BARE(R1_ERR_REENTRANT, r1_session_len(session, &count, NULL));
    EXPECT_BARE(R1_ERR_REENTRANT, r1_log_set(0, NULL, NULL, NULL, NULL));
    lines++;
}

static void logging(void) {
    size_t count = 0;
    calls = drops = 0;
    EXPECT(R1_ERR_RANGE, r1_log_set(99, on_line, &drops, on_drop, &err));
    CHECK(drops == 1);
    EXPECT(R1_OK, r1_log_set(R1_LOG_ERROR, on_line, &drops, on_drop, &err));
    EXPECT(R1_ERR_NULL_ARG, r1_session_len(NULL, &count, &err));
    CHECK(lines == 1);
    r1_model* made = NULL;
    EXPECT(R1_OK, r1_model_load(path, R1_NUL, NULL, &made, &err));
    CHECK(lines == 1);
    EXPECT_BARE(R1_OK, r1_model_free(made));
    EXPECT(R1_OK, r1_log_set(R1_LOG_INFO, on_line, &drops, on_drop, &err));
    CHECK(drops == 2);
    EXPECT(R1_OK, r1_model_load(path, R1_NUL, NULL, &made, &err));
    CHECK(lines == 2);
    EXPECT_BARE(R1_OK, r1_model_free(made));
    lines = 1;
    EXPECT(R1_OK, r1_log_set(R1_LOG_OFF, on_line, &drops, NULL, &err));
    CHECK(drops == 3);
    EXPECT(R1_ERR_NULL_ARG, r1_session_len(NULL, &count, &err));
    CHECK(lines == 1);
}

/* The same prompt on a session of its own in each thread gives the same reply. */
static void* reply(void* place) {
    uint64_t hash = 14695981039346656037u;
    r1_session* own = NULL;
    r1_stream* events = NULL;
    r1_event event = R1_EVENT_INIT;
    r1_session_options options = R1_SESSION_OPTIONS_INIT;
    r1_generate_options generate = R1_GENERATE_OPTIONS_INIT;
    options.threads = 1;
    generate.max_tokens = 24;
    if (r1_session_new(model, &options, &own, NULL) == R1_OK
        && r1_session_generate(own, prompt, 20, &generate, &events, NULL) == R1_OK)
        while (r1_stream_next(events, &event, NULL) == R1_OK)
            for (uint64_t i = 0; i < event.text_len; i++) hash = (hash ^ (uint8_t)event.text[i]) * 1099511628211u;
    r1_session_free(own);
    r1_stream_free(events);
    *(uint64_t*)place = hash;
    return place;
}

static void side_by_side(void) {
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    uint64_t hashes[THREADS + 1];
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, reply, &hashes[i]) != 0) exit(3);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    reply(&hashes[THREADS]);
    for (int i = 0; i < THREADS; i++) CHECK(hashes[i] == hashes[THREADS]);
}

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    path = argv[1];
    for (uint32_t i = 0; i < LONG; i++) prompt[i] = 'a' + i % 26;
    EXPECT(R1_OK, r1_model_load(path, R1_NUL, NULL, &model, &err));
    thread_start();
    busy();
    two_readers();
    reentry();
    stopping();
    cancelling();
    steering();
    freeing_while_streaming();
    logging();
    side_by_side();
    EXPECT_BARE(R1_OK, r1_model_free(model));
    return report();
}
