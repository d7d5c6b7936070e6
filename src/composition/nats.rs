//! The NATS servers that the configuration names.

use adapters::outbound::nats::connection::{self, Encryption, Servers};

use super::StartError;
use crate::configuration::{Configuration, Credentials, Events, RegistryKind, Secret, Server};

/// Returns the NATS servers for events, with credentials and encryption.
pub(super) fn event_servers(events: &Events) -> Result<Servers, StartError> {
    let encryption = match (events.enable_tls, &events.tls_root_ca_certificate, events.tls_insecure) {
        (false, _, _) => Encryption::None,
        (true, Some(file), _) => Encryption::Roots(file.path().to_owned()),
        (true, None, false) => Encryption::SystemRoots,
        (true, None, true) => Encryption::Unverified,
    };
    let credentials = credentials(&events.endpoint, events.username.as_ref(), events.password.as_ref());
    Ok(Servers { addresses: addresses(&events.endpoint)?, credentials, encryption })
}

/// Returns the NATS servers of the service registry. None without a registry.
pub(super) fn registry_servers(configuration: &Configuration) -> Result<Option<Servers>, StartError> {
    let registry = &configuration.registry;
    if matches!(registry.kind, RegistryKind::None) {
        return Ok(None);
    }
    let credentials_for =
        |servers: &[Server]| credentials(servers, registry.username.as_ref(), registry.password.as_ref());
    if let Some(own) = &registry.address {
        let (addresses, credentials) = (addresses(own)?, credentials_for(own));
        return Ok(Some(Servers { addresses, credentials, encryption: Encryption::None }));
    }
    let servers = event_servers(&configuration.events)?;
    let credentials = credentials_for(&[]).or_else(|| servers.credentials.clone());
    Ok(Some(Servers { credentials, ..servers }))
}

fn addresses(servers: &[Server]) -> Result<Vec<connection::ServerAddr>, StartError> {
    let addresses = servers.iter().map(|server| server.url().parse());
    addresses.collect::<Result<_, std::io::Error>>().map_err(|error| StartError::NatsAddress(error.into()))
}

/// Returns the credentials in the addresses of `servers`, otherwise those of the settings.
fn credentials(
    servers: &[Server],
    username: Option<&String>,
    password: Option<&Secret>,
) -> Option<connection::Credentials> {
    let user = |name: &String, password: Option<&Secret>| connection::Credentials::User {
        name: name.clone(),
        password: password.map(Secret::reveal).unwrap_or_default().to_owned(),
    };
    match servers.iter().find_map(Server::credentials) {
        Some(Credentials::User { name, password }) => Some(user(name, Some(password))),
        Some(Credentials::Token(token)) => Some(connection::Credentials::Token(token.reveal().to_owned())),
        None => username.map(|name| user(name, password)),
    }
}
