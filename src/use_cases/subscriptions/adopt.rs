//! The continuation of streams that another process has handed over.

use std::sync::Arc;

use domain::log::{Continuation, Note};
use ports::inbound::{Adopt, Connection, ContinuedStream, EventStream};

use super::{
    Subscriptions,
    start::{PendingStream, StartPoint},
};

impl Adopt for Subscriptions {
    fn adopt(&self, stream: ContinuedStream, connection: Arc<dyn Connection>) -> Box<dyn EventStream> {
        let ContinuedStream { user, types, continuation } = stream;
        let Continuation { position, issued_at, .. } = continuation;
        let (gap, known_language) = (continuation.gap.clone(), continuation.language.clone());
        let shared = &self.shared;
        let now = shared.clock.now();
        let mut state = shared.state.lock();
        let preference = state.languages.preference(&user, continuation.requested.clone());
        let language = state.languages.language(&preference);
        let (mailbox, id) = state.log.open_continued(&user, connection, continuation, preference, now);
        shared.metrics.stream_opened(state.log.open_streams(), state.log.connected_users());
        if known_language.as_ref().unwrap_or(&shared.default_language) != &language {
            mailbox.with_stream(id, |stream| stream.add_note(Note::Language));
        }
        let pending = PendingStream {
            mailbox,
            id,
            start_point: StartPoint::Continued(position, gap),
            opened: now,
            latest_at_open: None,
            ahead_since: None,
        };
        Box::new(shared.open_stream(state, pending, issued_at, types))
    }
}
