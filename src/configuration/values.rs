//! What a setting's text can mean. Each type parses once and says what it expects.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

/// A value that is read from what somebody wrote: one text, or several.
pub(super) trait FromTexts: Sized {
    /// The value.
    ///
    /// # Errors
    ///
    /// What is wrong, as the rest of a sentence that begins with the value.
    fn from_texts(texts: &[String]) -> Result<Self, String>;
}

/// A value that is written as one text.
macro_rules! from_one_text {
    ($($type:ty),*) => {$(
        impl FromTexts for $type {
            fn from_texts(texts: &[String]) -> Result<Self, String> {
                match texts {
                    [text] => text.trim().parse().map_err(|error| format!("{error}")),
                    _ => Err("is a list, but one value is wanted".into()),
                }
            }
        }
    )*};
}
from_one_text!(
    Address,
    Bytes,
    CollectorKind,
    Count,
    GoDuration,
    GrpcEndpoint,
    HttpCollector,
    HttpRoot,
    LogLevel,
    RegistryKind,
    Truth
);

/// Lists may be written as one text with commas.
fn items(texts: &[String]) -> impl Iterator<Item = &str> {
    texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|item| !item.is_empty())
}

impl FromTexts for Vec<String> {
    fn from_texts(texts: &[String]) -> Result<Self, String> {
        Ok(items(texts).map(Into::into).collect())
    }
}

impl FromTexts for Vec<Server> {
    fn from_texts(texts: &[String]) -> Result<Self, String> {
        let servers: Self = items(texts).map(str::parse).collect::<Result<_, _>>()?;
        if servers.is_empty() { Err("names no server".into()) } else { Ok(servers) }
    }
}

/// What need not be there: an empty text is nothing.
impl<T: FromTexts> FromTexts for Option<T> {
    fn from_texts(texts: &[String]) -> Result<Self, String> {
        match texts {
            [text] if text.is_empty() => Ok(None),
            texts => T::from_texts(texts).map(Some),
        }
    }
}

impl FromTexts for String {
    fn from_texts(texts: &[String]) -> Result<Self, String> {
        match texts {
            [text] => Ok(text.trim().to_owned()),
            _ => Err("is a list, but one value is wanted".into()),
        }
    }
}

/// A file that can be read.
impl FromTexts for PathBuf {
    fn from_texts(texts: &[String]) -> Result<Self, String> {
        let path = Self::from(String::from_texts(texts)?);
        match std::fs::File::open(&path) {
            Ok(_) => Ok(path),
            Err(error) => Err(format!("cannot be read: {error}")),
        }
    }
}

impl FromTexts for bool {
    fn from_texts(texts: &[String]) -> Result<Self, String> {
        Truth::from_texts(texts).map(|truth| truth.0)
    }
}

impl FromTexts for usize {
    fn from_texts(texts: &[String]) -> Result<Self, String> {
        Count::from_texts(texts).map(|count| count.0)
    }
}

/// What Go's `strconv.ParseBool` takes.
struct Truth(bool);

impl FromStr for Truth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Self(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Self(false)),
            _ => Err("is neither true nor false".into()),
        }
    }
}

struct Count(usize);

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| "is no whole number".into())
    }
}

/// A host and a port to listen at. An empty host is every address of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// The addresses it stands for, the first that can be used being meant; a name is looked up now.
    ///
    /// # Errors
    ///
    /// The name cannot be looked up.
    pub fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        match self.0.strip_prefix(':').and_then(|port| port.parse().ok()) {
            // Over IPv6, where the machine has it, IPv4 is heard as well.
            Some(port) => {
                Ok(vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()])
            }
            None => Ok(self.0.to_socket_addrs()?.collect()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        host_and_port(text)?;
        Ok(Self(text.into()))
    }
}

/// Takes `host:port` apart; the host of an IPv6 address stands in brackets.
fn host_and_port(text: &str) -> Result<(&str, u16), String> {
    if text.contains('@') {
        return Err("is no address: a user and a password are settings of their own".into());
    }
    let (host, port) = text.rsplit_once(':').ok_or("is no address: it has no port")?;
    let port =
        port.parse().map_err(|_| format!("is no address: its port {port:?} is no number up to 65535"))?;
    let in_brackets = host.starts_with('[') && host.ends_with(']');
    if host.contains(|c: char| c.is_whitespace() || "/@?#".contains(c))
        || (host.contains(':') && !in_brackets)
    {
        return Err(format!("is no address: {host:?} is no host"));
    }
    Ok((host, port))
}

/// A server of the bus: host and port, with or without `nats://` or `tls://` before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server(String);

impl Server {
    /// The server as the bus's client wants it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = text.strip_prefix("nats://").or_else(|| text.strip_prefix("tls://")).unwrap_or(text);
        match host_and_port(address)? {
            ("", _) => Err("is no address: it has no host".into()),
            _ => Ok(Self(text.into())),
        }
    }
}

/// Where the gateway finds services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryKind {
    /// In a key-value bucket of NATS JetStream.
    Nats,
    /// Nowhere: it is told the address in another way.
    None,
}

