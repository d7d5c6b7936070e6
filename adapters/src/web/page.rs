//! The headers of the pages that this service shows.

use poem::{http::header, middleware::SetHeader};

/// Where a page has its scripts, or its styles.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// Nowhere: it has none.
    None,
    /// In the page itself.
    Inline,
    /// In files of the same server.
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

/// The headers of a page that has its `scripts` and `styles` there, and that loads nothing from another server. No other page can
/// frame it, change where its links lead to, or have it send a form (Content Security Policy 3).
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
