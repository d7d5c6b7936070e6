//! JSON as Go's `encoding/json` reads it, because the services of Infinite Scale and OpenCloud read it so.
//!
//! Names of members match in any case. `null` leaves a value unchanged, or empties a list. If a name occurs twice, the last value
//! counts. Invalid UTF-8 and lone surrogates become U+FFFD. The readers that serde derives reject all of these. They are faster, so they
//! are tried first for frequent messages.

use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;

use super::InvalidJson;

/// A value that JSON can be read into, as with Go's `json.Unmarshal`.
pub(super) trait Unmarshal<'a> {
    /// Reads `json` into this value. Parts that are missing in `json` stay unchanged, so two objects are merged, and so are two lists.
    ///
    /// # Errors
    ///
    /// Returns an error if `json` has another type.
    fn unmarshal(&mut self, json: &'a str) -> Result<(), InvalidJson>;
}

/// Returns a message as text, with U+FFFD for each byte that is not valid UTF-8.
pub(super) fn text(message: &[u8]) -> Cow<'_, str> {
    replace_invalid(message, <[u8]>::len)
}

/// Reads a value from JSON.
///
/// # Errors
///
/// Returns an error if `text` is not JSON or has another type.
pub(super) fn read<'a, T: Unmarshal<'a> + Default>(text: &'a str) -> Result<T, InvalidJson> {
    let mut value = T::default();
    value.unmarshal(text)?;
    Ok(value)
}

/// Reads an object into `members`, pairs of a name and a value. Unknown members are ignored.
///
/// # Errors
///
/// Returns an error if `json` is not an object or a member has another type.
pub(super) fn read_object<'a>(
    json: &'a str,
    members: &mut [(&'static str, &mut dyn Unmarshal<'a>)],
) -> Result<(), InvalidJson> {
    let object: Option<Members> = serde_json::from_str(json)?;
    for (name, value) in object.into_iter().flat_map(|object| object.0) {
        if let Some((member, target)) = members.iter_mut().find(|(member, _)| is_name_of(&name.0, member)) {
            target.unmarshal(value.get()).map_err(|_| InvalidJson::Member(member))?;
        }
    }
    Ok(())
}

/// Returns whether Go reads a value named `name` into `member`, which is ASCII.
fn is_name_of(name: &str, member: &str) -> bool {
    let folded = |character| match character {
        // Unicode case folding maps these two to ASCII letters, and Go applies it.
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        character => character.to_ascii_lowercase(),
    };
    name.chars().map(folded).eq(member.chars().map(folded))
}

/// A string, borrowed from the message if it has no escapes.
#[derive(Default, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl<'a> Unmarshal<'a> for Text<'a> {
    fn unmarshal(&mut self, json: &'a str) -> Result<(), InvalidJson> {
        if let Some(LossyText(text)) = serde_json::from_str(json)? {
            self.0 = text;
        }
        Ok(())
    }
}

impl<'a, T: Unmarshal<'a> + Default> Unmarshal<'a> for Vec<T> {
    fn unmarshal(&mut self, json: &'a str) -> Result<(), InvalidJson> {
        let items: Option<Vec<&RawValue>> = serde_json::from_str(json)?;
        let items = items.unwrap_or_default();
        self.resize_with(items.len(), T::default);
        self.iter_mut().zip(items).try_for_each(|(value, item)| value.unmarshal(item.get()))
    }
}

impl<'a, T: Unmarshal<'a> + Default> Unmarshal<'a> for BTreeMap<Text<'a>, T> {
    fn unmarshal(&mut self, json: &'a str) -> Result<(), InvalidJson> {
        let Some(Members(members)) = serde_json::from_str(json)? else {
            self.clear();
            return Ok(());
        };
        for (LossyText(name), member) in members {
            let mut value = T::default();
            value.unmarshal(member.get())?;
            self.insert(Text(name), value);
        }
        Ok(())
    }
}

/// A string with U+FFFD in place of each lone surrogate.
pub(super) struct LossyText<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for LossyText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FromBytes;

        impl<'de> Visitor<'de> for FromBytes {
            type Value = LossyText<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<LossyText<'de>, E> {
                Ok(LossyText(replace_surrogates(bytes)))
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<LossyText<'de>, E> {
                Ok(LossyText(replace_surrogates(bytes).into_owned().into()))
            }
        }

        // serde_json rejects lone surrogates in a `str`. In bytes it encodes each of them like a character, in three bytes.
        deserializer.deserialize_bytes(FromBytes)
    }
}

/// A value that serde reads only from an object. A derived reader of a struct also accepts a list of its members.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FromMap<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for FromMap<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(FromMap(PhantomData))
    }
}

/// The members of an object in their order, duplicate names included.
struct Members<'a>(Vec<(LossyText<'a>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FromMap;

        impl<'de> Visitor<'de> for FromMap {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(FromMap)
    }
}

/// Replaces lone surrogates, the only invalid characters that `bytes` may contain. The UTF-8 decoder reports an error for each of their
/// three bytes, of which the first is 0xED.
fn replace_surrogates(bytes: &[u8]) -> Cow<'_, str> {
    replace_invalid(bytes, |invalid| usize::from(invalid == [0xed]))
}

/// Replaces each invalid sequence of UTF-8. `replacements` returns the number of U+FFFD for a sequence.
fn replace_invalid(bytes: &[u8], replacements: impl Fn(&[u8]) -> usize) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(bytes) {
        return text.into();
    }
    let mut text = String::with_capacity(bytes.len());
    for part in bytes.utf8_chunks() {
        text.push_str(part.valid());
        text.extend(std::iter::repeat_n(char::REPLACEMENT_CHARACTER, replacements(part.invalid())));
    }
    text.into()
}
