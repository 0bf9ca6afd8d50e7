/* What works: loading in every way, tokens there and back, sessions, chats, streams, in any order of freeing. */
#include "check.h"

static const char* path;

static uint8_t* read_file(size_t* len) {
    FILE* file = fopen(path, "rb");
    if (file == NULL) exit(3);
    fseek(file, 0, SEEK_END);
    *len = (size_t)ftell(file);
    rewind(file);
    uint8_t* data = malloc(*len);
    if (data == NULL || fread(data, 1, *len, file) != *len) exit(3);
    fclose(file);
    return data;
}

static size_t encode(const r1_tokenizer* tokenizer, const char* text, uint32_t* tokens, size_t capacity) {
    size_t count = 0;
    EXPECT(R1_OK, r1_tokenizer_encode(tokenizer, text, R1_NUL, R1_ENCODE_BOS, tokens, capacity, &count, &err));
    return count;
}

/* Reads a stream to its end and keeps its text. */
static void collect(r1_stream* stream, char* thought, char* answer, r1_event* usage, r1_event* done) {
    r1_event event = R1_EVENT_INIT;
    r1_status status;
    thought[0] = answer[0] = 0;
    while ((status = r1_stream_next(stream, &event, NULL)) == R1_OK) {
        CHECK(event.text == NULL || strlen(event.text) == event.text_len);
        if (event.kind == R1_EVENT_THOUGHT) strcat(thought, event.text);
        if (event.kind == R1_EVENT_ANSWER) strcat(answer, event.text);
        if (event.kind == R1_EVENT_USAGE) *usage = event;
        if (event.kind == R1_EVENT_DONE) *done = event;
    }
    CHECK(status == R1_DONE);
    CHECK(r1_stream_next(stream, &event, NULL) == R1_DONE);
}

static void versions(void) {
    CHECK(r1_abi_version() == R1_ABI_VERSION);
    CHECK(strchr(r1_version_string(), '.') != NULL);
    CHECK(strstr(r1_build_info_json(), "\"abi\":1") != NULL);
    CHECK(strcmp(r1_status_str(R1_ERR_BUSY), "R1_ERR_BUSY") == 0);
}

static void tokens_there_and_back(r1_model* model) {
    static const char text[] = "37 * 24 = 888, na\xc3\xafve \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x99\x82";
    r1_tokenizer *own = NULL, *loaded = NULL;
    uint32_t tokens[128], again[128], token = 0;
    char back[128];
    size_t len = 0, asked = 0;
    int32_t end = 0;
    EXPECT(R1_OK, r1_model_tokenizer(model, &own, &err));
    EXPECT(R1_OK, r1_tokenizer_load(path, R1_NUL, &loaded, &err));
    EXPECT(R1_OK, r1_tokenizer_encode(own, text, R1_NUL, 0, NULL, 0, &asked, &err));
    size_t count = 0;
    EXPECT(R1_OK, r1_tokenizer_encode(own, text, R1_NUL, 0, tokens, 128, &count, &err));
    CHECK(count == asked);
    EXPECT(R1_OK, r1_tokenizer_encode(loaded, text, sizeof text - 1, 0, again, count, &asked, &err));
    CHECK(asked == count && memcmp(tokens, again, count * sizeof *tokens) == 0);
    EXPECT(R1_OK, r1_tokenizer_decode(own, tokens, count, 0, back, sizeof back, &len, &err));
    CHECK(len == sizeof text - 1 && memcmp(back, text, len) == 0);

    EXPECT(R1_OK, r1_tokenizer_len(own, &len, &err));
    CHECK(len > 256);
    EXPECT(R1_OK, r1_tokenizer_find(own, "<think>", R1_NUL, &token, &err));
    CHECK(token < len);
    EXPECT(R1_OK, r1_tokenizer_special(own, R1_TOKEN_EOS, &token, &err));
    EXPECT(R1_OK, r1_tokenizer_is_end(own, token, &end, &err));
    CHECK(end == 1);
    CHECK(encode(own, "a", tokens, 128) >= 1);
    EXPECT_BARE(R1_OK, r1_tokenizer_free(own));
    EXPECT_BARE(R1_OK, r1_tokenizer_free(loaded));
}

