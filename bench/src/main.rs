//! Loads a running service: opens very many streams, publishes on the bus, and says what arrived and what it cost.
//!
//! What is worth comparing are ratios within one run, and the server's CPU and memory by the kernel's accounts: a noisy machine
//! disturbs these least. `floor` measures what a delivery costs at least on the same machine.

#![expect(clippy::cast_precision_loss, reason = "figures are rounded for people anyway")]

mod event_stream;
mod floor;
mod ledger;
mod process;
mod publisher;
mod report;
mod streams;

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use jsonwebtoken::{EncodingKey, Header};
use parking_lot::Mutex;
use serde_json::json;

use self::{
    floor::Floor,
    ledger::Ledger,
    process::usage,
    publisher::{Error, Programme, Recipients, language, pace, publish},
    report::{Latency, Report},
    streams::Client,
};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Open the streams, and see what they cost while nothing happens.
    Idle,
    /// Each event is for everybody.
    Broadcast,
    /// Each event is for one user, in turn.
    Unicast,
    /// As broadcast, against a bare send in this process instead of a server: the limit.
    Floor,
    /// Open the streams, and wait for the broadcast of another process.
    Listen,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Broadcast => "broadcast",
            Self::Unicast => "unicast",
            Self::Floor => "floor",
            Self::Listen => "listen",
        }
    }
}

/// Loads a running service, and says what arrived and what it cost. Exits with 1 when something was missing.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    mode: Mode,
    /// Where the service listens; of several, streams are opened in turn
    #[arg(long, default_value = "127.0.0.1:9135", value_delimiter = ',')]
    server: Vec<SocketAddr>,
    /// The path of the stream
    #[arg(long, default_value = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse")]
    path: String,
    /// The bus
    #[arg(long, default_value = "127.0.0.1:4222")]
    nats: String,
    /// The secret that tokens are signed with, as the service has it
    #[arg(long, env = "OCIS_JWT_SECRET", hide_env_values = true, default_value = "")]
    secret: String,
    /// The process id of the server, for its CPU and memory; several of several servers
    #[arg(long, value_delimiter = ',')]
    pid: Vec<i32>,
    /// How many users there are
    #[arg(long, default_value_t = 1000)]
    users: usize,
    /// How many streams each of them opens
    #[arg(long, default_value_t = 1)]
    streams: usize,
    /// How many streams are being opened at a time
    #[arg(long, default_value_t = 64)]
    opening: usize,
    /// How many events are published
    #[arg(long, default_value_t = 1000)]
    events: u64,
    /// How many events a second; as fast as the bus takes them unless it is said
    #[arg(long)]
    rate: Option<u32>,
    /// How much longer than need be the content of an event is, in bytes
    #[arg(long, default_value_t = 200)]
    padding: usize,
    /// In how many languages each event comes (5 at most); the streams ask for one after the other
    #[arg(long, default_value_t = 1)]
    languages: usize,
    /// How long idle streams are held, and how long after the last arrival one more is waited for, in seconds
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// One line of JSON instead of a text
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(report) => {
            print(&report, arguments.json);
            ExitCode::from(u8::from(!report.is_complete()))
        }
        Err(error) => {
            fail(&*error);
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stdout, reason = "what it is asked for")]
fn print(report: &Report, json: bool) {
    if json {
        println!("{}", json!(report));
    } else {
        print!("{report}");
    }
}

#[expect(clippy::print_stderr, reason = "it has no log")]
fn fail(error: &(dyn std::error::Error + 'static)) {
    eprintln!("{error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because {error}");
        cause = error.source();
    }
}

/// One run.
struct Run<'a> {
    arguments: &'a Arguments,
    ledger: Arc<Mutex<Ledger>>,
    /// How many streams there are.
    streams: usize,
}

async fn run(arguments: &Arguments) -> Result<Report, Error> {
    let streams = arguments.users * arguments.streams;
    let run = Run { arguments, ledger: Arc::new(Mutex::new(Ledger::new())), streams };
    match arguments.mode {
        Mode::Floor => run.against_the_floor().await,
        _ => run.against_a_server().await,
    }
}

