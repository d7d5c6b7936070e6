//! A real reverse proxy in front of instances of the service, with the configuration that `deploy/proxies` shows, with files of
//! its own and without root.

use std::{fs, net::SocketAddr, path::Path, process::Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{browser::PATH, client, eventually_ok, installed, nats::ReservedPort, transport::Server};

/// Which program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    Caddy,
    Haproxy,
    Traefik,
}

impl Kind {
    /// Where its configuration lets it listen.
    fn listens(self) -> &'static str {
        match self {
            Self::Nginx | Self::Haproxy => "*:80",
            Self::Caddy | Self::Traefik => ":80",
        }
    }

    /// What its configuration says otherwise when instances encrypt, with a certificate that nobody else knows.
    fn encrypts(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Nginx => &[("proxy_pass http:", "proxy_pass https:")],
            Self::Caddy => &[
                ("reverse_proxy ", "reverse_proxy https://"),
                ("transport http {", "transport http {\ntls_insecure_skip_verify"),
            ],
            Self::Haproxy => &[(PLATFORM, "127.0.0.1:9200 ssl verify none")],
            Self::Traefik => &[
                ("url: http:", "url: https:"),
                ("entryPoints:", "serversTransport:\n  insecureSkipVerify: true\nentryPoints:"),
            ],
        }
    }
}

/// What the configurations send_bytes, besides where the proxy listens, and is filled in here: where the platform is, on a line that is repeated for each instance, …
const PLATFORM: &str = "127.0.0.1:9200";
/// … after how long a silent stream is given up, …
const IDLE_TIME: &str = "60s";
/// … how long streams may stay after a reload, …
const GRACE: &str = "30s";
/// … and where files are.
const TRAEFIK_FOLDER: &str = "/etc/traefik";

/// It ends when it is dropped.
pub(crate) struct ReverseProxy {
    kind: Kind,
    directory: TempDir,
    port: ReservedPort,
    /// Caddy is told to reload there.
    administration: ReservedPort,
    process: Option<Child>,
}

impl ReverseProxy {
    /// It runs, and passes requests on to one of the instances.
    pub(crate) async fn in_front_of(kind: Kind, instances: &[Server]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (port, administration) = (ReservedPort::any(), ReservedPort::any());
        let mut proxy = Self { kind, directory, port, administration, process: None };
        proxy.configure(instances);
        let log = proxy.directory.path().join("log");
        let output = fs::File::create(&log).expect("a file");
        let process = proxy.command(match kind {
            Kind::Nginx => &["-p", ".", "-c", "nginx.conf", "-e", "log"],
            Kind::Caddy => &["run", "--config", "Caddyfile"],
            Kind::Haproxy => &["-W", "-f", "haproxy.cfg"],
            Kind::Traefik => &["--configFile=traefik.yaml"],
        });
        let errors = output.try_clone().expect("the same file");
        proxy.process = Some(process_of(process, output, errors));
        eventually_ok(async || {
            // Without a token it is the service that refuses.
            match client::try_get(proxy.address(), PATH).await {
                Some(401) => Ok(()),
                other => {
                    Err(format!("{kind:?}: {other:?}\n{}", fs::read_to_string(&log).unwrap_or_default()))
                }
            }
        })
        .await;
        proxy
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address
    }

    /// From now on it passes requests on to these instances. What is open is closed a moment later, except by Traefik.
    pub(crate) async fn move_to(&self, instances: &[Server]) {
        self.configure(instances);
        match self.kind {
            Kind::Nginx => self.signal(Signal::HUP),
            Kind::Haproxy => self.signal(Signal::USR2),
            Kind::Caddy => {
                let mut reload = self.command(&["reload", "--config", "Caddyfile"]);
                let told = reload.stderr(Stdio::null()).status().await.expect("caddy runs");
                assert!(told.success(), "{told}");
            }
            // It watches its file.
            Kind::Traefik => {}
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let program = match self.kind {
            Kind::Nginx => installed("NGINX", "nginx"),
            Kind::Caddy => installed("CADDY", "caddy"),
            Kind::Haproxy => installed("HAPROXY", "haproxy"),
            Kind::Traefik => installed("TRAEFIK", "traefik"),
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.directory.path())
            // Caddy keeps what it needs below these, and listens for its commands there.
            .env("HOME", self.directory.path())
            .env("CADDY_ADMIN", self.administration.address.to_string());
        command
    }

    fn configure(&self, instances: &[Server]) {
        let shown = |name: &str| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/proxies");
            fs::read_to_string(folder.join(name)).expect("a configuration")
        };
        let write = |name: &str, text: &str| {
            // In one step: a program that watches its file must not see half of it.
            let (new, file) = (self.directory.path().join("new"), self.directory.path().join(name));
            fs::write(&new, text).and_then(|()| fs::rename(new, file)).expect("written");
        };
        let fill = |name: &str| write(name, &self.fill(&shown(name), instances));
        match self.kind {
            Kind::Nginx => {
                write("frame.conf", &self.fill(&shown("nginx.conf"), instances));
                write("nginx.conf", NGINX_FRAME);
            }
            Kind::Caddy => fill("Caddyfile"),
            Kind::Haproxy => fill("haproxy.cfg"),
            Kind::Traefik => {
                for name in ["platform.yaml", "traefik.yaml"] {
                    write(name, &self.fill(&shown(&format!("traefik/{name}")), instances));
                }
            }
        }
    }

    fn fill(&self, shown: &str, instances: &[Server]) -> String {
        let encrypted = instances.iter().any(|instance| instance.encrypts());
        let otherwise = if encrypted { self.kind.encrypts() } else { &[] };
        let shown = otherwise.iter().fold(shown.to_owned(), |shown, (from, to)| shown.replace(from, to));
        let mut filled = String::new();
        for line in shown.lines() {
            let line = line
                .replace(self.kind.listens(), &self.address().to_string())
                .replace(IDLE_TIME, "1s")
                .replace(GRACE, "200ms")
                .replace(TRAEFIK_FOLDER, &self.directory.path().to_string_lossy());
            if line.contains(PLATFORM) {
                for instance in instances {
                    filled += &(line.replace(PLATFORM, &instance.to_string()) + "\n");
                }
            } else {
                filled += &(line + "\n");
            }
        }
        filled
    }

    fn signal(&self, signal: Signal) {
        let id = self.process.as_ref().and_then(Child::id).and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id.and_then(Pid::from_raw) {
            kill_process(id, signal).expect("told");
        }
    }
}

fn process_of(mut command: Command, output: fs::File, errors: fs::File) -> Child {
    command.stdout(output).stderr(errors).spawn().expect("it runs")
}

/// What a distribution's own `nginx.conf` does for the files in `conf.d`, with compression for whatever does not forbid it.
const NGINX_FRAME: &str = "
    daemon off; user root; pid nginx.pid; error_log log; worker_processes 1;
    worker_shutdown_timeout 200ms;
    events { worker_connections 4096; }
    http {
        access_log off;
        client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
        uwsgi_temp_path uwsgi; scgi_temp_path scgi;
        gzip on; gzip_proxied any; gzip_types text/event-stream; gzip_min_length 0;
        include frame.conf;
    }";

impl Drop for ReverseProxy {
    /// Killed it could leave its workers behind.
    fn drop(&mut self) {
        self.signal(Signal::TERM);
    }
}
