// r1core for C++17: the C ABI of r1core.h with destructors and exceptions. Header-only.
//
//     r1::Model model("model.gguf");
//     r1::Chat chat(model);
//     r1::Stream stream = chat.send("What is 37 * 24?");
//     r1_event event = R1_EVENT_INIT;
//     while (stream.next(event))
//         if (event.kind == R1_EVENT_ANSWER)
//             std::cout << r1::text(event);
//
// Objects can be moved, not copied. The rules of r1core.h hold; a status that is an error is thrown as r1::Error.
// What is not wrapped here is a call away: get() gives the C handle.

#ifndef R1CORE_HPP
#define R1CORE_HPP

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "r1core.h"

namespace r1 {

/// A call that failed.
class Error : public std::runtime_error {
  public:
    Error(r1_status status, const char* message) : std::runtime_error(message), status_(status) {}
    /// One of R1_ERR_*.
    r1_status status() const noexcept { return status_; }

  private:
    r1_status status_;
};

namespace detail {

/// Owns one handle.
template <typename T, r1_status (*Free)(T*)>
class Handle {
  public:
    Handle() noexcept = default;
    explicit Handle(T* handle) noexcept : handle_(handle) {}
    Handle(Handle&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Handle& operator=(Handle&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    ~Handle() { Free(handle_); }

    /// The C handle, which stays owned by this object.
    T* get() const noexcept { return handle_; }

  private:
    T* handle_ = nullptr;
};

/// Takes an error object to pieces and throws it.
[[noreturn]] inline void raise(r1_status status, r1_error* err) {
    Handle<r1_error, r1_error_free> owner(err);
    throw Error(status, err != nullptr ? r1_error_message(err) : r1_status_str(status));
}

/// Calls `function(arguments..., &err)` and throws what is an error. R1_OK and R1_DONE are returned.
template <typename Function, typename... Arguments>
r1_status call(Function function, Arguments... arguments) {
    r1_error* err = nullptr;
    const r1_status status = function(arguments..., &err);
    if (status > R1_OK) raise(status, err);
    return status;
}

/// Calls `function(arguments..., &handle, &err)` and returns the handle.
template <typename T, typename Function, typename... Arguments>
T* make(Function function, Arguments... arguments) {
    T* handle = nullptr;
    call(function, arguments..., &handle);
    return handle;
}

/// As make, for a text.
template <typename Function, typename... Arguments>
std::string string(Function function, Arguments... arguments) {
    Handle<r1_string, r1_string_free> owner(make<r1_string>(function, arguments...));
    std::size_t len = 0;
    const char* data = r1_string_data(owner.get(), &len);
    return std::string(data, len);
}

/// Asks for the size, then fills a container: `function(arguments..., data, capacity, &count, &err)`.
template <typename Container, typename Function, typename... Arguments>
Container fill(Function function, Arguments... arguments) {
    using Value = typename Container::value_type;
    std::size_t count = 0;
    call(function, arguments..., static_cast<Value*>(nullptr), std::size_t{0}, &count);
    Container values(count, Value{});
    if (count != 0) call(function, arguments..., values.data(), count, &count);
    return values;
}

}  // namespace detail

/// The text of an event, valid until the next call on its stream.
inline std::string_view text(const r1_event& event) noexcept {
    return event.text != nullptr ? std::string_view(event.text, static_cast<std::size_t>(event.text_len)) : "";
}

/// Stops work from another thread.
class Cancel : public detail::Handle<r1_cancel, r1_cancel_free> {
  public:
    Cancel() : Handle(detail::make<r1_cancel>(r1_cancel_new)) {}
    void fire() const noexcept { r1_cancel_fire(get()); }
    void reset() const noexcept { r1_cancel_reset(get()); }
};

/// A reply in the making.
class Stream : public detail::Handle<r1_stream, r1_stream_free> {
  public:
    using Handle::Handle;
    /// Works until the next event; false when there are no more.
    bool next(r1_event& event) { return detail::call(r1_stream_next, get(), &event) == R1_OK; }

    // From any thread, while another one is inside next(). They return where the reply is: R1_REPLY_*, or 0 without a
    // stream.
    /// Asks for the answer now.
    std::int32_t close_thought() const noexcept {
        std::int32_t phase = 0;
        r1_think_close(get(), &phase);
        return phase;
    }
    /// Sets the budget of the whole reply.
    std::int32_t set_budget(std::uint64_t tokens) const noexcept {
        std::int32_t phase = 0;
        r1_think_set_budget(get(), tokens, &phase);
        return phase;
    }
    /// How far the reply is; all zeros without a stream.
    r1_think_state state() const noexcept {
        r1_think_state state = R1_THINK_STATE_INIT;
        r1_think_get_state(get(), &state);
        return state;
    }
};

/// A vote that is being held.
class Vote : public detail::Handle<r1_vote, r1_vote_free> {
  public:
    using Handle::Handle;
    /// Works until the next event; false when there are no more.
    bool next(r1_vote_event& event) { return detail::call(r1_vote_next, get(), &event) == R1_OK; }
    /// Works until the vote is over. The pointers of the event are valid as long as this object.
    r1_vote_event result() {
        r1_vote_event event = R1_VOTE_EVENT_INIT;
        while (event.kind != R1_VOTE_DONE && next(event)) continue;
        return event;
    }

