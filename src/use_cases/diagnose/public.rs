//! The checks through the public name of the platform.

mod responses;
mod tickets;

use std::time::Duration;

use domain::identity::UserId;
use ports::outbound::{BodyPart, ProbeFault};
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use self::responses::{compare_headers, judge_route, judge_stream, unreachable};
use super::{
    Diagnosis, Finding, STREAM_PATH, Verdict,
    instance::unpublished,
    registry::is_loopback,
    request,
    stream::{Idle, Lost, Stream},
    version_of,
};

/// The platform's operation that returns the user of a token.
const USER_PATH: &str = "/graph/v1.0/me";
/// Timeout for its answer, and the maximum size.
const USER_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_USER_BYTES: usize = 1 << 20;
/// The recipient of an event for all users. The public server must not be able to choose it.
const EVERYONE: &str = "all";
/// The encodings that browsers accept.
const ACCEPT_ENCODING: &str = "gzip, deflate, br, zstd";
/// Time between two test events.
const EVENT_INTERVAL: Duration = Duration::from_secs(1);
/// Events that arrive closer together were held back.
const MIN_ARRIVAL_INTERVAL: Duration = Duration::from_millis(500);
/// An idle timeout for which a keepalive interval can be set.
const MIN_IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// Delay from which on something holds events back.
const MAX_DELAY: Duration = Duration::from_millis(500);

/// The advice on a proxy that holds a response back.
const BUFFERING: &str = "a proxy holds the response back: switch buffering off for the stream (docs/proxies.md has \
                         the lines for nginx, Caddy, HAProxy and Traefik)";

/// The public name of the platform, and how to check it.
#[derive(Clone, Debug)]
pub struct PublicName {
    /// The URL of the platform without a slash at the end: `https://cloud.example.org`.
    pub url: String,
    /// Whether the certificate is verified.
    pub verify: bool,
    /// An access token of a user, as browsers send it. With none, only what is reached without one is checked.
    pub access_token: Option<String>,
    /// How long to wait in silence for a connection to be cut. None to leave it out.
    pub idle: Option<Duration>,
}

impl PublicName {
    /// Returns whether nobody between this machine and the server reads what is sent.
    fn is_private(&self) -> bool {
        self.url.starts_with("https://") || self.is_loopback()
    }

    /// Returns whether the server is on this machine.
    fn is_loopback(&self) -> bool {
        is_loopback(&self.url)
    }
}