static void descriptions(r1_model* model) {
    r1_string* text = NULL;
    r1_memory memory = R1_MEMORY_INIT;
    size_t len = 0;
    EXPECT(R1_OK, r1_model_info_json(model, &text, &err));
    CHECK(strstr(r1_string_data(text, NULL), "\"vocabulary\":") != NULL);
    EXPECT_BARE(R1_OK, r1_string_free(text));
    EXPECT(R1_OK, r1_inspect_json(path, R1_NUL, &text, &err));
    const char* json = r1_string_data(text, &len);
    CHECK(strlen(json) == len && json[0] == '{' && strstr(json, "\"general.architecture\":") != NULL);
    CHECK(strstr(json, "token_embd.weight") != NULL);
    EXPECT_BARE(R1_OK, r1_string_free(text));
    r1_session_options options = R1_SESSION_OPTIONS_INIT;
    options.context = 100;
    EXPECT(R1_OK, r1_estimate(path, R1_NUL, &options, &memory, &err));
    CHECK(memory.total == memory.weights + memory.cache + memory.compute && memory.context == 100);
    static const char messages[] = "[{\"role\": \"user\", \"content\": \"six times seven\"}]";
    EXPECT(R1_OK, r1_chat_render(model, messages, R1_NUL, NULL, 0, &text, &err));
    CHECK(strstr(r1_string_data(text, NULL), "six times seven") != NULL);
    EXPECT_BARE(R1_OK, r1_string_free(text));
}

static void loading(void) {
    r1_model_options options = R1_MODEL_OPTIONS_INIT;
    r1_model* model = NULL;
    size_t len = 0;
    uint8_t* data = read_file(&len);
    options.flags = R1_MODEL_READ;
    EXPECT(R1_OK, r1_model_load(path, strlen(path), &options, &model, &err));
    EXPECT_BARE(R1_OK, r1_model_free(model));
    const uint32_t repack[] = {R1_MODEL_IN_PLACE, R1_MODEL_REPACK_NOW, 0};
    for (size_t i = 0; i < 3; i++) {
        options.flags = repack[i];
        EXPECT(R1_OK, r1_model_load(path, strlen(path), &options, &model, &err));
        EXPECT(R1_OK, r1_model_finish_repacking(model, NULL, &err));
        EXPECT_BARE(R1_OK, r1_model_free(model));
    }
    options.flags = R1_MODEL_BORROW;
    EXPECT(R1_OK, r1_model_load_memory(data, len, &options, &model, &err));
    EXPECT_BARE(R1_OK, r1_model_free(model));
    options.flags = 0;
    options.kernels = "scalar";
    EXPECT(R1_OK, r1_model_load_memory(data, len, &options, &model, &err));
    memset(data, 0xff, len);
    free(data);
    descriptions(model);
    EXPECT_BARE(R1_OK, r1_model_free(model));
}