    // From any thread, while another one is inside next(). They return how many samples run.
    /// Asks for the result now.
    std::uint64_t answer_now() const noexcept {
        std::uint64_t running = 0;
        r1_vote_answer_now(get(), &running);
        return running;
    }
    /// Sets the thought budget of each sample.
    std::uint64_t set_budget(std::uint64_t tokens) const noexcept {
        std::uint64_t running = 0;
        r1_vote_set_budget(get(), tokens, &running);
        return running;
    }
};

/// Text to tokens and back.
class Tokenizer : public detail::Handle<r1_tokenizer, r1_tokenizer_free> {
  public:
    using Handle::Handle;
    /// From a GGUF file, without its weights.
    explicit Tokenizer(std::string_view path)
        : Handle(detail::make<r1_tokenizer>(r1_tokenizer_load, path.data(), path.size())) {}
    std::vector<std::uint32_t> encode(std::string_view text, std::uint32_t flags = R1_ENCODE_BOS) const {
        return detail::fill<std::vector<std::uint32_t>>(r1_tokenizer_encode, get(), text.data(), text.size(), flags);
    }
    std::string decode(const std::vector<std::uint32_t>& tokens, std::uint32_t flags = 0) const {
        return detail::fill<std::string>(r1_tokenizer_decode, get(), tokens.data(), tokens.size(), flags);
    }
};

/// A loaded model. Keeps living while sessions, chats and tokenizers of it do.
class Model : public detail::Handle<r1_model, r1_model_free> {
  public:
    explicit Model(std::string_view path, const r1_model_options* options = nullptr)
        : Handle(detail::make<r1_model>(r1_model_load, path.data(), path.size(), options)) {}
    Tokenizer tokenizer() const { return Tokenizer(detail::make<r1_tokenizer>(r1_model_tokenizer, get())); }
    /// A JSON object.
    std::string info() const { return detail::string(r1_model_info_json, get()); }
    /// Copies the weights at once that would be copied while the first tokens are computed.
    void finish_repacking(const r1_cancel* cancel = nullptr) {
        detail::call(r1_model_finish_repacking, get(), cancel);
    }
};

/// One sequence on one model.
class Session : public detail::Handle<r1_session, r1_session_free> {
  public:
    using Handle::Handle;
    explicit Session(const Model& model, const r1_session_options* options = nullptr)
        : Handle(detail::make<r1_session>(r1_session_new, model.get(), options)) {}
    Session fork() { return Session(detail::make<r1_session>(r1_session_fork, get())); }
    void append(const std::vector<std::uint32_t>& tokens) {
        detail::call(r1_session_append, get(), tokens.data(), tokens.size());
    }
    void truncate(std::size_t len) { detail::call(r1_session_truncate, get(), len); }
    std::vector<std::uint32_t> tokens() const {
        return detail::fill<std::vector<std::uint32_t>>(r1_session_tokens, get());
    }
    std::vector<float> logits() const { return detail::fill<std::vector<float>>(r1_session_logits, get()); }
    /// Appends tokens and goes on from there.
    Stream generate(const std::vector<std::uint32_t>& tokens = {}, const r1_generate_options* options = nullptr) {
        return Stream(detail::make<r1_stream>(r1_session_generate, get(), tokens.data(), tokens.size(), options));
    }
    /// Appends tokens and votes on what follows.
    Vote vote(const std::vector<std::uint32_t>& tokens = {}, const r1_vote_options* options = nullptr) {
        return Vote(detail::make<r1_vote>(r1_session_vote, get(), tokens.data(), tokens.size(), options));
    }
};

/// A conversation.
class Chat : public detail::Handle<r1_chat, r1_chat_free> {
  public:
    explicit Chat(const Model& model, const r1_chat_options* options = nullptr)
        : Handle(detail::make<r1_chat>(r1_chat_new, model.get(), options)) {}
    Stream send(std::string_view text, const r1_generate_options* options = nullptr) {
        return Stream(detail::make<r1_stream>(r1_chat_send, get(), text.data(), text.size(), options));
    }
    /// Sends a message and votes on the reply.
    Vote vote(std::string_view text, const r1_vote_options* options = nullptr) {
        return Vote(detail::make<r1_vote>(r1_chat_vote, get(), text.data(), text.size(), options));
    }
    /// What the authors of the model advise against in the messages that came first: R1_CHAT_WARN_* bits.
    std::uint32_t warnings() const {
        std::uint32_t bits = 0;
        detail::call(r1_chat_warnings, get(), &bits);
        return bits;
    }
    /// A JSON array.
    std::string messages() const { return detail::string(r1_chat_messages_json, get()); }
};

}  // namespace r1

#endif  // R1CORE_HPP
