//! A text of the API that should be a list of event types.

use std::borrow::Cow;

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef},
    types::{ParseFromParameter, ParseResult, Type},
};

/// The pattern of up to 64 event types in printable ASCII, each with or without a `*` at its end.
const PATTERN: &str = r"^([!-)+\-.-~]+\*?|\*)(,([!-)+\-.-~]+\*?|\*)){0,63}$";

/// A text that may be a list of event types. Its reader checks it, so that the problem details can say why it is not one.
#[derive(Clone, Debug)]
pub(super) struct TypesText(pub(super) String);

impl Type for TypesText {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "event types".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            pattern: Some(PATTERN.into()),
            max_length: Some(4096),
            example: Some("share-*,item-renamed".into()),
            ..MetaSchema::new("string")
        }))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ParseFromParameter for TypesText {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        Ok(Self(value.to_owned()))
    }
}
