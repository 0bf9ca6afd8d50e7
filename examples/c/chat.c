/* A conversation, thoughts dimmed: chat MODEL, then one message a line
 *
 *     cc chat.c -I../../include -L../../target/release -lr1core -o chat
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "r1core.h"

static void check(r1_status status, r1_error* err) {
    if (status > R1_OK) {
        fprintf(stderr, "%s: %s\n", r1_status_str(status), r1_error_message(err));
        exit(1);
    }
}

int main(int argc, char** argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: chat MODEL\n");
        return 2;
    }
    r1_error* err = NULL;
    r1_model* model = NULL;
    r1_chat* chat = NULL;
    check(r1_model_load(argv[1], R1_NUL, NULL, &model, &err), err);
    check(r1_chat_new(model, NULL, &chat, &err), err);

    char line[4096];
    while (fputs("> ", stdout), fflush(stdout), fgets(line, sizeof line, stdin) != NULL) {
        r1_stream* stream = NULL;
        check(r1_chat_send(chat, line, strcspn(line, "\n"), NULL, &stream, &err), err);

        r1_status status;
        int32_t kind = 0;
        r1_event event = R1_EVENT_INIT;
        while ((status = r1_stream_next(stream, &event, &err)) == R1_OK) {
            if (event.kind != kind) fputs(event.kind == R1_EVENT_THOUGHT ? "\033[2m" : "\033[0m\n", stdout);
            if (event.text != NULL) fwrite(event.text, 1, (size_t)event.text_len, stdout);
            if (event.kind == R1_EVENT_USAGE)
                printf("[%d thought and %d answer tokens]", (int)event.reasoning_tokens, (int)event.answer_tokens);
            fflush(stdout);
            kind = event.kind;
        }
        check(status, err);
        r1_stream_free(stream);
    }
    printf("\n");

    r1_chat_free(chat);
    r1_model_free(model);
    return 0;
}
