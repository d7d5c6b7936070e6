//! The headers of this service's HTML pages.

use poem::{http::header, middleware::SetHeader};

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
