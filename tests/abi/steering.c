/* Votes that are steered while they run, answers and weights by the host, conversations and their history. */
#include <pthread.h>

#include "check.h"

static const char* const QUESTION = "What is 37 * 24?";

static int dropped;
static void drop(void* user) {
    (void)user;
    dropped++;
}

/* The length of the reply, written the long way round: the room of the first call is not enough. */
static size_t length_of(void* user, const char* text, size_t len, char* out, size_t size) {
    (*(int*)user)++;
    if (strlen(text) != len) return R1_NO_TEXT;
    if (size < 2000) return 2000;
    memset(out, ' ', 2000);
    int written = snprintf(out, size, "%u", (unsigned)len);
    if (written <= 0) return R1_NO_TEXT;
    out[written] = ' ';
    return 2000;
}

static size_t no_text(void* user, const char* text, size_t len, char* out, size_t size) {
    (void)user, (void)text, (void)len, (void)out, (void)size;
    return R1_NO_TEXT;
}

static size_t no_utf8(void* user, const char* text, size_t len, char* out, size_t size) {
    (void)user, (void)text, (void)len, (void)size;
    out[0] = (char)0xff;
    return 1;
}

static double first_only(void* user, const r1_vote_event* sample) {
    (void)user;
    if (sample->struct_size != sizeof *sample || sample->kind != R1_VOTE_SAMPLE || sample->text == NULL) return -1;
    return sample->sample == 0 ? 1.0 : 0.001;
}

static double no_weight(void* user, const r1_vote_event* sample) {
    (void)user, (void)sample;
    return 2.0;
}

static r1_vote* begin(r1_model* model, const r1_vote_options* options) {
    r1_chat* chat = NULL;
    r1_vote* vote = NULL;
    EXPECT(R1_OK, r1_chat_new(model, NULL, &chat, &err));
    EXPECT(R1_OK, r1_chat_vote(chat, QUESTION, R1_NUL, options, &vote, &err));
    EXPECT_BARE(R1_OK, r1_chat_free(chat));
    return vote;
}

/* Pulls the rest of a vote; `event` is its end. */
static r1_status finish(r1_vote* vote, r1_vote_event* event) {
    r1_status status;
    while ((status = r1_vote_next(vote, event, NULL)) == R1_OK && event->kind != R1_VOTE_DONE) continue;
    return status;
}

static void answers_by_the_host(r1_model* model) {
    int calls = 0;
    r1_vote_event event = R1_VOTE_EVENT_INIT;
    r1_vote_options options = R1_VOTE_OPTIONS_INIT;
    options.samples = 3;
    options.early_stop = "never";
    options.extract = length_of;
    options.weigh = first_only;
    options.user = &calls;
    options.user_drop = drop;
    dropped = 0;
    r1_vote* vote = begin(model, &options);
    CHECK(finish(vote, &event) == R1_OK);
    CHECK(calls == 6 && event.finished == 3 && event.answer_len == 2000 && event.answer[0] != ' ');
    CHECK((uint64_t)atol(event.answer) == event.text_len && event.confidence > 0.5);
    CHECK(dropped == 0);
    EXPECT_BARE(R1_OK, r1_vote_free(vote));
    CHECK(dropped == 1);

    /* No text, or what is no text: no answer. */
    options.weigh = NULL;
    for (int bad = 0; bad < 2; bad++) {
        options.extract = bad ? no_utf8 : no_text;
        vote = begin(model, &options);
        CHECK(finish(vote, &event) == R1_OK && event.answer == NULL && event.finished == 3);
        EXPECT_BARE(R1_OK, r1_vote_free(vote));
    }
    CHECK(dropped == 3);

    options.extract = NULL;
    options.weigh = no_weight;
    vote = begin(model, &options);
    CHECK(finish(vote, &event) == R1_ERR_ARGUMENT);
    EXPECT(R1_DONE, r1_vote_next(vote, &event, &err));
    EXPECT_BARE(R1_OK, r1_vote_free(vote));
    CHECK(dropped == 4);
    /* Dropped once, too, where the vote does not begin. */
    r1_chat* chat = NULL;
    options.samples = 1000000;
    EXPECT(R1_OK, r1_chat_new(model, NULL, &chat, &err));
    EXPECT(R1_ERR_ARGUMENT, r1_chat_vote(chat, QUESTION, R1_NUL, &options, &vote, &err));
    EXPECT_BARE(R1_OK, r1_chat_free(chat));
    CHECK(dropped == 5);
}

