//! The findings about responses that came through the public name.

use std::time::Duration;

use ports::outbound::{ProbeFault, ProbeResponse};

use super::super::{Finding, version_of};

/// Headers that proxies have to leave as they are, in lower case.
const HEADERS: [&str; 4] = ["content-type", "cache-control", "x-accel-buffering", "content-language"];

/// Returns the finding about a request that got no response.
pub(super) fn unreachable(url: &str, fault: &ProbeFault) -> Finding {
    let advice = match fault {
        ProbeFault::Resolve(_) => "check the name, and that this machine resolves it as browsers do",
        ProbeFault::Connect(_) | ProbeFault::Unanswered(_) => {
            "check that the public proxy listens there, and that a firewall or a network policy lets this machine in. \
             From a container, the platform's own name may not be reachable: run this command elsewhere"
        }
        ProbeFault::Tls(text) if text.contains("certificate") => {
            "check the certificate: name, issuer, expiry. --insecure accepts any"
        }
        ProbeFault::Tls(_) => "check that the port speaks TLS 1.2 or 1.3",
        ProbeFault::Http(_) => "check whether the port speaks HTTP, with or without TLS",
        ProbeFault::NoHead(_) => "the proxy does not reach the platform, or the platform hangs",
    };
    Finding::failed("public", format!("{url}: {fault}"), advice)
}

/// Returns the finding about the answer to a request without a token.
pub(super) fn judge_route(response: &ProbeResponse, has_token: bool) -> Finding {
    const CHECK: &str = "public.route";
    let status = response.status;
    match (version_of(response), status) {
        (Some(version), 404) => Finding::failed(
            CHECK,
            format!("leads to ocis-sse {version}, which answered 404"),
            "a proxy changes the path, or the URL has a path that does not belong there",
        ),
        (Some(version), _) => {
            Finding::ok(CHECK, format!("leads to ocis-sse {version}, which answered {status}"))
        }
        (None, 401) if has_token => Finding::ok(CHECK, "requests without a token are rejected on the way"),
        (None, 401) => Finding::skipped(
            CHECK,
            "requests without a token are rejected on the way, so it is unknown where the path leads",
            Some("give an access token of a signed-in browser with --token"),
        ),
        (None, 300..=399) => Finding::failed(
            CHECK,
            format!("redirects to {}", response.header("location").unwrap_or("another place")),
            "give the URL at which browsers end",
        ),
        (None, 500) => Finding::failed(
            CHECK,
            "answered 500, as the built-in service does without a token",
            "if the registry names another address, stop the built-in service: add sse to OCIS_EXCLUDE_RUN_SERVICES \
             (OpenCloud: OC_EXCLUDE_RUN_SERVICES). Otherwise look into the log of the proxy",
        ),
        (None, 502..=504) => Finding::failed(
            CHECK,
            format!("answered {status}: a proxy does not reach what it forwards to"),
            "check the findings about the registry; then what the public proxy forwards to",
        ),
        (None, _) => Finding::failed(
            CHECK,
            format!("answered {status}, and not by ocis-sse"),
            "check that the public proxy forwards /ocs/ to the platform, and the platform's proxy \
             …/notifications/sse to the sse service",
        ),
    }
}

/// Returns the finding about the answer to a request with a token, which this diagnosis has signed if `is_own`.
pub(super) fn judge_stream(response: &ProbeResponse, waited: Duration, is_own: bool) -> Finding {
    const CHECK: &str = "public.stream";
    let version = version_of(response);
    match (response.status, version) {
        (200, Some(version)) => {
            Finding::ok(CHECK, format!("ocis-sse {version} opened a stream after {} ms", waited.as_millis()))
        }
        (200, None) => Finding::failed(
            CHECK,
            "answered 200, but not by ocis-sse",
            "the path leads to the built-in service, or to a page: check the findings about the registry and the \
             routes of the proxies",
        ),
        (401, Some(_)) if is_own => Finding::skipped(
            CHECK,
            "a proxy removes x-access-token, as it should",
            Some("give an access token of a signed-in browser with --token"),
        ),
        (401, Some(_)) => Finding::failed(
            CHECK,
            "ocis-sse rejected the token that arrived",
            "the platform signs with another secret: set OCIS_JWT_SECRET to the platform's (jwt_secret below \
             token_manager in ocis.yaml). If the path leads to ocis-sse without the platform's proxy, it needs a token \
             of the platform instead of the browser's",
        ),
        (401 | 403, None) => Finding::failed(
            CHECK,
            format!("the access token was rejected on the way ({})", response.status),
            "copy a new access token of a signed-in browser: it may have expired",
        ),
        (429, _) => {
            Finding::failed(CHECK, "answered 429", "a limit is reached: of the user's streams, or of a proxy")
        }
        (503, Some(_)) => Finding::failed(
            CHECK,
            "ocis-sse answered 503",
            "the instance is stopping or has reached limits.max_connections; its log has the reason",
        ),
        (status, Some(_)) => Finding::failed(
            CHECK,
            format!("ocis-sse answered {status}"),
            "the log of the instance has the reason",
        ),
        (status, None) => Finding::failed(
            CHECK,
            format!("answered {status}, and not by ocis-sse"),
            "the platform's proxy does not reach the service: check the findings about the registry",
        ),
    }
}

/// Returns the finding about headers that a proxy has removed or changed.
pub(super) fn compare_headers(response: &ProbeResponse, direct: &[(String, String)]) -> Finding {
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
