//! Names that HTTP has.

use std::str::FromStr;

/// Whether `text` is a token (RFC 9110, 5.6.2).
fn is_token(text: &str) -> bool {
    let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(may_stand)
}

/// A name that is a token, and what is wrong with one that is none.
macro_rules! token {
    ($(#[$about:meta])* $name:ident, $wrong:literal) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// The name itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                if is_token(text) { Ok(Self(text.into())) } else { Err($wrong.into()) }
            }
        }
    };
}

token! {
    /// The name of a cookie (RFC 6265, 4.1.1).
    CookieName, "is no name of a cookie: letters, digits and !#$%&'*+-.^_`|~ may stand in it"
}
token! {
    /// The name of a header (RFC 9110, 5.1).
    HeaderName, "has what is no name of a header: letters, digits and !#$%&'*+-.^_`|~ may stand in one"
}

/// A method (RFC 9110, 9.1), in the case in which browsers send those that they know, as the platform has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method(String);

impl Method {
    /// The method itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !is_token(text) {
            return Err("has what is no method: letters, digits and !#$%&'*+-.^_`|~ may stand in one".into());
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
        let wrong = |what: &str| format!("{what}: letters, digits and !#$%&'*+-.^_`|~ may stand in");
        for text in ["a b", "a=b", "a;b", "\u{e9}", "\"a\"", "a:", "[a]"] {
            check::<CookieName>(text, Err(&format!("{} it", wrong("is no name of a cookie"))));
            check::<Vec<HeaderName>>(text, Err(&format!("{} one", wrong("has what is no name of a header"))));
            check::<Vec<Method>>(text, Err(&format!("{} one", wrong("has what is no method"))));
        }
    }
}
