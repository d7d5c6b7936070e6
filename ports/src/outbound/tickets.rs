use domain::identity::Principal;

/// Issues and redeems tickets. A ticket opens streams of one user for a short time. With it an edge connects a stream that the platform's
/// proxy has admitted.
///
/// `obligations::tickets` tests the obligations of an implementation.
pub trait Tickets: Send + Sync {
    /// Returns a ticket for the principal of a verified token. A stream that it opens lasts no longer than the token.
    ///
    /// `identity_token` is a token of the identity provider that somebody else has verified. The ticket belongs to the session that it
    /// names. If it names none or cannot be read, the session is unknown.
    #[expect(clippy::needless_lifetimes, reason = "mockall needs a name for the lifetime in an Option")]
    fn issue<'a>(&self, principal: &Principal, identity_token: Option<&'a str>) -> String;

    /// Returns the principal for which a ticket was issued by this instance or another one. Times are rounded down to seconds.
    ///
    /// No part of the ticket may appear in a log or an error.
    ///
    /// # Errors
    ///
    /// - [`TicketRejected::Expired`] if the ticket or the token with which it was requested has expired, leeway included, and the ticket has
    ///   no other fault;
    /// - [`TicketRejected::Invalid`] if no instance has issued the ticket. A token of the platform is no ticket;
    /// - [`TicketRejected::Revoked`] if the user's account was disabled or deleted after the token was issued. An adapter that does not know
    ///   accounts never returns it.
    fn redeem(&self, ticket: &str) -> Result<Principal, TicketRejected>;
}

/// Why a ticket was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TicketRejected {
    /// The ticket has expired.
    #[error("the ticket has expired")]
    Expired,
    /// The ticket was not issued by this service.
    #[error("the ticket is not valid")]
    Invalid,
    /// The user's account was disabled or deleted after the token was issued with which the ticket was requested.
    #[error("the ticket's token was issued before its user's account was disabled or deleted")]
    Revoked,
}
