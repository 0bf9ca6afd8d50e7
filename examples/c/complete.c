/* Continues a text: complete MODEL TEXT [TOKENS]
 *
 *     cc complete.c -I../../include -L../../target/release -lr1core -o complete
 */
#include <stdio.h>
#include <stdlib.h>

#include "r1core.h"

static void check(r1_status status, r1_error* err) {
    if (status > R1_OK) {
        fprintf(stderr, "%s: %s\n", r1_status_str(status), r1_error_message(err));
        exit(1);
    }
}

int main(int argc, char** argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: complete MODEL TEXT [TOKENS]\n");
        return 2;
    }
    r1_error* err = NULL;
    r1_model* model = NULL;
    r1_tokenizer* tokenizer = NULL;
    r1_session* session = NULL;
    r1_stream* stream = NULL;
    check(r1_model_load(argv[1], R1_NUL, NULL, &model, &err), err);
    check(r1_model_tokenizer(model, &tokenizer, &err), err);
    check(r1_session_new(model, NULL, &session, &err), err);

    /* Without a buffer the call tells how many tokens there are. */
    size_t count = 0;
    check(r1_tokenizer_encode(tokenizer, argv[2], R1_NUL, R1_ENCODE_BOS, NULL, 0, &count, &err), err);
    uint32_t* tokens = malloc((count + 1) * sizeof *tokens);
    if (tokens == NULL) return 1;
    check(r1_tokenizer_encode(tokenizer, argv[2], R1_NUL, R1_ENCODE_BOS, tokens, count, &count, &err), err);

    r1_generate_options options = R1_GENERATE_OPTIONS_INIT;
    options.max_tokens = argc > 3 ? strtoull(argv[3], NULL, 10) : 64;
    check(r1_session_generate(session, tokens, count, &options, &stream, &err), err);

    r1_status status;
    r1_event event = R1_EVENT_INIT;
    printf("%s", argv[2]);
    while ((status = r1_stream_next(stream, &event, &err)) == R1_OK) {
        if (event.text != NULL) fwrite(event.text, 1, (size_t)event.text_len, stdout);
        fflush(stdout);
    }
    check(status, err);
    printf("\n");

    free(tokens);
    r1_stream_free(stream);
    r1_session_free(session);
    r1_tokenizer_free(tokenizer);
    r1_model_free(model);
    return 0;
}
