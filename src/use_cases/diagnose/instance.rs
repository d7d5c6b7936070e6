//! The checks of the running instance, without anything in between.

use std::time::Duration;

use ports::outbound::{BodyPart, BusFault, ProbeFault, ProbeResponse};
use tokio::time::timeout;

use super::{
    Diagnosis, Finding, STREAM_PATH, Verdict,
    bus::LIMITS,
    request,
    stream::{Lost, Stream},
    version_of,
};

/// Timeout for the text of the readiness probe.
const TEXT_TIMEOUT: Duration = Duration::from_secs(2);

impl Diagnosis {
    /// Checks that the instance is ready and that an event arrives on a stream. Returns the headers of the stream's response.
    pub(super) async fn check_instance(
        &self,
        can_publish: bool,
        report: &mut (dyn FnMut(Finding) + Send),
    ) -> Option<Vec<(String, String)>> {
        let readiness = self.check_readiness().await;
        let is_ready = readiness.verdict == Verdict::Ok;
        report(readiness);
        let url = format!("{}{STREAM_PATH}", self.instance.url);
        let headers = vec![("x-access-token", self.token.clone())];
        let response = match self.streams.get(&request(url.clone(), headers, false)).await {
            Ok(response) => response,
            Err(fault) => {
                report(Finding::failed("stream", format!("{url}: {fault}"), advice_on(&fault, is_ready)));
                return None;
            }
        };
        let opened = judge_direct_stream(&url, &response);
        let is_open = response.status == 200;
        report(opened);
        if let Some(date) = response.date {
            report(self.compare_clocks("clock", "the instance", date, Duration::from_secs(1)));
        }
        if !is_open {
            return None;
        }
        let headers = response.headers;
        if can_publish {
            report(self.check_event(&mut Stream::new(response.body, &self.clock), is_ready).await);
        } else {
            report(Finding::skipped("event", "without NATS no event can be published", None));
        }
        Some(headers)
    }

    async fn check_readiness(&self) -> Finding {
        let url = format!("{}/readyz", self.instance.debug_url);
        match self.streams.get(&request(url.clone(), Vec::new(), false)).await {
            Ok(response) if response.status == 200 => Finding::ok("ready", "the instance is ready"),
            Ok(mut response) => {
                let text = match timeout(TEXT_TIMEOUT, response.body.next()).await {
                    Ok(BodyPart::Text(text)) => text,
                    _ => String::new(),
                };
                Finding::failed(
                    "ready",
                    format!("{url} answered {}: {}", response.status, text.trim()),
                    "the instance says itself what is missing; its log has more",
                )
            }
            Err(fault) => Finding::failed("ready", format!("{url}: {fault}"), advice_on(&fault, false)),
        }
    }

    /// Checks that an event arrives on a stream of the test's user.
    async fn check_event(&self, stream: &mut Stream, is_ready: bool) -> Finding {
        let event = match self.publish(&self.user).await {
            Ok(event) => event,
            Err(fault) => return unpublished("event", &fault),
        };
        match stream.arrival(&event).await {
            Ok(time) => Finding::ok("event", format!("an event arrived after {} ms", time.as_millis())),
            Err(lost) => {
                let advice = match lost {
                    Lost::Late if is_ready => {
                        "the instance reads another NATS or another NATS account than this environment names"
                    }
                    Lost::Late => "the instance is not ready: see the finding about that",
                    Lost::Ended(_) => {
                        "the instance has ended the stream: it is stopping, or its log has the reason"
                    }
                };
                Finding::failed("event", format!("an event was published and {lost}"), advice)
            }
        }
    }
}

/// Returns the finding about the answer to a request with the token of this diagnosis.
fn judge_direct_stream(url: &str, response: &ProbeResponse) -> Finding {
    let Some(version) = version_of(response) else {
        return Finding::failed(
            "stream",
            format!("{url} answered {}, but not as ocis-sse", response.status),
            "another program listens at http.addr, perhaps the built-in service: stop it, or set SSE_HTTP_ADDR",
        );
    };
    match response.status {
        200 => Finding::ok("stream", format!("ocis-sse {version} opened a stream at {url}")),
        401 => Finding::failed(
            "stream",
            "the instance rejected a token that is signed with token_manager.jwt_secret",
            "the running instance has another secret than this environment: start both with the platform's \
             (OCIS_JWT_SECRET, or jwt_secret in ocis.yaml)",
        ),
        404 => Finding::failed(
            "stream",
            format!("{url} answered 404"),
            "the running instance has another http.root than this environment",
        ),
        status => Finding::failed(
            "stream",
            format!("{url} answered {status}"),
            "the instance is stopping or has reached limits.max_connections; its log has the reason",
        ),
    }
}

/// Returns the finding that no event could be published.
pub(super) fn unpublished(check: &'static str, fault: &BusFault) -> Finding {
    match fault {
        BusFault::Denied(_) => {
            let advice = "no event was sent. The service itself only reads; to check the arrival of events, permit \
                          publishing to main-queue for this command";
            Finding::skipped(check, fault.to_string(), Some(advice))
        }
        _ => Finding::failed(check, format!("an event could not be published: {fault}"), LIMITS),
    }
}

/// Returns the advice on an instance that does not answer. `is_ready` says that its debug server answers.
fn advice_on(fault: &ProbeFault, is_ready: bool) -> &'static str {
    match fault {
        ProbeFault::Resolve(_) | ProbeFault::Connect(_) | ProbeFault::Unanswered(_) if is_ready => {
            "the instance listens at another address: run this command with its environment. With ocis-sse.socket, set \
             SSE_HTTP_ADDR to its ListenStream"
        }
        ProbeFault::Resolve(_) | ProbeFault::Connect(_) | ProbeFault::Unanswered(_) => {
            "start the service, and run this command on the same machine or in the same container, with the same \
             configuration"
        }
        ProbeFault::Tls(_) | ProbeFault::Http(_) => {
            "another program listens at this address, or http.tls.enabled differs from that of the running instance"
        }
        ProbeFault::NoHead(_) => "the instance hangs: look into its log, and restart it",
    }
}
