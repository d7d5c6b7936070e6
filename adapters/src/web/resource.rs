//! The methods that a path takes.
//!
//! The framework's own router for methods does not tell `Allow`, and answers HEAD without the length of the body. Here an endpoint answers HEAD
//! like GET, and the [server](crate::http_server) leaves the body away.

use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    error::ResponseError,
    http::{HeaderValue, Method, StatusCode, header},
};

/// An endpoint together with the methods that it takes. It refuses every other method.
pub(crate) struct Resource<E> {
    methods: Vec<Method>,
    endpoint: E,
}

/// A resource to read, by GET or HEAD.
pub(crate) fn get<E: Endpoint>(endpoint: E) -> Resource<E> {
    only([Method::GET, Method::HEAD], endpoint)
}

/// A resource that takes POST.
pub(crate) fn post<E: Endpoint>(endpoint: E) -> Resource<E> {
    only([Method::POST], endpoint)
}

/// A resource that takes `methods`. To the endpoint, HEAD looks like GET.
pub(crate) fn only<E: Endpoint>(methods: impl IntoIterator<Item = Method>, endpoint: E) -> Resource<E> {
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

/// A method that its path does not take (RFC 9110, 15.5.6).
#[derive(Debug, thiserror::Error)]
#[error("{method} is not allowed at this path; use {allowed}")]
pub(crate) struct MethodNotAllowed {
    method: Method,
    allowed: String,
}

impl MethodNotAllowed {
    /// Adds the methods that the path takes to the answer.
    pub(crate) fn set_allow(&self, response: &mut Response) {
        // The names of methods are tokens, which every header may hold.
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
