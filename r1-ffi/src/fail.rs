//! Why a call failed, before it becomes an `r1_error`.

use crate::status::*;

/// A code and a sentence.
#[derive(Debug)]
pub(crate) struct Fail {
    pub(crate) status: r1_status,
    pub(crate) message: String,
}

/// Result of the inside of an exported function.
pub(crate) type Result<T, E = Fail> = std::result::Result<T, E>;

impl Fail {
    pub(crate) fn new(status: r1_status, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(crate) fn null(argument: &str) -> Self {
        Self::new(R1_ERR_NULL_ARG, format!("argument '{argument}' is NULL"))
    }

    pub(crate) fn range(argument: &str, what: impl std::fmt::Display) -> Self {
        Self::new(R1_ERR_RANGE, format!("argument '{argument}' {what}"))
    }
}

impl From<engine::Error> for Fail {
    fn from(error: engine::Error) -> Self {
        Self::new(error.kind() as r1_status, error.to_string())
    }
}