static void sessions(r1_model* model) {
    r1_tokenizer* tokenizer = NULL;
    r1_session *session = NULL, *fork = NULL;
    r1_stream* stream = NULL;
    uint32_t tokens[64], held[64];
    size_t kept = 0, len = 0, vocabulary = 0;
    static float one[4096], two[4096];
    EXPECT(R1_OK, r1_model_tokenizer(model, &tokenizer, &err));
    size_t count = encode(tokenizer, "What is 37 * 24?", tokens, 64);
    EXPECT(R1_OK, r1_session_new(model, NULL, &session, &err));
    EXPECT(R1_OK, r1_session_append(session, tokens, count, &err));
    EXPECT(R1_OK, r1_session_logits(session, one, 4096, &vocabulary, &err));
    EXPECT(R1_OK, r1_tokenizer_len(tokenizer, &len, &err));
    CHECK(vocabulary >= len);
    EXPECT(R1_OK, r1_session_tokens(session, held, 64, &len, &err));
    CHECK(len == count && memcmp(tokens, held, count * sizeof *tokens) == 0);

    /* One token at a time, or all but the last from the cache: the same bits. */
    EXPECT(R1_OK, r1_session_truncate(session, 0, &err));
    for (size_t i = 0; i < count; i++) EXPECT(R1_OK, r1_session_append(session, tokens + i, 1, &err));
    EXPECT(R1_OK, r1_session_logits(session, two, 4096, &vocabulary, &err));
    CHECK(memcmp(one, two, vocabulary * sizeof *one) == 0);
    EXPECT(R1_OK, r1_session_replace(session, tokens, count, &kept, &err));
    CHECK(kept == count - 1);
    EXPECT(R1_OK, r1_session_logits(session, two, 4096, &vocabulary, &err));
    CHECK(memcmp(one, two, vocabulary * sizeof *one) == 0);

    EXPECT(R1_OK, r1_session_fork(session, &fork, &err));
    EXPECT_BARE(R1_OK, r1_session_free(session));
    r1_generate_options options = R1_GENERATE_OPTIONS_INIT;
    options.flags = R1_GENERATE_TOKENS | R1_GENERATE_GREEDY | R1_GENERATE_IGNORE_END;
    options.max_tokens = 3;
    options.top_logprobs = 2;
    EXPECT(R1_OK, r1_session_generate(fork, NULL, 0, &options, &stream, &err));
    EXPECT(R1_ERR_BUSY, r1_session_generate(fork, NULL, 0, &options, &stream, &err));
    EXPECT(R1_ERR_BUSY, r1_session_append(fork, tokens, 1, &err));
    EXPECT(R1_ERR_BUSY, r1_session_truncate(fork, 0, &err));
    EXPECT(R1_OK, r1_session_len(fork, &len, &err));
    EXPECT_BARE(R1_OK, r1_tokenizer_free(tokenizer));
    r1_event event = R1_EVENT_INIT;
    EXPECT(R1_OK, r1_stream_next(stream, &event, &err));
    CHECK(event.kind == R1_EVENT_TOKEN && event.top_count == 2 && event.logprob <= 0);
    CHECK(event.top[0].token == event.token && event.top[0].logprob >= event.top[1].logprob);
    EXPECT_BARE(R1_OK, r1_stream_free(stream));
    EXPECT(R1_OK, r1_session_truncate(fork, 0, &err));
    EXPECT_BARE(R1_OK, r1_session_free(fork));
}

/* The usage event of a reply to one question, and why its thought ended. */
static r1_event think(r1_model* model, const r1_think_options* options, int32_t* close) {
    static char thought[1 << 16], answer[1 << 16];
    r1_event usage = R1_EVENT_INIT, done = R1_EVENT_INIT;
    r1_generate_options greedy = R1_GENERATE_OPTIONS_INIT;
    r1_chat* chat = NULL;
    r1_stream* stream = NULL;
    greedy.flags = R1_GENERATE_GREEDY;
    greedy.think = options;
    EXPECT(R1_OK, r1_chat_new(model, NULL, &chat, &err));
    EXPECT(R1_OK, r1_chat_send(chat, "What is 37 * 24?", R1_NUL, &greedy, &stream, &err));
    collect(stream, thought, answer, &usage, &done);
    CHECK(usage.thinking_ns + usage.answering_ns == usage.decode_ns);
    EXPECT_BARE(R1_OK, r1_stream_free(stream));
    EXPECT_BARE(R1_OK, r1_chat_free(chat));
    *close = done.close;
    return usage;
}

static void thoughts(r1_model* model) {
    r1_think_options options = R1_THINK_OPTIONS_INIT;
    int32_t close = 0;
    r1_event free_to_think = think(model, NULL, &close);
    CHECK(close == R1_CLOSE_NATURAL && free_to_think.forced_tokens == 0 && free_to_think.reasoning_tokens > 8);

    options.budget = 8;
    r1_event brief = think(model, &options, &close);
    CHECK(close == R1_CLOSE_BUDGET && brief.reasoning_tokens <= 8 && brief.forced_tokens == 2);
    options.flags = R1_THINK_NO_MESSAGE;
    r1_event curt = think(model, &options, &close);
    CHECK(close == R1_CLOSE_BUDGET && curt.forced_tokens < brief.forced_tokens);
    options.flags = 0;
    options.message = "I stop here.";
    r1_event told = think(model, &options, &close);
    CHECK(told.forced_tokens > curt.forced_tokens && told.forced_tokens != brief.forced_tokens);
    options.message = NULL;
    options.boundary = R1_BOUNDARY_LINE;
    options.grace = 100;
    r1_event line = think(model, &options, &close);
    CHECK(close == R1_CLOSE_BUDGET && line.reasoning_tokens > 8 && line.reasoning_tokens <= 108);

    r1_think_options_init(&options, sizeof options);
    options.flags = R1_THINK_NOTHING;
    CHECK(think(model, &options, &close).reasoning_tokens == 0 && close == R1_CLOSE_BUDGET);
    options.flags = 0;
    options.extensions = 1;
    options.wait = "Hmm";
    r1_event longer = think(model, &options, &close);
    CHECK(longer.reasoning_tokens > free_to_think.reasoning_tokens && longer.forced_tokens > 0);
}

