//! Header fields of a request.

use domain::language::LanguagePriorityList;
use poem::{Request, http::HeaderMap};

/// Returns a list-based field. Several fields of the same name are equal to one field with all members (RFC 9110, 5.3).
pub(super) fn list(headers: &HeaderMap, name: &str) -> String {
    let lines: Vec<_> = headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect();
    lines.join(",")
}

/// Returns the languages that a request accepts, if it names any.
pub(super) fn accept_language(request: &Request) -> Option<LanguagePriorityList> {
    LanguagePriorityList::from_accept_language(&list(request.headers(), "accept-language"))
}
