//! Templates that a host may choose by name. None is ever chosen for it.

/// (name, template).
pub(super) const PRESETS: [(&str, &str); 5] = [
    (
        "chatml",
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}\
         {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    ),
    (
        // The later official form: the prompt opens the thought; earlier thoughts are dropped.
        "deepseek-r1",
        "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] }}{% endif %}\
         {% endfor %}{% for message in messages %}{% if message['role'] == 'user' %}{{ '<｜User｜>' + message['content'] }}\
         {% elif message['role'] == 'assistant' %}{{ '<｜Assistant｜>' + message['content'].split('</think>')[-1] + \
         eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<｜Assistant｜>' + ('<think>\\n\\n</think>\\n\\n' \
         if enable_thinking is defined and not enable_thinking else '<think>\\n') }}{% endif %}",
    ),
    (
        // Table 1 of the DeepSeek-R1 paper, with the full stop after the question that it prints.
        "r1-zero",
        "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. The assistant \
         first thinks about the reasoning process in the mind and then provides the user with the answer. The reasoning \
         process and answer are enclosed within <think> </think> and <answer> </answer> tags, respectively, i.e., <think> \
         reasoning process here </think> <answer> answer here </answer>.{% for message in messages %}\
         {% if message['role'] == 'assistant' %}{{ ' Assistant: ' + message['content'] }}{% else %}{{ ' User: ' + \
         message['content'] + '.' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ ' Assistant:' }}{% endif %}",
    ),
    (
        "gemma",
        "{{ bos_token }}{% set ns = namespace(system='') %}{% for message in messages %}{% if message['role'] == 'system' %}\
         {% set ns.system = message['content'] + '\\n\\n' %}{% else %}{{ '<start_of_turn>' + ('model' if message['role'] == \
         'assistant' else message['role']) + '\\n' + (ns.system if message['role'] == 'user' else '') + \
         message['content'] | trim + '<end_of_turn>\\n' }}{% if message['role'] == 'user' %}{% set ns.system = '' %}{% endif %}\
         {% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}",
    ),
    ("plain", "{% for message in messages %}{{ message['content'] }}{% endfor %}"),
];
