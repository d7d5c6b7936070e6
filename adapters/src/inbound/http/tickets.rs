//! Tickets, with which an edge connects a client's stream directly to this service: the operation that issues a ticket, and the admission of
//! streams by a ticket.

use std::{net::IpAddr, sync::Arc};

use domain::identity::Principal;
use ipnet::IpNet;
use poem::{Request, http::StatusCode};
use poem_openapi::{ApiResponse, OpenApi, payload::Json};
use ports::outbound::{AuthenticationFailure, Metrics, Tickets, TokenVerifier};
use tokio::sync::watch;
use tracing::info;

use super::{
    credentials::{Credentials, Denied},
    problem::Problem,
};

/// The header of a ticket, in the answer that issues it and in the request for a stream.
pub(super) const HEADER: &str = "x-sse-ticket";

/// Opens streams by their tickets.
#[derive(Clone)]
pub(super) struct TicketAdmission {
    pub(super) tickets: Arc<dyn Tickets>,
    /// The networks of the edges whose tickets are accepted. If there are none, tickets are off.
    pub(super) clients: watch::Receiver<Vec<IpNet>>,
    pub(super) metrics: Arc<dyn Metrics>,
}

impl TicketAdmission {
    /// Returns the principal of the request's ticket. None if the request has none or tickets are off, so that its token counts.
    ///
    /// # Errors
    ///
    /// The ticket is not valid, or comes from another address than those of the edges. The failure is counted. No other credential of the
    /// request counts, because an edge that sends a ticket has not checked the others.
    pub(super) fn principal(&self, request: &Request) -> Option<Result<Principal, Denied>> {
        let mut sent = request.headers().get_all(HEADER).iter();
        let ticket = sent.next().filter(|_| self.is_on())?;
        if !self.is_client(request) {
            let detail = "tickets are not accepted from this address (http.ticket_clients)";
            return Some(Err(self.rejected(AuthenticationFailure::TicketClient, detail)));
        }
        // One of several may come from a browser.
        let ticket = if sent.next().is_some() { None } else { ticket.to_str().ok() };
        let redeemed = self.tickets.redeem(ticket.unwrap_or_default());
        Some(redeemed.map_err(|rejected| {
            self.rejected(AuthenticationFailure::TicketRejected(rejected), &rejected.to_string())
        }))
    }

    fn is_on(&self) -> bool {
        !self.clients.borrow().is_empty()
    }

    /// Returns whether the peer of the connection is an edge whose tickets are accepted. No header can pretend to be one.
    fn is_client(&self, request: &Request) -> bool {
        let peer = request.remote_addr().as_socket_addr().map(|peer| peer.ip().to_canonical());
        peer.is_some_and(|peer: IpAddr| self.clients.borrow().iter().any(|network| network.contains(&peer)))
    }

    fn rejected(&self, failure: AuthenticationFailure, reason: &str) -> Denied {
        self.metrics.authentication_failed(failure);
        info!(reason, "request rejected");
        Denied::invalid(reason)
    }
}

/// The dependencies of the operations.
pub(super) struct TicketApi {
    pub(super) admission: TicketAdmission,
    pub(super) verifier: Arc<dyn TokenVerifier>,
}

#[expect(clippy::unused_async, reason = "poem-openapi takes async operations only")]
#[OpenApi]
impl TicketApi {
    /// Request a ticket for a stream
    ///
    /// Returns a ticket for the user of the token. For 30 seconds it opens streams of this user, and it can be used for nothing else. A stream
    /// that was opened with it ends at the latest when the token expires, or when the user's account is disabled or deleted.
    ///
    /// An edge requests the ticket through the platform's proxy, with the credentials of a client that requests a stream. Then it sends the
    /// client's request to this service directly, with the ticket in `X-Sse-Ticket`. If the request for the ticket has the access token of the
    /// identity provider in `Authorization`, which the platform's proxy has verified, a logout of another session does not end the stream.
    #[oai(
        path = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse/ticket",
        method = "get",
        operation_id = "requestTicket"
    )]
    async fn ticket(&self, request: &Request, credentials: Credentials) -> Answer {
        self.issue(request, &credentials)
    }

    /// Request a ticket for a stream (short path)
    ///
    /// The same operation as at the longer path of the platform's API.
    #[oai(path = "/sse/ticket", method = "get", operation_id = "requestTicketByShortPath")]
    async fn ticket_by_short_path(&self, request: &Request, credentials: Credentials) -> Answer {
        self.issue(request, &credentials)
    }
}

impl TicketApi {
    fn issue(&self, request: &Request, credentials: &Credentials) -> Answer {
        let TicketAdmission { tickets, metrics, .. } = &self.admission;
        if !self.admission.is_on() {
            let detail = "tickets are off; http.ticket_clients names the edges that may use them";
            return Answer::Off(Json(Problem::new(StatusCode::NOT_FOUND, detail)));
        }
        match credentials.principal(request, &*self.verifier, &**metrics) {
            Ok(principal) => {
                metrics.ticket_issued();
                Answer::Issued(tickets.issue(&principal, bearer_token(request)), "no-store".into())
            }
            Err(Denied::Unauthorized { challenge, problem }) => {
                Answer::Unauthorized(Json(problem), challenge.into())
            }
            Err(Denied::Forbidden { problem }) => Answer::Forbidden(Json(problem)),
        }
    }
}

/// Returns the bearer token of the request (RFC 6750, 2.1).
fn bearer_token(request: &Request) -> Option<&str> {
    let (scheme, token) = request.header("authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim_start())
}

#[derive(ApiResponse)]
enum Answer {
    /// The ticket is in the header `X-Sse-Ticket`.
    #[oai(status = 204)]
    Issued(
        /// The ticket.
        #[oai(header = "X-Sse-Ticket")]
        String,
        /// Always `no-store`.
        #[oai(header = "Cache-Control")]
        String,
    ),
    /// The token is missing or not valid: it has expired, was not issued by the platform, names no user, or was issued before the user's
    /// account was disabled or deleted.
    #[oai(status = 401, content_type = "application/problem+json")]
    Unauthorized(
        Json<Problem>,
        /// `Bearer`, with `error="invalid_token"` if the request has a token.
        #[oai(header = "WWW-Authenticate")]
        String,
    ),
    /// The token is valid but gives no access to the user's events, for example because it is the token of a public share.
    #[oai(status = 403, content_type = "application/problem+json")]
    Forbidden(Json<Problem>),
    /// Tickets are off.
    #[oai(status = 404, content_type = "application/problem+json")]
    Off(Json<Problem>),
}
