//! The mapping from errors to HTTP: problem details (RFC 9457).

use poem::{Error, Response, error::NotFoundError, http::StatusCode};
use poem_openapi::Object;

use crate::web::MethodNotAllowed;

/// Problem details (RFC 9457).
#[derive(Debug, Object)]
pub(super) struct Problem {
    /// The type of the problem. `about:blank` means that the status code is the type.
    #[oai(rename = "type")]
    kind: String,
    /// The reason phrase of the status code.
    title: String,
    /// The status code.
    status: u16,
    /// The cause of the problem, and how to fix it.
    detail: String,
    /// The invalid fields of the request body.
    #[oai(skip_serializing_if_is_none)]
    pub(super) errors: Option<Vec<InvalidField>>,
}

/// An invalid field of a request body.
#[derive(Debug, Object)]
pub(super) struct InvalidField {
    /// The JSON pointer of the field (RFC 6901), such as `#/language`.
    pub(super) pointer: String,
    /// The reason why the field is invalid, and how to fix it.
    pub(super) detail: String,
}

/// The media type of problem details.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank".into(),
            title: status.canonical_reason().unwrap_or("Error").into(),
            status: status.as_u16(),
            detail: detail.into(),
            errors: None,
        }
    }

    fn into_response(self, status: StatusCode) -> Response {
        use poem_openapi::types::ToJSON as _;

        Response::builder().status(status).content_type(MEDIA_TYPE).body(self.to_json_string())
    }
}

/// Returns the response to a request that no operation has answered.
pub(super) async fn error_response(error: Error) -> Response {
    if error.is::<NotFoundError>() {
        return Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path")
            .into_response(StatusCode::NOT_FOUND);
    }
    let status = error.status();
    // poem's text about a request is meant for the client. Its text about a failure of the service is not.
    let detail = if status.is_server_error() {
        tracing::error!(error = %error, "request failed");
        "the service failed to answer the request".to_owned()
    } else {
        error.to_string()
    };
    let mut response = Problem::new(status, detail).into_response(status);
    if let Some(rejected) = error.downcast_ref::<MethodNotAllowed>() {
        rejected.set_allow(&mut response);
    }
    response
}
