//! The headers of this service's HTML pages, and their files.

use poem::{Endpoint, EndpointExt as _, Response, endpoint::make_sync, http::header, middleware::SetHeader};

/// The media type of a style sheet.
pub(crate) const CSS: &str = "text/css; charset=utf-8";
/// The media type of a page.
pub(crate) const HTML: &str = "text/html; charset=utf-8";
/// The media type of a script.
pub(crate) const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The source of a page's scripts or styles.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// The page has none.
    None,
    /// The page itself.
    Inline,
    /// Files of the same server.
    Files,
}

impl Source {
    fn expression(self) -> &'static str {
        match self {
            Self::None => "'none'",
            Self::Inline => "'unsafe-inline'",
            Self::Files => "'self'",
        }
    }
}

/// Returns the security headers of a page with these sources of scripts and styles. The page loads nothing from other servers, cannot be
/// framed, and cannot submit forms or change its base URL (Content Security Policy 3).
pub(crate) fn headers(scripts: Source, styles: Source) -> SetHeader {
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; img-src data:; connect-src 'self'; \
         form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
        scripts.expression(),
        styles.expression()
    );
    SetHeader::new()
        .overriding(header::CONTENT_SECURITY_POLICY, policy)
        .overriding(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .overriding(header::REFERRER_POLICY, "no-referrer")
}

/// Returns a page without data, or one of its files. Its scripts and styles are files, and a browser asks for them again after an update.
pub(crate) fn file(media_type: &'static str, text: &'static str) -> impl Endpoint + 'static {
    let file = make_sync(move |_| Response::builder().content_type(media_type).body(text));
    let file = file.with(headers(Source::Files, Source::Files));
    file.with(SetHeader::new().overriding(header::CACHE_CONTROL, "no-cache"))
}
