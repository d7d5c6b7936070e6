//! A real reverse proxy in front of instances of the service. It runs with the configuration in `deploy/proxies`, with
//! files of its own and without root.

use std::{fs, net::SocketAddr, path::Path, process::Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{browser::PATH, client, eventually_ok, installed, nats::ReservedPort, transport::Server};

/// The proxy program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    Caddy,
    Haproxy,
    Traefik,
}

impl Kind {
    /// The listening address in the configuration.
    fn listen_address(self) -> &'static str {
        match self {
            Self::Nginx | Self::Haproxy => "*:80",
            Self::Caddy | Self::Traefik => ":80",
        }
    }

    /// Replacements in the configuration for instances with TLS, whose certificate no authority has issued.
    fn tls_replacements(self, target: &Target) -> Vec<(String, String)> {
        let Target { address, upstream } = target;
        match self {
            Self::Nginx => {
                vec![(format!("proxy_pass http://{upstream};"), format!("proxy_pass https://{upstream};"))]
            }
            Self::Caddy => vec![
                (format!("reverse_proxy {address}"), format!("reverse_proxy https://{address}")),
                ("transport http {".into(), "transport http {\ntls_insecure_skip_verify".into()),
            ],
            Self::Haproxy => vec![((*address).into(), format!("{address} ssl verify none"))],
            Self::Traefik => vec![
                (format!("url: http://{address}"), format!("url: https://{address}")),
                ("entryPoints:".into(), "serversTransport:\n  insecureSkipVerify: true\nentryPoints:".into()),
            ],
        }
    }
}

/// The placeholder in a configuration that the instances of the service replace.
struct Target {
    /// Its line is repeated for each instance.
    address: &'static str,
    /// The name of the upstream in nginx.
    upstream: &'static str,
}

/// The instances of the service stand for the platform, which forwards streams to them.
const THE_PLATFORM: Target = Target { address: PLATFORM, upstream: "platform" };
/// The proxy connects streams directly to the instances of the service.
const THE_SERVICE: Target = Target { address: "127.0.0.1:9135", upstream: "sse" };

/// The address of the platform in the configurations.
const PLATFORM: &str = "127.0.0.1:9200";
/// The time after which a silent stream is closed, in the configurations.
const IDLE_TIME: &str = "60s";
/// How long streams may stay open after a reload, in the configurations.
const GRACE: &str = "30s";
/// The folder of Traefik's files in its configuration.
const TRAEFIK_FOLDER: &str = "/etc/traefik";

/// A running proxy, which is stopped on drop.
pub(crate) struct ReverseProxy {
    kind: Kind,
    /// The platform that gives the proxy tickets for direct streams, if it connects streams directly.
    platform: Option<SocketAddr>,
    directory: TempDir,
    port: ReservedPort,
    /// The port on which Caddy accepts a reload.
    administration: ReservedPort,
    process: Option<Child>,
}

impl ReverseProxy {
    /// Starts a proxy that forwards requests to the instances.
    pub(crate) async fn in_front_of(kind: Kind, instances: &[Server]) -> Self {
        Self::start(kind, None, instances).await
    }

    /// Starts a proxy that connects streams directly to the instances, with tickets from `platform`.
    pub(crate) async fn with_direct_streams(kind: Kind, platform: SocketAddr, instances: &[Server]) -> Self {
        Self::start(kind, Some(platform), instances).await
    }

    async fn start(kind: Kind, platform: Option<SocketAddr>, instances: &[Server]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (port, administration) = (ReservedPort::any(), ReservedPort::any());
        let mut proxy = Self { kind, platform, directory, port, administration, process: None };
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
            // A request without a token is rejected by the service or by the platform.
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

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Changes the instances to which requests are forwarded. All proxies but Traefik close open streams a moment
    /// later.
    pub(crate) async fn move_to(&self, instances: &[Server]) {
        self.configure(instances);
        match self.kind {
            Kind::Nginx => self.signal(Signal::HUP),
            Kind::Haproxy => self.signal(Signal::USR2),
            Kind::Caddy => {
                let mut reload = self.command(&["reload", "--config", "Caddyfile"]);
                let status = reload.stderr(Stdio::null()).status().await.expect("caddy runs");
                assert!(status.success(), "{status}");
            }
            // Traefik watches its file.
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
            // Caddy stores its files and its administration endpoint here.
            .env("HOME", self.directory.path())
            .env("CADDY_ADMIN", self.administration.address.to_string());
        command
    }

    fn configure(&self, instances: &[Server]) {
        let template = |name: &str| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/proxies");
            // Traefik's own settings are the same with direct streams.
            let direct = folder.join("direct").join(name);
            let file = if self.platform.is_some() && direct.exists() { direct } else { folder.join(name) };
            fs::read_to_string(file).expect("a configuration")
        };
        let write = |name: &str, text: &str| {
            // Replaces the file atomically, because a proxy that watches it must not read a part of it.
            let (new, file) = (self.directory.path().join("new"), self.directory.path().join(name));
            fs::write(&new, text).and_then(|()| fs::rename(new, file)).expect("written");
        };
        let fill = |name: &str| write(name, &self.fill(&template(name), instances));
        match self.kind {
            Kind::Nginx => {
                write("frame.conf", &self.fill(&template("nginx.conf"), instances));
                write("nginx.conf", NGINX_FRAME);
            }
            Kind::Caddy => fill("Caddyfile"),
            Kind::Haproxy => fill("haproxy.cfg"),
            Kind::Traefik => {
                for name in ["platform.yaml", "traefik.yaml"] {
                    write(name, &self.fill(&template(&format!("traefik/{name}")), instances));
                }
            }
        }
    }

    fn fill(&self, template: &str, instances: &[Server]) -> String {
        let target = if self.platform.is_some() { &THE_SERVICE } else { &THE_PLATFORM };
        let uses_tls = instances.iter().any(|instance| instance.uses_tls());
        let replacements = if uses_tls { self.kind.tls_replacements(target) } else { Vec::new() };
        let template =
            replacements.iter().fold(template.to_owned(), |template, (from, to)| template.replace(from, to));
        let mut filled = String::new();
        for line in template.lines() {
            let mut line = line
                .replace(self.kind.listen_address(), &self.address().to_string())
                .replace(IDLE_TIME, "3s")
                .replace(GRACE, "200ms")
                .replace(TRAEFIK_FOLDER, &self.directory.path().to_string_lossy());
            if let Some(platform) = self.platform {
                line = line.replace(PLATFORM, &platform.to_string());
            }
            if line.contains(target.address) {
                for instance in instances {
                    filled += &(line.replace(target.address, &instance.to_string()) + "\n");
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
            kill_process(id, signal).expect("signalled");
        }
    }
}

fn process_of(mut command: Command, output: fs::File, errors: fs::File) -> Child {
    command.stdout(output).stderr(errors).spawn().expect("it runs")
}

/// The frame that a distribution's `nginx.conf` provides for files in `conf.d`, with compression unless a file forbids
/// it.
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
    /// SIGTERM also ends the workers; SIGKILL would leave them behind.
    fn drop(&mut self) {
        self.signal(Signal::TERM);
    }
}
