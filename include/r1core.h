/*
 * r1core: runs reasoning models of the DeepSeek-R1 family inside your program.
 *
 *     r1_model* model = NULL;
 *     r1_chat* chat = NULL;
 *     r1_stream* stream = NULL;
 *     r1_event event = R1_EVENT_INIT;
 *     if (r1_model_load("model.gguf", R1_NUL, NULL, &model, NULL) == R1_OK
 *         && r1_chat_new(model, NULL, &chat, NULL) == R1_OK
 *         && r1_chat_send(chat, "What is 37 * 24?", R1_NUL, NULL, &stream, NULL) == R1_OK)
 *         while (r1_stream_next(stream, &event, NULL) == R1_OK)
 *             if (event.kind == R1_EVENT_ANSWER)
 *                 fwrite(event.text, 1, (size_t)event.text_len, stdout);
 *     r1_stream_free(stream);
 *     r1_chat_free(chat);
 *     r1_model_free(model);
 *
 * RULES, which hold for every function:
 *
 * Objects. What you hold are handles: they have pointer types but are never dereferenced. A handle that was freed,
 * that is of another type or that was never given out gives R1_ERR_HANDLE. Freeing NULL does nothing. Free in any
 * order: objects keep alive what they need, and what is freed during a call lives until that call returns.
 *
 * Results. A function that can fail returns a status and takes, as its last argument, a place for an error object,
 * which may be NULL. Outputs are written on success only, the error object on failure only (free it with
 * r1_error_free). The one exception is the count of a buffer that is too small: R1_ERR_BUFFER comes with the size
 * that is needed.
 *
 * Text in. A pointer and a length in bytes, UTF-8; R1_NUL as the length says that the text ends with NUL. NULL with
 * length 0 is the empty text. Texts inside structs always end with NUL. Nothing of yours is kept after the call,
 * unless a comment says so.
 *
 * Structs. Begin with struct_size, are passed by pointer and only ever grow at the end; a zero field takes its
 * default. Begin with the INIT macro or set all bytes to zero and struct_size to sizeof. Pointers to options may be
 * NULL. If your program asks for something newer than the library that it runs with, the call gives R1_ERR_VERSION.
 *
 * Threads. "const T*" arguments of model, tokenizer, cancel, error and string may be used by any number of threads at
 * once. Session, chat, stream and vote are for one thread at a time, any thread; a call that comes meanwhile gives
 * R1_ERR_BUSY instead of waiting, except r1_think_* and the functions that steer a vote, which any thread may call at
 * any time. Each opaque type below says more.
 *
 * Callbacks run on the thread that made the call, or for the log on the thread whose call is logged. They must not
 * throw, and must not call functions of this library, which would give R1_ERR_REENTRANT, except those that say
 * "callbacks included".
 *
 * Failures. No function ends the process, writes to stdout or stderr, installs signal handlers or reads the
 * environment, except the variables R1_KERNELS, R1_BACKEND and R1_GGML_LIB_DIR. Pointers that are neither NULL nor valid remain the caller's to avoid.
 * The one thing that a library cannot survive is a mapped model file that another process truncates: see
 * R1_MODEL_READ.
 *
 * Generated from r1-ffi/src by cbindgen. Do not edit.
 */


#ifndef R1CORE_H
#define R1CORE_H

#include <stddef.h>
#include <stdint.h>

#ifndef R1_API
#if defined(_WIN32) && !defined(R1_STATIC)
#define R1_API __declspec(dllimport)
#else
#define R1_API
#endif
#endif

#if defined(__GNUC__) || defined(__clang__)
#define R1_NODISCARD __attribute__((warn_unused_result))
#else
#define R1_NODISCARD
#endif

/// As the length of a text: it ends with NUL.
#define R1_NUL SIZE_MAX

/// What an r1_text_fn returns where it has no text.
#define R1_NO_TEXT SIZE_MAX

/// Initialisers: the defaults, and the size that your program was compiled with.
#define R1_MODEL_OPTIONS_INIT {sizeof(r1_model_options), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0}
#define R1_SESSION_OPTIONS_INIT {sizeof(r1_session_options), 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL}
#define R1_CHAT_OPTIONS_INIT {sizeof(r1_chat_options), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0}
#define R1_THINK_OPTIONS_INIT \
    {sizeof(r1_think_options), 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, 0, \
     0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, NULL, 0, 0, NULL, 0, NULL}
