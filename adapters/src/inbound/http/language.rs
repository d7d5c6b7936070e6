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
use validator::{Validate, ValidationError, ValidationErrors};

use super::{
    credentials::{Credentials, Denied},
    fields::accept_language,
    problem::{Invalid, Problem},
    tag_text::TagText,
};

/// A choice takes far less.
const MAX_BODY_BYTES: usize = 4 * 1024;
/// What is sent with a request has to come within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// What would be right.
const EXAMPLE: &str = r#"send a language, such as {"language": "de-AT"}"#;
/// When to try again to store a choice, in seconds.
const RETRY_AFTER: u64 = 5;

/// What the operations need.
pub(super) struct LanguageApi {
    pub(super) choose: Arc<dyn ChooseLanguage>,
    pub(super) verifier: Arc<dyn TokenVerifier>,
    pub(super) metrics: Arc<dyn Metrics>,
}

#[OpenApi]
impl LanguageApi {
    /// Which language one reads
    ///
    /// What the user whom the token names has chosen, and which language that makes events come in on a stream whose request has
    /// the same `Accept-Language`, where there is a choice.
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
        /// What a stream of this client asks for (RFC 9110, 12.5.4).
        #[oai(name = "Accept-Language")]
        _header: Header<Option<String>>,
    ) -> Answer {
        match self.user(request, &credentials) {
            Ok(user) => self.of(&user, request),
            Err(denied) => denied.into(),
        }
    }

    /// Choose the language one reads
    ///
    /// It holds from the next event on, on every stream of the user, the open ones included, and for streams to come, until it is
    /// changed here or in the user's profile. Each event comes in this language if there is such a version of it; else in a
    /// less specific one (`de` for `de-AT`: RFC 4647, 3.4); else as its publisher has meant it for everybody.
    #[oai(
        path = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse/language",
        method = "put",
        operation_id = "chooseLanguage"
    )]
    async fn choose(&self, request: &Request, credentials: Credentials, wish: Json<LanguageWish>) -> Answer {
        match wish.0.language() {
            Ok(language) => self.store(request, &credentials, Some(language)).await,
            Err(problem) => Answer::Unprocessable(Json(problem)),
        }
    }

    /// Take the choice of a language back
    ///
    /// From the next event on each stream is in the language that its own request asks for.
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
            Ok(()) => self.of(&user, request),
            Err(not_stored) => not_stored.into(),
        }
    }

    fn of(&self, user: &UserId, request: &Request) -> Answer {
        let UserLanguage { chosen, effective } = self.choose.language(user, accept_language(request));
        let language =
            Language { language: chosen.as_ref().map(TagText::from), effective: TagText::from(&effective) };
        Answer::Language(Json(language), "no-store".into())
    }
}

/// What a user chooses.
#[derive(Debug, Object, Validate)]
struct LanguageWish {
    /// A language tag (RFC 5646), such as `en` or `de-AT`.
    #[validate(custom(function = "is_language_tag"))]
    language: TagText,
}

impl LanguageWish {
    fn language(&self) -> Result<LanguageTag, Problem> {
        self.validate().map_err(|errors| invalid(&errors))?;
        LanguageTag::try_new(&self.language.0)
            .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))
    }
}

fn is_language_tag(TagText(text): &TagText) -> Result<(), ValidationError> {
    LanguageTag::try_new(text).map(drop).map_err(|error| {
        let code = match error {
            InvalidLanguageTag::NotWellFormed { .. } => "not_well_formed",
            InvalidLanguageTag::TooLong { .. } => "too_long",
        };
        ValidationError::new(code).with_message(error.to_string().into())
    })
}

/// What is wrong with which field.
fn invalid(errors: &ValidationErrors) -> Problem {
    let fields = errors.field_errors().into_iter().flat_map(|(field, errors)| {
        errors.iter().map(move |error| Invalid {
            pointer: format!("#/{field}"),
            detail: error.message.clone().unwrap_or_default().into_owned(),
        })
    });
    let fields: Vec<_> = fields.collect();
    let detail: Vec<_> =
        fields.iter().map(|Invalid { pointer, detail }| format!("{pointer}: {detail}")).collect();
    let mut problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail.join("; "));
    problem.errors = Some(fields);
    problem
}

/// Which language a user reads.
#[derive(Debug, Object)]
struct Language {
    /// What the user has chosen; not there when that is nothing.
    #[oai(skip_serializing_if_is_none)]
    language: Option<TagText>,
    /// The language that is wished most: the chosen one, else the one that the request asks for, else the default.
    effective: TagText,
}

#[derive(ApiResponse)]
#[oai(bad_request_handler = "unprocessable")]
enum Answer {
    /// Which language is read from now on.
    #[oai(status = 200)]
    Language(
        Json<Language>,
        /// Always `no-store`: the answer is the user's own.
        #[oai(header = "Cache-Control")]
        String,
    ),
    /// There is no token, or it is not valid: it has expired, was not made by the platform, names no user, or was issued before its
    /// user's account was disabled or deleted.
    #[oai(status = 401, content_type = "application/problem+json")]
    Unauthorized(
        Json<Problem>,
        /// `Bearer`, with `error="invalid_token"` when there was a token.
        #[oai(header = "WWW-Authenticate")]
        String,
    ),
    /// The token is valid, but gives no access to a user's own events; that of a public share, for example.
    #[oai(status = 403, content_type = "application/problem+json")]
    Forbidden(Json<Problem>),
    /// What was sent did not come in time.
    #[oai(status = 408, content_type = "application/problem+json")]
    Timeout(Json<Problem>),
    /// What was sent is longer than 4 KiB.
    #[oai(status = 413, content_type = "application/problem+json")]
    TooLarge(Json<Problem>),
    /// What was sent is not `application/json`.
    #[oai(status = 415, content_type = "application/problem+json")]
    Unsupported(Json<Problem>),
    /// What was sent is no choice of a language. The problem names the field.
    #[oai(status = 422, content_type = "application/problem+json")]
    Unprocessable(Json<Problem>),
    /// The choice cannot be stored at present.
    #[oai(status = 503, content_type = "application/problem+json")]
    Unavailable(
        Json<Problem>,
        /// After how many seconds to try again.
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

/// What was sent could not be read.
#[expect(clippy::needless_pass_by_value, reason = "the framework hands it over")]
fn unprocessable(error: Error) -> Answer {
    let status = match error.status() {
        StatusCode::BAD_REQUEST => StatusCode::UNPROCESSABLE_ENTITY,
        status => status,
    };
    let detail = match status {
        // The framework does not always name the field.
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

/// What is sent with a request is read to its end before anything else, up to a limit of size and time.
pub(super) async fn limit_body<E: Endpoint>(endpoint: E, mut request: Request) -> Result<Response> {
    if request.method() == poem::http::Method::PUT {
        let body = request.take_body().into_bytes_limit(MAX_BODY_BYTES);
        let body = tokio::time::timeout(BODY_TIMEOUT, body).await;
        let body = body
            .map_err(|_| Error::from_string("the body did not come in time", StatusCode::REQUEST_TIMEOUT))?;
        request.set_body(Body::from_bytes(body?));
    }
    Ok(endpoint.call(request).await?.into_response())
}