static void* hurry(void* vote) {
    uint64_t running = 0;
    while (r1_vote_answer_now(vote, &running) == R1_OK && running == 0) continue;
    return NULL;
}

static void votes_from_another_thread(r1_model* model) {
    uint64_t running = 99;
    r1_think_options think = R1_THINK_OPTIONS_INIT;
    r1_think_state state = R1_THINK_STATE_INIT;
    r1_generate_options generate = R1_GENERATE_OPTIONS_INIT;
    r1_vote_event event = R1_VOTE_EVENT_INIT;
    r1_vote_options options = R1_VOTE_OPTIONS_INIT;
    think.extensions = UINT32_MAX; /* whenever the model would close its thought, it goes on */
    think.loops = R1_LOOP_NONE;
    think.guard_eos = R1_EOS_MASK;
    generate.think = &think;
    options.generate = &generate;
    options.samples = 8;
    options.batch = 2;
    options.early_stop = "never";
    r1_vote* vote = begin(model, &options);
    EXPECT(R1_OK, r1_vote_next(vote, &event, &err));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, hurry, vote) == 0);
    CHECK(finish(vote, &event) == R1_OK && event.reason == R1_VOTED_ALL && event.finished == 2);
    CHECK(pthread_join(thread, NULL) == 0);
    EXPECT_BARE(R1_OK, r1_vote_answer_now(vote, &running));
    CHECK(running == 0);
    EXPECT_BARE(R1_OK, r1_vote_free(vote));
    EXPECT_BARE(R1_ERR_HANDLE, r1_vote_answer_now(vote, &running));
    EXPECT_BARE(R1_ERR_NULL_ARG, r1_vote_answer_now(NULL, NULL));

    vote = begin(model, &options);
    EXPECT(R1_OK, r1_vote_next(vote, &event, &err));
    EXPECT_BARE(R1_OK, r1_vote_progress(vote, &event));
    CHECK(event.kind == R1_VOTE_PROGRESS && event.running == 2 && event.finished == 0 && event.tokens >= 2);
    EXPECT_BARE(R1_OK, r1_vote_sample_state(vote, 1, &state));
    CHECK(state.phase == R1_REPLY_THINKING);
    EXPECT_BARE(R1_ERR_ARGUMENT, r1_vote_sample_state(vote, 7, &state));
    state.struct_size = 0;
    EXPECT_BARE(R1_ERR_VERSION, r1_vote_sample_state(vote, 1, &state));
    EXPECT_BARE(R1_OK, r1_vote_cancel_sample(vote, 1, &running));
    CHECK(running == 1);
    EXPECT_BARE(R1_OK, r1_vote_cancel_sample(vote, 6, &running));
    CHECK(running == 0);
    EXPECT_BARE(R1_OK, r1_vote_set_budget(vote, 10, NULL));
    EXPECT_BARE(R1_ERR_RANGE, r1_vote_set_budget(vote, 10, (uint64_t*)((char*)&running + 1)));
    CHECK(finish(vote, &event) == R1_OK && event.finished == 7 && event.limit == 8);
    CHECK(event.reasoning_tokens <= 8 * 10);
    EXPECT_BARE(R1_OK, r1_vote_free(vote));
}

