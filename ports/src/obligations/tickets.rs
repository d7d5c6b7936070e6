use std::time::Duration;

use domain::identity::{IssuedAt, Principal, SessionId};

use super::user;
use crate::outbound::{TicketRejected, Tickets};

/// Tests [`Tickets`] with tickets of the user `a`, whose account is not disabled. `token` is a valid token of the platform, and
/// `identity_token` returns a token of an identity provider for a session.
///
/// # Panics
///
/// Panics if an obligation is not met.
pub fn tickets(tickets: &impl Tickets, token: &str, identity_token: impl Fn(&str) -> String) {
    let expires_at = Duration::from_secs(1 << 40);
    let good = Principal { user: user(), issued_at: IssuedAt::UNKNOWN, expires_at, session_id: None };
    for issued_at in [IssuedAt::UNKNOWN, IssuedAt::new(Duration::from_secs(1_000_000))] {
        let principal = Principal { issued_at, ..good.clone() };
        for identity_token in [None, Some("opaque"), Some(token)] {
            let ticket = tickets.issue(&principal, identity_token);
            assert_eq!(tickets.redeem(&ticket), Ok(principal.clone()), "{identity_token:?}");
        }
        let in_session = tickets.redeem(&tickets.issue(&principal, Some(&identity_token("a session"))));
        let session_id = SessionId::of("a session").map(Box::new);
        assert_eq!(in_session, Ok(Principal { session_id, ..principal }));
    }
    let expired = Principal { expires_at: Duration::from_secs(1), ..good.clone() };
    assert_eq!(tickets.redeem(&tickets.issue(&expired, None)), Err(TicketRejected::Expired));
    let mut changed = tickets.issue(&good, None);
    changed.insert(changed.len() / 2, 'x');
    for text in ["", "nonsense", "..", "a.b.c", token, &changed] {
        assert_eq!(tickets.redeem(text), Err(TicketRejected::Invalid), "{text:?}");
    }
}
