/* The header needs nothing before it, and its initialisers name every field. */
#include "r1core.h"

int main(void) {
    r1_model_options model = R1_MODEL_OPTIONS_INIT;
    r1_session_options session = R1_SESSION_OPTIONS_INIT;
    r1_chat_options chat = R1_CHAT_OPTIONS_INIT;
    r1_generate_options generate = R1_GENERATE_OPTIONS_INIT;
    r1_think_options think = R1_THINK_OPTIONS_INIT;
    r1_think_state state = R1_THINK_STATE_INIT;
    r1_vote_options vote = R1_VOTE_OPTIONS_INIT;
    r1_vote_event step = R1_VOTE_EVENT_INIT;
    r1_memory memory = R1_MEMORY_INIT;
    r1_event event = R1_EVENT_INIT;
    size_t sizes = model.struct_size + session.struct_size + chat.struct_size + generate.struct_size
                   + think.struct_size + state.struct_size + vote.struct_size + step.struct_size
                   + memory.struct_size + event.struct_size;
    return sizes == 0;
}
