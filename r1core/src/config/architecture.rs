//! The table of architectures: each row says how its blocks differ. Adding a model made of known blocks adds a row here
//! and touches nothing else.

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
};

/// Every architecture that runs.
pub const ARCHITECTURES: &[Architecture] = &[
    Architecture { name: "llama", rope: RopeKind::Norm, ..PLAIN },
    Architecture { name: "qwen2", qkv_bias: true, ..PLAIN },
    Architecture { name: "qwen3", qk_norm: true, ..PLAIN },
    Architecture {
        name: "gemma3",
        qk_norm: true,
        post_norms: true,
        gate: Gate::Gelu,
        scaled_embedding: true,
        windows: Some(Windows { period: 6, rope_base: 10_000.0 }),
        ..PLAIN
    },
    Architecture { name: "deepseek2", attention: AttentionKind::Latent, rope: RopeKind::Norm, ..PLAIN },
];

impl Architecture {
    /// The row of that name.
    pub fn from_name(name: &str) -> Option<&'static Architecture> {
        ARCHITECTURES.iter().find(|a| a.name == name)
    }
}