impl Run<'_> {
    async fn against_a_server(&self) -> Result<Report, Error> {
        let Arguments { mode, pid, .. } = self.arguments;
        let before = usage(pid)?;
        self.open(&self.arguments.server).await?;
        let opened = usage(pid)?;
        let expected = match mode {
            Mode::Idle | Mode::Floor => 0,
            Mode::Broadcast | Mode::Listen => self.arguments.events * self.streams as u64,
            Mode::Unicast => self.arguments.events * self.arguments.streams as u64,
        };
        match mode {
            Mode::Idle => tokio::time::sleep(Duration::from_secs(self.arguments.seconds)).await,
            Mode::Listen => self.arrive(expected).await,
            _ => {
                let publishing = publish(&self.arguments.nats, self.programme());
                let ((), published) = tokio::join!(self.arrive(expected), publishing);
                published?;
            }
        }
        let end = usage(pid)?;
        let mut report = self.report(expected);
        if !pid.is_empty() {
            let each = |of: Duration, number: u64| of.as_secs_f64() * 1e6 / number.max(1) as f64;
            let memory = end.memory.saturating_sub(before.memory);
            report.cpu_to_open = Some(each(opened.cpu.saturating_sub(before.cpu), self.streams as u64));
            report.cpu_to_deliver =
                (expected > 0).then(|| each(end.cpu.saturating_sub(opened.cpu), report.arrived));
            report.memory_of_a_stream = Some(memory as f64 / 1024.0 / self.streams as f64);
            report.memory = Some(end.memory as f64 / 1024.0 / 1024.0);
        }
        Ok(report)
    }

    async fn against_the_floor(&self) -> Result<Report, Error> {
        let Floor { address, events, sending } = Floor::start(self.streams, self.arguments.padding)?;
        self.open(&[address]).await?;
        let expected = self.arguments.events * self.streams as u64;
        let publishing = async {
            let mut pace = pace(self.arguments.rate);
            for number in 0..self.arguments.events {
                if let Some(pace) = &mut pace {
                    pace.tick().await;
                }
                // When it has failed, that is told below.
                events.send(number).ok();
            }
        };
        tokio::join!(self.arrive(expected), publishing);
        drop(events);
        let taken = sending.join().map_err(|_| "the floor has failed")??;
        let mut report = self.report(expected);
        report.cpu_to_deliver = Some(taken.as_secs_f64() * 1e6 / report.arrived.max(1) as f64);
        Ok(report)
    }

    async fn open(&self, servers: &[SocketAddr]) -> Result<(), Error> {
        let clients = (0..self.streams).map(|number| {
            let server = servers[number % servers.len()];
            let (path, secret) = (&self.arguments.path, &self.arguments.secret);
            let (token, language) = (token(&user(number % self.arguments.users), secret), language(number));
            let request = format!(
                "GET {path} HTTP/1.1\r\nhost: {server}\r\nx-access-token: {token}\r\naccept-language: {language}\r\n\r\n"
            );
            Client { server, request }
        });
        let progress = progress(self.streams as u64, "streams");
        streams::open(clients, self.arguments.opening, &self.ledger, &progress).await?;
        progress.finish_and_clear();
        Ok(())
    }

    fn programme(&self) -> Programme {
        let Arguments { mode, users, events, rate, padding, languages, .. } = self.arguments;
        let users = (0..*users).map(user).collect();
        let recipients = match mode {
            Mode::Unicast => Recipients::InTurn(users),
            _ => Recipients::All(users),
        };
        Programme { recipients, events: *events, rate: *rate, padding: *padding, languages: *languages }
    }

    /// Waits until so many events have arrived, or none any more for too long.
    async fn arrive(&self, expected: u64) {
        let progress = progress(expected, "deliveries");
        let patience = Duration::from_secs(self.arguments.seconds);
        let mut look = tokio::time::interval(Duration::from_millis(20));
        let (mut arrived, mut since) = (0, look.tick().await);
        while arrived < expected {
            let now = look.tick().await;
            let present = self.ledger.lock().arrived;
            if std::mem::replace(&mut arrived, present) != present {
                since = now;
            } else if now - since > patience {
                break;
            }
            progress.set_position(arrived);
        }
        progress.finish_and_clear();
    }

    fn report(&self, expected: u64) -> Report {
        let ledger = self.ledger.lock();
        let latency = (ledger.arrived > 0).then(|| Latency {
            p50: ledger.latency(0.5),
            p99: ledger.latency(0.99),
            max: ledger.latency(1.0),
        });
        Report {
            mode: self.arguments.mode.name(),
            streams: self.streams,
            users: self.arguments.users,
            rate: self.arguments.rate,
            expected,
            arrived: ledger.arrived,
            out_of_order: ledger.out_of_order,
            lost_streams: ledger.lost_streams,
            latency,
            cpu_to_open: None,
            cpu_to_deliver: None,
            memory_of_a_stream: None,
            memory: None,
        }
    }
}

fn user(number: usize) -> String {
    format!("bench-{number}")
}

/// As the platform makes them, for whoever has the secret.
fn token(user: &str, secret: &str) -> String {
    let claims = json!({
        "aud": ["reva"], "exp": 4_000_000_000_u64,
        "user": { "id": { "opaque_id": user } }, "scope": { "user": {} },
    });
    // Whether it is accepted says the server.
    jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes()))
        .unwrap_or_default()
}

/// On a terminal, how far it has come.
fn progress(length: u64, unit: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:>10} {wide_bar} {human_pos} of {human_len}, {per_sec}");
    let bar = ProgressBar::new(length).with_message(unit);
    style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style))
}
