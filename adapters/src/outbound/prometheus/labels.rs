//! The values of labels in Prometheus.

use domain::{
    gap::GapReason,
    log::{EndReason, LimitReached},
};
use ports::outbound::{AuthenticationFailure, Bucket, Outcome, TicketRejected, TokenRejected};

pub(super) const END_REASONS: [(EndReason, &str); 10] = [
    named(EndReason::Client),
    named(EndReason::WriteTimeout),
    named(EndReason::Expired),
    named(EndReason::Logout),
    named(EndReason::Revoked),
    named(EndReason::MaxAge),
    named(EndReason::Replaced),
    named(EndReason::Administrator),
    named(EndReason::Stopping),
    named(EndReason::HandedOver),
];

const fn named(reason: EndReason) -> (EndReason, &'static str) {
    (reason, reason.name())
}

pub(super) const GAPS: [(GapReason, &str); 3] =
    [(GapReason::Expired, "expired"), (GapReason::Limit, "limit"), (GapReason::Unknown, "unknown")];

pub(super) const LIMITS: [(LimitReached, &str); 2] =
    [(LimitReached::Total, "total"), (LimitReached::PerUser, "user")];

pub(super) const OUTCOMES: [(Outcome, &str); 6] = [
    (Outcome::Delivered, "delivered"),
    (Outcome::NoSubscriber, "no_subscriber"),
    (Outcome::LanguageChosen, "language_chosen"),
    (Outcome::AccountChanged, "account_changed"),
    (Outcome::OtherType, "other_type"),
    (Outcome::Unreadable, "unreadable"),
];

pub(super) const BUCKETS: [(Bucket, &str); 2] =
    [(Bucket::Bookmarks, "sse-resume"), (Bucket::Languages, "sse-languages")];

pub(super) const FAILURES: [(AuthenticationFailure, &str); 10] = [
    (AuthenticationFailure::Missing, "missing"),
    (AuthenticationFailure::Rejected(TokenRejected::Invalid), "invalid"),
    (AuthenticationFailure::Rejected(TokenRejected::Expired), "expired"),
    (AuthenticationFailure::Rejected(TokenRejected::NoUser), "no_user"),
    (AuthenticationFailure::Rejected(TokenRejected::Scope), "scope"),
    (AuthenticationFailure::Rejected(TokenRejected::Revoked), "revoked"),
    (AuthenticationFailure::TicketRejected(TicketRejected::Invalid), "ticket_invalid"),
    (AuthenticationFailure::TicketRejected(TicketRejected::Expired), "ticket_expired"),
    (AuthenticationFailure::TicketRejected(TicketRejected::Revoked), "ticket_revoked"),
    (AuthenticationFailure::TicketClient, "ticket_client"),
];