/* Prompt tokens of a second turn. */
static uint64_t second_turn(r1_model* model, const r1_chat_options* options) {
    r1_chat* chat = NULL;
    r1_event event = R1_EVENT_INIT;
    r1_generate_options greedy = R1_GENERATE_OPTIONS_INIT;
    greedy.flags = R1_GENERATE_GREEDY;
    uint64_t prompt = 0;
    EXPECT(R1_OK, r1_chat_new(model, options, &chat, &err));
    for (int turn = 0; turn < 2; turn++) {
        r1_stream* stream = NULL;
        EXPECT(R1_OK, r1_chat_send(chat, QUESTION, R1_NUL, &greedy, &stream, &err));
        while (r1_stream_next(stream, &event, NULL) == R1_OK)
            if (event.kind == R1_EVENT_USAGE) prompt = event.prompt_tokens;
        EXPECT_BARE(R1_OK, r1_stream_free(stream));
    }
    EXPECT_BARE(R1_OK, r1_chat_free(chat));
    return prompt;
}

static size_t short_text(void* user, const char* text, size_t len, char* out, size_t size) {
    (void)text;
    (*(int*)user)++;
    if (len == 0 || size < 3) return R1_NO_TEXT;
    memcpy(out, "1+1", 3);
    return 3;
}

static int warned;
static void log_line(void* user, int32_t level, const char* text, size_t len) {
    (void)user;
    if (level == R1_LOG_WARN && len > 0 && strstr(text, "system") != NULL) warned++;
}

static void conversations(r1_model* model) {
    int calls = 0;
    uint32_t warnings = 9;
    r1_chat* chat = NULL;
    r1_chat_options options = R1_CHAT_OPTIONS_INIT;
    uint64_t by_template = second_turn(model, &options);
    options.history = R1_HISTORY_DROP;
    uint64_t without = second_turn(model, &options);
    options.history = R1_HISTORY_KEEP;
    uint64_t kept = second_turn(model, &options);
    options.history = R1_HISTORY_SHORTEN;
    options.history_chars = 20;
    uint64_t shorter = second_turn(model, &options);
    CHECK(without <= by_template && by_template < shorter && shorter < kept);
    options.history = R1_HISTORY_SUMMARISE;
    EXPECT(R1_ERR_NULL_ARG, r1_chat_new(model, &options, &chat, &err));
    dropped = 0;
    options.summarise = short_text;
    options.summarise_user = &calls;
    options.summarise_drop = drop;
    uint64_t summarised = second_turn(model, &options);
    CHECK(calls == 1 && dropped == 1 && summarised < kept && summarised > without);
    options.history = 77;
    EXPECT(R1_ERR_RANGE, r1_chat_new(model, &options, &chat, &err));
    CHECK(dropped == 2);

    r1_chat_options_init(&options, sizeof options);
    EXPECT(R1_OK, r1_log_set(R1_LOG_WARN, log_line, NULL, NULL, &err));
    options.messages_json = "[{\"role\": \"system\", \"content\": \"Be brief.\"}]";
    EXPECT(R1_OK, r1_chat_new(model, &options, &chat, &err));
    EXPECT(R1_OK, r1_chat_warnings(chat, &warnings, &err));
    CHECK(warnings == R1_CHAT_WARN_SYSTEM && warned == 1);
    EXPECT_BARE(R1_OK, r1_chat_free(chat));
    options.system = R1_SYSTEM_INTO_USER;
    EXPECT(R1_OK, r1_chat_new(model, &options, &chat, &err));
    EXPECT(R1_OK, r1_chat_warnings(chat, &warnings, &err));
    CHECK(warnings == 0 && warned == 1);
    EXPECT_BARE(R1_OK, r1_chat_free(chat));
    EXPECT(R1_OK, r1_log_set(R1_LOG_OFF, NULL, NULL, NULL, &err));
    options.system = 7;
    EXPECT(R1_ERR_RANGE, r1_chat_new(model, &options, &chat, &err));
    options.system = 0;
    options.variables_json = "[]";
    EXPECT(R1_ERR_ARGUMENT, r1_chat_new(model, &options, &chat, &err));
    options.variables_json = "{\"reasoning_effort\": \"high\"}";
    EXPECT(R1_OK, r1_chat_new(model, &options, &chat, &err));
    EXPECT_BARE(R1_OK, r1_chat_free(chat));

    /* Without a thought, whatever the template says. */
    r1_stream* stream = NULL;
    r1_event event = R1_EVENT_INIT;
    r1_chat_options_init(&options, sizeof options);
    options.flags = R1_CHAT_NO_THINK;
    EXPECT(R1_OK, r1_chat_new(model, &options, &chat, &err));
    EXPECT(R1_OK, r1_chat_send(chat, QUESTION, R1_NUL, NULL, &stream, &err));
    while (r1_stream_next(stream, &event, NULL) == R1_OK) CHECK(event.kind != R1_EVENT_THOUGHT);
    EXPECT_BARE(R1_OK, r1_stream_free(stream));
    EXPECT_BARE(R1_OK, r1_chat_free(chat));
}