/* A vote's samples and result agree with each other. */
static void votes(r1_model* model) {
    r1_chat* chat = NULL;
    r1_string* text = NULL;
    r1_vote* vote = NULL;
    r1_vote_event event = R1_VOTE_EVENT_INIT;
    r1_vote_options options = R1_VOTE_OPTIONS_INIT;
    options.samples = 3;
    options.answer_kind = "integer";
    options.early_stop = "never";
    EXPECT(R1_OK, r1_chat_new(model, NULL, &chat, &err));
    EXPECT(R1_OK, r1_chat_vote(chat, "What is 37 * 24?", R1_NUL, &options, &vote, &err));
    EXPECT_BARE(R1_OK, r1_chat_free(chat));
    uint64_t ended = 0, tokens = 0, votes = 0;
    r1_status status;
    while ((status = r1_vote_next(vote, &event, NULL)) == R1_OK) {
        if (event.kind == R1_VOTE_SAMPLE) {
            ended++;
            tokens += event.tokens;
            CHECK(event.sample >= 0 && event.sample < 3 && strlen(event.text) == event.text_len);
            CHECK(event.thought != NULL && strlen(event.thought) == event.thought_len && event.finish != 0);
            uint64_t forced = event.tag_tokens + event.forced_tokens;
            CHECK(event.tokens == event.reasoning_tokens + forced + event.answer_tokens);
        }
        if (event.kind == R1_VOTE_DONE) break;
    }
    CHECK(status == R1_OK && event.reason == R1_VOTED_ALL && event.limit == 3);
    CHECK(ended == 3 && event.finished == 3 && event.tokens == tokens && event.saved == 0);
    CHECK(event.answer != NULL && strcmp(event.answer, "888") == 0 && strstr(event.text, "888") != NULL);
    CHECK(event.count_count >= 1 && strcmp(event.counts[0].answer, "888") == 0);
    for (uint64_t i = 0; i < event.count_count; i++) votes += event.counts[i].votes;
    CHECK(event.counts[0].votes == event.votes && event.confidence == (double)event.votes / (double)votes);
    CHECK(event.sample >= 0 && event.prompt_tokens > 0 && event.decode_ns > 0);
    EXPECT(R1_DONE, r1_vote_next(vote, &event, &err));
    EXPECT_BARE(R1_OK, r1_vote_free(vote));

    /* On a session, cancelled; the session holds the prompt. */
    r1_cancel* cancel = NULL;
    r1_session* session = NULL;
    r1_session_options settings = R1_SESSION_OPTIONS_INIT;
    static const uint32_t prompt[] = {5, 6, 7};
    size_t len = 0;
    EXPECT(R1_OK, r1_cancel_new(&cancel, &err));
    settings.cancel = cancel;
    EXPECT(R1_OK, r1_session_new(model, &settings, &session, &err));
    EXPECT(R1_OK, r1_session_vote(session, prompt, 3, &options, &vote, &err));
    EXPECT(R1_ERR_BUSY, r1_session_truncate(session, 0, &err));
    EXPECT(R1_OK, r1_vote_next(vote, &event, &err));
    CHECK(event.kind == R1_VOTE_PROGRESS && event.running == 3);
    EXPECT_BARE(R1_OK, r1_cancel_fire(cancel));
    while ((status = r1_vote_next(vote, &event, NULL)) == R1_OK && event.kind != R1_VOTE_DONE) continue;
    CHECK(status == R1_OK && event.reason == R1_VOTED_CANCELLED && event.sample == -1 && event.answer == NULL);
    EXPECT(R1_OK, r1_session_len(session, &len, &err));
    CHECK(len == 3);
    EXPECT(R1_OK, r1_session_truncate(session, 0, &err));
    EXPECT_BARE(R1_OK, r1_session_free(session));
    EXPECT_BARE(R1_OK, r1_vote_free(vote));
    EXPECT_BARE(R1_OK, r1_cancel_free(cancel));

    /* The turn joins the conversation. */
    EXPECT(R1_OK, r1_chat_new(model, NULL, &chat, &err));
    options.early_stop = NULL;
    EXPECT(R1_OK, r1_chat_vote(chat, "What is 37 * 24?", R1_NUL, &options, &vote, &err));
    while (r1_vote_next(vote, &event, NULL) == R1_OK) continue;
    CHECK(event.kind == R1_VOTE_DONE && strcmp(event.answer, "888") == 0);
    EXPECT(R1_OK, r1_chat_messages_json(chat, &text, &err));
    CHECK(strstr(r1_string_data(text, NULL), "888") != NULL);
    EXPECT_BARE(R1_OK, r1_string_free(text));
    EXPECT_BARE(R1_OK, r1_chat_free(chat));
    EXPECT_BARE(R1_OK, r1_vote_free(vote));
}