impl FromStr for RegistryKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "nats-js-kv" => Ok(Self::Nats),
            "memory" => Ok(Self::None),
            _ => Err("is no registry that we know (nats-js-kv, memory)".into()),
        }
    }
}

/// What takes traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectorKind {
    /// Jaeger, which speaks OTLP.
    Jaeger,
    /// Any other that does.
    Otlp,
}

impl FromStr for CollectorKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "jaeger" => Ok(Self::Jaeger),
            "otlp" => Ok(Self::Otlp),
            _ => Err("is no collector that we know (jaeger, otlp)".into()),
        }
    }
}

/// A host and a port that take OTLP by gRPC, with or without `http://` or `https://` before them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcEndpoint(String);

impl GrpcEndpoint {
    /// As a URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0
    }
}

impl FromStr for GrpcEndpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let with_scheme = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        host_and_port(with_scheme.unwrap_or(text).trim_end_matches('/'))?;
        Ok(Self(if with_scheme.is_some() { text.into() } else { format!("http://{text}") }))
    }
}

/// A URL that takes OTLP by HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCollector(String);

impl HttpCollector {
    /// The URL, path included.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0
    }
}

impl FromStr for HttpCollector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(":14268") || text.contains("/api/traces") {
            return Err(
                "is Jaeger's collector for Thrift, which is no more; Jaeger takes OTLP at port 4318".into()
            );
        }
        let rest = text.strip_prefix("http://").ok_or("is no URL: it does not begin with http://")?;
        let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
        host_and_port(address)?;
        // The path is the same for every collector (OTLP 1.0, "OTLP/HTTP Request").
        let path = if path.is_empty() { "v1/traces" } else { path };
        Ok(Self(format!("http://{address}/{path}")))
    }
}

/// A path that begins with a slash and ends with none, but for `/` itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRoot(String);

impl HttpRoot {
    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HttpRoot {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unreserved = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
        if !text.starts_with('/') || text.contains("//") || !text.chars().all(unreserved) {
            return Err(
                "is no path: it begins with a slash and has letters, digits and -._~ between slashes".into(),
            );
        }
        let path = text.trim_end_matches('/');
        Ok(Self(if path.is_empty() { "/".into() } else { path.into() }))
    }
}

/// A hundred years: what is longer is a mistake, and sums of what is shorter do not overflow.
const LONGEST: Duration = Duration::from_hours(100 * 365 * 24);

/// A span of time, written as in Go: `1m30s`, `500ms`, `0s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoDuration(pub Duration);

impl FromStr for GoDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let mut rest = text;
        let mut total = Duration::ZERO;
        while !rest.is_empty() {
            let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, after) = rest.split_at(number_end);
            let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
            let (unit, after) = after.split_at(unit_end);
            rest = after;
            let seconds = match unit {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "" => return Err("is no duration: a unit is missing (ms, s, m, h)".into()),
                _ => return Err(format!("is no duration: {unit:?} is no unit (ms, s, m, h)")),
            };
            let number: f64 =
                number.parse().map_err(|_| format!("is no duration: {number:?} is no number"))?;
            let part = Duration::try_from_secs_f64(number * seconds).ok();
            total = part.and_then(|part| total.checked_add(part)).ok_or("is too long")?;
        }
        match total {
            _ if text.is_empty() => Err("is empty, which is no duration".into()),
            total if total > LONGEST => Err("is too long".into()),
            total => Ok(Self(total)),
        }
    }
}

/// A number of bytes, written with or without a unit: `4096`, `64KiB`, `1MiB`, `2GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub usize);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let factor: usize = match unit.trim() {
            "" | "B" => 1,
            "kB" | "KB" => 1000,
            "KiB" => 1 << 10,
            "MB" => 1_000_000,
            "MiB" => 1 << 20,
            "GB" => 1_000_000_000,
            "GiB" => 1 << 30,
            unit => return Err(format!("is no number of bytes: {unit:?} is no unit (KiB, MiB, GiB)")),
        };
        let number: usize = number.parse().map_err(|_| "is no number of bytes")?;
        number.checked_mul(factor).map(Self).ok_or_else(|| "is too large".into())
    }
}

