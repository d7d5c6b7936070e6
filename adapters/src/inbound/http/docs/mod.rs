//! The page of the API description: Swagger UI with what it lacks for accessibility.

/// The start of the page of `poem-openapi`.
const START: &str = "<html charset=\"UTF-8\">\n<head>";
/// The element in which Swagger UI renders.
const ROOT: &str = "<div id=\"ui\"></div>";

/// Completes the page of `poem-openapi`.
pub(super) fn complete(page: &str) -> String {
    page.trim_start().replacen(START, include_str!("start.html"), 1).replacen(
        ROOT,
        include_str!("root.html"),
        1,
    )
}

#[cfg(test)]
mod tests {
    use super::complete;

    #[test]
    fn page_is_completed() {
        let service = poem_openapi::OpenApiService::new((), "a", "1");
        let page = complete(&service.swagger_ui_html());
        assert!(page.starts_with("<!doctype html>"));
        assert!(page.contains("<main id=\"ui\">"));
    }
}