impl Diagnosis {
    /// Checks the way of a stream through the public name. `direct` has the headers of a stream without anything in between.
    pub(super) async fn check_public_name(
        &self,
        public: &PublicName,
        can_publish: bool,
        direct: Option<&Vec<(String, String)>>,
        report: &mut (dyn FnMut(Finding) + Send),
    ) {
        let url = format!("{}{STREAM_PATH}", public.url);
        let rejected = match self.streams.get(&request(url.clone(), Vec::new(), public.verify)).await {
            Ok(response) => response,
            Err(fault) => return report(unreachable(&url, &fault)),
        };
        report(Finding::ok("public", rejected.connection.clone()));
        if let Some(date) = rejected.date {
            report(self.compare_clocks("public.clock", "the public server", date, Duration::from_secs(1)));
        }
        let route = judge_route(&rejected, public.access_token.is_some());
        let has_failed = route.verdict == Verdict::Failed;
        report(route);
        if has_failed {
            return;
        }
        let leads_here = version_of(&rejected).is_some();
        let Credential { user, header, is_own } = match self.credential(public, leads_here, report).await {
            Ok(credential) => credential,
            Err(reason) => return report(Finding::skipped("public.stream", reason, None)),
        };
        let headers = vec![header, ("accept-encoding", ACCEPT_ENCODING.to_owned())];
        let requested = self.clock.now();
        let response = match self.streams.get(&request(url.clone(), headers.clone(), public.verify)).await {
            Ok(response) => response,
            Err(fault @ ProbeFault::NoHead(_)) => {
                return report(Finding::failed("public.stream", fault.to_string(), BUFFERING));
            }
            Err(fault) => return report(unreachable(&url, &fault)),
        };
        let waited = self.clock.now().saturating_duration_since(requested);
        let opened = judge_stream(&response, waited, is_own);
        let is_open = opened.verdict == Verdict::Ok;
        report(opened);
        if !is_open {
            return;
        }
        // Without the platform's proxy no ticket is needed.
        if !is_own {
            report(self.check_tickets(public, &headers[0]).await);
        }
        if let Some(direct) = direct {
            report(compare_headers(&response, direct));
        }
        let mut stream = match response.header("content-encoding").filter(|encoding| *encoding != "identity")
        {
            None => {
                report(Finding::ok("public.compression", "the stream is not compressed"));
                Stream::new(response.body, &self.clock)
            }
            Some(encoding) => {
                report(Finding::failed(
                    "public.compression",
                    format!("a proxy compresses the stream ({encoding}), which holds events back"),
                    "switch compression off for the stream (docs/proxies.md)",
                ));
                // Without compression, the other checks can read it.
                let headers = headers[..1].to_vec();
                match self.streams.get(&request(url.clone(), headers, public.verify)).await {
                    Ok(response) if response.status == 200 => Stream::new(response.body, &self.clock),
                    Ok(_) => return,
                    Err(fault) => return report(unreachable(&url, &fault)),
                }
            }
        };
        match user {
            Some(user) if can_publish => report(self.check_arrivals(&user, &mut stream).await),
            Some(_) => {
                report(Finding::skipped("public.events", "without NATS no event can be published", None));
            }
            None => report(Finding::skipped("public.events", "the user of the token is unknown", None)),
        }
        if let Some(limit) = public.idle {
            report(self.judge_idle(limit, stream.idle(limit).await));
        }
    }

