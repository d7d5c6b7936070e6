//! Bytes in JSON, as Go writes and reads them: in base64.

use std::fmt;

use base64::{
    Engine as _, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

use super::{
    InvalidBase64, InvalidJson,
    go_json::{LossyText, Unmarshal},
};

/// A byte string in a message.
#[derive(Default)]
pub(super) enum Bytes {
    #[default]
    Missing,
    Known(Vec<u8>),
    Invalid(InvalidBase64),
}

/// Accepts only base64 as Go writes it.
impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FromBase64;

        impl Visitor<'_> for FromBase64 {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64")
            }

            fn visit_bytes<E: Error>(self, text: &[u8]) -> Result<Bytes, E> {
                base64_simd::STANDARD
                    .decode_to_vec(text)
                    .map(Bytes::Known)
                    .map_err(|_| E::custom("not base64"))
            }
        }

        // Not as a `str`, which would first be checked for UTF-8.
        deserializer.deserialize_bytes(FromBase64)
    }
}

/// Accepts what Go accepts: base64 or a list of numbers. Invalid base64 is not an error here, because it is valid JSON.
impl<'a> Unmarshal<'a> for Bytes {
    fn unmarshal(&mut self, json: &'a str) -> Result<(), InvalidJson> {
        *self = match serde_json::from_str(json) {
            Ok(None) => Self::Missing,
            Ok(Some(LossyText(text))) => decode(&text).map_or_else(Self::Invalid, Self::Known),
            Err(_) => {
                let numbers: Vec<Option<u8>> = serde_json::from_str(json)?;
                Self::Known(numbers.into_iter().map(Option::unwrap_or_default).collect())
            }
        };
        Ok(())
    }
}

/// Decodes base64 as Go does: line breaks are skipped, and the unused bits of the last character are ignored.
fn decode(text: &str) -> Result<Vec<u8>, InvalidBase64> {
    const UNUSED_BITS: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, UNUSED_BITS);
    let text: Vec<u8> = text.bytes().filter(|byte| !b"\r\n".contains(byte)).collect();
    Ok(BASE64.decode(text)?)
}
