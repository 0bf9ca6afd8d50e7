//! Templates that a host may choose by name. They are never chosen for it.

/// The presets: name and template text.
pub const PRESETS: &[(&str, &str)] = &[
    ("chatml", CHATML),
    ("deepseek-r1", DEEPSEEK_R1),
    ("gemma", GEMMA),
    ("r1-zero", R1_ZERO),
    ("plain", PLAIN),
];

/// The template of a preset.
pub(super) fn preset(name: &str) -> Option<&'static str> {
    PRESETS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

const CHATML: &str = "\
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}";

/// As the R1 files since February 2025: thoughts of earlier turns are dropped, the reply starts inside a thought.
const DEEPSEEK_R1: &str = "\
{%- set ns = namespace(system='') -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}{%- set ns.system = message.content -%}{%- endif -%}
{%- endfor -%}
{{- bos_token + ns.system -}}
{%- for message in messages -%}
{%- if message.role == 'user' -%}
{{- '<｜User｜>' + message.content -}}
{%- elif message.role == 'assistant' -%}
{{- '<｜Assistant｜>' + message.content.split('</think>')[-1] + '<｜end▁of▁sentence｜>' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<｜Assistant｜>' -}}
{%- if enable_thinking is defined and not enable_thinking -%}
{{- '<think>\\n\\n</think>\\n\\n' -}}
{%- else -%}
{{- '<think>\\n' -}}
{%- endif -%}
{%- endif -%}";

const GEMMA: &str = "\
{{- bos_token -}}
{%- set ns = namespace(system='') -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{%- set ns.system = message.content + '\\n\\n' -%}
{%- else -%}
{{- '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\\n' -}}
{{- (ns.system if message.role == 'user' else '') + message.content.strip() + '<end_of_turn>\\n' -}}
{%- if message.role == 'user' -%}{%- set ns.system = '' -%}{%- endif -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<start_of_turn>model\\n' -}}{%- endif -%}";

/// The prompt that R1-Zero was trained and evaluated with (DeepSeek-R1 paper, table 1); only the last user's message
/// counts.
const R1_ZERO: &str = "\
{%- set ns = namespace(question='') -%}
{%- for message in messages -%}
{%- if message.role == 'user' -%}{%- set ns.question = message.content -%}{%- endif -%}
{%- endfor -%}
{{- 'A conversation between User and Assistant. The user asks a question, and the Assistant solves it. The assistant ' \
~ 'first thinks about the reasoning process in the mind and then provides the user with the answer. The reasoning ' \
~ 'process and answer are enclosed within <think> </think> and <answer> </answer> tags, respectively, i.e., <think> ' \
~ 'reasoning process here </think> <answer> answer here </answer>. User: ' ~ ns.question ~ '. Assistant:' -}}";

/// The messages' texts, one after the other.
const PLAIN: &str = "{%- for message in messages -%}{{- message.content -}}{%- endfor -%}";
