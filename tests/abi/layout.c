/* The layout of version 1 on 64-bit systems. A line here may be added, never changed: hosts are compiled against it. */
#include "r1core.h"

#define AT(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field)
#define SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)

AT(r1_model_options, struct_size, 0);
AT(r1_model_options, flags, 4);
AT(r1_model_options, kernels, 8);
AT(r1_model_options, cancel, 16);
AT(r1_model_options, progress, 24);
AT(r1_model_options, progress_user, 32);
AT(r1_model_options, progress_drop, 40);
SIZE(r1_model_options, 48);

AT(r1_session_options, struct_size, 0);
AT(r1_session_options, flags, 4);
AT(r1_session_options, context, 8);
AT(r1_session_options, threads, 12);
AT(r1_session_options, prefill_chunk, 16);
AT(r1_session_options, cache, 20);
AT(r1_session_options, cancel, 24);
AT(r1_session_options, progress, 32);
AT(r1_session_options, progress_user, 40);
AT(r1_session_options, progress_drop, 48);
SIZE(r1_session_options, 56);

AT(r1_chat_options, struct_size, 0);
AT(r1_chat_options, flags, 4);
AT(r1_chat_options, session, 8);
AT(r1_chat_options, chat_template, 16);
AT(r1_chat_options, messages_json, 24);
SIZE(r1_chat_options, 32);

AT(r1_logit_bias, token, 0);
AT(r1_logit_bias, bias, 4);
SIZE(r1_logit_bias, 8);

AT(r1_think_options, struct_size, 0);
AT(r1_think_options, flags, 4);
AT(r1_think_options, budget, 8);
AT(r1_think_options, block_budget, 16);
AT(r1_think_options, minimum, 24);
AT(r1_think_options, grace, 32);
AT(r1_think_options, answer_reserve, 40);
AT(r1_think_options, deadline_think_ms, 48);
AT(r1_think_options, deadline_total_ms, 56);
AT(r1_think_options, wait, 64);
AT(r1_think_options, message, 72);
AT(r1_think_options, tool_open, 80);
AT(r1_think_options, tool_open_count, 88);
AT(r1_think_options, extensions, 96);
AT(r1_think_options, max_blocks, 100);
AT(r1_think_options, boundary, 104);
AT(r1_think_options, on_budget, 108);
AT(r1_think_options, loops, 112);
AT(r1_think_options, guard_eos, 116);
AT(r1_think_options, ramp_share, 120);
AT(r1_think_options, ramp_strength, 124);
AT(r1_think_options, ramp_margin, 128);
AT(r1_think_options, answer_temperature, 132);
AT(r1_think_options, answer_top_p, 136);
AT(r1_think_options, answer_min_p, 140);
AT(r1_think_options, answer_repetition_penalty, 144);
AT(r1_think_options, answer_top_k, 148);
SIZE(r1_think_options, 152);

AT(r1_generate_options, struct_size, 0);
AT(r1_generate_options, flags, 4);
AT(r1_generate_options, temperature, 8);
AT(r1_generate_options, top_p, 12);
AT(r1_generate_options, min_p, 16);
AT(r1_generate_options, top_k, 20);
AT(r1_generate_options, repetition_penalty, 24);
AT(r1_generate_options, presence_penalty, 28);
AT(r1_generate_options, frequency_penalty, 32);
AT(r1_generate_options, penalty_window, 36);
AT(r1_generate_options, seed, 40);
AT(r1_generate_options, max_tokens, 48);
AT(r1_generate_options, stop, 56);
AT(r1_generate_options, logit_bias, 64);
AT(r1_generate_options, stop_count, 72);
AT(r1_generate_options, logit_bias_count, 76);
AT(r1_generate_options, top_logprobs, 80);
AT(r1_generate_options, phase, 84);
AT(r1_generate_options, think_open, 88);
AT(r1_generate_options, think_close, 96);
AT(r1_generate_options, think, 104);
AT(r1_generate_options, reserved, 112);
SIZE(r1_generate_options, 120);

