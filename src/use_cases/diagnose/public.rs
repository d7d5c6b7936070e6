//! The checks through the public name of the platform.

use std::time::Duration;

use domain::identity::UserId;
use ports::outbound::{BodyPart, ProbeFault, ProbeResponse};
use serde::Deserialize;
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    Diagnosis, Finding, STREAM_PATH, VERSION_HEADER,
    instance::unpublished,
    request,
    stream::{Idle, Stream},
};

/// The platform's operation that returns the user of a token.
const USER_PATH: &str = "/graph/v1.0/me";
/// Timeout for its answer, and the maximum size.
const USER_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_USER_BYTES: usize = 1 << 20;
/// The encodings that browsers accept.
const ACCEPT_ENCODING: &str = "gzip, deflate, br, zstd";
/// Time between two test events.
const EVENT_INTERVAL: Duration = Duration::from_secs(1);
/// Events that arrive closer together were held back.
const MIN_ARRIVAL_INTERVAL: Duration = Duration::from_millis(500);
/// Headers that proxies have to leave as they are, in lower case.
const HEADERS: [&str; 4] = ["content-type", "cache-control", "x-accel-buffering", "content-language"];

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
        report(Finding::ok("public", format!("{url}: {}", rejected.connection)));
        if let Some(date) = rejected.date {
            report(self.compare_clocks("public.clock", "the public server", date, Duration::from_secs(1)));
        }
        let leads_here = rejected.header(VERSION_HEADER).is_some();
        report(judge_route(&rejected, public.access_token.is_some()));
        let (user, token) = match &public.access_token {
            Some(token) => match self.user_of(public, token).await {
                Ok(user) => (Some(user), ("authorization", format!("Bearer {token}"))),
                Err(finding) => {
                    report(finding);
                    (None, ("authorization", format!("Bearer {token}")))
                }
            },
            // A token of the platform goes only where this service answers.
            None if leads_here => (Some(self.user.clone()), ("x-access-token", self.token.clone())),
            None => return,
        };
        let headers = vec![token, ("accept-encoding", ACCEPT_ENCODING.to_owned())];
        let response = match self.streams.get(&request(url.clone(), headers.clone(), public.verify)).await {
            Ok(response) => response,
            Err(fault @ ProbeFault::NoHead(_)) => {
                return report(Finding::failed("public.stream", fault.to_string(), BUFFERING));
            }
            Err(fault) => return report(unreachable(&url, &fault)),
        };
        report(judge_stream(&response));
        if response.status != 200 {
            return;
        }
        if let Some(direct) = direct {
            report(compare_headers(&response, direct));
        }
        let mut stream = match response.header("content-encoding") {
            None => {
                report(Finding::ok("public.compression", "the stream is not compressed"));
                Stream::new(response.body)
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
                    Ok(response) => Stream::new(response.body),
                    Err(fault) => return report(unreachable(&url, &fault)),
                }
            }
        };
        match user {
            Some(user) if can_publish => report(self.check_arrivals(&user, &mut stream).await),
            _ => report(Finding::skipped("public.events", "no event can be published", None)),
        }
        if let Some(limit) = public.idle {
            report(self.judge_idle(limit, &stream.idle(limit).await));
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
        #[derive(Deserialize)]
        struct User {
            id: String,
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
        let user = serde_json::from_str::<User>(&text).ok().and_then(|user| UserId::try_new(&user.id).ok());
        user.ok_or_else(|| failed(format!("{url} did not answer with a user")))
    }

    /// Checks that two events, a second apart, arrive a second apart.
    async fn check_arrivals(&self, user: &UserId, stream: &mut Stream) -> Finding {
        const CHECK: &str = "public.events";
        let start = Instant::now();
        let first = match self.publish(user).await {
            Ok(event) => event,
            Err(fault) => return unpublished(CHECK, &fault),
        };
        let published = async {
            sleep_until(start + EVENT_INTERVAL).await;
            self.publish(user).await
        };
        let arrivals = async {
            let arrival = stream.arrival(&first).await;
            (arrival, Instant::now())
        };
        let (second, (first_arrival, first_time)) = tokio::join!(published, arrivals);
        let second = match second {
            Ok(event) => event,
            Err(fault) => return unpublished(CHECK, &fault),
        };
        let second_arrival = stream.arrival(&second).await;
        let interval = first_time.elapsed();
        // A fault was reported with the event on the direct stream.
        self.remove(&[&first, &second]).await;
        match (first_arrival, second_arrival) {
            (Ok(one), Ok(other)) if interval >= MIN_ARRIVAL_INTERVAL => Finding::ok(
                CHECK,
                format!(
                    "two events, a second apart, arrived after {} ms and {} ms",
                    one.as_millis(),
                    other.as_millis()
                ),
            ),
            (Ok(one), Ok(_)) => Finding::failed(
                CHECK,
                format!(
                    "two events, a second apart, arrived together, the first after {} ms",
                    one.as_millis()
                ),
                BUFFERING,
            ),
            (Err(lost), _) | (_, Err(lost)) => {
                Finding::failed(CHECK, format!("an event was published and {lost}"), BUFFERING)
            }
        }
    }

    /// Returns the finding about a stream without events.
    fn judge_idle(&self, limit: Duration, idle: &Idle) -> Finding {
        const CHECK: &str = "public.idle";
        let keepalive = self.instance.keepalive;
        let Some((silence, cause)) = &idle.ended else {
            let comments = match idle.comments {
                0 => "without a byte".to_owned(),
                comments => format!("with {comments} comments"),
            };
            return Finding::ok(CHECK, format!("open after {} s {comments}", limit.as_secs()));
        };
        let cause = cause.as_ref().map(|cause| format!(" ({cause})")).unwrap_or_default();
        let seen = format!("cut after {} s of silence{cause}", silence.as_secs());
        let half = silence.as_secs() / 2;
        if keepalive.is_zero() || keepalive >= *silence {
            Finding::failed(
                CHECK,
                seen,
                format!(
                    "set SSE_KEEPALIVE_INTERVAL to {half}s, or raise the proxy's timeout for reading a response"
                ),
            )
        } else {
            Finding::failed(
                CHECK,
                seen,
                "keepalives are shorter than that: a proxy limits the whole duration of a response, or holds \
                 comments back",
            )
        }
    }
}

