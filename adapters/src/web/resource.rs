//! The methods of a path.
//!
//! poem's own `RouteMethod` sends no `Allow` and answers HEAD without `Content-Length`. Here an endpoint answers HEAD like GET, and the
//! [server](crate::http_server) drops the body.

use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    error::ResponseError,
    http::{HeaderValue, Method, StatusCode, header},
};

/// An endpoint with its allowed methods. Other methods get a 405.
pub(crate) struct Resource<E> {
    methods: Vec<Method>,
    endpoint: E,
}

/// Returns a resource for GET and HEAD.
pub(crate) fn get<E: Endpoint>(endpoint: E) -> Resource<E> {
    with_methods([Method::GET, Method::HEAD], endpoint)
}

/// Returns a resource for POST.
pub(crate) fn post<E: Endpoint>(endpoint: E) -> Resource<E> {
    with_methods([Method::POST], endpoint)
}

/// Returns a resource for `methods`. The endpoint sees HEAD as GET.
pub(crate) fn with_methods<E: Endpoint>(
    methods: impl IntoIterator<Item = Method>,
    endpoint: E,
) -> Resource<E> {
    Resource { methods: methods.into_iter().collect(), endpoint }
}

impl<E: Endpoint> Endpoint for Resource<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        if !self.methods.contains(request.method()) {
            let allowed: Vec<_> = self.methods.iter().map(Method::as_str).collect();
            let method = request.method().clone();
            return Err(MethodNotAllowed { method, allowed: allowed.join(", ") }.into());
        }
        if request.method() == Method::HEAD {
            request.set_method(Method::GET);
        }
        Ok(self.endpoint.call(request).await?.into_response())
    }
}

/// The error for a method that a path does not allow (RFC 9110, 15.5.6).
#[derive(Debug, thiserror::Error)]
#[error("{method} is not allowed at this path; use {allowed}")]
pub(crate) struct MethodNotAllowed {
    method: Method,
    allowed: String,
}

impl MethodNotAllowed {
    /// Sets the `Allow` header of `response`.
    pub(crate) fn set_allow(&self, response: &mut Response) {
        // Method names are tokens, which are always valid in a header value.
        if let Ok(allowed) = HeaderValue::from_str(&self.allowed) {
            response.headers_mut().insert(header::ALLOW, allowed);
        }
    }
}

impl ResponseError for MethodNotAllowed {
    fn status(&self) -> StatusCode {
        StatusCode::METHOD_NOT_ALLOWED
    }

    fn as_response(&self) -> Response {
        let mut response = Response::builder().status(self.status()).body(self.to_string());
        self.set_allow(&mut response);
        response
    }
}
