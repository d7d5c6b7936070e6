//! The check of tickets, with which a proxy connects streams directly to the service.

use ports::outbound::{ProbeFault, ProbeResponse};

use super::{
    super::{Diagnosis, Finding, STREAM_PATH, request, version_of},
    PublicName,
    responses::unreachable,
};

const CHECK: &str = "public.ticket";
/// The path of a ticket, below that of the stream.
const TICKET: &str = "/ticket";
/// The header of a ticket.
const HEADER: &str = "x-sse-ticket";

/// A header of a request.
type Header = (&'static str, String);

impl Diagnosis {
    /// Checks whether a proxy can request a ticket through the public name, and whether a ticket that a browser sends is removed.
    pub(super) async fn check_tickets(&self, public: &PublicName, credential: &Header) -> Finding {
        let issued = match self.ask(public, TICKET, vec![credential.clone()]).await {
            Ok(issued) => issued,
            Err((url, fault)) => return unreachable(&url, &fault),
        };
        match issued.status {
            204 if issued.header(HEADER).is_some() => {}
            404 if version_of(&issued).is_some() => {
                return Finding::ok(CHECK, "tickets are off, so that no proxy connects streams directly");
            }
            status => {
                let seen = format!("the request for a ticket was answered with {status}");
                let advice =
                    "for direct streams, the platform's proxy has to forward …/sse/ticket to the service";
                return Finding::skipped(CHECK, seen, Some(advice));
            }
        }
        let forged = vec![credential.clone(), (HEADER, "forged".to_owned())];
        match self.ask(public, "", forged).await {
            Ok(opened) if opened.status == 200 => {
                Finding::ok(CHECK, "a ticket arrives, and a ticket that a browser sends is removed")
            }
            Ok(_) => Finding::warning(
                CHECK,
                "a ticket arrives, but a ticket that a browser sends is not removed",
                "remove X-Sse-Ticket and x-access-token from the requests of browsers (docs/direct-streams.md has the \
                 lines for nginx, Caddy and Traefik)",
            ),
            Err((url, fault)) => unreachable(&url, &fault),
        }
    }

    /// Requests a path below that of the stream. The error has the URL.
    async fn ask(
        &self,
        public: &PublicName,
        path: &str,
        headers: Vec<Header>,
    ) -> Result<ProbeResponse, (String, ProbeFault)> {
        let url = format!("{}{STREAM_PATH}{path}", public.url);
        self.streams.get(&request(url.clone(), headers, public.verify)).await.map_err(|fault| (url, fault))
    }
}
