//! Shared parts of the inbound HTTP adapters: the methods of a path, and the headers of a page.

pub(crate) mod page;
mod resource;

pub(crate) use self::resource::{MethodNotAllowed, get, post, with_methods};
