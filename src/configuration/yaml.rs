//! The YAML of a file as a tree that keeps duplicate keys, so that they can be reported.

use std::fmt;

use figment::{
    providers::{Format as _, Yaml},
    value::{Dict, Empty, Tag, Value},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// The value of a key.
pub(super) enum Node {
    /// A single value or a list.
    Value(Value),
    /// A group of keys, in the order of the file.
    Group(Vec<(String, Node)>),
}

impl Node {
    /// Parses a whole file.
    ///
    /// # Errors
    ///
    /// Returns the syntax error. It quotes no value, because a value may be a secret.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        Yaml::from_str(text).map_err(|error| {
            let reason = error.to_string();
            match error.location().filter(|_| reason.contains(['"', '`'])) {
                Some(location) => format!("is not valid YAML in line {}", location.line()),
                None => format!("is not valid YAML: {reason}"),
            }
        })
    }

    fn into_value(self) -> Value {
        match self {
            Self::Value(value) => value,
            Self::Group(nodes) => {
                nodes.into_iter().map(|(name, node)| (name, node.into_value())).collect::<Dict>().into()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyNode)
    }
}

struct AnyNode;

impl<'de> Visitor<'de> for AnyNode {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list or keys")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Value(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Value(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Value(value.into()))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Value(value.into()))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Node, E> {
        Ok(Node::Value(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Value(value.into()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Value(value.into()))
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        self.visit_unit()
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Value(Value::Empty(Tag::Default, Empty::Unit)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut values = Vec::new();
        while let Some(node) = list.next_element::<Node>()? {
            values.push(node.into_value());
        }
        Ok(Node::Value(values.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(entry) = map.next_entry()? {
            nodes.push(entry);
        }
        Ok(Node::Group(nodes))
    }
}
