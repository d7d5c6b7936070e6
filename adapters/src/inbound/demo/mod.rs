//! The page of the demonstration, on which events can be published and received.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use domain::{
    content::{Content, Translation},
    identity::UserId,
    language::LanguageTag,
    notification::EventType,
};
use poem::{
    EndpointExt as _, IntoResponse as _, Response, Route,
    endpoint::make_sync,
    handler,
    http::{StatusCode, header},
    middleware::SizeLimit,
    web::{Data, Json},
};
use ports::outbound::Publish;
use serde::{Deserialize, Serialize};

use crate::web::{
    self,
    page::{CSS, HTML, SCRIPT, Source, file, headers},
};

/// The page, with a placeholder for its users.
const PAGE: &str = include_str!("page.html");
/// The placeholder for the users.
const USERS: &str = "{{users}}";

/// Maximum size of an event in bytes, as in NATS.
const MAX_EVENT_BYTES: usize = 1 << 20;

/// A user whose stream is shown.
#[derive(Clone, Debug, Serialize)]
pub struct DemoUser {
    /// The id of the user.
    pub name: String,
    /// The token with which the page opens the stream.
    pub token: String,
}

/// Adds the page at `/`, and `/publish` for its form.
pub fn routes(routes: Route, users: &[DemoUser], publish: Arc<dyn Publish>) -> Route {
    // A `<` could end the script element.
    let users = serde_json::json!(users).to_string().replace('<', "\\u003c");
    let page = Bytes::from(PAGE.replace(USERS, &users));
    // The page has tokens, so no cache may store it.
    let page = make_sync(move |_| {
        let page = Response::builder().content_type(HTML).body(page.clone());
        page.with_header(header::CACHE_CONTROL, "no-store")
    });
    let page = page.with(headers(Source::Files, Source::Files));
    let publish = publish_event.data(publish).with(SizeLimit::new(MAX_EVENT_BYTES));
    routes
        .at("/", web::get(page))
        .at("/demo/page.css", web::get(file(CSS, include_str!("page.css"))))
        .at("/demo/page.js", web::get(file(SCRIPT, include_str!("page.js"))))
        .at("/demo/panel.js", web::get(file(SCRIPT, include_str!("panel.js"))))
        .at("/demo/stream.js", web::get(file(SCRIPT, include_str!("stream.js"))))
        .at("/demo/timeline.js", web::get(file(SCRIPT, include_str!("timeline.js"))))
        .at("/demo/burst.js", web::get(file(SCRIPT, include_str!("burst.js"))))
        .at("/demo/document.js", web::get(file(SCRIPT, include_str!("document.js"))))
        .at("/publish", web::post(publish))
}

#[derive(Deserialize)]
struct NewEvent {
    users: Vec<String>,
    #[serde(rename = "type")]
    event_type: String,
    content: String,
    /// The translations of the content, by language tag.
    #[serde(default)]
    translations: BTreeMap<String, String>,
}

#[handler]
async fn publish_event(
    Json(event): Json<NewEvent>,
    Data(publish): Data<&Arc<dyn Publish>>,
) -> poem::Result<StatusCode> {
    let unprocessable = |error: String| poem::Error::from_string(error, StatusCode::UNPROCESSABLE_ENTITY);
    let event_type =
        EventType::try_new(&event.event_type).map_err(|error| unprocessable(error.to_string()))?;
    let users = event.users.iter().map(|user| UserId::try_new(user));
    let users = users.collect::<Result<_, _>>().map_err(|error| unprocessable(error.to_string()))?;
    let translations = event.translations.into_iter().map(|(language, text)| {
        LanguageTag::try_new(&language).map(|language| Translation { language, text })
    });
    let translations =
        translations.collect::<Result<_, _>>().map_err(|error| unprocessable(error.to_string()))?;
    publish.publish(users, event_type, Content::new(Some(event.content), None, translations)).await;
    Ok(StatusCode::NO_CONTENT)
}
