//! The diagnosis of a service: `ocis-sse doctor`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use adapters::outbound::{
    clock::SystemClock,
    http_probe::{HttpProbe, UrlError, parse_url},
    jwt::RevaTokenIssuer,
    nats::{JetStreamProbe, KeyValueRegistryProbe, connection},
};
use domain::identity::UserId;
use ports::outbound::{Clock as _, RegistryProbe};
use uuid::Uuid;

use super::{
    StartError,
    nats::{event_servers, registry_servers},
};
use crate::{
    configuration::{Address, Configuration, SERVICE_NAMES},
    use_cases::{Diagnosis, Instance, PublicName},
};

/// The lifetime of the token, in addition to the time of the silence. The service ends streams up to 5 % early.
const TOKEN_LIFETIME: Duration = Duration::from_mins(2);

/// The URL of a platform, without a slash at the end.
#[derive(Clone, Debug)]
pub struct PublicUrl(String);

impl FromStr for PublicUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        parse_url(text).map(Self)
    }
}

impl PublicUrl {
    /// Returns the URL.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

/// Returns a diagnosis of the service with this `configuration`. It must be called within a runtime.
///
/// # Errors
///
/// Returns an error if an address is invalid or a token cannot be issued.
pub fn diagnosis(configuration: &Configuration, public: Option<PublicName>) -> Result<Diagnosis, StartError> {
    let clock = Arc::new(SystemClock);
    let user = UserId::try_new(&format!("ocis-sse-doctor-{}", Uuid::new_v4()))
        .map_err(|error| StartError::Token(error.into()))?;
    let idle = public.as_ref().and_then(|public| public.idle).unwrap_or_default();
    let expires_at = (clock.unix_time() + TOKEN_LIFETIME + idle + idle / 10).as_secs();
    let token = RevaTokenIssuer::new(configuration.token_manager.jwt_secret.reveal())
        .issue(&user, expires_at)
        .map_err(|error| StartError::Token(error.into()))?;
    let events = connection::connect(event_servers(&configuration.events)?);
    let registry = registry_servers(configuration)?
        .map(|servers| Arc::new(KeyValueRegistryProbe::new(&connection::connect(servers))))
        .map(|probe| probe as Arc<dyn RegistryProbe>);
    let root = configuration.http.root.as_str().trim_end_matches('/');
    let scheme = if configuration.tls.enabled { "https" } else { "http" };
    let instance = Instance {
        url: format!("{scheme}://{}{root}", local(&configuration.http.addr)),
        debug_url: format!("http://{}", local(&configuration.debug.addr)),
        root: root.into(),
        service_name: configuration.registry.service_name.clone(),
        platform_names: SERVICE_NAMES,
        nats: configuration.events.endpoint.iter().map(|server| server.url().to_owned()).collect(),
        keepalive: configuration.keepalive.interval.0,
    };
    let bus = Arc::new(JetStreamProbe::new(&events));
    Ok(Diagnosis { bus, registry, streams: Arc::new(HttpProbe), clock, instance, public, user, token })
}

/// Returns an address at which this machine reaches a server that listens on `address`.
fn local(address: &Address) -> String {
    match address.resolve().ok().and_then(|addresses| addresses.first().copied()) {
        Some(resolved) if resolved.ip().is_unspecified() => {
            let loopback: IpAddr =
                if resolved.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
            SocketAddr::new(loopback, resolved.port()).to_string()
        }
        Some(resolved) => resolved.to_string(),
        None => address.to_string(),
    }
}
