//! The token in a cookie, for an `EventSource`, which cannot set headers.
//!
//! A browser adds cookies to the requests of any page. So the cookie counts only if the request comes from a page of the service's own
//! origin or of a listed origin. A page can forge neither `Origin` nor `Sec-Fetch-Site` (WHATWG Fetch, forbidden request-headers).

use domain::origin::AllowedOrigin;
use poem::http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, COOKIE, ORIGIN},
};

use super::cors::CrossOrigin;

const ACCESS_TOKEN: HeaderName = HeaderName::from_static("x-access-token");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

impl CrossOrigin {
    /// Copies the token of a trusted cookie into the header in which the platform's proxy sends it. A token in a header takes precedence.
    pub(super) fn apply_token_cookie(&self, headers: &mut HeaderMap) {
        let Some(name) = &self.token_cookie else { return };
        let has_token = headers.contains_key(AUTHORIZATION)
            || headers.get(ACCESS_TOKEN).is_some_and(|token| !token.is_empty());
        if has_token || !self.trusts_cookies(headers) {
            return;
        }
        if let Some(mut token) = cookie(headers, name).and_then(|token| HeaderValue::from_str(token).ok()) {
            token.set_sensitive(true);
            headers.insert(ACCESS_TOKEN, token);
        }
    }

    /// Returns whether a trusted page has made the request. An origin that only matches a pattern is not trusted.
    fn trusts_cookies(&self, headers: &HeaderMap) -> bool {
        if self.allow_origins.contains(&AllowedOrigin::Any) {
            return false;
        }
        // A same-origin `EventSource` sends no `Origin`, because it uses GET.
        if headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "same-origin") {
            return true;
        }
        let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
        let is_listed = |origin: &str| {
            self.allow_origins.iter().any(|allowed| allowed.is_single() && allowed.allows(origin))
        };
        self.allow_credentials && origin.is_some_and(is_listed)
    }
}

/// Returns the first cookie of this name. HTTP/2 may split the list into several header fields (RFC 9113, 8.2.3).
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(given, _)| *given == name).map(|(_, value)| value).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the token of a request with these headers, under a policy that lists `origins`.
    fn token(origins: &[&str], headers: &[(&'static str, &str)]) -> Option<String> {
        let policy = CrossOrigin {
            allow_origins: origins.iter().map(|text| AllowedOrigin::try_new(text).unwrap()).collect(),
            allow_methods: Vec::new(),
            allow_headers: Vec::new(),
            allow_credentials: true,
            token_cookie: Some("token".into()),
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        policy.apply_token_cookie(&mut map);
        map.get(ACCESS_TOKEN).map(|token| token.to_str().unwrap().to_owned())
    }

    const COOKIES: (&str, &str) = ("cookie", "theme=dark; token=secret; token=second");
    const SAME_ORIGIN: (&str, &str) = ("sec-fetch-site", "same-origin");
    const LISTED_ORIGIN: (&str, &str) = ("origin", "https://a.example");

    #[test]
    fn counts_only_for_trusted_pages() {
        let check = |origins: &[&str], headers: &[(&'static str, &str)], counts: bool| {
            let headers: Vec<_> = headers.iter().copied().chain([COOKIES]).collect();
            let expected = counts.then(|| "secret".to_owned());
            assert_eq!(token(origins, &headers), expected, "{origins:?} {headers:?}");
        };
        check(&["https://a.example"], &[LISTED_ORIGIN], true);
        check(&["https://a.example"], &[LISTED_ORIGIN, ("sec-fetch-site", "cross-site")], true);
        check(&["https://a.example"], &[SAME_ORIGIN], true);
        check(&["https://a.example"], &[], false);
        check(&["https://a.example"], &[("sec-fetch-site", "none")], false);
        check(&["https://a.example"], &[("sec-fetch-site", "same-site")], false);
        check(&["https://a.example"], &[("origin", "https://evil.example")], false);
        check(&["https://a.example"], &[("origin", "null")], false);
        check(&["https://*.a.example"], &[("origin", "https://b.a.example")], false);
        check(&["https://*.a.example"], &[("origin", "https://*.a.example")], false);
        check(&["https://a.example:*"], &[LISTED_ORIGIN], false);
        check(&["*"], &[LISTED_ORIGIN], false);
        check(&["*"], &[SAME_ORIGIN], false);
        check(&["https://a.example", "*"], &[LISTED_ORIGIN], false);
    }

    #[test]
    fn header_takes_precedence() {
        let origins = ["https://a.example"];
        let check = |header, expected: Option<&str>| {
            assert_eq!(token(&origins, &[LISTED_ORIGIN, COOKIES, header]).as_deref(), expected, "{header:?}");
        };
        check(("x-access-token", "header"), Some("header"));
        check(("x-access-token", ""), Some("secret"));
        check(("authorization", "Bearer header"), None);
    }

    #[test]
    fn is_found_among_other_cookies() {
        let check = |cookies: &[&str], expected: Option<&str>| {
            let headers: Vec<_> =
                cookies.iter().map(|line| ("cookie", *line)).chain([LISTED_ORIGIN]).collect();
            assert_eq!(token(&["https://a.example"], &headers).as_deref(), expected, "{cookies:?}");
        };
        check(&["theme=dark", "token=a=b"], Some("a=b"));
        check(&["token=a ;x"], Some("a"));
        check(&["Token=a; my-token=b; token"], None);
        check(&["token=\u{e9}"], None);
        check(&[], None);
    }
}
