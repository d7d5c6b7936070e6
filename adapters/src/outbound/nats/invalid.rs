//! What is wrong with something that was read from NATS, without a word of it: it may be private, and an error is logged.

use base64::DecodeError;
use serde_json::error::Category;

/// Where JSON is invalid, or has another value than expected. The error of `serde_json` would quote that value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJson {
    /// Something is there that was not expected, or nothing.
    #[error("{} at line {line}, column {column}", match category {
        Category::Syntax => "invalid JSON",
        Category::Data => "unexpected value",
        Category::Eof | Category::Io => "unexpected end",
    })]
    Position {
        /// What is wrong there.
        category: Category,
        /// The line, from 1.
        line: usize,
        /// The column in bytes, from 1.
        column: usize,
    },
    /// A member of an object is missing, or has a value of another type.
    #[error("no usable `{0}`")]
    Member(&'static str),
}

impl From<serde_json::Error> for InvalidJson {
    fn from(error: serde_json::Error) -> Self {
        Self::Position { category: error.classify(), line: error.line(), column: error.column() }
    }
}

/// Where base64 is invalid. The error of `base64` would quote a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBase64 {
    /// There is a character that cannot stand there.
    #[error("unexpected character at offset {offset}")]
    Character {
        /// Bytes before it, without line breaks.
        offset: usize,
    },
    /// It is no whole number of bytes.
    #[error("a length of {length} characters, padding not counted, is none of base64")]
    Length {
        /// Characters without padding.
        length: usize,
    },
    /// Padding is missing, or there is too much of it.
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
