//! A real nginx in front of the service, with a fault or as the platform's proxy.

use std::{fs, process::Stdio};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{browser::PATH, client, eventually, installed, nats::ReservedPort, service::Service};

/// A running nginx, which is killed on drop.
pub(super) struct Nginx {
    port: ReservedPort,
    _process: Child,
    _directory: TempDir,
}

impl Nginx {
    /// Starts a proxy that forwards everything to the service, with further directives.
    pub(super) async fn forwarding_to(service: &Service, directives: &str) -> Self {
        let locations = format!("location / {{ {directives} {} }}", pass_to(service));
        Self::start("", &locations).await
    }

    /// Starts a proxy that authenticates as the platform's: the access token `browser` becomes `token`.
    pub(super) async fn authenticating(service: &Service, token: &str) -> Self {
        let map = format!("map $http_authorization $reva {{ default ''; 'Bearer browser' '{token}'; }}");
        let pass = pass_to(service);
        let locations = format!(
            "location / {{ if ($reva = '') {{ return 401; }} proxy_set_header x-access-token $reva; {pass} }}
             location = /graph/v1.0/me {{
                 if ($reva = '') {{ return 401; }}
                 return 200 '{{\"displayName\":\"Albert\",\"id\":\"einstein\"}}';
             }}"
        );
        Self::start(&map, &locations).await
    }

    async fn start(map: &str, locations: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let port = ReservedPort::any();
        let address = port.address;
        let configuration = format!(
            "daemon off; master_process off; user root; pid nginx.pid; error_log log;
             events {{ worker_connections 256; }}
             http {{
                 access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
                 uwsgi_temp_path uwsgi; scgi_temp_path scgi; map_hash_bucket_size 1024; {map}
                 server {{
                     listen {address}; proxy_http_version 1.1; proxy_set_header Connection '';
                     {locations}
                 }}
             }}"
        );
        fs::write(directory.path().join("nginx.conf"), configuration).expect("written");
        let process = Command::new(installed("NGINX", "nginx"))
            .args(["-p", ".", "-c", "nginx.conf", "-e", "log"])
            .current_dir(directory.path())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("nginx runs");
        eventually("nginx answers", async || client::try_get(address, PATH).await.is_some()).await;
        Self { port, _process: process, _directory: directory }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.port.address)
    }
}

/// Returns the directive that forwards to the service.
fn pass_to(service: &Service) -> String {
    format!("proxy_pass {}://{};", service.http.scheme(), service.http)
}
