// llama.cpp's speed on a device, in the same words as `r1 bench --json`: prompts, single sequences, and sequences that
// share a prompt of 512 tokens. Medians of three runs, flash attention on, logits of the last positions.
//   llama_speed MODEL [ubatch]
#include "llama.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

static double seconds(const std::function<void()> & work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

static double median(const std::function<double()> & test) {
    test();
    std::vector<double> speeds;
    for (int i = 0; i < 3; i++) {
        speeds.push_back(test());
    }
    std::sort(speeds.begin(), speeds.end());
    return speeds[1];
}

static void check(bool good, const char * what) {
    if (!good) {
        fprintf(stderr, "%s failed\n", what);
        exit(1);
    }
}

static llama_context * context(llama_model * model, int positions, int sequences, int ubatch, bool unified) {
    llama_context_params params = llama_context_default_params();
    params.n_ctx                = positions;
    params.n_batch              = 2048;
    params.n_ubatch             = ubatch;
    params.n_seq_max            = sequences;
    params.kv_unified           = unified;
    params.flash_attn_type      = LLAMA_FLASH_ATTN_TYPE_ENABLED;
    params.no_perf              = true;
    llama_context * ctx         = llama_init_from_model(model, params);
    check(ctx, "context");
    return ctx;
}

static void fill(llama_context * ctx, int count, int vocabulary) {
    llama_batch batch = llama_batch_init(2048, 0, 1);
    for (int done = 0; done < count;) {
        const int n = std::min(2048, count - done);
        batch.n_tokens = n;
        for (int i = 0; i < n; i++) {
            batch.token[i]     = (llama_token) ((long long) (done + i) * 7919 % vocabulary);
            batch.pos[i]       = done + i;
            batch.n_seq_id[i]  = 1;
            batch.seq_id[i][0] = 0;
            batch.logits[i]    = done + i + 1 == count;
        }
        check(llama_decode(ctx, batch) == 0, "decode");
        done += n;
    }
    llama_batch_free(batch);
}

static double decode(llama_context * ctx, int count, int from, int sequences, int vocabulary) {
    llama_batch batch = llama_batch_init(sequences, 0, 1);
    const double time = seconds([&] {
        for (int i = 0; i < count; i++) {
            batch.n_tokens = sequences;
            for (int s = 0; s < sequences; s++) {
                batch.token[s]     = (llama_token) ((long long) (i * 31 + s * 7) * 7919 % vocabulary);
                batch.pos[s]       = from + i;
                batch.n_seq_id[s]  = 1;
                batch.seq_id[s][0] = s;
                batch.logits[s]    = true;
            }
            check(llama_decode(ctx, batch) == 0, "decode");
            llama_synchronize(ctx);
        }
    });
    llama_batch_free(batch);
    return (double) count * sequences / time;
}

static void print(const char * test, int tokens, int depth, int batch, int ubatch, bool unified, double speed) {
    printf("{\"engine\":\"llama.cpp\",\"test\":\"%s\",\"tokens\":%d,\"depth\":%d,\"batch\":%d,\"ubatch\":%d,"
           "\"unified\":%s,\"tokens_per_second\":%.2f}\n",
           test, tokens, depth, batch, ubatch, unified ? "true" : "false", speed);
    fflush(stdout);
}

int main(int argc, char ** argv) {
    if (argc < 2) {
        fprintf(stderr, "llama_speed MODEL [ubatch]\n");
        return 2;
    }
    const int ubatch = argc > 2 ? atoi(argv[2]) : 512;
    llama_log_set([](ggml_log_level level, const char * text, void *) { if (level >= GGML_LOG_LEVEL_ERROR) fputs(text, stderr); }, nullptr);
    ggml_backend_load_all();
    llama_backend_init();
    llama_model_params params = llama_model_default_params();
    params.n_gpu_layers       = 999;
    llama_model * model       = llama_model_load_from_file(argv[1], params);
    check(model, "load");
    const int vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));

    for (int count : {512, 4096}) {
        llama_context * ctx = context(model, count + 256, 1, ubatch, true);
        const double speed = median([&] {
            llama_memory_clear(llama_get_memory(ctx), true);
            return count / seconds([&] { fill(ctx, count, vocabulary); llama_synchronize(ctx); });
        });
        print("prefill", count, 0, 1, ubatch, true, speed);
        llama_free(ctx);
    }
    if (ubatch != 512) {
        return 0;
    }
    {
        llama_context * ctx = context(model, 512, 1, ubatch, true);
        const double speed = median([&] {
            llama_memory_clear(llama_get_memory(ctx), true);
            fill(ctx, 1, vocabulary);
            return decode(ctx, 128, 1, 1, vocabulary);
        });
        print("decode", 128, 0, 1, ubatch, true, speed);
        llama_free(ctx);
    }
    for (bool unified : {true, false}) {
        for (int sequences : {8, 32, 64}) {
            const int each = 512 + 128 + 128;
            llama_context * ctx = context(model, unified ? 512 + 136 * sequences + 256 : each * sequences, sequences, ubatch, unified);
            const double speed = median([&] {
                llama_memory_t memory = llama_get_memory(ctx);
                llama_memory_clear(memory, true);
                fill(ctx, 512, vocabulary);
                for (int s = 1; s < sequences; s++) {
                    llama_memory_seq_cp(memory, 0, s, -1, -1);
                }
                llama_synchronize(ctx);
                return decode(ctx, 128, 512, sequences, vocabulary);
            });
            print("batch", 128, 512, sequences, ubatch, unified, speed);
            llama_free(ctx);
        }
    }
    llama_model_free(model);
    return 0;
}
