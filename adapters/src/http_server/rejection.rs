//! Error responses of the server itself, before a request reaches the application: problem details (RFC 9457), like all other errors.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Response, StatusCode,
    header::{CONNECTION, CONTENT_TYPE, HeaderValue},
};
use serde_json::json;

use super::BoxBody;

/// The media type of problem details.
const MEDIA_TYPE: &str = "application/problem+json";

/// The reason why the server rejects a request before the application sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rejection {
    pub(super) status: StatusCode,
    pub(super) detail: &'static str,
}

impl Rejection {
    pub(super) const BAD_REQUEST: Self =
        Self { status: StatusCode::BAD_REQUEST, detail: "the request is not valid HTTP/1.1 or HTTP/2" };
    pub(super) const HEAD_TOO_LARGE: Self = Self {
        status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        detail: "the request head exceeds 64 KiB or 100 header fields",
    };
    pub(super) const URI_TOO_LONG: Self =
        Self { status: StatusCode::URI_TOO_LONG, detail: "the request target exceeds 64 KiB" };
    pub(super) const INVALID_HOST: Self = Self {
        status: StatusCode::BAD_REQUEST,
        detail: "the request must have exactly one Host, as host or host:port (RFC 9112, 3.2)",
    };
    pub(super) const TOO_MANY_RESPONSES: Self = Self {
        status: StatusCode::SERVICE_UNAVAILABLE,
        detail: "too many requests in progress; try again in a moment",
    };

    /// Returns the rejection that explains a status code of hyper.
    fn with_status(status: StatusCode) -> Self {
        match status {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Self::HEAD_TOO_LARGE,
            StatusCode::URI_TOO_LONG => Self::URI_TOO_LONG,
            _ => Self { status, ..Self::BAD_REQUEST },
        }
    }

    fn problem_details(self) -> String {
        let Self { status, detail } = self;
        let title = status.canonical_reason().unwrap_or("Error");
        json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail })
            .to_string()
    }

    /// Returns the response to a request that hyper has parsed.
    pub(super) fn response(self) -> Response<BoxBody> {
        let body = Full::new(Bytes::from(self.problem_details())).map_err(|never| match never {});
        let mut response = Response::new(BoxBody::new(body));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        response
    }

    /// Encodes the response for HTTP/1.1, as the last one on its connection.
    fn encode_http1(self) -> Bytes {
        let details = self.problem_details();
        format!(
            "HTTP/1.1 {}\r\n{CONTENT_TYPE}: {MEDIA_TYPE}\r\n{CONNECTION}: close\r\ncontent-length: {}\r\n\r\n{details}",
            self.status,
            details.len(),
        )
        .into()
    }

    /// Returns the replacement for hyper's response to a malformed request, or `None` if `written` is another response. hyper writes a head
    /// without a body and without any informative header field.
    pub(super) fn for_hyper(written: &[u8]) -> Option<Bytes> {
        let head = written.strip_prefix(b"HTTP/1.1 ").filter(|head| head.starts_with(b"4"))?;
        let head = std::str::from_utf8(head.strip_suffix(b"\r\n\r\n")?).ok()?;
        let (status, fields) = head.split_once("\r\n")?;
        let is_boilerplate = |field: &str| {
            field == "content-length: 0" || field == "connection: close" || field.starts_with("date: ")
        };
        let status = StatusCode::from_bytes(status.get(..3)?.as_bytes()).ok()?;
        fields.split("\r\n").all(is_boilerplate).then(|| Self::with_status(status).encode_http1())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_only_responses_of_hyper_itself() {
        let replaced = |written: &str| Rejection::for_hyper(written.as_bytes());
        let rejection = replaced(
            "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: Fri\r\n\r\n",
        );
        let rejection = String::from_utf8(rejection.expect("replaced").to_vec()).expect("UTF-8");
        let (head, body) = rejection.split_once("\r\n\r\n").expect("a head");
        assert!(
            head.starts_with("HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n"),
            "{head}"
        );
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        let details: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!((&details["status"], &details["title"]), (&400.into(), &"Bad Request".into()));
        for other in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "4",
            "",
        ] {
            assert_eq!(replaced(other), None, "{other:?}");
        }
    }
}
