/* Thinks until a second thread asks for the answer: answer_now MODEL QUESTION [MILLISECONDS]
 *
 *     cc answer_now.c -I../../include -L../../target/release -lr1core -lpthread -o answer_now
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "r1core.h"

static long patience = 2000;
static void check(r1_status status, r1_error* err) {
    if (status > R1_OK) {
        fprintf(stderr, "%s: %s\n", r1_status_str(status), r1_error_message(err));
        exit(1);
    }
}

static void* interrupt(void* stream) {
    const struct timespec wait = {patience / 1000, patience % 1000 * 1000000};
    nanosleep(&wait, NULL);
    r1_think_close(stream, NULL);
    return NULL;
}

int main(int argc, char** argv) {
    if (argc < 3) return fputs("usage: answer_now MODEL QUESTION [MILLISECONDS]\n", stderr), 2;
    if (argc > 3) patience = strtol(argv[3], NULL, 10);
    r1_error* err = NULL;
    r1_model* model = NULL;
    r1_chat* chat = NULL;
    r1_stream* stream = NULL;
    check(r1_model_load(argv[1], R1_NUL, NULL, &model, &err), err);
    check(r1_chat_new(model, NULL, &chat, &err), err);
    r1_think_options think = R1_THINK_OPTIONS_INIT;
    r1_generate_options options = R1_GENERATE_OPTIONS_INIT;
    think.extensions = UINT32_MAX; /* whenever the model would close its thought, it goes on */
    think.guard_eos = R1_EOS_MASK;
    think.loops = R1_LOOP_NONE;
    options.think = &think;
    check(r1_chat_send(chat, argv[2], R1_NUL, &options, &stream, &err), err);

    FILE* to = stderr; /* thoughts there, the answer to stdout */
    int begun = 0;
    pthread_t thread;
    r1_status status;
    r1_event event = R1_EVENT_INIT;
    while ((status = r1_stream_next(stream, &event, &err)) == R1_OK) {
        if (event.kind == R1_EVENT_THOUGHT && !begun) begun = pthread_create(&thread, NULL, interrupt, stream) == 0;
        if (event.kind == R1_EVENT_ANSWER && to == stderr) fputs("\n\n", stderr), to = stdout;
        if (event.text != NULL) fwrite(event.text, 1, (size_t)event.text_len, to);
        if (event.kind == R1_EVENT_DONE && event.close == R1_CLOSE_INTERRUPT) fputs("\n(interrupted)\n", stdout);
    }
    check(status, err);
    if (begun) pthread_join(thread, NULL);
    r1_stream_free(stream), r1_chat_free(chat), r1_model_free(model);
    return 0;
}
