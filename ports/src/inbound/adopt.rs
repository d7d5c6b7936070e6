use std::sync::Arc;

use domain::{identity::UserId, log::Continuation, type_filter::TypeFilter};

use super::{Connection, EventStream};

/// Continues streams of another process.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Adopt: Send + Sync {
    /// Continues a stream on `connection`, whatever the limits of new streams. It takes what follows its position, nothing twice.
    fn adopt(&self, stream: ContinuedStream, connection: Arc<dyn Connection>) -> Box<dyn EventStream>;
}

/// A stream as another process continues it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContinuedStream {
    /// The user.
    pub user: UserId,
    /// The types of events that the client asks for. None for all.
    pub types: Option<TypeFilter>,
    /// The state of the stream.
    pub continuation: Continuation,
}
