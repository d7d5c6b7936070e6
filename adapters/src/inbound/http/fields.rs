//! What stands in the header fields of a request.

use domain::language::LanguagePriorityList;
use poem::{Request, http::HeaderMap};

/// A list may come in several fields of one name, and is the same as in one (RFC 9110, 5.3).
pub(super) fn list(headers: &HeaderMap, name: &str) -> String {
    let lines: Vec<_> = headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect();
    lines.join(",")
}

/// Which languages a request asks for, if it does.
pub(super) fn accept_language(request: &Request) -> Option<LanguagePriorityList> {
    LanguagePriorityList::from_accept_language(&list(request.headers(), "accept-language"))
}
