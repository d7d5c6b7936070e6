//! Addresses of NATS servers, in the syntax of nats.go.

use std::str::FromStr;

use super::{Format, FromTexts, Secret, address::host_and_port, items};

/// The port of a server without one.
const DEFAULT_PORT: u16 = 4222;

/// A NATS server: a host with an optional port, after an optional `nats://` or `tls://` and optional credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    url: String,
    credentials: Option<Credentials>,
}

/// The credentials for a NATS server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// A user with a password.
    User {
        /// The user's name.
        name: String,
        /// The user's password.
        password: Secret,
    },
    /// A token, written in the place of a user name.
    Token(Secret),
}

impl Server {
    /// Returns the URL of the server, without credentials.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the credentials of the address, if it has any.
    #[must_use]
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("nats", text));
        if !["nats", "tls"].contains(&scheme) {
            return Err(format!("is not an address: the scheme {scheme:?} is neither nats nor tls"));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, address) = match rest.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, rest),
        };
        let has_port = address.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let address = if has_port { address.to_owned() } else { format!("{address}:{DEFAULT_PORT}") };
        match host_and_port(&address)? {
            ("", _) => Err("is not an address: it has no host".into()),
            (_, 0) => Err("is not an address: port 0 is not allowed".into()),
            _ => Ok(Self {
                url: format!("{scheme}://{address}"),
                credentials: user.map(str::parse).transpose()?,
            }),
        }
    }
}

impl FromStr for Credentials {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, password) = match text.split_once(':') {
            Some((name, password)) => (name, Some(password)),
            None => (text, None),
        };
        let decoded = |text: &str| {
            let problem =
                "is not an address: in a user or a password, % must be followed by two hexadecimal digits";
            if text.contains(['/', '?', '#']) {
                return Err(
                    "is not an address: in a user or a password, /, ? and # must be written as %2F, %3F and %23",
                );
            }
            percent_decoded(text).ok_or(problem)
        };
        let name = decoded(name)?;
        if name.is_empty() {
            return Err("is not an address: the user name is empty".into());
        }
        Ok(match password {
            Some(password) => Self::User { name, password: Secret::new(decoded(password)?) },
            None => Self::Token(Secret::new(name)),
        })
    }
}

/// Replaces each `%XX` by the byte (RFC 3986, 2.1). Returns `None` if a sequence is invalid or the result is not UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(digit(digits[0])? << 4 | digit(digits[1])?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

impl FromTexts for Vec<Server> {
    const IS_TEXT: bool = true;
    const FORMAT: Format = Format::List;

    fn from_texts(texts: &[String]) -> Result<Self, String> {
        let servers: Self = items(texts).map(str::parse).collect::<Result<_, _>>()?;
        let mut users = servers.iter().filter_map(Server::credentials);
        let first = users.next();
        if users.any(|user| Some(user) != first) {
            return Err("has several users, but all servers need the same one".into());
        }
        if servers.is_empty() { Err("has no server".into()) } else { Ok(servers) }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::check, *};

    #[test]
    fn several_servers_are_a_list() {
        let server = |url: &str| Server { url: url.into(), credentials: None };
        check("a:1", Ok(vec![server("nats://a:1")]));
        check(
            "a, nats://b:2/,tls://[::1]:3,[::1]",
            Ok(vec![
                server("nats://a:4222"),
                server("nats://b:2"),
                server("tls://[::1]:3"),
                server("nats://[::1]:4222"),
            ]),
        );
        check::<Vec<Server>>("", Err("has no server"));
        check::<Vec<Server>>(":1", Err("is not an address: it has no host"));
        check::<Vec<Server>>("nats://", Err("is not an address: it has no host"));
        check::<Vec<Server>>("a:0", Err("is not an address: port 0 is not allowed"));
        check::<Vec<Server>>("a:b", Err("is not an address: the port \"b\" is not a number up to 65535"));
        check::<Vec<Server>>("a/b", Err("is not an address: \"a/b\" is not a host"));
        check::<Vec<Server>>(
            "http://a",
            Err("is not an address: the scheme \"http\" is neither nats nor tls"),
        );
    }

    #[test]
    fn server_may_have_credentials() {
        let server =
            |credentials| Ok(vec![Server { url: "nats://nats:4222".into(), credentials: Some(credentials) }]);
        let user = |name: &str, password: &str| {
            server(Credentials::User { name: name.into(), password: Secret::new(password.into()) })
        };
        check("nats://user:password@nats:4222/", user("user", "password"));
        check("user:pass:word@nats", user("user", "pass:word"));
        check("nats://a%40b:%2F%C3%A9@nats", user("a@b", "/é"));
        check("nats://user:@nats", user("user", ""));
        check("nats://token@nats", server(Credentials::Token(Secret::new("token".into()))));
        let nobody = "is not an address: the user name is empty";
        check::<Vec<Server>>("nats://:password@nats", Err(nobody));
        check::<Vec<Server>>("nats://@nats", Err(nobody));
        let digits =
            "is not an address: in a user or a password, % must be followed by two hexadecimal digits";
        for text in ["nats://a:%@nats", "nats://a:%4@nats", "nats://a:%4g@nats", "nats://a:%ff@nats"] {
            check::<Vec<Server>>(text, Err(digits));
        }
        let reserved =
            "is not an address: in a user or a password, /, ? and # must be written as %2F, %3F and %23";
        check::<Vec<Server>>("nats://a:b/c@nats", Err(reserved));
    }

    #[test]
    fn all_servers_have_same_credentials() {
        let users = |text: &str| {
            let servers = Vec::<Server>::from_texts(&[text.into()]);
            servers.map(|servers| servers.iter().filter(|server| server.credentials.is_some()).count())
        };
        assert_eq!(users("nats://a:b@c,nats://a:b@d,e"), Ok(2));
        let several = "has several users, but all servers need the same one";
        assert_eq!(users("nats://a:b@c,nats://a:c@d"), Err(several.into()));
    }
}
