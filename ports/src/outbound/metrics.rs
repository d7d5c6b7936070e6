use std::time::Duration;

use domain::{
    gap::GapReason,
    log::{EndReason, Lag, LimitReached},
};

use super::{TicketRejected, TokenRejected};

/// The metrics of the application. No call blocks or fails.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Metrics: Send + Sync {
    /// Counts an opened stream. `streams` streams of `users` users are open now.
    fn stream_opened(&self, streams: usize, users: usize);

    /// Counts an ended stream. `streams` streams of `users` users are open now.
    fn stream_closed(&self, reason: EndReason, streams: usize, users: usize);

    /// Counts a message from NATS.
    fn event_received(&self, outcome: Outcome);

    /// Counts translations of an event that are unreadable. The rest of the event was readable.
    fn translations_unreadable(&self, translations: usize);

    /// Counts an event that was appended for `streams` open streams.
    fn delivered(&self, streams: usize);

    /// Records that the last of an event's streams has taken it, has lost it or has ended, `latency` after NATS stored it.
    fn delivery_completed(&self, latency: Duration);

    /// Counts an event that a stream has taken as a replay.
    fn replayed(&self);

    /// Counts a gap that was reported to a client.
    fn gap_reported(&self, reason: GapReason);

    /// Counts a stream that was rejected because of a limit.
    fn limit_reached(&self, limit: LimitReached);

    /// Sets the number of messages on NATS after the one that was just read.
    fn nats_lag(&self, messages: u64);

    /// Records the lag of a stream. It is sampled regularly for each stream that has not taken everything.
    fn lagging(&self, lag: Lag);

    /// Counts a keepalive comment.
    fn keepalive_sent(&self);

    /// Sets whether NATS can be read.
    fn nats_connected(&self, connected: bool);

    /// Sets whether a bucket is available. It is unavailable when it could not be read for five seconds.
    fn bucket_available(&self, bucket: Bucket, available: bool);

    /// Counts a ticket that was issued.
    fn ticket_issued(&self);

    /// Counts a request that was rejected because of its token or its ticket.
    fn authentication_failed(&self, reason: AuthenticationFailure);

    /// Counts a line of the log that was dropped, because it could not be written or lines came faster than they could be written.
    fn log_line_dropped(&self);
}

/// A bucket of NATS that instances share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// The bookmarks of ended streams.
    Bookmarks,
    /// The users' language choices.
    Languages,
}

/// Why a request was not authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthenticationFailure {
    /// The request had no token.
    Missing,
    /// The token was rejected.
    Rejected(TokenRejected),
    /// The ticket was rejected.
    TicketRejected(TicketRejected),
    /// The ticket came from an address whose tickets are not accepted.
    TicketClient,
}

/// The outcome of a message from NATS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The message is an event that at least one stream has to take.
    Delivered,
    /// The message is an event, but none of its recipients has an open stream.
    NoSubscriber,
    /// The message is a user's choice of a language.
    LanguageChosen,
    /// The message is the change of an account.
    AccountChanged,
    /// The message is for other services.
    OtherType,
    /// The message is for this service, or its type is unreadable, and it could not be decoded.
    Unreadable,
}
