//! How values are written, for the JSON Schema of the file.

/// How a value is written in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A string.
    Text,
    /// A string, which may look like a number or a boolean.
    Word,
    /// True or false, in the notation of Go's `strconv.ParseBool`.
    Boolean,
    /// A whole number of at least 1.
    Count,
    /// A duration in the notation of Go, such as `1m30s`.
    Duration,
    /// A number of bytes, with or without a unit.
    Size,
    /// Several strings: a list, or one string with commas.
    List,
    /// One of these words, in any case.
    OneOf(&'static [&'static str]),
}
