//! Names in HTTP: cookies, headers and methods.

use std::str::FromStr;

/// Returns whether `text` is a token (RFC 9110, 5.6.2).
fn is_token(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_allowed)
}

/// Defines a name that is a token, with the problem of a text that is not one.
macro_rules! token {
    ($(#[$about:meta])* $name:ident, $problem:literal) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// Returns the name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                if is_token(text) { Ok(Self(text.into())) } else { Err($problem.into()) }
            }
        }
    };
}

token! {
    /// The name of a cookie (RFC 6265, 4.1.1).
    CookieName, "is not a cookie name: only letters, digits and !#$%&'*+-.^_`|~ are allowed"
}
token! {
    /// The name of a header (RFC 9110, 5.1).
    HeaderName, "has an invalid header name: only letters, digits and !#$%&'*+-.^_`|~ are allowed"
}

/// A method (RFC 9110, 9.1), in upper case, as on the platform. Browsers send the standard methods in upper case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method(String);

impl Method {
    /// Returns the method.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !is_token(text) {
            return Err("has an invalid method: only letters, digits and !#$%&'*+-.^_`|~ are allowed".into());
        }
        Ok(Self(text.to_ascii_uppercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::check, *};

    #[test]
    fn names_are_tokens() {
        check("__Host-token.1", Ok(CookieName("__Host-token.1".into())));
        check("X-Request-Id, *", Ok(vec![HeaderName("X-Request-Id".into()), HeaderName("*".into())]));
        check("GET,put", Ok(vec![Method("GET".into()), Method("PUT".into())]));
        let allowed = "only letters, digits and !#$%&'*+-.^_`|~ are allowed";
        for text in ["a b", "a=b", "a;b", "\u{e9}", "\"a\"", "a:", "[a]"] {
            check::<CookieName>(text, Err(&format!("is not a cookie name: {allowed}")));
            check::<Vec<HeaderName>>(text, Err(&format!("has an invalid header name: {allowed}")));
            check::<Vec<Method>>(text, Err(&format!("has an invalid method: {allowed}")));
        }
    }
}
