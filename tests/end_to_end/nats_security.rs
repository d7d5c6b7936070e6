//! TLS and credentials for the connection to NATS.

use std::{io::Write as _, path::Path};

use async_nats::ConnectOptions;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, date_time_ymd};
use tempfile::NamedTempFile;

use crate::{eventually, nats::Nats, proxy::Proxy, service::Service};

fn einstein() -> ConnectOptions {
    ConnectOptions::with_user_and_password("einstein".into(), "relativity".into())
}

/// Checks that the service is not ready, for this reason.
async fn cannot_connect(nats: &Nats, settings: &[(&str, &str)], reason: &str) {
    let service = Service::start_unready(nats, settings);
    eventually(reason, async || {
        let (status, body) = service.readiness().await;
        status == 503 && body.contains(reason)
    })
    .await;
}

#[tokio::test]
async fn client_authenticates_with_credentials() {
    let nats = Nats::start_with(&["--user", "einstein", "--pass", "relativity"], einstein).await;
    let right = [("OCIS_EVENTS_AUTH_USERNAME", "einstein"), ("OCIS_EVENTS_AUTH_PASSWORD", "relativity")];
    let service = Service::start(&nats, &right).await;
    let mut stream = service.follow("marie").await;
    nats.publisher().await.event(&["marie"], "t", "hello").await;
    assert_eq!(stream.content().await, "hello");

    let wrong = [("SSE_EVENTS_AUTH_USERNAME", "einstein"), ("SSE_EVENTS_AUTH_PASSWORD", "gravity")];
    cannot_connect(&nats, &wrong, "authorization violation").await;
    cannot_connect(&nats, &[], "authorization violation").await;
}

#[tokio::test]
async fn url_can_contain_credentials() {
    let nats = Nats::start_with(&["--user", "einstein", "--pass", "rela/tivity"], || {
        ConnectOptions::with_user_and_password("einstein".into(), "rela/tivity".into())
    })
    .await;
    let with = |user: &str| format!("nats://{user}@{}/", nats.address());
    let right = with("einstein:rela%2Ftivity");
    // The credentials in the URL precede the settings, as in the platform's library.
    let others = [("OCIS_EVENTS_AUTH_USERNAME", "marie"), ("OCIS_EVENTS_AUTH_PASSWORD", "radium")];
    let service = Service::start_at(&right, &others);
    service.is_ready().await;
    let wrong = Service::start_at(&with("einstein:gravity"), &[]);
    eventually("not ready", async || wrong.readiness().await.1.contains("authorization violation")).await;

    let nats =
        Nats::start_with(&["--auth", "relativity"], || ConnectOptions::with_token("relativity".into())).await;
    let token = format!("relativity@{}", nats.address());
    Service::start_at(&token, &[]).is_ready().await;
}

struct Certificates {
    certificate: NamedTempFile,
    key: NamedTempFile,
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    file
}

fn path(file: &NamedTempFile) -> &str {
    Path::to_str(file.path()).expect("Unicode")
}

/// Returns a certificate like those of `openssl req -x509`: it is marked as an authority, although a server uses it.
fn self_signed_authority(name: &str, last_year: i32) -> Certificates {
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, "nats");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(last_year, 12, 31);
    let key = KeyPair::generate().expect("a key");
    let made = params.self_signed(&key).expect("a certificate");
    Certificates { certificate: file(&made.pem()), key: file(&key.serialize_pem()) }
}

/// Returns a self-signed certificate for 127.0.0.1.
fn certificates() -> Certificates {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    Certificates { certificate: file(&made.cert.pem()), key: file(&made.signing_key.serialize_pem()) }
}