/// Returns the finding about a request that got no response.
fn unreachable(url: &str, fault: &ProbeFault) -> Finding {
    let advice = match fault {
        ProbeFault::Resolve(_) => "check the name, and that this machine resolves it as browsers do",
        ProbeFault::Connect(_) => {
            "check that the public proxy listens there, and that a firewall lets this machine in"
        }
        ProbeFault::Tls(_) => "check the certificate: name, issuer, end. --insecure accepts any",
        ProbeFault::Http(_) => "check whether the port speaks HTTP, with or without TLS",
        ProbeFault::NoHead(_) => "the proxy does not reach the platform, or the platform hangs",
    };
    Finding::failed("public", format!("{url}: {fault}"), advice)
}

/// Returns the finding about the answer to a request without a token.
fn judge_route(response: &ProbeResponse, has_token: bool) -> Finding {
    const CHECK: &str = "public.route";
    let status = response.status;
    if let Some(version) = response.header(VERSION_HEADER) {
        return Finding::ok(CHECK, format!("leads to ocis-sse {version}, which answered {status}"));
    }
    match status {
        401 if has_token => Finding::ok(CHECK, "the platform's proxy rejects requests without a token"),
        401 => Finding::skipped(
            CHECK,
            "the platform's proxy rejects requests without a token, so it is unknown where the path leads",
            Some("give an access token of a signed-in browser with --token".into()),
        ),
        500 => Finding::failed(
            CHECK,
            "answered 500, as the built-in service does without a token",
            "stop the built-in service: add sse to OCIS_EXCLUDE_RUN_SERVICES (OpenCloud: OC_EXCLUDE_RUN_SERVICES)",
        ),
        502..=504 => Finding::failed(
            CHECK,
            format!("answered {status}: a proxy does not reach what it forwards to"),
            "check the findings about the registry; then what the public proxy forwards to",
        ),
        _ => Finding::failed(
            CHECK,
            format!("answered {status}, and not by ocis-sse"),
            "check that the public proxy forwards /ocs/ to the platform, and the platform's proxy \
             …/notifications/sse to the sse service",
        ),
    }
}

/// Returns the finding about the answer to a request with a token.
fn judge_stream(response: &ProbeResponse) -> Finding {
    const CHECK: &str = "public.stream";
    let version = response.header(VERSION_HEADER);
    match (response.status, version) {
        (200, Some(version)) => Finding::ok(
            CHECK,
            format!("ocis-sse {version} opened a stream after {} ms", response.waited.as_millis()),
        ),
        (200, None) => Finding::failed(
            CHECK,
            "answered 200, but not by ocis-sse",
            "the path leads to the built-in service, or to a page: check the findings about the registry and the \
             routes of the proxies",
        ),
        (401, Some(_)) => Finding::failed(
            CHECK,
            "ocis-sse rejected the token that the platform's proxy has issued",
            "the platform signs with another secret: set OCIS_JWT_SECRET to the platform's (jwt_secret below \
             token_manager in ocis.yaml)",
        ),
        (401 | 403, None) => Finding::failed(
            CHECK,
            format!("the platform's proxy rejected the access token ({})", response.status),
            "copy a new access token of a signed-in browser: it may have expired",
        ),
        (status, Some(_)) => Finding::failed(
            CHECK,
            format!("ocis-sse answered {status}"),
            "the answer's body and the instance's log have the reason",
        ),
        (status, None) => Finding::failed(
            CHECK,
            format!("answered {status}, and not by ocis-sse"),
            "the platform's proxy does not reach the service: check the findings about the registry",
        ),
    }
}

/// Returns the finding about headers that a proxy has removed or changed.
fn compare_headers(response: &ProbeResponse, direct: &[(String, String)]) -> Finding {
    let changed: Vec<_> = HEADERS
        .iter()
        .filter_map(|name| {
            let sent = direct.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())?;
            match response.header(name) {
                Some(arrived) if arrived == sent => None,
                Some(arrived) => Some(format!("{name}: {arrived} instead of {sent}")),
                // nginx takes this header as an order for itself.
                None if *name == "x-accel-buffering" => None,
                None => Some(format!("{name} is missing")),
            }
        })
        .collect();
    if changed.is_empty() {
        return Finding::ok("public.headers", "all headers of the stream arrive");
    }
    Finding::warning(
        "public.headers",
        format!("changed on the way: {}", changed.join("; ")),
        "a proxy that stores or rewrites the response may hold events back: leave the headers of the stream as they \
         are",
    )
}