    /// Returns the token with which a stream is opened.
    ///
    /// # Errors
    ///
    /// Returns the reason why there is no token to send.
    async fn credential(
        &self,
        public: &PublicName,
        leads_here: bool,
        report: &mut (dyn FnMut(Finding) + Send),
    ) -> Result<Credential, &'static str> {
        let is_private = public.is_private();
        match &public.access_token {
            Some(_) if !is_private => Err("the token is not sent, because the connection is not encrypted"),
            Some(token) => {
                let user = self.user_of(public, token).await.map_err(&mut *report).ok();
                Ok(Credential { user, header: ("authorization", format!("Bearer {token}")), is_own: false })
            }
            None if !leads_here => Err("without a token no stream can be opened: give one with --token"),
            // A token that is signed with the platform's secret goes only to this service, and nobody else reads it.
            None if !is_private => {
                Err("no token is sent, because the connection is not encrypted: give an https URL")
            }
            None if !public.verify && !public.is_loopback() => {
                Err("the server's certificate is not verified, so no token is sent: give one with --token")
            }
            None => Ok(Credential {
                user: Some(self.user.clone()),
                header: ("x-access-token", self.token.clone()),
                is_own: true,
            }),
        }
    }

    /// Returns the user of an access token, as the platform knows it.
    async fn user_of(&self, public: &PublicName, token: &str) -> Result<UserId, Finding> {
        let failed = |seen: String| {
            Finding::failed(
                "public.user",
                seen,
                "copy a new access token of a signed-in browser: the value after \"Bearer\" in the \
                 Authorization header of any of its requests",
            )
        };
        let url = format!("{}{USER_PATH}", public.url);
        let headers = vec![("authorization", format!("Bearer {token}"))];
        let response = self.streams.get(&request(url.clone(), headers, public.verify)).await;
        let mut response = response.map_err(|fault| failed(format!("{url}: {fault}")))?;
        if response.status != 200 {
            return Err(failed(format!("{url} answered {}", response.status)));
        }
        let mut text = String::new();
        let read = async {
            while let BodyPart::Text(part) = response.body.next().await {
                text += &part;
                if text.len() > MAX_USER_BYTES {
                    break;
                }
            }
        };
        timeout(USER_TIMEOUT, read).await.ok();
        let user = serde_json::from_str::<User>(&text).ok().filter(|user| user.id != EVERYONE);
        let user = user.and_then(|user| UserId::try_new(&user.id).ok());
        user.ok_or_else(|| failed(format!("{url} did not answer with a user")))
    }

    /// Checks that two events, a second apart, arrive a second apart.
    async fn check_arrivals(&self, user: &UserId, stream: &mut Stream) -> Finding {
        const CHECK: &str = "public.events";
        let first = match self.publish(user).await {
            Ok(event) => event,
            Err(fault) => return unpublished(CHECK, &fault),
        };
        let published = async {
            sleep(EVENT_INTERVAL).await;
            self.publish(user).await
        };
        let arrivals = async {
            let arrival = stream.arrival(&first).await;
            (arrival, self.clock.now())
        };
        let (second, (first_arrival, first_time)) = tokio::join!(published, arrivals);
        let second = match second {
            Ok(event) => event,
            Err(fault) => return unpublished(CHECK, &fault),
        };
        let second_arrival = stream.arrival(&second).await;
        let interval = self.clock.now().saturating_duration_since(first_time);
        let (one, other) = match (first_arrival, second_arrival) {
            (Ok(one), Ok(other)) => (one, other),
            (Err(lost), _) | (_, Err(lost)) => {
                let advice = match lost {
                    Lost::Late => BUFFERING,
                    Lost::Ended(_) => "a proxy ends the response: raise its timeouts, and look into its log",
                };
                return Finding::failed(CHECK, format!("an event was published and {lost}"), advice);
            }
        };
        let (first, second) = (one.as_millis(), other.as_millis());
        if interval < MIN_ARRIVAL_INTERVAL {
            let seen = format!("two events, a second apart, arrived together, the first after {first} ms");
            return Finding::failed(CHECK, seen, BUFFERING);
        }
        let seen = format!("two events, a second apart, arrived after {first} ms and {second} ms");
        if one.max(other) > MAX_DELAY {
            Finding::warning(CHECK, seen, BUFFERING)
        } else {
            Finding::ok(CHECK, seen)
        }
    }

    /// Returns the finding about a stream without events.
    fn judge_idle(&self, limit: Duration, idle: Idle) -> Finding {
        const CHECK: &str = "public.idle";
        let keepalive = self.instance.keepalive;
        match idle {
            Idle::HadEnded => Finding::skipped(CHECK, "the stream had ended before", None),
            Idle::Open { comments } => {
                Finding::ok(CHECK, format!("open after {} s; comments: {comments}", limit.as_secs()))
            }
            Idle::EndedByService { reason } => {
                Finding::skipped(CHECK, format!("the service ended the stream itself: {reason}"), None)
            }
            Idle::Cut { silence, cause } => {
                let cause = cause.map(|cause| format!(" ({cause})")).unwrap_or_default();
                let seen = format!("cut after {} s of silence{cause}", silence.as_secs());
                let advice = if silence < MIN_IDLE_TIMEOUT {
                    "a proxy closes streams at once: look into its log".to_owned()
                } else if keepalive.is_zero() || keepalive >= silence {
                    let half = silence.as_secs() / 2;
                    format!(
                        "set SSE_KEEPALIVE_INTERVAL to {half}s, or raise the proxy's timeout for reading a response"
                    )
                } else {
                    "keepalives are shorter than that: a proxy limits the whole duration of a response, or holds \
                     comments back"
                        .to_owned()
                };
                Finding::failed(CHECK, seen, advice)
            }
        }
    }
}

/// The token with which a stream is opened.
struct Credential {
    /// The user of the token, if known.
    user: Option<UserId>,
    /// The header with the token.
    header: (&'static str, String),
    /// Whether this diagnosis has signed the token.
    is_own: bool,
}

/// A user, as the platform describes it.
#[derive(Deserialize)]
struct User {
    id: String,
}