/// How grave something has to be to be logged: zerolog's names, as on the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLevel(pub tracing::Level);

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        use tracing::Level;

        match text.to_ascii_lowercase().as_str() {
            // Nothing of ours is graver than an error.
            "panic" | "fatal" | "error" => Ok(Self(Level::ERROR)),
            "warn" => Ok(Self(Level::WARN)),
            "info" => Ok(Self(Level::INFO)),
            "debug" => Ok(Self(Level::DEBUG)),
            "trace" => Ok(Self(Level::TRACE)),
            _ => Err("is no level (panic, fatal, error, warn, info, debug, trace)".into()),
        }
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one who needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl FromTexts for Secret {
    /// Every character counts, white space too: the other services take it as it is.
    fn from_texts(texts: &[String]) -> Result<Self, String> {
        match texts {
            [text] if text.is_empty() => Err("is empty".into()),
            [text] => Ok(Self(text.clone())),
            _ => Err("is a list, but one value is wanted".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: FromTexts + PartialEq + fmt::Debug>(text: &str, expected: Result<T, &str>) {
        let value = T::from_texts(&[text.to_owned()]);
        assert_eq!(value, expected.map_err(Into::into), "{text:?}");
    }

    #[test]
    fn durations_are_written_as_in_go() {
        let ms = |milliseconds| Ok(GoDuration(Duration::from_millis(milliseconds)));
        check("0s", ms(0));
        check("0", ms(0));
        check("500ms", ms(500));
        check("1m30s", ms(90_000));
        check("1.5h", ms(5_400_000));
        check("2h45m30.5s", ms(9_930_500));
        check::<GoDuration>("30", Err("is no duration: a unit is missing (ms, s, m, h)"));
        check::<GoDuration>("", Err("is empty, which is no duration"));
        check::<GoDuration>("-1s", Err("is no duration: \"-\" is no unit (ms, s, m, h)"));
        check::<GoDuration>("1d", Err("is no duration: \"d\" is no unit (ms, s, m, h)"));
        check::<GoDuration>("1..5s", Err("is no duration: \"1..5\" is no number"));
        check::<GoDuration>("99999999999999999999h", Err("is too long"));
        check::<GoDuration>("1000000h", Err("is too long"));
    }

    #[test]
    fn bytes_may_have_a_unit() {
        check("4096", Ok(Bytes(4096)));
        check("1MiB", Ok(Bytes(1 << 20)));
        check("2 GB", Ok(Bytes(2_000_000_000)));
        check::<Bytes>("MiB", Err("is no number of bytes"));
        check::<Bytes>("1 potato", Err("is no number of bytes: \"potato\" is no unit (KiB, MiB, GiB)"));
        check::<Bytes>("99999999999999999GiB", Err("is too large"));
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        let address = |text: &str| Ok(Address(text.into()));
        check("127.0.0.1:9135", address("127.0.0.1:9135"));
        check("localhost:0", address("localhost:0"));
        check("[::1]:80", address("[::1]:80"));
        check(":9135", address(":9135"));
        check::<Address>("a:b@c:80", Err("is no address: a user and a password are settings of their own"));
        check::<Address>("nowhere", Err("is no address: it has no port"));
        check::<Address>("a:99999", Err("is no address: its port \"99999\" is no number up to 65535"));
        check::<Address>("::1:80", Err("is no address: \"::1\" is no host"));
        check::<Address>("http://a:80", Err("is no address: \"http://a\" is no host"));
    }

    #[test]
    fn the_servers_are_a_list() {
        let server = |text: &str| Server(text.into());
        check("a:1", Ok(vec![server("a:1")]));
        check(
            "a:1, nats://b:2,tls://c:3",
            Ok(vec![server("a:1"), server("nats://b:2"), server("tls://c:3")]),
        );
        check::<Vec<Server>>("", Err("names no server"));
        check::<Vec<Server>>("a:1,b", Err("is no address: it has no port"));
        check::<Vec<Server>>(":1", Err("is no address: it has no host"));
    }

    #[test]
    fn a_root_is_a_path() {
        let root = |text: &str| Ok(HttpRoot(text.into()));
        check("/", root("/"));
        check("/events/", root("/events"));
        check("/a/b-c", root("/a/b-c"));
        for text in ["events", "", "/a b", "/a//b", "/{id}", "/*"] {
            assert!(HttpRoot::from_texts(&[text.into()]).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_collector_takes_otlp() {
        let grpc = |url: &str| Ok(GrpcEndpoint(url.into()));
        check("jaeger:4317", grpc("http://jaeger:4317"));
        check("https://jaeger:4317", grpc("https://jaeger:4317"));
        check::<GrpcEndpoint>("jaeger", Err("is no address: it has no port"));
        let http = |url: &str| Ok(HttpCollector(url.into()));
        check("http://jaeger:4318", http("http://jaeger:4318/v1/traces"));
        check("http://jaeger:4318/own/path", http("http://jaeger:4318/own/path"));
        let thrift = "is Jaeger's collector for Thrift, which is no more; Jaeger takes OTLP at port 4318";
        check::<HttpCollector>("http://jaeger:14268/api/traces", Err(thrift));
        check::<HttpCollector>("jaeger:4318", Err("is no URL: it does not begin with http://"));
        check::<CollectorKind>("zipkin", Err("is no collector that we know (jaeger, otlp)"));
        check::<Option<CollectorKind>>("", Ok(None));
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::from_texts(&[" hidden".into()]).expect("a secret");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(secret.reveal(), " hidden");
    }

    #[test]
    fn one_value_is_no_list() {
        let texts = ["1".to_owned(), "2".to_owned()];
        assert_eq!(usize::from_texts(&texts), Err("is a list, but one value is wanted".into()));
        assert_eq!(Vec::<String>::from_texts(&texts), Ok(texts.to_vec()));
    }
}
