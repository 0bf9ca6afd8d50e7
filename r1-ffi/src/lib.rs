//! The C ABI of r1core, thin over the Rust crate (called `engine` in here).
//!
//! `include/r1core.h` is generated from these files by cbindgen, comments included, so they are written for C
//! readers; its preamble in `cbindgen.toml` is the contract. Each file is one noun of that header. What keeps the
//! host alive stands below them: [`handle`] (nothing that C holds is ever dereferenced), [`guard`] (no panic leaves,
//! no call re-enters), [`caller`] (pointers and lengths are checked before they are read), [`sized`] (structs grow
//! without breaking old hosts) and [`busy`] (two threads on one session get an error, not a race).
#![allow(non_camel_case_types, reason = "types bear the names that they have in C")]
#![allow(clippy::missing_safety_doc, reason = "the rules at the top of the header hold for every function")]
#![allow(clippy::too_many_arguments, reason = "pointers come with lengths")]

#[cfg(not(panic = "unwind"))]
compile_error!("panics must become R1_ERR_PANIC, which needs panic = \"unwind\"");

#[macro_use]
mod guard;
mod busy;
mod caller;
mod fail;
mod handle;
mod sized;

// In the order of the header.
pub mod version;

pub mod status;

pub mod error;

pub mod string;

pub mod callback;

pub mod log;

pub mod inspect;

pub mod model;

pub mod progress;

pub mod thread_start;

pub mod text_fn;

pub mod cancel;

pub mod tokenizer;

pub mod chat;

pub mod session;

pub mod think;

pub mod generate;

pub mod stream;

pub mod steer;

pub mod vote;

pub mod vote_steer;
