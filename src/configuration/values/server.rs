//! The servers of the bus, as nats.go takes them.

use std::str::FromStr;

use super::{FromTexts, Secret, address::host_and_port, items};

/// The port of a server that names none.
const PORT: u16 = 4222;

/// A server of the bus: a host, with or without a port, with or without `nats://` or `tls://` and a user before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    url: String,
    credentials: Option<Credentials>,
}

/// With what to show a server who one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// A user with a password.
    User {
        /// The user's name.
        name: String,
        /// The user's password.
        password: Secret,
    },
    /// A token, which stands in a user's place.
    Token(Secret),
}

impl Server {
    /// The server as the bus's client wants it, without credentials.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The credentials that stood in it.
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
            return Err(format!("is no address: {scheme:?} is neither nats nor tls"));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, address) = match rest.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, rest),
        };
        let has_port = address.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let address = if has_port { address.to_owned() } else { format!("{address}:{PORT}") };
        match host_and_port(&address)? {
            ("", _) => Err("is no address: it has no host".into()),
            (_, 0) => Err("is no address: nothing can be reached at port 0".into()),
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
            let wrong = "is no address: in a user or a password, % stands before two digits (0-9, A-F) only";
            if text.contains(['/', '?', '#']) {
                return Err(
                    "is no address: in a user or a password, /, ? and # are written %2F, %3F and %23",
                );
            }
            percent_decoded(text).ok_or(wrong)
        };
        let name = decoded(name)?;
        if name.is_empty() {
            return Err("is no address: nothing stands in the user's place".into());
        }
        Ok(match password {
            Some(password) => Self::User { name, password: Secret::new(decoded(password)?) },
            None => Self::Token(Secret::new(name)),
        })
    }
}

/// Replaces each `%XX` by the byte (RFC 3986, 2.1). `None` if that is no text.
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

    fn from_texts(texts: &[String]) -> Result<Self, String> {
        let servers: Self = items(texts).map(str::parse).collect::<Result<_, _>>()?;
        let mut users = servers.iter().filter_map(Server::credentials);
        let first = users.next();
        if users.any(|user| Some(user) != first) {
            return Err("names several users, but one has to be known to all servers".into());
        }
        if servers.is_empty() { Err("names no server".into()) } else { Ok(servers) }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::check, *};

    #[test]
    fn the_servers_are_a_list() {
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
        check::<Vec<Server>>("", Err("names no server"));
        check::<Vec<Server>>(":1", Err("is no address: it has no host"));
        check::<Vec<Server>>("nats://", Err("is no address: it has no host"));
        check::<Vec<Server>>("a:0", Err("is no address: nothing can be reached at port 0"));
        check::<Vec<Server>>("a:b", Err("is no address: its port \"b\" is no number up to 65535"));
        check::<Vec<Server>>("a/b", Err("is no address: \"a/b\" is no host"));
        check::<Vec<Server>>("http://a", Err("is no address: \"http\" is neither nats nor tls"));
    }

    #[test]
    fn a_server_may_have_a_user() {
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
        let nobody = "is no address: nothing stands in the user's place";
        check::<Vec<Server>>("nats://:password@nats", Err(nobody));
        check::<Vec<Server>>("nats://@nats", Err(nobody));
        let digits = "is no address: in a user or a password, % stands before two digits (0-9, A-F) only";
        for text in ["nats://a:%@nats", "nats://a:%4@nats", "nats://a:%4g@nats", "nats://a:%ff@nats"] {
            check::<Vec<Server>>(text, Err(digits));
        }
        let reserved = "is no address: in a user or a password, /, ? and # are written %2F, %3F and %23";
        check::<Vec<Server>>("nats://a:b/c@nats", Err(reserved));
    }

    #[test]
    fn all_servers_know_one_user() {
        let users = |text: &str| {
            let servers = Vec::<Server>::from_texts(&[text.into()]);
            servers.map(|servers| servers.iter().filter(|server| server.credentials.is_some()).count())
        };
        assert_eq!(users("nats://a:b@c,nats://a:b@d,e"), Ok(2));
        let several = "names several users, but one has to be known to all servers";
        assert_eq!(users("nats://a:b@c,nats://a:c@d"), Err(several.into()));
    }
}
