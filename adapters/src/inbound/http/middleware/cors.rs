//! The CORS protocol (WHATWG Fetch, 3.2): which pages of other origins may read responses.
//!
//! poem's own middleware would echo any accepted origin, with credentials, and panics on an `Origin` that is not ASCII.

use domain::origin::AllowedOrigin;
use poem::{
    Endpoint, IntoResponse, Middleware, Request, Response, Result,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
};
use tokio::sync::watch;

/// The policy for cross-origin requests. The default of the platform is `*` with credentials. Browsers reject this pair for credentialed
/// requests, which makes it safe; so `*` is never replaced by the origin of the request.
#[derive(Clone, Debug)]
pub struct CrossOrigin {
    /// The origins whose pages may read responses.
    pub allow_origins: Vec<AllowedOrigin>,
    /// The methods in the response to a preflight.
    pub allow_methods: Vec<String>,
    /// The request headers in the response to a preflight.
    pub allow_headers: Vec<String>,
    /// Whether a page may send credentials.
    pub allow_credentials: bool,
    /// The name of the cookie that may carry the token, for pages of the service's own origin and of origins listed without a `*`.
    pub token_cookie: Option<String>,
}

impl CrossOrigin {
    /// Returns the value of `Access-Control-Allow-Origin` for a page of `origin`.
    fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        if self.allow_origins.contains(&AllowedOrigin::Any) {
            return Some(HeaderValue::from_static("*"));
        }
        let text = origin.to_str().ok()?;
        self.allow_origins.iter().any(|allowed| allowed.allows(text)).then(|| origin.clone())
    }

    fn add_headers(&self, origin: &HeaderValue, headers: &mut HeaderMap) {
        let Some(allowed) = self.allowed(origin) else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.allow_credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        // Otherwise a page could not read when to try again.
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
    }

    fn preflight(&self, origin: &HeaderValue) -> Response {
        let mut response = Response::builder().status(StatusCode::NO_CONTENT).finish();
        let headers = response.headers_mut();
        self.add_headers(origin, headers);
        if headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            let mut list = |name, values: &[String]| {
                if let Ok(value) = HeaderValue::from_str(&values.join(", ")) {
                    headers.insert(name, value);
                }
            };
            list(header::ACCESS_CONTROL_ALLOW_METHODS, &self.allow_methods);
            list(header::ACCESS_CONTROL_ALLOW_HEADERS, &self.allow_headers);
        }
        response
    }
}

/// Answers by the policy of the moment.
pub(in crate::inbound::http) struct ByPolicy(pub(in crate::inbound::http) watch::Receiver<CrossOrigin>);

impl<E: Endpoint> Middleware<E> for ByPolicy {
    type Output = CrossOriginEndpoint<E>;

    fn transform(&self, inner: E) -> Self::Output {
        CrossOriginEndpoint { policy: self.0.clone(), inner }
    }
}

/// An endpoint that answers preflights itself.
pub(in crate::inbound::http) struct CrossOriginEndpoint<E> {
    policy: watch::Receiver<CrossOrigin>,
    inner: E,
}

impl<E: Endpoint> Endpoint for CrossOriginEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let origin = request.headers().get(header::ORIGIN).cloned();
        let is_preflight = request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let mut response = match &origin {
            Some(origin) if is_preflight => self.policy.borrow().preflight(origin),
            _ => {
                self.policy.borrow().apply_token_cookie(request.headers_mut());
                self.inner.call(request).await?.into_response()
            }
        };
        if let (Some(origin), false) = (&origin, is_preflight) {
            self.policy.borrow().add_headers(origin, response.headers_mut());
        }
        // The response depends on the origin, so a cache must not share it between origins.
        response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(origins: &[&str]) -> CrossOrigin {
        CrossOrigin {
            allow_origins: origins.iter().map(|text| AllowedOrigin::try_new(text).unwrap()).collect(),
            allow_methods: vec!["GET".into()],
            allow_headers: vec!["Authorization".into(), "Origin".into()],
            allow_credentials: true,
            token_cookie: None,
        }
    }

    #[test]
    fn only_a_listed_origin_is_echoed() {
        let check = |origins: &[&str], origin: &'static [u8], expected: Option<&'static str>| {
            let origin = HeaderValue::from_bytes(origin).unwrap();
            let expected = expected.map(HeaderValue::from_static);
            assert_eq!(policy(origins).allowed(&origin), expected, "{origins:?} {origin:?}");
        };
        check(&["*"], b"https://evil.example", Some("*"));
        check(&["https://a.example", "*"], b"https://a.example", Some("*"));
        check(&["https://a.example"], b"https://a.example", Some("https://a.example"));
        check(&["https://a.example"], b"https://evil.example", None);
        check(&["https://a.example"], b"https://a.example.evil.example", None);
        check(&["https://*.a.example"], b"https://b.a.example", Some("https://b.a.example"));
        check(&["https://*.a.example"], b"https://evil.example/.a.example", None);
        check(&["https://a.example"], b"null", None);
        check(&["https://a.example"], b"https://\xff", None);
        check(&[], b"https://a.example", None);
    }
}
