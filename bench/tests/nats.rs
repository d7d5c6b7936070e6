//! The modes that publish, with the nats-server in `NATS_SERVER` or on the PATH.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    path::PathBuf,
    process::{Child, ChildStderr, Command, Stdio},
};

use serde_json::{Value, json};

struct Nats {
    process: Child,
    /// The server would end at its next log line without a reader of the pipe.
    _log: BufReader<ChildStderr>,
    address: String,
    data: PathBuf,
}

impl Nats {
    /// Starts a server on a free port, with its data in a directory of this name.
    fn start(name: &str) -> Self {
        let program = std::env::var_os("NATS_SERVER").unwrap_or_else(|| "nats-server".into());
        let data = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let mut process = Command::new(program)
            .args(["-a", "127.0.0.1", "-p", "-1", "-js", "-sd"])
            .arg(&data)
            .stderr(Stdio::piped())
            .spawn()
            .expect("nats-server in NATS_SERVER or on the PATH: ./test fetches one");
        let mut log = BufReader::new(process.stderr.take().expect("piped"));
        let mut log_text = String::new();
        while !log_text.contains("Server is ready") {
            assert!(log.read_line(&mut log_text).expect("its log") > 0, "nats-server has ended: {log_text}");
        }
        let listens =
            log_text.lines().find_map(|line| line.split_once("Listening for client connections on "));
        let address = listens.expect("an address").1.to_owned();
        Self { process, _log: log, address, data }
    }

    fn bench(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let output = Command::new(env!("CARGO_BIN_EXE_bench"))
            .args(arguments)
            .args(["--json", "--nats", &self.address])
            .output()
            .expect("it runs");
        let report = serde_json::from_slice(&output.stdout);
        (output.status.code(), report.unwrap_or_else(|_| String::from_utf8_lossy(&output.stderr).into()))
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("ended");
        std::fs::remove_dir_all(&self.data).expect("removed");
    }
}

#[test]
fn unicast_floor_delivers_each_event_to_one_user() {
    let nats = Nats::start("unicast-floor");
    for rate in [&[][..], &["--rate", "1000"]] {
        let load = ["unicast-floor", "--users", "20", "--streams", "2", "--events", "300"];
        let (status, report) = nats.bench(&[&load[..], rate].concat());
        assert_eq!(status, Some(0), "{report}");
        for (key, expected) in [("streams", 40), ("expected", 600), ("arrived", 600), ("lost_streams", 0)] {
            assert_eq!(report[key], expected, "{key}");
        }
        assert!(report["cpu_to_deliver"].as_f64().is_some_and(|cpu| cpu > 0.0), "{report}");
    }
}

#[test]
fn disconnected_slow_client_is_reported() {
    let nats = Nats::start("slow");
    // The floor creates the NATS stream, as a service does.
    nats.bench(&["unicast-floor", "--users", "1", "--events", "0"]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = listener.local_addr().expect("bound").to_string();
    let serving = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client");
        let (mut request, mut byte) = (Vec::new(), [0]);
        while !request.ends_with(b"\r\n\r\n") {
            client.read_exact(&mut byte).expect("a request");
            request.extend(byte);
        }
        let event = json!({ "number": 1, "published": 1 });
        let events = format!("data: {{}}\nevent: stream-gap\n\ndata: {event}\nevent: bench\n\n");
        let response = format!("HTTP/1.1 200 OK\r\n\r\n{:x}\r\n{events}\r\n", events.len());
        client.write_all(response.as_bytes()).expect("written");
    });
    let load = ["slow", "--users", "0", "--slow-bytes-per-second", "8192", "--seconds", "1"];
    let (status, report) = nats.bench(&[&load[..], &["--server", &server]].concat());
    serving.join().expect("served");
    assert_eq!(status, Some(0), "{report}");
    let slow = &report["slow"];
    for (key, expected) in [("clients", 1), ("published", 2), ("received", 1), ("gaps", 1), ("lost", 0)] {
        assert_eq!(slow[key], expected, "{key}: {report}");
    }
    assert_eq!(slow["disconnected"], json!({ "closed": 1 }));
}