/* How a thought ended. */
static int32_t close_of(r1_model* model, const r1_think_options* think) {
    r1_chat* chat = NULL;
    r1_stream* stream = NULL;
    r1_event event = R1_EVENT_INIT;
    r1_generate_options options = R1_GENERATE_OPTIONS_INIT;
    options.flags = R1_GENERATE_GREEDY;
    options.think = think;
    EXPECT(R1_OK, r1_chat_new(model, NULL, &chat, &err));
    EXPECT(R1_OK, r1_chat_send(chat, QUESTION, R1_NUL, &options, &stream, &err));
    while (r1_stream_next(stream, &event, NULL) == R1_OK) continue;
    EXPECT_BARE(R1_OK, r1_stream_free(stream));
    EXPECT_BARE(R1_OK, r1_chat_free(chat));
    return event.close;
}

static void signs(r1_model* model) {
    static const char* const texts[] = {"never said", "37"};
    r1_think_options think = R1_THINK_OPTIONS_INIT;
    think.until = texts;
    think.until_count = 1;
    CHECK(close_of(model, &think) == R1_CLOSE_NATURAL);
    think.until_count = 2;
    CHECK(close_of(model, &think) == R1_CLOSE_PATTERN);
    think.until_count = 0;
    think.until_line = "[0-9]+ ?\\*";
    CHECK(close_of(model, &think) == R1_CLOSE_PATTERN);
    think.until_line = NULL;
    /* A further closing tag: the model writes it by itself. */
    static const char* const tag[] = {"37"};
    think.close_tags = tag;
    think.close_tag_count = 1;
    CHECK(close_of(model, &think) == R1_CLOSE_NATURAL);
    think.close_tag_count = 0;
    think.until_settled = 50;
    CHECK(close_of(model, &think) == R1_CLOSE_NATURAL);
    think.flags = R1_THINK_FORBID_TOOLS;
    r1_generate_options options = R1_GENERATE_OPTIONS_INIT;
    r1_chat* chat = NULL;
    r1_stream* stream = NULL;
    options.think = &think;
    EXPECT(R1_OK, r1_chat_new(model, NULL, &chat, &err));
    EXPECT(R1_ERR_RANGE, r1_chat_send(chat, QUESTION, R1_NUL, &options, &stream, &err));
    think.flags = 0;
    think.until_line = "(";
    EXPECT(R1_ERR_ARGUMENT, r1_chat_send(chat, QUESTION, R1_NUL, &options, &stream, &err));
    EXPECT_BARE(R1_OK, r1_chat_free(chat));
    think.until_line = NULL;
    think.flags = R1_THINK_FORBID_TOOLS;
    think.tool_open = texts;
    think.tool_open_count = 1;
    CHECK(close_of(model, &think) == R1_CLOSE_NATURAL);
}

int main(int argc, char** argv) {
    r1_model* model = NULL;
    if (argc != 2) return 2;
    EXPECT(R1_OK, r1_model_load(argv[1], R1_NUL, NULL, &model, &err));
    answers_by_the_host(model);
    votes_from_another_thread(model);
    conversations(model);
    signs(model);
    EXPECT_BARE(R1_OK, r1_model_free(model));
    return report();
}
