//! The one place where errors become HTTP: problem details (RFC 9457).

use poem::{Error, Response, error::NotFoundError, http::StatusCode};
use poem_openapi::Object;

use crate::web::MethodNotAllowed;

/// What went wrong, for a program and for a person.
#[derive(Debug, Object)]
pub(super) struct Problem {
    /// Identifies the kind of problem; `about:blank` says that the status code tells all.
    #[oai(rename = "type")]
    kind: String,
    /// The status code in words.
    title: String,
    /// The status code.
    status: u16,
    /// What happened, and what would mend it.
    detail: String,
    /// What is wrong where, in what was sent.
    #[oai(skip_serializing_if_is_none)]
    pub(super) errors: Option<Vec<Invalid>>,
}

/// A part of what was sent that is not right.
#[derive(Debug, Object)]
pub(super) struct Invalid {
    /// Where it stands (RFC 6901), such as `#/language`.
    pub(super) pointer: String,
    /// What is wrong with it, and what would be right.
    pub(super) detail: String,
}

/// The media type of a problem.
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

/// The answer to a request that no operation answered.
pub(super) async fn unanswered(error: Error) -> Response {
    if error.is::<NotFoundError>() {
        return Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path")
            .into_response(StatusCode::NOT_FOUND);
    }
    let status = error.status();
    // What the framework says of a request is meant for its sender; what it says of us is not.
    let detail = if status.is_server_error() {
        tracing::error!(error = %error, "a request failed");
        "the service failed to answer".to_owned()
    } else {
        error.to_string()
    };
    let mut response = Problem::new(status, detail).into_response(status);
    if let Some(refused) = error.downcast_ref::<MethodNotAllowed>() {
        refused.set_allow(&mut response);
    }
    response
}