#[tokio::test]
async fn server_certificate_is_verified() {
    let Certificates { certificate, key } = certificates();
    let tls = ["--tls", "--tlscert", path(&certificate), "--tlskey", path(&key)];
    let nats = Nats::start_with(&tls, ConnectOptions::new).await;
    let enabled = ("OCIS_EVENTS_ENABLE_TLS", "true");
    let known = ("OCIS_EVENTS_TLS_ROOT_CA_CERTIFICATE", path(&certificate));
    Service::start(&nats, &[enabled, known]).await;
    Service::start(&nats, &[enabled, ("SSE_EVENTS_TLS_INSECURE", "true")]).await;

    let other = certificates();
    let unknown = ("OCIS_EVENTS_TLS_ROOT_CA_CERTIFICATE", path(&other.certificate));
    cannot_connect(&nats, &[enabled, unknown], "invalid peer certificate").await;
    // With a file of authorities only those are trusted, whatever else is set.
    cannot_connect(&nats, &[enabled, unknown, ("OCIS_INSECURE", "true")], "invalid peer certificate").await;
    cannot_connect(&nats, &[enabled], "invalid peer certificate").await;
}

#[tokio::test]
async fn self_signed_server_certificate_can_be_trusted() {
    const TLS: (&str, &str) = ("OCIS_EVENTS_ENABLE_TLS", "true");
    async fn serve(certificates: &Certificates) -> Nats {
        let [certificate, key] = [&certificates.certificate, &certificates.key].map(path);
        Nats::start_with(&["--tls", "--tlscert", certificate, "--tlskey", key], ConnectOptions::new).await
    }
    let known = self_signed_authority("127.0.0.1", 2099);
    let roots = ("OCIS_EVENTS_TLS_ROOT_CA_CERTIFICATE", path(&known.certificate));
    let nats = serve(&known).await;
    Service::start(&nats, &[TLS, roots]).await;

    let same_subject = serve(&self_signed_authority("127.0.0.1", 2099)).await;
    cannot_connect(&same_subject, &[TLS, roots], "CaUsedAsEndEntity").await;
    for (other, reason) in [
        (self_signed_authority("other.example", 2099), "certificate not valid for name"),
        (self_signed_authority("127.0.0.1", 2020), "certificate expired"),
    ] {
        let roots = ("OCIS_EVENTS_TLS_ROOT_CA_CERTIFICATE", path(&other.certificate));
        cannot_connect(&serve(&other).await, &[TLS, roots], reason).await;
    }
}

#[tokio::test]
async fn authorities_can_be_renewed_at_runtime() {
    let (old, new) = (self_signed_authority("127.0.0.1", 2099), self_signed_authority("127.0.0.1", 2099));
    let roots = file(&std::fs::read_to_string(&old.certificate).expect("read"));
    let [certificate, key] = [&new.certificate, &new.key].map(path);
    let nats =
        Nats::start_with(&["--tls", "--tlscert", certificate, "--tlskey", key], ConnectOptions::new).await;
    let settings =
        [("OCIS_EVENTS_ENABLE_TLS", "true"), ("OCIS_EVENTS_TLS_ROOT_CA_CERTIFICATE", path(&roots))];
    let service = Service::start_unready(&nats, &settings);
    eventually("not ready", async || service.readiness().await.1.contains("CaUsedAsEndEntity")).await;
    std::fs::copy(&new.certificate, &roots).expect("renewed");
    service.is_ready().await;
}

/// A reconnection is verified like the first connection, although the server offers to resume its session.
#[tokio::test]
async fn removed_authority_is_no_longer_trusted() {
    let (old, new) = (self_signed_authority("127.0.0.1", 2099), self_signed_authority("127.0.0.1", 2099));
    let roots = file(&std::fs::read_to_string(&old.certificate).expect("read"));
    let [certificate, key] = [&old.certificate, &old.key].map(path);
    let nats =
        Nats::start_with(&["--tls", "--tlscert", certificate, "--tlskey", key], ConnectOptions::new).await;
    let proxy = Proxy::to(nats.address().parse().expect("an address")).await;
    let settings =
        [("OCIS_EVENTS_ENABLE_TLS", "true"), ("OCIS_EVENTS_TLS_ROOT_CA_CERTIFICATE", path(&roots))];
    let service = Service::start_at(&proxy.address.to_string(), &settings);
    service.is_ready().await;
    std::fs::copy(&new.certificate, &roots).expect("replaced");
    proxy.cut();
    // The cut alone makes the service unready. Only a rejected handshake shows that the server was verified again.
    eventually("rejected", async || nats.has_logged("TLS handshake error")).await;
    assert_eq!(service.readiness().await.0, 503);
    std::fs::copy(&old.certificate, &roots).expect("restored");
    service.is_ready().await;
}
