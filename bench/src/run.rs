//! One run, from the first stream to the report.

mod floors;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use jsonwebtoken::{EncodingKey, Header};
use parking_lot::Mutex;
use serde_json::json;

use crate::{
    arguments::{Arguments, Mode},
    ledger::{Ledger, now},
    process::{Usage, usage},
    publisher::{Error, Recipients, Workload, language, publish},
    report::{self, Latency, Open, Report},
    streams::{self, Client, Transport},
};

/// The time to wait for duplicates after the last event.
pub(crate) const DUPLICATE_WAIT: Duration = Duration::from_millis(200);

/// Runs the mode in `arguments`.
///
/// # Errors
///
/// The server cannot be loaded. Missing deliveries are no error, but part of the report.
pub(crate) async fn run(arguments: &Arguments) -> Result<Report, Error> {
    let run = Run::new(arguments);
    match arguments.mode {
        Mode::Floor => run.against_the_floor().await,
        Mode::UnicastFloor => run.against_the_unicast_floor().await,
        Mode::TlsFloor => run.against_the_tls_floor().await,
        _ => run.against_a_server().await,
    }
}

pub(crate) struct Run<'a> {
    arguments: &'a Arguments,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    /// The number of streams.
    streams: usize,
}

impl<'a> Run<'a> {
    pub(crate) fn new(arguments: &'a Arguments) -> Self {
        let streams = match arguments.mode {
            Mode::Publish | Mode::Hostile => 0,
            Mode::Passing => 1,
            _ => arguments.users * arguments.streams,
        };
        Self { arguments, ledger: Arc::new(Mutex::new(Ledger::new())), streams }
    }

    async fn against_a_server(&self) -> Result<Report, Error> {
        let Arguments { mode, pid, .. } = self.arguments;
        let before = usage(pid)?;
        let transport = Transport::new(self.arguments);
        self.open(&self.arguments.server, &transport).await?;
        let opened = usage(pid)?;
        let commented = self.ledger.lock().comments;
        let began = now();
        let expected = self.expected();
        match mode {
            Mode::Idle => tokio::time::sleep(Duration::from_secs(self.arguments.seconds)).await,
            Mode::Listen => {
                report::print(&Open { open: self.streams }, self.arguments.json);
                self.wait_for_arrivals(expected).await;
            }
            Mode::Passing => self.publish_skipped().await?,
            // These modes have a run of their own.
            Mode::Hostile | Mode::Slow | Mode::UnicastFloor | Mode::TlsFloor => {}
            Mode::Broadcast | Mode::Everyone | Mode::Unicast | Mode::Publish | Mode::Floor => {
                let publishing = publish(&self.arguments.nats, self.workload());
                let ((), published) = tokio::join!(self.wait_for_arrivals(expected), publishing);
                published?;
            }
        }
        let end = usage(pid)?;
        let mut report = self.report(expected);
        report.resumed = transport.resumed();
        if *mode == Mode::Idle {
            report.comments = Some(self.ledger.lock().comments - commented);
        }
        if !pid.is_empty() {
            let later = Duration::from_nanos(now().saturating_sub(began));
            self.add_costs(&mut report, [before, opened, end], later);
        }
        Ok(report)
    }

    /// Adds the server's costs: its usage before the streams, when they were open, and at the end, `later` after that.
    fn add_costs(&self, report: &mut Report, [before, opened, end]: [Usage; 3], later: Duration) {
        let memory = end.memory.saturating_sub(before.memory);
        let cpu = end.cpu.saturating_sub(opened.cpu);
        report.cpu_to_open = each(opened.cpu.saturating_sub(before.cpu), self.streams as u64);
        match self.arguments.mode {
            Mode::Idle => {
                report.cpu_while_idle = Some(cpu.as_secs_f64() * 1e6 / later.as_secs_f64());
                report.cpu_to_comment = report.comments.and_then(|comments| each(cpu, comments));
            }
            Mode::Passing => report.cpu_to_pass_over = each(cpu, self.arguments.events),
            _ => report.cpu_to_deliver = each(cpu, report.arrived),
        }
        // The single stream of this mode is not enough for a memory figure.
        let counts = self.streams > 0 && self.arguments.mode != Mode::Passing;
        report.memory_of_a_stream = counts.then(|| memory as f64 / 1024.0 / self.streams as f64);
        report.memory = Some(end.memory as f64 / 1024.0 / 1024.0);
    }

    pub(crate) async fn open(&self, servers: &[SocketAddr], transport: &Transport) -> Result<(), Error> {
        let Arguments { path, users, .. } = self.arguments;
        let clients = (0..self.streams).map(|number| Client {
            server: servers[number / transport.streams() % servers.len()],
            path: path.clone(),
            credential: self.credential(&user(number % users)),
            language: language(number),
        });
        let progress = progress(self.streams as u64, "streams");
        streams::open(clients, transport, &self.ledger, &progress).await?;
        progress.finish_and_clear();
        Ok(())
    }

