//! The operations by which users choose their language.

use std::{sync::Arc, time::Duration};

use domain::{
    identity::UserId,
    language::{InvalidLanguageTag, LanguageTag},
};
use poem::{Body, Endpoint, Error, IntoResponse, Request, Response, Result, http::StatusCode};
use poem_openapi::{ApiResponse, Object, OpenApi, param::Header, payload::Json};
use ports::{
    inbound::{ChoiceNotStored, ChooseLanguage, UserLanguage},
    outbound::{Metrics, TokenVerifier},
};

use super::{
    credentials::{Credentials, Denied},
    fields::accept_language,
    problem::{InvalidField, Problem},
    tag_text::TagText,
};

/// Maximum size of a request body, in bytes. A choice of a language is far smaller.
const MAX_BODY_BYTES: usize = 4 * 1024;
/// Timeout for receiving a request body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The hint in the problem details of an unreadable choice.
const EXAMPLE: &str = r#"send a language, such as {"language": "de-AT"}"#;
/// `Retry-After` when a choice could not be stored, in seconds.
const RETRY_AFTER: u64 = 5;

/// The dependencies of the operations.
pub(super) struct LanguageApi {
    pub(super) choose: Arc<dyn ChooseLanguage>,
    pub(super) verifier: Arc<dyn TokenVerifier>,
    pub(super) metrics: Arc<dyn Metrics>,
}

#[OpenApi]
impl LanguageApi {
    /// Get the user's language
    ///
    /// Returns the language that the user of the token has chosen, and the effective language: the preferred one on a stream whose request
    /// has the same `Accept-Language`.
    #[oai(
        path = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse/language",
        method = "get",
        operation_id = "language"
    )]
    #[expect(clippy::unused_async, reason = "poem-openapi takes async operations only")]
    async fn language(
        &self,
        request: &Request,
        credentials: Credentials,
        /// The preferred languages of a stream, if the user has chosen none (RFC 9110, 12.5.4).
        #[oai(name = "Accept-Language")]
        _header: Header<Option<String>>,
    ) -> Answer {
        match self.user(request, &credentials) {
            Ok(user) => self.current(&user, request),
            Err(denied) => denied.into(),
        }
    }

    /// Choose the user's language
    ///
    /// The choice applies to all streams of the user, open ones included, from the next event on, until it is changed here or in the
    /// user's profile. Each event is sent in this language if it has such a translation, otherwise in a less specific one (`de` for
    /// `de-AT`: RFC 4647, 3.4), otherwise with its default text.
    #[oai(
        path = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse/language",
        method = "put",
        operation_id = "chooseLanguage"
    )]
    async fn choose(
        &self,
        request: &Request,
        credentials: Credentials,
        choice: Json<LanguageChoice>,
    ) -> Answer {
        match choice.0.language() {
            Ok(language) => self.store(request, &credentials, Some(language)).await,
            Err(problem) => Answer::Unprocessable(Json(problem)),
        }
    }

    /// Reset the user's language
    ///
    /// From the next event on each stream uses the languages of its own request.
    #[oai(
        path = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse/language",
        method = "delete",
        operation_id = "forgetLanguage"
    )]
    async fn forget(&self, request: &Request, credentials: Credentials) -> Answer {
        self.store(request, &credentials, None).await
    }
}

impl LanguageApi {
    fn user(&self, request: &Request, credentials: &Credentials) -> Result<UserId, Denied> {
        Ok(credentials.principal(request, &*self.verifier, &*self.metrics)?.user)
    }

    async fn store(
        &self,
        request: &Request,
        credentials: &Credentials,
        language: Option<LanguageTag>,
    ) -> Answer {
        let user = match self.user(request, credentials) {
            Ok(user) => user,
            Err(denied) => return denied.into(),
        };
        match self.choose.choose(user.clone(), language).await {
            Ok(()) => self.current(&user, request),
            Err(not_stored) => not_stored.into(),
        }
    }

    fn current(&self, user: &UserId, request: &Request) -> Answer {
        let UserLanguage { chosen, effective } = self.choose.language(user, accept_language(request));
        let language =
            Language { language: chosen.as_ref().map(TagText::from), effective: TagText::from(&effective) };
        Answer::Language(Json(language), "no-store".into())
    }
}

/// A choice of a language.
#[derive(Debug, Object)]
struct LanguageChoice {
    /// A language tag (RFC 5646), such as `en` or `de-AT`.
    language: TagText,
}

impl LanguageChoice {
    fn language(&self) -> Result<LanguageTag, Problem> {
        LanguageTag::try_new(&self.language.0).map_err(|error| invalid("#/language", &error))
    }
}

