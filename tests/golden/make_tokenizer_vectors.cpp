// Writes tokenizer_vectors.txt with llama.cpp's tokenizer (built from commit 0c1e57098 or close to it).
//
//   g++ -std=c++17 make_tokenizer_vectors.cpp -I llama.cpp/include -I llama.cpp/ggml/include -lllama -lggml ...
//   ./a.out FILE.gguf:PROBE_ID ... < tokenizer_texts.txt > tokenizer_vectors.txt
//
// Input: one text a line with the escapes \\ \n \r \t \0. Texts with a BOS of their own are left out of the prompt
// mode by hand, as llama.cpp then gives two.
#include "llama.h"
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

static std::string unescape(const std::string & line) {
    std::string text;
    for (size_t i = 0; i < line.size(); i++) {
        if (line[i] != '\\' || i + 1 == line.size()) { text += line[i]; continue; }
        const char c = line[++i];
        text += c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c == '0' ? '\0' : c;
    }
    return text;
}

static void row(const llama_vocab * vocab, const char * mode, const std::string & line, bool prompt) {
    const std::string text = unescape(line);
    std::vector<llama_token> ids(text.size() + 8);
    ids.resize(llama_tokenize(vocab, text.data(), text.size(), ids.data(), ids.size(), prompt, prompt));
    printf("%s\t%s\t", mode, line.c_str());
    for (size_t i = 0; i < ids.size(); i++) printf("%s%d", i ? " " : "", ids[i]);
    printf("\n");
}

int main(int argc, char ** argv) {
    llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    std::vector<std::string> lines;
    for (std::string line; std::getline(std::cin, line);) lines.push_back(line);
    printf("# Made by make_tokenizer_vectors.cpp. A vocabulary is known by the text of one of its tokens.\n");
    for (int i = 1; i < argc; i++) {
        const std::string arg = argv[i];
        const size_t colon = arg.rfind(':');
        const int probe = std::stoi(arg.substr(colon + 1));
        auto params = llama_model_default_params();
        params.vocab_only = true;
        auto * model = llama_model_load_from_file(arg.substr(0, colon).c_str(), params);
        if (!model) return 1;
        const auto * vocab = llama_model_get_vocab(model);
        printf("vocabulary\t%d\t%s\n", probe, llama_vocab_get_text(vocab, probe));
        for (const auto & line : lines) {
            row(vocab, "plain", line, false);
            row(vocab, "prompt", line, true);
        }
        llama_model_free(model);
    }
}