    fn credential(&self, user: &str) -> (&'static str, String) {
        let token = token(user, &self.arguments.secret);
        if self.arguments.bearer {
            ("authorization", format!("Bearer {token}"))
        } else {
            ("x-access-token", token)
        }
    }

    /// Publishes events that the server skips, and behind them one that it delivers, to see when it has read all.
    async fn publish_skipped(&self) -> Result<(), Error> {
        let Arguments { nats, .. } = self.arguments;
        self.ledger.lock().published(now());
        publish(nats, self.workload()).await?;
        let last = Workload { recipients: Recipients::All(vec![user(0)]), events: 1, ..self.workload() };
        let ((), published) = tokio::join!(self.wait_for_arrivals(self.expected()), publish(nats, last));
        published
    }

    pub(crate) fn workload(&self) -> Workload {
        let Arguments { mode, users, events, rate, padding, languages, .. } = self.arguments;
        let users = (0..*users).map(user);
        let recipients = match mode {
            Mode::Unicast | Mode::UnicastFloor | Mode::Slow => Recipients::InTurn(users.collect()),
            Mode::Passing => Recipients::Nobody,
            Mode::Everyone => Recipients::All(vec!["all".into()]),
            _ => Recipients::All(users.collect()),
        };
        Workload { recipients, events: *events, rate: *rate, padding: *padding, languages: *languages }
    }

    /// Returns the number of expected deliveries.
    fn expected(&self) -> u64 {
        let Arguments { mode, events, streams, .. } = self.arguments;
        match mode {
            Mode::Idle | Mode::TlsFloor | Mode::Hostile | Mode::Slow => 0,
            Mode::Broadcast | Mode::Everyone | Mode::Listen | Mode::Floor | Mode::Publish => {
                events * self.streams as u64
            }
            Mode::Unicast | Mode::UnicastFloor => events * *streams as u64,
            Mode::Passing => 1,
        }
    }

    /// Waits until `expected` events have arrived, or no event arrives any more. The wait for another process's
    /// broadcast has no limit before its first event.
    async fn wait_for_arrivals(&self, expected: u64) {
        let progress = progress(expected, "deliveries");
        let timeout = Duration::from_secs(self.arguments.seconds);
        let mut poll = tokio::time::interval(Duration::from_millis(20));
        let (mut arrived, mut since) = (0, poll.tick().await);
        while arrived < expected {
            let now = poll.tick().await;
            let present = self.arrived();
            let waits = self.arguments.mode == Mode::Listen && self.has_not_started();
            if std::mem::replace(&mut arrived, present) != present || waits {
                since = now;
            } else if now - since > timeout {
                break;
            }
            progress.set_position(arrived);
        }
        tokio::time::sleep(DUPLICATE_WAIT).await;
        progress.finish_and_clear();
    }

    /// Returns whether nothing has arrived and no stream has ended.
    fn has_not_started(&self) -> bool {
        let ledger = self.ledger.lock();
        ledger.arrived == 0 && ledger.lost_streams == 0
    }

    /// Returns the number of arrivals that count towards the expected ones.
    pub(crate) fn arrived(&self) -> u64 {
        let ledger = self.ledger.lock();
        match self.arguments {
            Arguments { mode: Mode::Floor, comments: true, .. } => ledger.comments,
            _ => ledger.arrived,
        }
    }

    pub(crate) fn report(&self, expected: u64) -> Report {
        let arrived = self.arrived();
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
            arrived,
            out_of_order: ledger.out_of_order,
            lost_streams: ledger.lost_streams,
            duration: (ledger.arrived > 0).then(|| ledger.duration().as_secs_f64()),
            latency,
            ..Report::default()
        }
    }
}

/// Returns the CPU time for each of `number`, in microseconds; `None` for zero.
fn each(cpu: Duration, number: u64) -> Option<f64> {
    (number > 0).then(|| cpu.as_secs_f64() * 1e6 / number as f64)
}

pub(crate) fn user(number: usize) -> String {
    format!("bench-{number}")
}

/// Returns a token like those of the platform.
pub(crate) fn token(user: &str, secret: &str) -> String {
    let claims = json!({
        "aud": ["reva"], "exp": 4_000_000_000_u64,
        "user": { "id": { "opaque_id": user } }, "scope": { "user": {} },
    });
    // With an unusable secret the server rejects the token.
    jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes()))
        .unwrap_or_default()
}

/// Returns a progress bar for a terminal.
fn progress(length: u64, unit: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:>10} {wide_bar} {human_pos} of {human_len}, {per_sec}");
    let bar = ProgressBar::new(length).with_message(unit);
    style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style))
}
