//! Errors of unreadable data from NATS. They quote nothing of the data, because it may be private and errors are logged.

use base64::DecodeError;
use serde_json::error::Category;

/// Invalid JSON, or a value of an unexpected type. The error of `serde_json` would quote that value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJson {
    /// The text is invalid at a position.
    #[error("{} at line {line}, column {column}", match category {
        Category::Syntax => "invalid JSON",
        Category::Data => "unexpected value",
        Category::Eof | Category::Io => "unexpected end",
    })]
    Position {
        /// The kind of the error.
        category: Category,
        /// The line, from 1.
        line: usize,
        /// The column in bytes, from 1.
        column: usize,
    },
    /// A member of an object is missing or has another type.
    #[error("missing or invalid `{0}`")]
    Member(&'static str),
}

impl From<serde_json::Error> for InvalidJson {
    fn from(error: serde_json::Error) -> Self {
        Self::Position { category: error.classify(), line: error.line(), column: error.column() }
    }
}

/// Invalid base64. The error of `base64` would quote a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBase64 {
    /// A character is not allowed at its position.
    #[error("unexpected character at offset {offset}")]
    Character {
        /// The number of bytes before the character, without line breaks.
        offset: usize,
    },
    /// The length is not that of a whole number of bytes.
    #[error("invalid length of {length} characters without padding")]
    Length {
        /// The number of characters without padding.
        length: usize,
    },
    /// There is too little or too much padding.
    #[error("wrong padding")]
    Padding,
}

impl From<DecodeError> for InvalidBase64 {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::InvalidByte(offset, _) | DecodeError::InvalidLastSymbol { offset, .. } => {
                Self::Character { offset }
            }
            DecodeError::InvalidLength(length) => Self::Length { length },
            DecodeError::InvalidPadding => Self::Padding,
        }
    }
}
