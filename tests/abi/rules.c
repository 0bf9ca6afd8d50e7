/* Replies that keep to scripts, and answers that follow a grammar where the library has them. */
#include "check.h"

static const char* const QUESTION = "What is 37 * 24?";

/* Sends the question, collects the answer, and returns the last event; `kind` is 0 where sending failed with `status`. */
static r1_event ask(r1_model* model, const r1_generate_options* options, r1_status status, char* answer, size_t size) {
    r1_chat* chat = NULL;
    r1_stream* stream = NULL;
    r1_event event = R1_EVENT_INIT;
    size_t len = 0;
    EXPECT(R1_OK, r1_chat_new(model, NULL, &chat, &err));
    EXPECT(status, r1_chat_send(chat, QUESTION, R1_NUL, options, &stream, &err));
    while (stream != NULL && r1_stream_next(stream, &event, NULL) == R1_OK) {
        if (event.kind != R1_EVENT_ANSWER || len + event.text_len >= size) continue;
        memcpy(answer + len, event.text, event.text_len);
        len += event.text_len;
    }
    answer[len] = '\0';
    EXPECT_BARE(R1_OK, r1_stream_free(stream));
    EXPECT_BARE(R1_OK, r1_chat_free(chat));
    return event;
}

static void scripts(r1_model* model) {
    char answer[4096];
    r1_generate_options options = R1_GENERATE_OPTIONS_INIT;
    r1_think_options think = R1_THINK_OPTIONS_INIT;
    options.think = &think;
    options.max_tokens = 200;
    think.scripts = "latin";
    options.scripts = "han, Cyrl";
    CHECK(ask(model, &options, R1_OK, answer, sizeof answer).kind == R1_EVENT_DONE);
    for (const char* c = answer; *c; c++) CHECK(!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z')));
    options.scripts = "english";
    CHECK(ask(model, &options, R1_ERR_ARGUMENT, answer, sizeof answer).kind == 0);
    options.scripts = NULL;
    think.scripts = ",";
    CHECK(ask(model, &options, R1_ERR_ARGUMENT, answer, sizeof answer).kind == 0);
}

static void grammars(r1_model* model) {
    char answer[4096];
    r1_generate_options options = R1_GENERATE_OPTIONS_INIT;
    r1_chat* chat = NULL;
    r1_stream* stream = NULL;
    options.flags = R1_GENERATE_GREEDY;
    options.regex = "The answer is \\\\boxed\\{[0-9]+\\}\\.";
    EXPECT(R1_OK, r1_chat_new(model, NULL, &chat, &err));
    r1_status has = r1_chat_send(chat, QUESTION, R1_NUL, &options, &stream, NULL);
    EXPECT_BARE(R1_OK, r1_stream_free(stream));
    EXPECT_BARE(R1_OK, r1_chat_free(chat));
    CHECK(has == R1_OK || has == R1_ERR_UNSUPPORTED);
    if (has == R1_OK) {
        r1_event done = ask(model, &options, R1_OK, answer, sizeof answer);
        CHECK(done.kind == R1_EVENT_DONE && done.flags == R1_EVENT_COMPLETE && done.finish == R1_FINISH_STOP);
        CHECK(strcmp(answer, "The answer is \\boxed{888}.") == 0);
        options.regex = NULL;
        options.json_schema = "{\"type\": \"object\", \"properties\": {\"answer\": {\"type\": \"integer\"}},"
                              " \"required\": [\"answer\"], \"additionalProperties\": false}";
        CHECK(ask(model, &options, R1_OK, answer, sizeof answer).flags == R1_EVENT_COMPLETE);
        CHECK(answer[0] == '{' && strstr(answer, "\"answer\"") != NULL);
        options.json_schema = NULL;
        options.lark = "start: \"yes\" | \"no\"";
        CHECK(ask(model, &options, R1_OK, answer, sizeof answer).flags == R1_EVENT_COMPLETE);
        CHECK(strcmp(answer, "yes") == 0 || strcmp(answer, "no") == 0);
        options.max_tokens = 3;
        CHECK(ask(model, &options, R1_OK, answer, sizeof answer).flags == R1_EVENT_INCOMPLETE);
        options.lark = "start:";
        CHECK(ask(model, &options, R1_ERR_ARGUMENT, answer, sizeof answer).kind == 0);
    }
    options.regex = NULL;
    options.lark = "start: \"a\"";
    options.flags = R1_GENERATE_JSON;
    CHECK(ask(model, &options, R1_ERR_ARGUMENT, answer, sizeof answer).kind == 0);
    options.lark = NULL;
    CHECK(ask(model, &options, has, answer, sizeof answer).kind == (has == R1_OK ? R1_EVENT_DONE : 0));
    options.flags = 0;
    CHECK(ask(model, &options, R1_OK, answer, sizeof answer).flags == 0);
}

int main(int argc, char** argv) {
    r1_model* model = NULL;
    if (argc != 2) return 2;
    EXPECT(R1_OK, r1_model_load(argv[1], R1_NUL, NULL, &model, &err));
    scripts(model);
    grammars(model);
    EXPECT_BARE(R1_OK, r1_model_free(model));
    return report();
}
