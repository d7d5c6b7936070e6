//! A real nginx in front of instances of the service, with files of its own and without root.

use std::{fmt::Write as _, fs, net::SocketAddr, process::Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use crate::{eventually_right, installed, nats::ReservedPort};

/// It ends when it is dropped.
pub(crate) struct Nginx {
    directory: TempDir,
    port: ReservedPort,
    process: Option<Child>,
}

impl Nginx {
    pub(crate) async fn in_front_of(instances: &[SocketAddr]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut nginx = Self { directory, port: ReservedPort::any(), process: None };
        nginx.configure(instances);
        let process = Command::new(installed("NGINX", "nginx"))
            .arg("-p")
            .arg(nginx.directory.path())
            .args(["-c", "nginx.conf", "-e", "error.log"])
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx runs");
        nginx.process = Some(process);
        let log = nginx.directory.path().join("error.log");
        eventually_right(async || match TcpStream::connect(nginx.address()).await {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("nginx: {}", fs::read_to_string(&log).unwrap_or_default())),
        })
        .await;
        nginx
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address
    }

    /// From now on it passes requests on to these instances. What is open is closed a moment later.
    pub(crate) fn move_to(&self, instances: &[SocketAddr]) {
        self.configure(instances);
        self.signal(Signal::HUP);
    }

    /// What administrators have to write for an event stream, and no more: that it is not to be buffered, the response
    /// says by itself.
    fn configure(&self, instances: &[SocketAddr]) {
        let servers = instances.iter().fold(String::new(), |mut servers, instance| {
            write!(servers, "server {instance} max_fails=0; ").expect("a text");
            servers
        });
        let listen = self.address();
        let configuration = format!(
            "daemon off; user root; pid nginx.pid; error_log error.log; worker_processes 1;
            worker_shutdown_timeout 200ms;
            events {{ worker_connections 4096; }}
            http {{
                access_log off;
                client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
                uwsgi_temp_path uwsgi; scgi_temp_path scgi;
                upstream sse {{ {servers} }}
                server {{
                    listen {listen};
                    location / {{
                        proxy_pass http://sse;
                        proxy_http_version 1.1;
                        proxy_set_header Connection '';
                        proxy_read_timeout 1h;
                        proxy_next_upstream error timeout http_503;
                    }}
                }}
            }}"
        );
        fs::write(self.directory.path().join("nginx.conf"), configuration).expect("written");
    }

    fn signal(&self, signal: Signal) {
        let id = self.process.as_ref().and_then(Child::id).and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id.and_then(Pid::from_raw) {
            kill_process(id, signal).expect("told");
        }
    }
}

impl Drop for Nginx {
    /// Killed it would leave its workers behind.
    fn drop(&mut self) {
        self.signal(Signal::TERM);
    }
}