#define R1_THINK_STATE_INIT {sizeof(r1_think_state), 0, 0, 0, 0, 0, 0}
#define R1_GENERATE_OPTIONS_INIT \
    {sizeof(r1_generate_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0, 0, 0, 0, NULL, NULL, NULL, NULL, \
     NULL, NULL, NULL, NULL}
#define R1_VOTE_OPTIONS_INIT {sizeof(r1_vote_options), 0, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, NULL}
#define R1_VOTE_EVENT_INIT \
    {sizeof(r1_vote_event), 0, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
     0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
#define R1_MEMORY_INIT {sizeof(r1_memory), 0, 0, 0, 0, 0, 0, 0, 0, 0}
#define R1_EVENT_INIT \
    {sizeof(r1_event), 0, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}


/// The number of this ABI. It changes only when a host that was compiled against another number would break.
#define R1_ABI_VERSION 1

/// Nothing.
#define R1_LOG_OFF 0

/// Calls that failed.
#define R1_LOG_ERROR 1

/// What works but is worth a look.
#define R1_LOG_WARN 2

/// Models loaded, replies finished.
#define R1_LOG_INFO 3

/// Everything else, such as calls refused because the object was busy.
#define R1_LOG_DEBUG 4

/// Reads the file instead of mapping it: a file that shrinks or fails while it is in use is then an error, not the
/// end of the process. Takes more memory.
#define R1_MODEL_READ 1

/// `r1_model_load_memory` uses the block in place instead of copying it: it must stay as it is until everything that
/// was made from the model has been freed.
#define R1_MODEL_BORROW 2

/// Uses the weights as they lie in the file or the block instead of copying them into the kernels' layout: loads at
/// once, and a mapped file's memory is shared with other processes. Single tokens are slower. Changes no bit of a result.
#define R1_MODEL_IN_PLACE 4

/// Copies all weights but the experts of a mixture, which stay in the file: for models larger than memory. Without this
/// flag, `R1_MODEL_IN_PLACE` and `R1_MODEL_REPACK_NOW`, as many weights are copied as fit into the memory that is free,
/// while the first tokens are computed (`r1_model_finish_repacking`). Changes no bit of a result.
#define R1_MODEL_EXPERTS_IN_PLACE 8

/// Copies all weights into the kernels' layout while loading: that takes longer, and the first tokens are as fast as
/// later ones. Changes no bit of a result.
#define R1_MODEL_REPACK_NOW 16

/// Weights are being read and repacked; counted in bytes of the file.
#define R1_STAGE_LOAD 0

/// The prompt is being read by the model; counted in tokens.
#define R1_STAGE_PREFILL 1

/// Adds what the model adds around a text: BOS before it, EOS after it, each if the file says so.
#define R1_ENCODE_BOS 1

/// Recognises control tokens in the text. Only for text from a chat template, never for a user's.
#define R1_ENCODE_SPECIAL 2

/// Takes text that is not UTF-8; bytes that are no character are replaced as the vocabulary can.
#define R1_ENCODE_BYTES 4

/// Prints control tokens, too.
#define R1_DECODE_SPECIAL 1

/// Begins a sequence.
#define R1_TOKEN_BOS 1

/// Ends a sequence.
#define R1_TOKEN_EOS 2

/// Ends a turn.
#define R1_TOKEN_EOT 3

/// Tells the template to let the model think; for templates that can be told.
#define R1_CHAT_THINK 1

/// Tells the template not to let the model think, and has a conversation's prompts end behind an empty thought even where
/// the template cannot be told.
#define R1_CHAT_NO_THINK 2

/// For `r1_chat_render`: without the beginning of the assistant's turn.
#define R1_CHAT_NO_GENERATION_PROMPT 4

/// Opens the thought where the template of an R1 file does not (files from before February 2025). Not for
/// `r1_chat_render`.
#define R1_CHAT_FORCE_THINK 8

/// What becomes of the thoughts of earlier turns: the template decides; most drop them.
#define R1_HISTORY_TEMPLATE 0

/// The model sees them in full.
#define R1_HISTORY_KEEP 1

/// The model does not see them.
#define R1_HISTORY_DROP 2

/// The model sees the last lines of each, `history_chars` characters at most.
#define R1_HISTORY_SHORTEN 3

/// The model sees what `summarise` makes of each.
#define R1_HISTORY_SUMMARISE 4

/// System messages are passed on, and `r1_chat_warnings` and the log (`R1_LOG_WARN`) say where the authors of the model
/// advise against them.
#define R1_SYSTEM_WARN 0

/// System messages are passed on.
#define R1_SYSTEM_KEEP 1

/// System messages are put in front of the user's message that follows.
#define R1_SYSTEM_INTO_USER 2

/// There is a system message, which the authors of R1 advise against: put the instructions into the user's message.
#define R1_CHAT_WARN_SYSTEM 1

/// There are replies before the first message is sent: if they are examples, the authors of R1 advise against them. An
/// earlier conversation that goes on looks the same and is no reason to worry.
#define R1_CHAT_WARN_EXAMPLES 2

/// Keys and values in half precision, 2 bytes a value.
#define R1_CACHE_F16 0

/// Keys and values in single precision, 4 bytes a value.
#define R1_CACHE_F32 1

/// Keys and values as 8-bit codes with a half-precision scale for each 32 of them: 34 bytes for 32 values.
#define R1_CACHE_Q8_0 2

/// No tokens are guessed ahead. Guesses are made from what the text repeats, and in votes from what the other samples
/// say, only where they were measured to save time, and change the speed, never a bit of the result; a host that wants
/// every token to take the same time turns them off.
#define R1_SESSION_NO_GUESSES 1

/// Closes every thought as it opens: a budget of 0. (A `budget` of 0 is the default one, as for every field.)
#define R1_THINK_NOTHING 1

/// Thought tokens that the prompt already holds count as spent.
#define R1_THINK_CHARGE_PROMPT 2

/// A used-up budget cuts at once, whatever the boundary: a grace of 0.
#define R1_THINK_NO_GRACE 4

/// Nothing is written before a forced closing tag: the thought is cut where it stands.
#define R1_THINK_NO_MESSAGE 8

/// Keeps no tokens for the answer.
#define R1_THINK_NO_RESERVE 16

/// No further thought may begin after one was closed.
#define R1_THINK_NO_REOPEN 32

/// The likeliest token always, outside thoughts.
#define R1_THINK_ANSWER_GREEDY 64

/// No `tool_open` text may come in a thought, instead of closing it.
#define R1_THINK_FORBID_TOOLS 128

/// A used-up budget cuts after any token that ends a character.
#define R1_BOUNDARY_TOKEN 0

/// At the end of a word.
#define R1_BOUNDARY_WORD 1

/// At the end of a line.
#define R1_BOUNDARY_LINE 2

/// At the end of a sentence or of a line.
#define R1_BOUNDARY_SENTENCE 3

/// At an empty line.
#define R1_BOUNDARY_PARAGRAPH 4

/// A used-up budget closes the thought; the answer follows.
#define R1_ON_BUDGET_FORCE 0

/// A used-up budget ends the reply inside the thought, at exactly the budget (for training).
#define R1_ON_BUDGET_TRUNCATE 1

/// A thought that repeats itself word by word is closed; the answer follows.
#define R1_LOOP_CLOSE 0

/// It ends the reply.
#define R1_LOOP_STOP 1

/// It goes on.
#define R1_LOOP_NONE 2

/// A reply that the model would end inside a thought goes on: the thought is closed and the answer follows.
#define R1_EOS_REDIRECT 0

/// It goes on inside the thought.
#define R1_EOS_MASK 1

/// It ends.
#define R1_EOS_ALLOW 2

/// Always takes the likeliest token. (A `temperature` of 0 is the default one, as for every field.) The authors of
/// DeepSeek-R1 warn against this: such models then tend to repeat themselves without end.
#define R1_GENERATE_GREEDY 1

/// Sends an `R1_EVENT_TOKEN` for every token.
#define R1_GENERATE_TOKENS 2

/// Goes on after the model has ended its turn; for measurements.
#define R1_GENERATE_IGNORE_END 4

/// The answer is a JSON object; any one. See `json_schema`.
#define R1_GENERATE_JSON 8

/// A thought is open where the prompt leaves one open.
#define R1_PHASE_AUTO 0

/// The prompt has opened a thought.
#define R1_PHASE_THOUGHT 1

/// The prompt has not opened a thought, or has closed it.
#define R1_PHASE_ANSWER 2

/// A piece of the thought: whole characters, never empty, tags removed. Fields: `text`, `text_len`.
#define R1_EVENT_THOUGHT 1

/// A piece of the answer: whole characters, never empty. Fields: `text`, `text_len`.
#define R1_EVENT_ANSWER 2

/// One token, with `R1_GENERATE_TOKENS`; comes before the text that it completes. Fields: `token`, `logprob`, `top`,
/// `top_count`, `provenance`.
#define R1_EVENT_TOKEN 3

/// Counts and times. Fields: `prompt_tokens` to `decode_ns`, `charged_tokens` to `answering_ns`.
#define R1_EVENT_USAGE 4

/// The end; the next call gives `R1_DONE`. Fields: `finish`, `close`, `flags`.
#define R1_EVENT_DONE 5

/// In `flags`: the answer satisfies its grammar.
#define R1_EVENT_COMPLETE 1

/// In `flags`: the answer has a grammar and was cut short, so that it does not satisfy it.
#define R1_EVENT_INCOMPLETE 2

/// The model ended its turn, or a stop text was reached.
#define R1_FINISH_STOP 1

/// The token limit was reached, or a thought was cut off where it stood.
#define R1_FINISH_LENGTH 2

/// The cancel token fired.
#define R1_FINISH_CANCELLED 3

/// The context is full.
#define R1_FINISH_CONTEXT 4

/// The time for the whole reply is over.
#define R1_FINISH_DEADLINE 5

/// No thought has ended.
#define R1_CLOSE_NONE 0

/// The model closed the thought.
#define R1_CLOSE_NATURAL 1

/// The token budget was used up.
#define R1_CLOSE_BUDGET 2

/// The deadline came.
#define R1_CLOSE_DEADLINE 3

/// The host asked for the answer.
#define R1_CLOSE_INTERRUPT 4

/// The thought went in circles.
#define R1_CLOSE_LOOP 5

/// The model ended the whole reply inside the thought.
#define R1_CLOSE_EOS 6

/// The rest of the allowed tokens was kept for the answer.
#define R1_CLOSE_LENGTH 7

/// The model began a tool call inside the thought.
#define R1_CLOSE_TOOL 8

/// A text or a line came that the host waits for.
#define R1_CLOSE_PATTERN 9

/// The thought came to the same answer often enough.
#define R1_CLOSE_SETTLED 10

/// The model chose the token.
#define R1_PROVENANCE_SAMPLED 1

/// The token was forced on the model, to steer its thought.
#define R1_PROVENANCE_FORCED 2

/// The reply has no thought yet; text is answer.
#define R1_REPLY_OUTSIDE 1

/// The reply is in a thought.
#define R1_REPLY_THINKING 2

/// The reply's thought is closed; text is answer.
#define R1_REPLY_CLOSED 3

/// The reply has ended.
#define R1_REPLY_ENDED 4

/// As a budget: no limit.
#define R1_THINK_UNLIMITED UINT64_MAX

/// Starts as many samples at once as `batch` admits: the shortest wait. Otherwise a sample starts only when those that
/// run could not end the vote even if they agreed: the fewest tokens.
#define R1_VOTE_EAGER 1

/// The answers of all samples count. Otherwise those count whose thought the model closed by itself and whose reply is
/// complete, as long as there is one.
#define R1_VOTE_ALL 2

/// The prompt has been read, or every running sample has one token more. Fields: `running`, `finished`, `tokens`.
#define R1_VOTE_PROGRESS 1

/// A sample has ended by itself. Fields: `sample`, `answer` to `thought_len`, `finish`, `close`, `tokens`,
/// `prompt_tokens` to `decode_ns`.
#define R1_VOTE_SAMPLE 2

/// The vote is over; the next call gives `R1_DONE`. Fields: all but `running`, `finish` and `close`. The texts are
/// those of the sample that stands for the result.
#define R1_VOTE_DONE 3

/// All samples have ended.
#define R1_VOTED_ALL 1

/// The rest could not change the winner.
#define R1_VOTED_CERTAIN 2

/// The rule `window:N` held.
#define R1_VOTED_WINDOW 3

/// The rule `beta:P` held.
#define R1_VOTED_BETA 4

/// The rule `first:M` held.
#define R1_VOTED_FIRST 5

/// The cancel token fired; the answer is the leader's.
#define R1_VOTED_CANCELLED 6

/// Stops work from another thread. Named in the options of a model load or of a session; one token may serve many. Work
/// looks at it between tensors while loading, between layers in a prompt and before every token of a reply, so it ends
/// within one of those steps. A token stays fired until it is reset. Any number of threads may use it at once.
typedef struct r1_cancel r1_cancel;

/// A conversation on a session of its own. For one thread at a time, any thread: a call from a second one meanwhile
/// gives `R1_ERR_BUSY`, and so does a new message while the stream or vote of the last one has not ended.
typedef struct r1_chat r1_chat;

/// Why a call failed: a code and a sentence that names the place (file, key, tensor, byte) and often a remedy. Owned by
/// the caller: free it with `r1_error_free`. Immutable: any number of threads may read it.
typedef struct r1_error r1_error;

/// A loaded model: immutable and shared. Any number of threads may use one at once. Sessions, chats and tokenizers made
/// from it keep it alive, so it may be freed before them.
typedef struct r1_model r1_model;

/// One sequence on one model: its tokens, their cache, and the logits after the last of them. For one thread at a
/// time, any thread: a call from a second one meanwhile gives `R1_ERR_BUSY`. While a stream or vote of the session has
/// not ended, calls that would change the session give `R1_ERR_BUSY`, too. Make one session for each thread.
typedef struct r1_session r1_session;

/// A reply in the making. For one thread at a time, any thread: a call from a second one meanwhile gives
/// `R1_ERR_BUSY`, except `r1_think_*`, which any thread may call at any time. Its session or chat is in use until the
/// stream has given `R1_EVENT_DONE`, failed, or been freed.
typedef struct r1_stream r1_stream;

/// A text made by the library. Owned by the caller: free it with `r1_string_free`. Immutable: any number of threads may
/// read it.
typedef struct r1_string r1_string;

/// A vocabulary with its rules. Immutable: any number of threads may use one at once.
typedef struct r1_tokenizer r1_tokenizer;

/// A vote that is being held. For one thread at a time, any thread: a call from a second one meanwhile gives
/// `R1_ERR_BUSY`, except the functions that steer a vote, which any thread may call at any time. Its session or chat is in use until the vote has given `R1_VOTE_DONE`, failed, or been freed.
typedef struct r1_vote r1_vote;

/// What a call came to: `R1_OK`, `R1_DONE`, or one of `R1_ERR_*`, which are all positive. Numbers are never reused.
typedef int32_t r1_status;

/// Gets one line of the log, UTF-8 without a line end: `text` has `len` bytes, is followed by NUL and is valid during
/// the call. Runs on the thread whose call is logged, so on several at once if the host calls from several. It must
/// not call back, except the functions that say "callbacks included", and must not throw.
typedef void (*r1_log_fn)(void *user, int32_t level, const char *text, size_t len);

/// Called once when the library will not use `user` any more: free what it points to. May be NULL. It must not call
/// back, except the functions that say "callbacks included".
typedef void (*r1_drop_fn)(void *user);

/// Told that `done` of `total` units of a step (`R1_STAGE_*`) are finished; `total` is at least 1. Runs on the thread
/// that made the call which takes so long. Return 0 to go on; anything else stops the work as a cancel token does. It
/// must not call back, except the functions that say "callbacks included", and must not throw.
typedef int32_t (*r1_progress_fn)(void *user, int32_t stage, uint64_t done, uint64_t total);

/// Called once on each thread that works for a session, except the caller's own, before its first work: bind it to a
/// processor, set its priority, name it. `thread` counts from 1. It must not call back, except the functions that say
/// "callbacks included", and must not throw.
typedef void (*r1_thread_start_fn)(void *user, uint32_t thread);

/// How a session works. All zeros but `struct_size` is right for most hosts.
typedef struct {
    /// `sizeof(r1_session_options)`.
    uint32_t struct_size;
    /// `R1_SESSION_*`.
    uint32_t flags;
    /// Positions that the session may hold; 0 takes the model's own, at most 32,768. Memory is taken as positions
    /// arrive.
    uint32_t context;
    /// Threads that work, the caller's included; 0 takes one for each processor. Too many are clamped: ask
    /// `r1_session_threads`. Changes the speed, never a bit of the result.
    uint32_t threads;
    /// Tokens of a prompt that one pass takes; 0 takes 512, or 2048 where GPUs run the model. Changes speed and memory, and
    /// on the CPU no bit of the result.
    uint32_t prefill_chunk;
    /// `R1_CACHE_*`.
    int32_t cache;
    /// Stops prompts and replies; NULL for none. The session stays usable; after the token was reset, if one was given.
    const r1_cancel *cancel;
    /// Told how far a prompt has come; NULL for none.
    r1_progress_fn progress;
    /// Handed to `progress`.
    void *progress_user;
    /// Called once with `progress_user` when the session and its streams are gone, or when making the session fails,
    /// unless the options themselves could not be read (`R1_ERR_VERSION`) or the call was refused (`R1_ERR_REENTRANT`).
    /// NULL for none.
    r1_drop_fn progress_drop;
    /// What each thread that works for the session, but the caller's, does first; NULL for nothing. Threads of ggml are not
    /// told.
    r1_thread_start_fn thread_start;
    /// Handed to `thread_start`.
    void *thread_start_user;
    /// As `progress_drop`, for `thread_start_user`.
    r1_drop_fn thread_start_drop;
} r1_session_options;

/// Memory that a model and one session need, in bytes.
typedef struct {
    /// `sizeof(r1_memory)`, set by the host.
    uint32_t struct_size;
    /// 0: none are defined yet.
    uint32_t flags;
    /// The weights in memory.
    uint64_t weights;
    /// Keys and values of one session when its context is full.
    uint64_t cache;
    /// Buffers of the computation.
    uint64_t compute;
    /// What is read from the mapped file and can be taken back by the system at any time. Not part of `total`.
    uint64_t mapped;
    /// Weights, cache and buffers together.
    uint64_t total;
    /// Positions that the figures are for.
    uint64_t context;
    /// What of `weights` are the experts of mixtures: with `R1_MODEL_EXPERTS_IN_PLACE` they stay in the file.
    uint64_t experts;
    /// Weights that one generated token reads: all but the experts that its router does not choose.
    uint64_t read_per_token;
} r1_memory;

/// How a model is loaded. All zeros but `struct_size` is right for most hosts.
typedef struct {
    /// `sizeof(r1_model_options)`.
    uint32_t struct_size;
    /// `R1_MODEL_*`.
    uint32_t flags;
    /// The instruction set: `"scalar"`, `"avx2"`, `"avx512"`, `"neon"`, `"neon-dotprod"`, `"neon-i8mm"`. NULL takes the
    /// environment variable `R1_KERNELS` where it is set, else the fastest that the processor has. Changes the speed, never a bit of the result.
    const char *kernels;
    /// Stops loading; NULL for none.
    const r1_cancel *cancel;
    /// Told how far loading has come; NULL for none.
    r1_progress_fn progress;
    /// Handed to `progress`.
    void *progress_user;
    /// Called once with `progress_user` before the load returns, also where it fails, unless the options themselves
    /// could not be read (`R1_ERR_VERSION`) or the call was refused (`R1_ERR_REENTRANT`). NULL for none.
    r1_drop_fn progress_drop;
    /// What runs the model: `"cpu"` (NULL too), `"cuda"`, `"metal"`, `"vulkan"`, `"gpu"` (every GPU), `"ggml-cpu"`,
    /// `"rpc"`, or names of devices as `r1_devices_json` tells them, with commas between them. What is asked for runs,
    /// or the load fails with `R1_ERR_UNSUPPORTED`: nothing falls back in silence.
    const char *backend;
    /// A folder with ggml's shared libraries; NULL takes the environment variable `R1_GGML_LIB_DIR`, else the ggml that
    /// is linked.
    const char *ggml_folder;
    /// Addresses (`host:port`) of ggml RPC servers with commas between them; NULL for none. Nothing protects the
    /// connection: inside a trusted network only.
    const char *rpc;
    /// Layers that go to the devices, the last ones; 0 for as many as fit.
    uint64_t gpu_layers;
} r1_model_options;

/// Makes a text of a text. `text` has `len` bytes, is UTF-8, followed by NUL, and valid during the call. Write the result
/// to `out`, which has room for `size` bytes, without a NUL, and return its length; where it is longer than `size`, write
/// nothing and return the length, and the function is called once more with room enough. `R1_NO_TEXT` says that there is
/// none; what is longer than 1 MiB or is not UTF-8 counts as none.
///
/// Runs on the thread that made the call which needs it. It must not call back, except the functions that say "callbacks
/// included", and must not throw.
typedef size_t (*r1_text_fn)(void *user, const char *text, size_t len, char *out, size_t size);

/// How a conversation is held. All zeros but `struct_size` is right for most hosts. Texts are read during the call
/// only.
typedef struct {
    /// `sizeof(r1_chat_options)`.
    uint32_t struct_size;
    /// `R1_CHAT_*`.
    uint32_t flags;
    /// Options of the session; NULL takes its defaults.
    const r1_session_options *session;
    /// The chat template: its text or the name of a preset, ending with NUL. NULL takes the file's own.
    const char *chat_template;
    /// Messages that come first: a JSON array of objects with `role` and `content`, ending with NUL. NULL for none.
    const char *messages_json;
    /// Further variables of the template: a JSON object, ending with NUL, such as `{"reasoning_effort": "high"}`. NULL for
    /// none.
    const char *variables_json;
    /// Makes a summary of a thought, for `R1_HISTORY_SUMMARISE`; called by `r1_chat_send` and `r1_chat_vote` for every
    /// earlier thought. No text, or an empty one, drops the thought.
    r1_text_fn summarise;
    /// Handed to `summarise`.
    void *summarise_user;
    /// Called once with `summarise_user` when the conversation and its streams and votes are gone, or when making it
    /// fails, unless the options themselves could not be read (`R1_ERR_VERSION`) or the call was refused
    /// (`R1_ERR_REENTRANT`). NULL for none.
    r1_drop_fn summarise_drop;
    /// Characters for `R1_HISTORY_SHORTEN`.
    uint64_t history_chars;
    /// What becomes of the thoughts of earlier turns: `R1_HISTORY_*`.
    int32_t history;
    /// What becomes of system messages: `R1_SYSTEM_*`.
    int32_t system;
} r1_chat_options;

/// Added to the logit of a token before sampling; minus infinity forbids the token.
typedef struct {
    /// The token.
    uint32_t token;
    /// What is added.
    float bias;
} r1_logit_bias;

/// How long and how the model may think. All zeros but `struct_size` set no limit: they only end thoughts that go in
/// circles, keep the model from ending its reply inside a thought, and keep room for an answer where the number of
/// tokens is limited.
///
/// A limit that is reached closes the thought for the model: `message` and the closing tag are forced and the answer
/// follows. Thought tokens that the model chose never exceed budget + grace; tags and forced tokens are counted apart.
/// Texts are read during the call only.
typedef struct {
    /// `sizeof(r1_think_options)`.
    uint32_t struct_size;
    /// `R1_THINK_*`. One that says what a field says otherwise, such as `R1_THINK_NO_GRACE` beside a `grace`, gives
    /// `R1_ERR_RANGE`.
    uint32_t flags;
    /// Thought tokens of the whole reply, all its thoughts together. 0 sets no limit; for none set `R1_THINK_NOTHING`.
    uint64_t budget;
    /// Thought tokens of each thought. 0 sets no limit.
    uint64_t block_budget;
    /// Thought tokens that must come before the model may close its thought; other limits still close it. At most the
    /// budgets.
    uint64_t minimum;
    /// Tokens by which a budget may be exceeded to reach the boundary. 0 takes a tenth of the budget, and nothing where
    /// the boundary is `R1_BOUNDARY_TOKEN`; for none set `R1_THINK_NO_GRACE`.
    uint64_t grace;
    /// Tokens kept for the answer where `max_tokens` or the context limits the reply: the thought is closed in time. 0
    /// takes a quarter of the limit, at most 512, and nothing below 16; for none set `R1_THINK_NO_RESERVE`.
    uint64_t answer_reserve;
    /// Time for thoughts in milliseconds, counted from the end of the prompt. 0 sets no limit.
    uint64_t deadline_think_ms;
    /// Time for the whole reply in milliseconds, prompt included: the thought is closed early enough for an answer, and
    /// the answer ends when the time is over. 0 sets no limit.
    uint64_t deadline_total_ms;
    /// What is written in place of a closing tag that came too early (see `extensions`), ending with NUL, at most 4096
    /// bytes. NULL takes `Wait`.
    const char *wait;
    /// What is written before a forced closing tag, on a new line, ending with NUL, at most 4096 bytes. NULL and `""`
    /// only end the line, which measured best; for nothing at all set `R1_THINK_NO_MESSAGE`. Left out where nothing was
    /// thought and where there is no room.
    const char *message;
    /// `tool_open_count` texts, such as `<tool_call>`, of which each closes a thought that it comes in and begins the
    /// answer. With `R1_THINK_FORBID_TOOLS` none of them can come in a thought. Without any, a tool call in a thought is
    /// part of the thought.
    const char *const *tool_open;
    /// Number of `tool_open` texts.
    size_t tool_open_count;
    /// So many times the model's own closing tag is replaced by `wait`, so that it thinks again.
    uint32_t extensions;
    /// Thoughts of one reply; what is opened beyond that is closed at once. 0 sets no limit.
    uint32_t max_blocks;
    /// Where a used-up budget cuts: `R1_BOUNDARY_*`. Other limits cut at once.
    int32_t boundary;
    /// What a used-up budget does: `R1_ON_BUDGET_*`.
    int32_t on_budget;
    /// What to do about a thought that goes in circles: `R1_LOOP_*`.
    int32_t loops;
    /// What to do when the model ends its reply inside a thought: `R1_EOS_*`.
    int32_t guard_eos;
    /// The ramp draws the model towards its closing tag in the last part of a budget; this is the share of the budget
    /// that is the last part, up to 1. All three ramp fields 0: no ramp. Otherwise a 0 here takes 0.2.
    float ramp_share;
    /// How far the closing tag is raised at the end of the budget, up to 1. With a ramp, 0 takes 1.
    float ramp_strength;
    /// What the closing tag always stays below the best token's logit. With a ramp, 0 takes 0.25.
    float ramp_margin;
    /// As in `r1_generate_options`, but for tokens outside thoughts; 0 takes what holds for thoughts. So with the four
    /// that follow.
    float answer_temperature;
    /// See `answer_temperature`.
    float answer_top_p;
    /// See `answer_temperature`.
    float answer_min_p;
    /// See `answer_temperature`.
    float answer_repetition_penalty;
    /// See `answer_temperature`.
    uint32_t answer_top_k;
    /// `until_count` texts of which each closes the thought when it comes in it.
    const char *const *until;
    /// Number of `until` texts.
    size_t until_count;
    /// A pattern, ending with NUL; a line of the thought that it matches closes the thought. NULL for none.
    const char *until_line;
    /// The thought is closed when it has stated the same answer so many times in a row, in a `\boxed{...}` or after "the
    /// answer is". 0 never does.
    uint32_t until_settled;
    /// 0: none are defined yet.
    uint32_t reserved;
    /// `close_tag_count` further texts that close a thought, beside the model's own tag or that of `r1_generate_options`.
    const char *const *close_tags;
    /// Number of `close_tags` texts.
    size_t close_tag_count;
    /// Scripts that thoughts are written in, as in `r1_generate_options`, which has those of the answer. Texts that you
    /// give to be written need not keep to them. NULL allows all.
    const char *scripts;
} r1_think_options;

/// What to generate. All zeros but `struct_size` samples as the DeepSeek-R1 paper does, until the model ends its turn
/// or the context is full. NaN is `R1_ERR_ARGUMENT` everywhere. Texts and lists are read during the call only.
typedef struct {
    /// `sizeof(r1_generate_options)`.
    uint32_t struct_size;
    /// `R1_GENERATE_*`.
    uint32_t flags;
    /// Divides the logits. 0 takes 0.6; for the likeliest token set `R1_GENERATE_GREEDY`.
    float temperature;
    /// Keeps the smallest set of likeliest tokens whose probabilities reach this. 0 takes 0.95; 1 is off.
    float top_p;
    /// Keeps tokens at least this likely, measured by the likeliest one. 0 is off.
    float min_p;
    /// Keeps this many of the likeliest tokens. 0 is off.
    uint32_t top_k;
    /// Divides positive and multiplies negative logits of tokens in the window. 0 takes 1, which is off.
    float repetition_penalty;
    /// Subtracted from the logit of every token in the window. 0 is off.
    float presence_penalty;
    /// Subtracted from a token's logit for each time it is in the window. 0 is off.
    float frequency_penalty;
    /// How many of the latest tokens the penalties see. 0 takes 256.
    uint32_t penalty_window;
    /// Chooses the random numbers together with the position.
    uint64_t seed;
    /// Tokens to generate at most, the thought included. 0 goes on until the context is full.
    uint64_t max_tokens;
    /// The answer ends where one of these texts begins; thoughts are not searched. `stop_count` texts that end with
    /// NUL.
    const char *const *stop;
    /// `logit_bias_count` biases.
    const r1_logit_bias *logit_bias;
    /// Number of `stop` texts.
    uint32_t stop_count;
    /// Number of `logit_bias` entries.
    uint32_t logit_bias_count;
    /// With `R1_GENERATE_TOKENS`: how many of the likeliest tokens each event has.
    uint32_t top_logprobs;
    /// Where the prompt leaves the model: `R1_PHASE_*`.
    int32_t phase;
    /// The tag that opens a thought, ending with NUL; NULL, as `think_close`, takes what the model's vocabulary has.
    const char *think_open;
    /// The tag that closes a thought. Both tags are given or none.
    const char *think_close;
    /// How long and how the model may think; NULL takes the defaults.
    const r1_think_options *think;
    /// NULL: nothing is defined yet.
    const void *reserved;
    /// What the answer has to be, from the end of the thought on: JSON that this schema, ending with NUL, describes; NULL
    /// for none. The reply ends where the answer is complete, which `R1_EVENT_COMPLETE` tells. At most one of this, the
    /// two that follow and `R1_GENERATE_JSON`. A library that was built without grammars gives `R1_ERR_UNSUPPORTED`.
    const char *json_schema;
    /// A regular expression that the whole answer matches, ending with NUL; NULL for none. See `json_schema`.
    const char *regex;
    /// A grammar in llguidance's variant of Lark's syntax, ending with NUL; NULL for none. See `json_schema`.
    const char *lark;
    /// Scripts that the answer is written in, ending with NUL, with commas between them: `latin`, `han`, `Cyrl,Latn`.
    /// Digits, punctuation and symbols are always allowed. NULL allows all.
    const char *scripts;
} r1_generate_options;

/// A token and its log-probability under the model's own distribution (natural logarithm, before temperature, penalties
/// and cuts).
typedef struct {
    /// The token.
    uint32_t token;
    /// Its log-probability.
    float logprob;
} r1_token_logprob;

/// One step of a reply: pieces of thought and answer (with tokens between them, if asked for), then usage, then done.
/// Fields that the kind does not name are 0. Skip kinds that you do not know: later versions may add some.
typedef struct {
    /// `sizeof(r1_event)`, set by the host.
    uint32_t struct_size;
    /// `R1_EVENT_*`.
    int32_t kind;
    /// UTF-8, followed by NUL; valid until the next call on this stream.
    const char *text;
    /// The likeliest tokens, best first; valid until the next call on this stream.
    const r1_token_logprob *top;
    /// Bytes of `text`, without the NUL.
    uint64_t text_len;
    /// Number of `top` entries.
    uint64_t top_count;
    /// The token.
    uint32_t token;
    /// Its log-probability under the model's own distribution; NaN where a forced token has none.
    float logprob;
    /// Why the reply ended: `R1_FINISH_*`.
    int32_t finish;
    /// Why the thought ended: `R1_CLOSE_*`.
    int32_t close;
    /// Tokens of the prompt, those found in the cache included.
    uint64_t prompt_tokens;
    /// Tokens of the prompt that were still in the cache and not computed again.
    uint64_t cached_tokens;
    /// Thought tokens that the model chose.
    uint64_t reasoning_tokens;
    /// Tokens of the thought's tags.
    uint64_t tag_tokens;
    /// Tokens that were forced on the model.
    uint64_t forced_tokens;
    /// Answer tokens.
    uint64_t answer_tokens;
    /// Time in the prompt, in nanoseconds.
    uint64_t prefill_ns;
    /// Time from the end of the prompt to the end of the reply, in nanoseconds.
    uint64_t decode_ns;
    /// Who chose the token: `R1_PROVENANCE_*`.
    int32_t provenance;
    /// `R1_EVENT_COMPLETE`, `R1_EVENT_INCOMPLETE`, or neither where no grammar was given.
    uint32_t flags;
    /// Thought tokens of the prompt that counted against the budget.
    uint64_t charged_tokens;
    /// The part of `decode_ns` in thoughts.
    uint64_t thinking_ns;
    /// The part of `decode_ns` outside thoughts.
    uint64_t answering_ns;
} r1_event;

/// How far a reply is. Each number is right by itself; a token may arrive while they are read.
typedef struct {
    /// `sizeof(r1_think_state)`, set by the host.
    uint32_t struct_size;
    /// `R1_REPLY_*`.
    int32_t phase;
    /// Thought tokens that the model chose: what budgets limit.
    uint64_t reasoning_tokens;
    /// Tokens of the thought's tags.
    uint64_t tag_tokens;
    /// Tokens that were forced on the model.
    uint64_t forced_tokens;
    /// Answer tokens.
    uint64_t answer_tokens;
    /// Tokens that may still turn out to be a tag; in none of the other counts.
    uint64_t pending_tokens;
} r1_think_state;

/// The votes for one answer.
typedef struct {
    /// The answer: UTF-8, followed by NUL.
    const char *answer;
    /// Samples that gave it.
    uint64_t votes;
} r1_vote_count;

/// One step of a vote. Fields that the kind does not name are 0. Skip kinds that you do not know: later versions may
/// add some. Pointers are valid until the next call on this vote.
typedef struct {
    /// `sizeof(r1_vote_event)`, set by the host.
    uint32_t struct_size;
    /// `R1_VOTE_PROGRESS`, `R1_VOTE_SAMPLE`, `R1_VOTE_DONE`.
    int32_t kind;
    /// The text under which the sample's answer is counted, or the winning one: UTF-8, followed by NUL. NULL without an
    /// answer.
    const char *answer;
    /// The reply without its thought: UTF-8, followed by NUL. NULL where no sample stands for the result.
    const char *text;
    /// The thought, likewise.
    const char *thought;
    /// The votes for every answer, most first.
    const r1_vote_count *counts;
    /// Bytes of `answer`, without the NUL.
    uint64_t answer_len;
    /// Bytes of `text`, without the NUL.
    uint64_t text_len;
    /// Bytes of `thought`, without the NUL.
    uint64_t thought_len;
    /// Number of `counts` entries.
    uint64_t count_count;
    /// The sample's number, from 0; in `R1_VOTE_DONE` that of the sample that stands for the result, -1 for none.
    int64_t sample;
    /// Samples that gave the winning answer.
    uint64_t votes;
    /// Its share of the votes that counted, 0 to 1.
    double confidence;
    /// Samples that run.
    uint64_t running;
    /// Samples that have ended by themselves.
    uint64_t finished;
    /// Samples that the vote could have taken.
    uint64_t limit;
    /// Generated tokens: of the sample, or of all samples so far.
    uint64_t tokens;
    /// An estimate of the tokens that ending early saved.
    uint64_t saved;
    /// Why the vote ended: `R1_VOTED_*`.
    int32_t reason;
    /// Why the sample ended: `R1_FINISH_*`.
    int32_t finish;
    /// Why its thought ended: `R1_CLOSE_*`.
    int32_t close;
    /// Whether the sample's answer satisfies its grammar: `R1_EVENT_COMPLETE`, `R1_EVENT_INCOMPLETE`, or neither.
    uint32_t flags;
    /// As in `r1_event`; in `R1_VOTE_DONE` of all samples together, for which the prompt was read once. So with those
    /// that follow.
    uint64_t prompt_tokens;
    /// See `prompt_tokens`.
    uint64_t cached_tokens;
    /// See `prompt_tokens`.
    uint64_t reasoning_tokens;
    /// See `prompt_tokens`.
    uint64_t tag_tokens;
    /// See `prompt_tokens`.
    uint64_t forced_tokens;
    /// See `prompt_tokens`.
    uint64_t answer_tokens;
    /// See `prompt_tokens`.
    uint64_t prefill_ns;
    /// See `prompt_tokens`.
    uint64_t decode_ns;
} r1_vote_event;

/// Says how much a sample's answer counts: above 0 and at most 1; anything else ends the vote with `R1_ERR_ARGUMENT`.
/// `sample` is as `r1_vote_next` gives it for `R1_VOTE_SAMPLE`, valid during the call. Runs on the thread that called
/// `r1_vote_next`, after `extract`. It must not call back, except the functions that say "callbacks included", and must
/// not throw.
typedef double (*r1_weigh_fn)(void *user, const r1_vote_event *sample);

/// How a vote is held. All zeros but `struct_size` take 16 samples as the DeepSeek-R1 paper does, read mathematical
/// answers, and stop as soon as the winner is certain. Texts are read during the call only.
typedef struct {
    /// `sizeof(r1_vote_options)`.
    uint32_t struct_size;
    /// `R1_VOTE_EAGER`, `R1_VOTE_ALL`.
    uint32_t flags;
    /// How each sample is generated, with a seed of its own that is made from the one given; NULL takes the defaults.
    /// Tokens are not reported.
    const r1_generate_options *generate;
    /// What an answer is, ending with NUL: `integer`, `math`, `choice`, `exact` or `regex:` and a pattern, of
    /// whose last match the first group is the answer. NULL takes `math`.
    const char *answer_kind;
    /// When the vote may end before all samples have, ending with NUL: `never`, `certain`, `window:N` (the last N
    /// agree), `beta:P` (the leader stays ahead with probability P), `first:M` (the first M decide). NULL takes
    /// `certain`.
    const char *early_stop;
    /// Samples at most, up to 4096. 0 takes 16.
    uint32_t samples;
    /// Samples that run together at most. 0 sets no limit.
    uint32_t batch;
    /// Finds a sample's answer in its reply (without the thought) in place of `answer_kind`; no text: there is none.
    /// Equal texts are equal answers. Called by `r1_vote_next` once for every sample that has ended. NULL for none.
    r1_text_fn extract;
    /// How much each answer counts; NULL counts them alike.
    r1_weigh_fn weigh;
    /// Handed to `extract` and `weigh`.
    void *user;
    /// Called once with `user` when the vote is gone, or when beginning it fails, unless the options themselves could not
    /// be read (`R1_ERR_VERSION`) or the call was refused (`R1_ERR_REENTRANT`). NULL for none.
    r1_drop_fn user_drop;
} r1_vote_options;

/// The call did what it says.
#define R1_OK 0

/// The stream or vote has ended; nothing was written.
#define R1_DONE -1

/// The operating system refused a file operation.
#define R1_ERR_IO 1

/// The file is not a GGUF file that this library reads.
#define R1_ERR_NOT_GGUF 2

/// The file contradicts itself or its format.
#define R1_ERR_MALFORMED 3

/// The file needs something that this library does not have.
#define R1_ERR_UNSUPPORTED 4

/// Something required is absent: a key, a tensor, a token of that text.
#define R1_ERR_MISSING 5

/// An argument makes no sense to the model or the object; the message says which and why.
#define R1_ERR_ARGUMENT 6

/// The call is not possible in the object's present state.
#define R1_ERR_STATE 7

/// The object is in use: by another thread, or by a stream or vote that has not ended.
#define R1_ERR_BUSY 8

/// The cancel token fired, or a progress function asked to stop.
#define R1_ERR_CANCELLED 9

/// The prompt does not fit the context; the message has the numbers.
#define R1_ERR_CONTEXT_FULL 10

/// Memory could not be reserved.
#define R1_ERR_OUT_OF_MEMORY 11

/// The chat template failed to parse or to render, or ran over its limits.
#define R1_ERR_TEMPLATE 12

/// The file has no chat template and none was given.
#define R1_ERR_NO_TEMPLATE 13

/// Text that must be UTF-8 is not.
#define R1_ERR_UTF8 14

/// A safety limit was reached.
#define R1_ERR_LIMIT 15

/// A bug of this library was noticed before it could do harm.
#define R1_ERR_INTERNAL 16

/// A required pointer is NULL.
#define R1_ERR_NULL_ARG 101

/// A handle is not live or not of this type: freed, never given out, or another kind of object.
#define R1_ERR_HANDLE 102

/// A struct could not be read: its `struct_size` is that of no version, a flag or the part beyond what this library
/// knows is not zero, or the pointer is misaligned. Nothing in the struct was used, no callback of it is called.
#define R1_ERR_VERSION 103

/// A bug of this library was caught on its way out. The session or chat concerned can only be freed.
#define R1_ERR_PANIC 104

/// The function was called from within a callback.
#define R1_ERR_REENTRANT 105

/// A number is outside its documented range, a length is absurd, or a pointer is misaligned.
#define R1_ERR_RANGE 106

/// The buffer is too small; the size that is needed was written to the count.
#define R1_ERR_BUFFER 107

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/// The ABI number of the library that was linked; compare it with `R1_ABI_VERSION`. Any thread, callbacks included.
R1_API
uint32_t r1_abi_version(void);

/// The version of the library, such as `"0.1.0"`. Static: never free it. Any thread, callbacks included.
R1_API const char *r1_version_string(void);

/// How the library was built and what it can run on here, as a JSON object: `version`, `abi`, `arch`, `os`, `debug`,
/// and `devices`, an array of `name`, `kernels` (those used by default), `available` (all that run here), `threads`.
/// Fields may be added. Static: never free it. Any thread, callbacks included.
R1_API
const char *r1_build_info_json(void);

/// The name of a status, such as `"R1_ERR_BUSY"`; `"R1_ERR_UNKNOWN"` for a number that this version does not know.
/// Static: never free it. Any thread, callbacks included.
R1_API
const char *r1_status_str(r1_status status);

/// The code of an error; `R1_OK` for NULL, `R1_ERR_HANDLE` for a handle that is not live. Any thread, callbacks
/// included.
R1_API
r1_status r1_error_code(const r1_error *err);

/// The text of an error: UTF-8, ends with NUL, valid until the error is freed. Never NULL: for NULL and for a handle
/// that is not live the text says so. The wording may change between versions. Any thread, callbacks included.
R1_API
const char *r1_error_message(const r1_error *err);

/// Frees an error. NULL is fine; a handle that is not live gives `R1_ERR_HANDLE`. Any thread, callbacks included.
R1_API
r1_status r1_error_free(r1_error *err);

/// The text: UTF-8, followed by NUL, valid until the string is freed. `len`, where not NULL, gets its length in bytes
/// without that NUL. Returns NULL, and writes nothing, for a handle that is not live. Any thread, callbacks included.
R1_API
const char *r1_string_data(const r1_string *string,
                           size_t *len);

/// Frees a string. NULL is fine; a handle that is not live gives `R1_ERR_HANDLE`. Any thread, callbacks included.
R1_API
r1_status r1_string_free(r1_string *string);

/// Sends log lines up to `level` to `write`, in place of whatever was set before; NULL or `R1_LOG_OFF` turns the log
/// off, which is how it begins. This is the only state that the library keeps for the whole process. When the call
/// returns, the function set before is not running any more on any thread and its `drop` has been called.
///
/// Errors: `R1_ERR_RANGE` for an unknown level. `drop` is called in that case too.
R1_API
R1_NODISCARD
r1_status r1_log_set(int32_t level,
                     r1_log_fn write,
                     void *user,
                     r1_drop_fn drop,
                     r1_error **err);

/// Describes a GGUF file as a JSON object, without reading its weights: `version`, `file_size`, `parameters`,
/// `metadata` (an object; arrays of more than 64 entries appear as `{"type": ..., "len": ...}`) and `tensors` (an
/// array of `name`, `type`, `dims`, `bytes`). Fields may be added. Free the text with `r1_string_free`.
///
/// Errors: those of `r1_model_load` that concern the header.
R1_API
R1_NODISCARD
r1_status r1_inspect_json(const char *path,
                          size_t path_len,
                          r1_string **out,
                          r1_error **err);

/// Writes what a model and one session will need, without reading its weights. Of `options` (which may be NULL) only
/// `context` and `cache` are used. `out->struct_size` must be set, as `R1_MEMORY_INIT` does.
///
/// Errors: those of `r1_model_load` that concern the header; `R1_ERR_ARGUMENT` where the numbers overflow.
R1_API
R1_NODISCARD
r1_status r1_estimate(const char *path,
                      size_t path_len,
                      const r1_session_options *options,
                      r1_memory *out,
                      r1_error **err);

/// Fills `size` bytes, which is `sizeof(r1_model_options)`, with the defaults; as `R1_MODEL_OPTIONS_INIT` does.
R1_API
r1_status r1_model_options_init(r1_model_options *options,
                                size_t size);

/// Loads a model from a GGUF file; of a split model any part. `options` may be NULL. Free the model with
/// `r1_model_free`.
///
/// Errors: `R1_ERR_IO`, `R1_ERR_NOT_GGUF`, `R1_ERR_MALFORMED`, `R1_ERR_UNSUPPORTED` and `R1_ERR_MISSING` say what is
/// wrong with the file and where; `R1_ERR_ARGUMENT` for kernels that do not run here; `R1_ERR_OUT_OF_MEMORY`,
/// `R1_ERR_CANCELLED`.
R1_API
R1_NODISCARD
r1_status r1_model_load(const char *path,
                        size_t path_len,
                        const r1_model_options *options,
                        r1_model **out,
                        r1_error **err);

/// Loads a model from a GGUF file that lies in memory. As `r1_model_load`, but for split models, which are
/// `R1_ERR_UNSUPPORTED`.
R1_API
R1_NODISCARD
r1_status r1_model_load_memory(const uint8_t *data,
                               size_t len,
                               const r1_model_options *options,
                               r1_model **out,
                               r1_error **err);

/// Copies at once the weights that loading left for later passes to copy into the kernels' layout, on all processors:
/// for hosts that have time before the first prompt. Does nothing where none are left. Sessions may use the model
/// meanwhile; weights that memory does not suffice for stay where they are, which is no error. `cancel` may be NULL.
///
/// Errors: `R1_ERR_CANCELLED`; what is copied by then stays so.
R1_API
r1_status r1_model_finish_repacking(const r1_model *model,
                                    const r1_cancel *cancel,
                                    r1_error **err);

/// What the model is, as a JSON object: `name` (or null), `kernels`, `context`, `vocabulary`, `layers`, `embedding`,
/// `weight_bytes` (those that are copied later too), `chat_template` (whether the file has one). Fields may be added. Free the text with
/// `r1_string_free`.
R1_API
R1_NODISCARD
r1_status r1_model_info_json(const r1_model *model,
                             r1_string **out,
                             r1_error **err);

/// The model's tokenizer. It does not need the model's handle any more. Free it with `r1_tokenizer_free`.
R1_API R1_NODISCARD r1_status r1_model_tokenizer(const r1_model *model, r1_tokenizer **out, r1_error **err);

/// Frees a model, or rather this handle to it: the memory goes with its last session. NULL is fine; a handle that is
/// not live gives `R1_ERR_HANDLE`. Any thread, callbacks included.
R1_API
r1_status r1_model_free(r1_model *model);

/// Lists what models can run on, as a JSON array of objects: `name` (for `backend` in `r1_model_options`), `description`,
/// `backend`, `memory_free` and `memory_total` (bytes, or null), and for the CPU `kernels`, `available`, `threads`.
/// `ggml_folder` and `rpc` are as in `r1_model_options` and may be NULL. Fields may be added. Free the text with
/// `r1_string_free`.
///
/// Errors: `R1_ERR_UNSUPPORTED` where there is no ggml or it does not load; `R1_ERR_IO` for a server that does not
/// answer. The CPU is always there, so hosts may go on with it.
R1_API
R1_NODISCARD
r1_status r1_devices_json(const char *ggml_folder,
                          const char *rpc,
                          r1_string **out,
                          r1_error **err);

/// A new token that has not fired. Free it with `r1_cancel_free`.
R1_API R1_NODISCARD r1_status r1_cancel_new(r1_cancel **out, r1_error **err);

/// Fires a token, any number of times. Takes no lock and no memory: may be called from any thread, from callbacks, and
/// from a signal handler unless the token is being freed meanwhile.
///
/// Errors: `R1_ERR_NULL_ARG`, `R1_ERR_HANDLE`.
R1_API
r1_status r1_cancel_fire(const r1_cancel *cancel);

/// Makes a fired token usable again. Threads and errors as `r1_cancel_fire`.
R1_API r1_status r1_cancel_reset(const r1_cancel *cancel);

/// Frees a token; work that was given it goes on and cannot be stopped by it any more. NULL is fine; a handle that is
/// not live gives `R1_ERR_HANDLE`. Any thread, callbacks included.
R1_API
r1_status r1_cancel_free(r1_cancel *cancel);

/// Loads the tokenizer of a GGUF file without its weights; a vocabulary-only file will do. Free it with
/// `r1_tokenizer_free`.
///
/// Errors: those of `r1_model_load` that concern the header.
R1_API
R1_NODISCARD
r1_status r1_tokenizer_load(const char *path,
                            size_t path_len,
                            r1_tokenizer **out,
                            r1_error **err);

/// Writes the tokens of a text, `R1_ENCODE_*` in `flags`. `(NULL, 0)` for the buffer writes `count` only.
///
/// Errors: `R1_ERR_UTF8`; `R1_ERR_BUFFER` where the tokens do not fit, with their number in `count`.
R1_API
R1_NODISCARD
r1_status r1_tokenizer_encode(const r1_tokenizer *tokenizer,
                              const char *text,
                              size_t text_len,
                              uint32_t flags,
                              uint32_t *tokens,
                              size_t capacity,
                              size_t *count,
                              r1_error **err);

/// Writes the bytes that tokens print, `R1_DECODE_*` in `flags`; no NUL is added. They need not be UTF-8, since a
/// token may hold a part of a character. `(NULL, 0)` for the buffer writes `len` only.
///
/// Errors: `R1_ERR_RANGE` for a token beyond the vocabulary; `R1_ERR_BUFFER` where the bytes do not fit, with their
/// number in `len`.
R1_API
R1_NODISCARD
r1_status r1_tokenizer_decode(const r1_tokenizer *tokenizer,
                              const uint32_t *tokens,
                              size_t count,
                              uint32_t flags,
                              char *text,
                              size_t capacity,
                              size_t *len,
                              r1_error **err);

/// Writes the number of tokens in the vocabulary.
R1_API R1_NODISCARD r1_status r1_tokenizer_len(const r1_tokenizer *tokenizer, size_t *out, r1_error **err);

/// Writes the token that the file spells exactly like this text, such as `"<think>"`.
///
/// Errors: `R1_ERR_MISSING` where there is none.
R1_API
R1_NODISCARD
r1_status r1_tokenizer_find(const r1_tokenizer *tokenizer,
                            const char *text,
                            size_t text_len,
                            uint32_t *out,
                            r1_error **err);

/// Writes the token with a role, `R1_TOKEN_*`.
///
/// Errors: `R1_ERR_RANGE` for an unknown role, `R1_ERR_MISSING` where the vocabulary has no such token.
R1_API
R1_NODISCARD
r1_status r1_tokenizer_special(const r1_tokenizer *tokenizer,
                               int32_t role,
                               uint32_t *out,
                               r1_error **err);

/// Writes 1 if a reply is over after this token, else 0.
///
/// Errors: `R1_ERR_RANGE` for a token beyond the vocabulary.
R1_API
R1_NODISCARD
r1_status r1_tokenizer_is_end(const r1_tokenizer *tokenizer,
                              uint32_t token,
                              int32_t *out,
                              r1_error **err);

/// Frees a tokenizer. NULL is fine; a handle that is not live gives `R1_ERR_HANDLE`. Any thread, callbacks included.
R1_API
r1_status r1_tokenizer_free(r1_tokenizer *tokenizer);

/// Fills `size` bytes, which is `sizeof(r1_chat_options)`, with the defaults; as `R1_CHAT_OPTIONS_INIT` does.
R1_API r1_status r1_chat_options_init(r1_chat_options *options, size_t size);

/// A new conversation. `options` may be NULL. Free it with `r1_chat_free`.
///
/// Errors: as `r1_session_new`; `R1_ERR_NO_TEMPLATE` where the file has no template and none is given;
/// `R1_ERR_TEMPLATE` where it does not parse; `R1_ERR_ARGUMENT` for messages that are not what they should be.
R1_API
R1_NODISCARD
r1_status r1_chat_new(const r1_model *model,
                      const r1_chat_options *options,
                      r1_chat **out,
                      r1_error **err);

/// What the authors of the model advise against in the messages that the conversation began with: `R1_CHAT_WARN_*` bits,
/// 0 for nothing. The log has them as texts.
R1_API
R1_NODISCARD
r1_status r1_chat_warnings(const r1_chat *chat,
                           uint32_t *out,
                           r1_error **err);

/// Sends a user's message and begins the reply. Returns at once; the work is done in `r1_stream_next`. The message
/// and the reply join the conversation when the stream ends; a stream that is freed before forgets them. `options`
/// may be NULL. Free the stream with `r1_stream_free`.
///
/// Errors: `R1_ERR_BUSY` while the last reply has not ended; `R1_ERR_TEMPLATE` where the template refuses;
/// `R1_ERR_CONTEXT_FULL`; `R1_ERR_ARGUMENT` for options out of range.
R1_API
R1_NODISCARD
r1_status r1_chat_send(r1_chat *chat,
                       const char *text,
                       size_t text_len,
                       const r1_generate_options *options,
                       r1_stream **out,
                       r1_error **err);

/// The conversation so far as a JSON array of messages. Free the text with `r1_string_free`.
R1_API R1_NODISCARD r1_status r1_chat_messages_json(const r1_chat *chat, r1_string **out, r1_error **err);

/// Renders a conversation (a JSON array of messages) to a prompt text, as the file's template or `chat_template`
/// (text or name of a preset; NULL for the file's) has it; `R1_CHAT_*` in `flags`. Free the text with
/// `r1_string_free`.
///
/// Errors: as `r1_chat_new`.
R1_API
R1_NODISCARD
r1_status r1_chat_render(const r1_model *model,
                         const char *messages_json,
                         size_t messages_len,
                         const char *chat_template,
                         uint32_t flags,
                         r1_string **out,
                         r1_error **err);

/// Frees a conversation. NULL is fine; a handle that is not live gives `R1_ERR_HANDLE`. Its stream, or a call that
/// runs in another thread, goes on undisturbed. Any thread, callbacks included.
R1_API
r1_status r1_chat_free(r1_chat *chat);

/// Fills `size` bytes, which is `sizeof(r1_session_options)`, with the defaults; as `R1_SESSION_OPTIONS_INIT` does.
R1_API
r1_status r1_session_options_init(r1_session_options *options,
                                  size_t size);

/// A new, empty session. `options` may be NULL. Free it with `r1_session_free`.
///
/// Errors: `R1_ERR_ARGUMENT` for a context beyond the model's; `R1_ERR_RANGE` for an unknown cache type.
R1_API
R1_NODISCARD
r1_status r1_session_new(const r1_model *model,
                         const r1_session_options *options,
                         r1_session **out,
                         r1_error **err);

/// A second session with the same past, at no cost for the cache now. It has threads of its own and no cancel token;
/// its prompts are reported to the same progress function, which cannot stop them. Free it with `r1_session_free`.
R1_API
R1_NODISCARD
r1_status r1_session_fork(r1_session *session,
                          r1_session **out,
                          r1_error **err);

/// Appends tokens and runs them through the model. No tokens at all do nothing.
///
/// Errors: `R1_ERR_CONTEXT_FULL` before anything is computed; `R1_ERR_ARGUMENT` for a token beyond the vocabulary;
/// `R1_ERR_OUT_OF_MEMORY`; `R1_ERR_CANCELLED`. After an error the session holds the tokens of the chunks that were
/// finished: ask `r1_session_len`.
R1_API
R1_NODISCARD
r1_status r1_session_append(r1_session *session,
                            const uint32_t *tokens,
                            size_t count,
                            r1_error **err);

/// Makes `tokens` the session's tokens. What they share with the present ones, from the first on, is not computed
/// again; the number of those is written to `kept` (which may be NULL).
///
/// Errors: as `r1_session_append`.
R1_API
R1_NODISCARD
r1_status r1_session_replace(r1_session *session,
                             const uint32_t *tokens,
                             size_t count,
                             size_t *kept,
                             r1_error **err);

/// Forgets the tokens from `len` on; 0 empties the session. A `len` beyond the session's own does nothing.
R1_API R1_NODISCARD r1_status r1_session_truncate(r1_session *session, size_t len, r1_error **err);

/// Writes how many tokens the session has.
R1_API R1_NODISCARD r1_status r1_session_len(const r1_session *session, size_t *out, r1_error **err);

/// Writes how many positions the session may hold.
R1_API R1_NODISCARD r1_status r1_session_context(const r1_session *session, size_t *out, r1_error **err);

/// Writes how many threads really work for the session.
R1_API R1_NODISCARD r1_status r1_session_threads(const r1_session *session, size_t *out, r1_error **err);

/// Writes the session's tokens. `(NULL, 0)` for the buffer writes `count` only.
///
/// Errors: `R1_ERR_BUFFER` where they do not fit, with their number in `count`.
R1_API
R1_NODISCARD
r1_status r1_session_tokens(const r1_session *session,
                            uint32_t *tokens,
                            size_t capacity,
                            size_t *count,
                            r1_error **err);

/// Writes the logits after the last token, one for each entry of the vocabulary. `(NULL, 0)` for the buffer writes
/// `count` only.
///
/// Errors: `R1_ERR_STATE` before the first token and after `r1_session_truncate`; `R1_ERR_BUFFER` where they do not
/// fit, with their number in `count`.
R1_API
R1_NODISCARD
r1_status r1_session_logits(const r1_session *session,
                            float *logits,
                            size_t capacity,
                            size_t *count,
                            r1_error **err);

/// Begins a generation: appends `tokens` (none, if the session has some) and goes on from there. Returns at once; the
/// work is done in `r1_stream_next`. `options` may be NULL. Free the stream with `r1_stream_free`.
///
/// Errors: `R1_ERR_STATE` without any token; `R1_ERR_CONTEXT_FULL`; `R1_ERR_ARGUMENT` for options out of range.
R1_API
R1_NODISCARD
r1_status r1_session_generate(r1_session *session,
                              const uint32_t *tokens,
                              size_t count,
                              const r1_generate_options *options,
                              r1_stream **out,
                              r1_error **err);

/// Frees a session. NULL is fine; a handle that is not live gives `R1_ERR_HANDLE`. A stream or vote of it, or a call
/// that runs in another thread, goes on undisturbed. Any thread, callbacks included.
R1_API
r1_status r1_session_free(r1_session *session);

/// Fills `size` bytes, which is `sizeof(r1_think_options)`, with the defaults; as `R1_THINK_OPTIONS_INIT` does.
R1_API
r1_status r1_think_options_init(r1_think_options *options,
                                size_t size);

/// Fills `size` bytes, which is `sizeof(r1_generate_options)`, with the defaults; as `R1_GENERATE_OPTIONS_INIT` does.
R1_API
r1_status r1_generate_options_init(r1_generate_options *options,
                                   size_t size);

/// Works until the next event and writes it: `R1_OK`. When there are no more, `R1_DONE`, and nothing is written.
/// `event->struct_size` must be set, as `R1_EVENT_INIT` does.
///
/// A fired cancel token is no error: the reply ends with `R1_FINISH_CANCELLED`. After `R1_ERR_BUSY` the call can be
/// repeated; any other error ends the stream.
///
/// Errors: `R1_ERR_BUSY` where another thread uses the stream or its session; `R1_ERR_OUT_OF_MEMORY`;
/// `R1_ERR_ARGUMENT` for a prompt token beyond the vocabulary.
R1_API
R1_NODISCARD
r1_status r1_stream_next(r1_stream *stream,
                         r1_event *event,
                         r1_error **err);

/// Frees a stream; a reply that has not ended is broken off, and the session keeps what was generated so far. NULL is
/// fine; a handle that is not live gives `R1_ERR_HANDLE`. Any thread, callbacks included.
R1_API
r1_status r1_stream_free(r1_stream *stream);

/// Asks for the answer now: the thought is closed before the next token, with `R1_CLOSE_INTERRUPT`. `phase`, which may
/// be NULL, gets where the reply is at this moment, `R1_REPLY_*`; where that is not `R1_REPLY_THINKING` there is
/// nothing to close and the request is forgotten.
///
/// Takes no lock and never gives `R1_ERR_BUSY`: any thread, while another one is inside `r1_stream_next`; callbacks
/// included, and signal handlers unless the stream is being freed meanwhile.
///
/// Errors: `R1_ERR_NULL_ARG`, `R1_ERR_HANDLE`; `R1_ERR_RANGE` for a misaligned `phase`.
R1_API
r1_status r1_think_close(const r1_stream *stream,
                         int32_t *phase);

/// Sets the budget of the whole reply to `budget` thought tokens, `R1_THINK_UNLIMITED` for no limit. Less than what has
/// been spent closes the thought before the next token. `phase`, which may be NULL, gets where the reply is at this
/// moment; the new budget holds for thoughts to come as well. Threads and errors as `r1_think_close`.
R1_API
r1_status r1_think_set_budget(const r1_stream *stream,
                              uint64_t budget,
                              int32_t *phase);

/// Writes how far a reply is. `state->struct_size` must be set, as `R1_THINK_STATE_INIT` does. Threads as
/// `r1_think_close`, signal handlers excepted.
///
/// Errors: `R1_ERR_NULL_ARG`, `R1_ERR_HANDLE`, `R1_ERR_VERSION`.
R1_API r1_status r1_think_get_state(const r1_stream *stream, r1_think_state *state);

/// Fills `size` bytes, which is `sizeof(r1_vote_options)`, with the defaults; as `R1_VOTE_OPTIONS_INIT` does.
R1_API r1_status r1_vote_options_init(r1_vote_options *options, size_t size);

/// Begins a vote: appends `tokens` (none, if the session has some) and votes on what follows. Returns at once; the work
/// is done in `r1_vote_next`. The session holds the prompt afterwards. `options` may be NULL. Free the vote with
/// `r1_vote_free`.
///
/// Errors: as `r1_session_generate`; `R1_ERR_ARGUMENT` for an unknown kind of answer or rule, and for too many samples.
R1_API
R1_NODISCARD
r1_status r1_session_vote(r1_session *session,
                          const uint32_t *tokens,
                          size_t count,
                          const r1_vote_options *options,
                          r1_vote **out,
                          r1_error **err);

/// Sends a user's message and begins a vote on the reply. Returns at once; the work is done in `r1_vote_next`. The
/// message and the reply that stands for the result join the conversation when the vote ends; a vote that is freed
/// before forgets them. `options` may be NULL. Free the vote with `r1_vote_free`.
///
/// Errors: as `r1_chat_send` and `r1_session_vote`.
R1_API
R1_NODISCARD
r1_status r1_chat_vote(r1_chat *chat,
                       const char *text,
                       size_t text_len,
                       const r1_vote_options *options,
                       r1_vote **out,
                       r1_error **err);

/// Works until the next event and writes it: `R1_OK`. When there are no more, `R1_DONE`, and nothing is written.
/// `event->struct_size` must be set, as `R1_VOTE_EVENT_INIT` does.
///
/// A fired cancel token is no error: the vote ends with `R1_VOTED_CANCELLED`. After `R1_ERR_BUSY` the call can be
/// repeated; any other error ends the vote.
///
/// Errors: as `r1_stream_next`.
R1_API
R1_NODISCARD
r1_status r1_vote_next(r1_vote *vote,
                       r1_vote_event *event,
                       r1_error **err);

/// Frees a vote; one that has not ended is broken off. NULL is fine; a handle that is not live gives `R1_ERR_HANDLE`.
/// Any thread, callbacks included.
R1_API
r1_status r1_vote_free(r1_vote *vote);

/// Asks for the result now: the thoughts of all running samples are closed before their next tokens, and no further
/// sample starts. The vote ends when they have answered. `running`, which may be NULL, gets how many run; 0 where the
/// vote is over, or has not read its prompt yet and will take one sample.
///
/// Samples whose thought was closed like this count only where none has closed its own, or with `R1_VOTE_ALL`.
///
/// Never gives `R1_ERR_BUSY`: any thread, while another one is inside `r1_vote_next`; callbacks included, but no signal
/// handlers.
///
/// Errors: `R1_ERR_NULL_ARG`, `R1_ERR_HANDLE`; `R1_ERR_RANGE` for a misaligned pointer.
R1_API
r1_status r1_vote_answer_now(const r1_vote *vote,
                             uint64_t *running);

/// Sets the thought budget of each sample, those to come included, to `budget` tokens; `R1_THINK_UNLIMITED` for no
/// limit. `running` as in `r1_vote_answer_now`, and so threads and errors.
R1_API
r1_status r1_vote_set_budget(const r1_vote *vote,
                             uint64_t budget,
                             uint64_t *running);

/// Ends one sample without a vote; none takes its place. `running`, which may be NULL, gets 1 where it was running, else
/// 0. Threads and errors as `r1_vote_answer_now`.
R1_API
r1_status r1_vote_cancel_sample(const r1_vote *vote,
                                uint64_t sample,
                                uint64_t *running);

/// Writes how far the vote is, as an event of kind `R1_VOTE_PROGRESS`. Threads and errors as `r1_vote_answer_now`;
/// `R1_ERR_VERSION` where `event->struct_size` is not set.
R1_API
r1_status r1_vote_progress(const r1_vote *vote,
                           r1_vote_event *event);

/// Writes how far one running sample is. Threads and errors as `r1_vote_progress`; `R1_ERR_ARGUMENT` for a sample that
/// does not run.
R1_API
r1_status r1_vote_sample_state(const r1_vote *vote,
                               uint64_t sample,
                               r1_think_state *state);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* R1CORE_H */