/// Returns the problem details for an invalid field. `pointer` is a JSON pointer to it (RFC 6901).
fn invalid(pointer: &str, error: &InvalidLanguageTag) -> Problem {
    let field = InvalidField { pointer: pointer.into(), detail: error.to_string() };
    let mut problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{pointer}: {error}"));
    problem.errors = Some(vec![field]);
    problem
}

/// The language of a user.
#[derive(Debug, Object)]
struct Language {
    /// The language that the user has chosen; absent if there is none.
    #[oai(skip_serializing_if_is_none)]
    language: Option<TagText>,
    /// The preferred language: the chosen one, otherwise one that the request accepts, otherwise the default.
    effective: TagText,
}

#[derive(ApiResponse)]
#[oai(bad_request_handler = "unprocessable")]
enum Answer {
    /// The language of the user.
    #[oai(status = 200)]
    Language(
        Json<Language>,
        /// Always `no-store`, because the response is private to the user.
        #[oai(header = "Cache-Control")]
        String,
    ),
    /// The token is missing or not valid: it has expired, was not issued by the platform, names no user, or was issued before the user's
    /// account was disabled or deleted.
    #[oai(status = 401, content_type = "application/problem+json")]
    Unauthorized(
        Json<Problem>,
        /// `Bearer`, with `error="invalid_token"` if the request has a token.
        #[oai(header = "WWW-Authenticate")]
        String,
    ),
    /// The token is valid but gives no access to the user's events, for example because it is the token of a public share.
    #[oai(status = 403, content_type = "application/problem+json")]
    Forbidden(Json<Problem>),
    /// The request body did not arrive in time.
    #[oai(status = 408, content_type = "application/problem+json")]
    Timeout(Json<Problem>),
    /// The request body exceeds 4 KiB.
    #[oai(status = 413, content_type = "application/problem+json")]
    TooLarge(Json<Problem>),
    /// The request body is not `application/json`.
    #[oai(status = 415, content_type = "application/problem+json")]
    Unsupported(Json<Problem>),
    /// The request body is not a valid choice of a language. The problem details name the field.
    #[oai(status = 422, content_type = "application/problem+json")]
    Unprocessable(Json<Problem>),
    /// The choice cannot be stored now.
    #[oai(status = 503, content_type = "application/problem+json")]
    Unavailable(
        Json<Problem>,
        /// The number of seconds after which to try again.
        #[oai(header = "Retry-After")]
        u64,
    ),
}

impl From<Denied> for Answer {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Unauthorized { challenge, problem } => {
                Self::Unauthorized(Json(problem), challenge.into())
            }
            Denied::Forbidden { problem } => Self::Forbidden(Json(problem)),
        }
    }
}

impl From<ChoiceNotStored> for Answer {
    fn from(not_stored: ChoiceNotStored) -> Self {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, not_stored.to_string());
        Self::Unavailable(Json(problem), RETRY_AFTER)
    }
}

/// Returns the response to a request body that cannot be read.
#[expect(clippy::needless_pass_by_value, reason = "poem-openapi passes it by value")]
fn unprocessable(error: Error) -> Answer {
    let status = match error.status() {
        StatusCode::BAD_REQUEST => StatusCode::UNPROCESSABLE_ENTITY,
        status => status,
    };
    let detail = match status {
        // poem-openapi does not always name the field.
        StatusCode::UNPROCESSABLE_ENTITY => format!("{error}; {EXAMPLE}"),
        _ => error.to_string(),
    };
    let problem = Json(Problem::new(status, detail));
    match status {
        StatusCode::REQUEST_TIMEOUT => Answer::Timeout(problem),
        StatusCode::PAYLOAD_TOO_LARGE => Answer::TooLarge(problem),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Answer::Unsupported(problem),
        _ => Answer::Unprocessable(problem),
    }
}

/// Reads the body of a PUT request before the operation runs, within limits of size and time.
pub(super) async fn limit_body<E: Endpoint>(endpoint: E, mut request: Request) -> Result<Response> {
    if request.method() == poem::http::Method::PUT {
        let body = request.take_body().into_bytes_limit(MAX_BODY_BYTES);
        let body = tokio::time::timeout(BODY_TIMEOUT, body).await;
        let body = body.map_err(|_| {
            Error::from_string("the request body did not arrive in time", StatusCode::REQUEST_TIMEOUT)
        })?;
        request.set_body(Body::from_bytes(body?));
    }
    Ok(endpoint.call(request).await?.into_response())
}
