//! The table of architectures: each row says how its blocks differ. Adding a model made of known blocks adds a row here
//! and touches nothing else.

use super::feed_forward::Gating;
use r1_kernels::ops::RopeKind;

/// What an architecture is made of, beyond the numbers in its metadata.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Architecture {
    /// The value of `general.architecture`, also the prefix of the architecture's own keys.
    pub name: &'static str,
    /// How its heads see other positions.
    pub attention: AttentionKind,
    /// Which elements of a head rotate together.
    pub rope: RopeKind,
    /// Query, key and value projections have biases.
    pub qkv_bias: bool,
    /// Every query and key head goes through an RMS norm before the rotation.
    pub qk_norm: bool,
    /// The outputs of attention and feed-forward go through an RMS norm before the residual is added.
    pub post_norms: bool,
    /// The activation of the gated feed-forward.
    pub gate: Gate,
    /// Embedding rows are multiplied by the square root of the embedding length.
    pub scaled_embedding: bool,
    /// Some layers see only a window of positions and rotate with a base of their own.
    pub windows: Option<Windows>,
    /// Every layer of this number does not rotate queries and keys at all: 4 means the 4th, the 8th ...
    pub unrotated: Option<usize>,
    /// How experts are used where the file names some; `None` where the architecture has none.
    pub experts: Option<ExpertRule>,
}

/// What an architecture does with experts where the file does not say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpertRule {
    /// Router logits to scores.
    pub gating: Gating,
    /// The chosen weights are divided by their sum.
    pub normalise: bool,
    /// `feed_forward_length` is the width of all experts that a token uses, together; else that of one.
    pub width_of_all: bool,
    /// The shared expert has a gate of its own, and the width `feed_forward_length`.
    pub shared_gate: bool,
}

/// The kinds of attention blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttentionKind {
    /// Groups of query heads share key and value heads.
    Grouped,
    /// Multi-head latent attention: all heads share one compressed row a position.
    Latent,
}

/// The activation inside `down(activation(gate(x)) * up(x))`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// `z * sigmoid(z)`.
    Silu,
    /// The tanh form of GELU.
    Gelu,
}

/// How windowed layers alternate with global ones, where the file does not say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Windows {
    /// Every `period`-th layer is global, the others are windowed.
    pub period: usize,
    /// Rope base of the windowed layers.
    pub rope_base: f64,
}

const PLAIN: Architecture = Architecture {
    name: "",
    attention: AttentionKind::Grouped,
    rope: RopeKind::Neox,
    qkv_bias: false,
    qk_norm: false,
    post_norms: false,
    gate: Gate::Silu,
    scaled_embedding: false,
    windows: None,
    unrotated: None,
    experts: None,
};

/// Softmax over all, the chosen weights normalised.
const SOFTMAX: ExpertRule =
    ExpertRule { gating: Gating::Softmax, normalise: true, width_of_all: false, shared_gate: false };

/// Every architecture that runs.
pub const ARCHITECTURES: &[Architecture] = &[
    Architecture { name: "llama", rope: RopeKind::Norm, experts: Some(SOFTMAX), ..PLAIN },
    Architecture { name: "qwen2", qkv_bias: true, ..PLAIN },
    Architecture {
        name: "qwen2moe",
        qkv_bias: true,
        experts: Some(ExpertRule { normalise: false, width_of_all: true, shared_gate: true, ..SOFTMAX }),
        ..PLAIN
    },
    Architecture { name: "qwen3", qk_norm: true, ..PLAIN },
    Architecture {
        name: "qwen3moe",
        qk_norm: true,
        experts: Some(ExpertRule { width_of_all: true, ..SOFTMAX }),
        ..PLAIN
    },
    Architecture { name: "smollm3", rope: RopeKind::Norm, unrotated: Some(4), ..PLAIN },
    Architecture { name: "glm4", rope: RopeKind::Norm, post_norms: true, ..PLAIN },
    Architecture { name: "phi3", ..PLAIN },
    Architecture { name: "exaone", ..PLAIN },
    Architecture {
        name: "gemma3",
        qk_norm: true,
        post_norms: true,
        gate: Gate::Gelu,
        scaled_embedding: true,
        windows: Some(Windows { period: 6, rope_base: 10_000.0 }),
        ..PLAIN
    },
    Architecture {
        name: "deepseek",
        rope: RopeKind::Norm,
        experts: Some(ExpertRule { normalise: false, ..SOFTMAX }),
        ..PLAIN
    },
    Architecture {
        name: "deepseek2",
        attention: AttentionKind::Latent,
        rope: RopeKind::Norm,
        experts: Some(ExpertRule { normalise: false, ..SOFTMAX }),
        ..PLAIN
    },
];

impl Architecture {
    /// The row of that name.
    pub fn from_name(name: &str) -> Option<&'static Architecture> {
        ARCHITECTURES.iter().find(|a| a.name == name)
    }
}
