use std::time::Duration;

use domain::{
    gap::GapReason,
    log::{Lag, LimitReached},
};

use super::{EndReason, TokenRejected};

/// Counts what happens. No call blocks or fails.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Metrics: Send + Sync {
    /// A stream was opened; now `streams` of `users` users are.
    fn stream_opened(&self, streams: usize, users: usize);

    /// A stream has ended; now `streams` of `users` users are open.
    fn stream_closed(&self, reason: EndReason, streams: usize, users: usize);

    /// A message came from the bus.
    fn event_received(&self, outcome: Outcome);

    /// `translations` of an event could not be read; the rest of it could.
    fn translations_unreadable(&self, translations: usize);

    /// One event was appended for `streams` open streams.
    fn delivered(&self, streams: usize);

    /// The last of its streams took an event for writing, `latency` after NATS had taken it.
    fn delivery_completed(&self, latency: Duration);

    /// A stream took an event that its client had missed.
    fn replayed(&self);

    /// A client was told that it has missed events which nobody can give it any more.
    fn gap_reported(&self, reason: GapReason);

    /// Somebody was refused a stream because as many are open as may be.
    fn limit_reached(&self, limit: LimitReached);

    /// So many messages stand on the bus behind the one that was just read.
    fn nats_lag(&self, messages: u64);

    /// A stream has still to take this much. It is asked now and then of each stream that has not taken everything.
    fn lagging(&self, lag: Lag);

    /// A silent stream got a keepalive comment.
    fn keepalive_sent(&self);

    /// The bus can be read, or no longer.
    fn nats_connected(&self, connected: bool);

    /// What instances share can be read, or could not be for five seconds.
    fn bucket_available(&self, bucket: Bucket, available: bool);

    /// Somebody was refused a stream because of the token.
    fn authentication_failed(&self, reason: AuthenticationFailure);
}

/// What instances share, in a bucket of NATS each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// Where streams stood when they ended.
    Bookmarks,
    /// Which languages users have chosen.
    Languages,
}

/// Why somebody was refused a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthenticationFailure {
    /// There was no token.
    Missing,
    /// There was one, but it opens no stream.
    Rejected(TokenRejected),
}

/// What became of a message from the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// At least one stream is to take it.
    Delivered,
    /// It was for us, but nobody whom it names has a stream open.
    NoSubscriber,
    /// A user has chosen a language.
    LanguageChosen,
    /// An account was disabled or deleted, or enabled again.
    AccountChanged,
    /// It was for another service.
    OtherType,
    /// It was for us, or for nobody, and could not be read.
    Unreadable,
}
