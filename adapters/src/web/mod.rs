//! What the inbound adapters for HTTP share: the methods of a path, and the headers of a page.

pub(crate) mod page;
mod resource;

pub(crate) use self::resource::{MethodNotAllowed, get, only, post};
