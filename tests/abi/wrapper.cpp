// The C++ wrapper: objects move, errors are thrown, destructors run in any order.
#include "r1core.hpp"

#include <cstdio>
#include <type_traits>

static_assert(!std::is_copy_constructible_v<r1::Model> && std::is_nothrow_move_constructible_v<r1::Model>);
static_assert(!std::is_copy_constructible_v<r1::Stream> && std::is_nothrow_move_assignable_v<r1::Stream>);

#define CHECK(condition) \
    if (!(condition)) return std::printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition), 1

static r1::Stream ask(const char* path) {
    r1_generate_options options = R1_GENERATE_OPTIONS_INIT;
    options.flags = R1_GENERATE_GREEDY;
    r1::Model model(path);
    r1::Chat chat(model);
    return chat.send("What is 37 * 24?", &options);
}

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    r1::Stream stream = ask(argv[1]);
    std::string thought, answer;
    r1_event event = R1_EVENT_INIT;
    while (stream.next(event)) (event.kind == R1_EVENT_THOUGHT ? thought : answer) += r1::text(event);
    CHECK(stream.state().phase == R1_REPLY_ENDED && stream.close_thought() == R1_REPLY_ENDED);
    CHECK(stream.state().reasoning_tokens > 0 && r1::Stream().set_budget(1) == 0 && r1::Stream().state().phase == 0);
    CHECK(!thought.empty() && answer.find("888") != std::string::npos);

    const r1::Model model(argv[1]);
    CHECK(r1::Chat(model).warnings() == 0 && r1::Vote().answer_now() == 0 && r1::Vote().set_budget(1) == 0);
    const r1::Tokenizer tokenizer = model.tokenizer();
    const auto tokens = tokenizer.encode("2 + 2 = ");
    CHECK(tokenizer.decode(tokenizer.encode("2 + 2", 0)) == "2 + 2");
    r1::Session session(model);
    session.append(tokens);
    r1::Session fork = session.fork(), moved = std::move(session);
    CHECK(session.get() == nullptr && moved.tokens() == fork.tokens() && moved.logits() == fork.logits());
    CHECK(model.info().find("\"layers\":") != std::string::npos);

    r1_vote_options few = R1_VOTE_OPTIONS_INIT;
    few.samples = 2;
    r1::Chat chat(model);
    r1::Vote vote = chat.vote("What is 37 * 24?", &few);
    const r1_vote_event voted = vote.result();
    CHECK(voted.kind == R1_VOTE_DONE && voted.limit == 2 && voted.text_len > 0);
    CHECK(chat.messages().find("assistant") != std::string::npos);

    r1::Cancel cancel;
    cancel.fire();
    try {
        r1::Model missing("/no/such/file.gguf");
        CHECK(!"must throw");
    } catch (const r1::Error& error) {
        CHECK(error.status() == R1_ERR_IO && std::string(error.what()).find("/no/such/file.gguf") != std::string::npos);
    }
    return 0;
}