AT(r1_token_logprob, token, 0);
AT(r1_token_logprob, logprob, 4);
SIZE(r1_token_logprob, 8);

AT(r1_event, struct_size, 0);
AT(r1_event, kind, 4);
AT(r1_event, text, 8);
AT(r1_event, top, 16);
AT(r1_event, text_len, 24);
AT(r1_event, top_count, 32);
AT(r1_event, token, 40);
AT(r1_event, logprob, 44);
AT(r1_event, finish, 48);
AT(r1_event, close, 52);
AT(r1_event, prompt_tokens, 56);
AT(r1_event, cached_tokens, 64);
AT(r1_event, reasoning_tokens, 72);
AT(r1_event, tag_tokens, 80);
AT(r1_event, forced_tokens, 88);
AT(r1_event, answer_tokens, 96);
AT(r1_event, prefill_ns, 104);
AT(r1_event, decode_ns, 112);
AT(r1_event, provenance, 120);
AT(r1_event, flags, 124);
AT(r1_event, charged_tokens, 128);
AT(r1_event, thinking_ns, 136);
AT(r1_event, answering_ns, 144);
SIZE(r1_event, 152);

AT(r1_think_state, struct_size, 0);
AT(r1_think_state, phase, 4);
AT(r1_think_state, reasoning_tokens, 8);
AT(r1_think_state, tag_tokens, 16);
AT(r1_think_state, forced_tokens, 24);
AT(r1_think_state, answer_tokens, 32);
AT(r1_think_state, pending_tokens, 40);
SIZE(r1_think_state, 48);

AT(r1_vote_options, struct_size, 0);
AT(r1_vote_options, flags, 4);
AT(r1_vote_options, generate, 8);
AT(r1_vote_options, answer_kind, 16);
AT(r1_vote_options, early_stop, 24);
AT(r1_vote_options, samples, 32);
AT(r1_vote_options, batch, 36);
SIZE(r1_vote_options, 40);

AT(r1_vote_count, answer, 0);
AT(r1_vote_count, votes, 8);
SIZE(r1_vote_count, 16);

AT(r1_vote_event, struct_size, 0);
AT(r1_vote_event, kind, 4);
AT(r1_vote_event, answer, 8);
AT(r1_vote_event, text, 16);
AT(r1_vote_event, thought, 24);
AT(r1_vote_event, counts, 32);
AT(r1_vote_event, answer_len, 40);
AT(r1_vote_event, text_len, 48);
AT(r1_vote_event, thought_len, 56);
AT(r1_vote_event, count_count, 64);
AT(r1_vote_event, sample, 72);
AT(r1_vote_event, votes, 80);
AT(r1_vote_event, confidence, 88);
AT(r1_vote_event, running, 96);
AT(r1_vote_event, finished, 104);
AT(r1_vote_event, limit, 112);
AT(r1_vote_event, tokens, 120);
AT(r1_vote_event, saved, 128);
AT(r1_vote_event, reason, 136);
AT(r1_vote_event, finish, 140);
AT(r1_vote_event, close, 144);
AT(r1_vote_event, flags, 148);
AT(r1_vote_event, prompt_tokens, 152);
AT(r1_vote_event, cached_tokens, 160);
AT(r1_vote_event, reasoning_tokens, 168);
AT(r1_vote_event, tag_tokens, 176);
AT(r1_vote_event, forced_tokens, 184);
AT(r1_vote_event, answer_tokens, 192);
AT(r1_vote_event, prefill_ns, 200);
AT(r1_vote_event, decode_ns, 208);
SIZE(r1_vote_event, 216);

AT(r1_memory, struct_size, 0);
AT(r1_memory, flags, 4);
AT(r1_memory, weights, 8);
AT(r1_memory, cache, 16);
AT(r1_memory, compute, 24);
AT(r1_memory, mapped, 32);
AT(r1_memory, total, 40);
AT(r1_memory, context, 48);
SIZE(r1_memory, 56);