static void chats(r1_model* model, char* thought, char* answer) {
    r1_chat_options options = R1_CHAT_OPTIONS_INIT;
    r1_generate_options greedy = R1_GENERATE_OPTIONS_INIT;
    r1_event usage = R1_EVENT_INIT, done = R1_EVENT_INIT;
    r1_chat* chat = NULL;
    r1_stream* stream = NULL;
    r1_string* text = NULL;
    options.messages_json = "[]";
    greedy.flags = R1_GENERATE_GREEDY;
    EXPECT(R1_OK, r1_chat_new(model, &options, &chat, &err));
    EXPECT(R1_OK, r1_chat_send(chat, "What is 37 * 24?", R1_NUL, &greedy, &stream, &err));
    collect(stream, thought, answer, &usage, &done);
    CHECK(strlen(thought) > 0 && strstr(answer, "888") != NULL);
    CHECK(usage.prompt_tokens > 0 && usage.reasoning_tokens > 0 && usage.answer_tokens > 0);
    CHECK(done.finish == R1_FINISH_STOP && done.close == R1_CLOSE_NATURAL);
    EXPECT(R1_OK, r1_chat_messages_json(chat, &text, &err));
    CHECK(strstr(r1_string_data(text, NULL), "What is 37 * 24?") != NULL);
    CHECK(strstr(r1_string_data(text, NULL), "888") != NULL);
    EXPECT_BARE(R1_OK, r1_string_free(text));

    /* A second turn while the first stream still exists; then everything is freed while it runs. */
    r1_stream* second = NULL;
    greedy.max_tokens = 8;
    EXPECT(R1_OK, r1_chat_send(chat, "What is 2 + 2?", R1_NUL, &greedy, &second, &err));
    EXPECT_BARE(R1_OK, r1_chat_free(chat));
    EXPECT_BARE(R1_OK, r1_model_free(model));
    EXPECT_BARE(R1_OK, r1_stream_free(stream));
    collect(second, thought, answer, &usage, &done);
    CHECK(done.finish == R1_FINISH_LENGTH || done.finish == R1_FINISH_STOP);
    EXPECT_BARE(R1_OK, r1_stream_free(second));
}

int main(int argc, char** argv) {
    static char thought[1 << 16], answer[1 << 16];
    r1_model* model = NULL;
    if (argc != 2) return 2;
    path = argv[1];
    versions();
    loading();
    EXPECT(R1_OK, r1_model_load(path, R1_NUL, NULL, &model, &err));
    tokens_there_and_back(model);
    descriptions(model);
    sessions(model);
    thoughts(model);
    votes(model);
    chats(model, thought, answer);
    return report();
}
