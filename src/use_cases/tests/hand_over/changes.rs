//! What happens to a stream before, during and after its hand-over: logouts, changes of accounts and languages, ends.

use domain::revocation::AccountChange;

use super::*;

/// When something happens to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Before the stream is suspended. The client has not read it yet.
    Before,
    /// While the successor has not confirmed the stream.
    Suspended,
    /// While the successor has confirmed the stream, but does not serve it yet.
    Confirmed,
    /// When the successor serves the stream.
    After,
}

const PHASES: [Phase; 4] = [Phase::Before, Phase::Suspended, Phase::Confirmed, Phase::After];

/// Hands over a client of the user `a`, and calls `change` in `phase`. Returns what the client reads from the old process and from the new.
async fn read_with_change(
    phase: Phase,
    request: StreamRequest,
    mut change: impl AsyncFnMut(&mut Processes),
) -> [Vec<String>; 2] {
    let mut processes = Processes::start(POLICY).await;
    for process in [&processes.old, &processes.new] {
        tokio::spawn(process.subscriptions.clone().maintain());
    }
    let mut client = processes.old.open_named("a", request);
    client.read();
    if phase == Phase::Before {
        change(&mut processes).await;
    }
    let mut hand_over = HandOver::start(&processes.old, usize::MAX);
    let Some(batch) = hand_over.batch().await else {
        assert_eq!(hand_over.result().await, Ok(0));
        return [client.read(), Vec::new()];
    };
    if phase == Phase::Suspended {
        change(&mut processes).await;
    }
    let streams = batch.confirm();
    if phase == Phase::Confirmed {
        change(&mut processes).await;
    }
    let mut continued = only(processes.new.adopt(streams));
    let mut of_new = continued.read();
    assert_eq!(hand_over.result().await, Ok(1));
    if phase == Phase::After {
        change(&mut processes).await;
    }
    tokio::time::sleep(s(3)).await;
    of_new.extend(continued.read());
    let of_old = client.read();
    drop((client, continued));
    processes.stop().await;
    [of_old, of_new]
}

/// Checks that the client reads `expected` from the process that serves it in `phase`, and nothing from the other one.
async fn check(
    phase: Phase,
    request: StreamRequest,
    expected: &[&str],
    is_ended_here: bool,
    change: impl AsyncFnMut(&mut Processes),
) {
    let read = read_with_change(phase, request, change).await;
    let expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
    let serves = usize::from(phase != Phase::Before || !is_ended_here);
    let mut both = [Vec::new(), Vec::new()];
    both[serves] = expected;
    assert_eq!(read, both, "{phase:?}");
}

#[tokio::test(start_paused = true)]
async fn logout_ends_the_stream_once() {
    for phase in PHASES {
        check(phase, request("a"), &["bye", "Logout"], true, async |processes: &mut Processes| {
            processes.publish_of(&["a"], "backchannel-logout", "bye").await;
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn disabled_account_loses_the_stream() {
    for phase in PHASES {
        let principal = Principal { issued_at: IssuedAt::new(s(1000)), ..request("a").principal };
        let request = StreamRequest { principal, ..request("a") };
        check(phase, request, &["Revoked"], true, async |processes: &mut Processes| {
            let change = || AccountChange { user: user("a"), is_enabled: false, changed_at: s(2000) };
            processes.receive(|| SourceEvent::AccountChanged(change())).await;
        })
        .await;
    }
}

/// The process that serves the stream knows its session.
#[tokio::test(start_paused = true)]
async fn session_moves_with_the_stream() {
    for (session, expected) in [("1", &["bye", "Logout"][..]), ("2", &["bye"])] {
        for phase in PHASES {
            let session_id = SessionId::of("1").map(Box::new);
            let principal = Principal { session_id, ..request("a").principal };
            let request = StreamRequest { principal, ..request("a") };
            let ends = expected.len() == 2;
            check(phase, request, expected, ends, async |processes: &mut Processes| {
                processes.log_out_of("a", session).await;
            })
            .await;
        }
    }
}

/// A stream with a later token continues.
#[tokio::test(start_paused = true)]
async fn time_of_issue_moves_with_the_stream() {
    for phase in PHASES {
        let principal = Principal { issued_at: IssuedAt::new(s(3000)), ..request("a").principal };
        let request = StreamRequest { principal, ..request("a") };
        check(phase, request, &["still open"], false, async |processes: &mut Processes| {
            let change = || AccountChange { user: user("a"), is_enabled: false, changed_at: s(2000) };
            processes.receive(|| SourceEvent::AccountChanged(change())).await;
            processes.publish(&["a"], "still open").await;
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn expired_token_ends_the_stream() {
    for phase in PHASES {
        let principal = Principal { expires_at: s(10), ..request("a").principal };
        let request = StreamRequest { principal, ..request("a") };
        check(phase, request, &["Expired"], true, async |_: &mut Processes| {
            tokio::time::sleep(s(12)).await;
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn chosen_language_is_told_once() {
    // One client has no preference, one accepts a range that is no language, and one another language.
    for field in ["", "a", "fr"] {
        for phase in PHASES {
            let accept_language = LanguagePriorityList::from_accept_language(field);
            let request = StreamRequest { accept_language, ..request("a") };
            check(phase, request, &["in de", "x"], false, async |processes: &mut Processes| {
                for process in [&processes.old, &processes.new] {
                    process.subscriptions.apply_choice(choice("de", 1));
                }
                processes.publish(&["a"], "x").await;
            })
            .await;
        }
    }
}

/// The client knows the chosen language already.
#[tokio::test(start_paused = true)]
async fn known_language_is_not_told_again() {
    let processes = Processes::start(POLICY).await;
    for process in [&processes.old, &processes.new] {
        process.subscriptions.apply_choice(choice("de", 1));
    }
    let mut client = processes.old.open_named("a", request("a"));
    assert_eq!(client.language.to_string(), "de");
    assert_eq!(client.read(), NOTHING);
    let mut continued = only(processes.hand_over().await);
    assert_eq!(continued.read(), NOTHING);
    // When the choice is gone, the stream has the preference of its request again.
    processes.new.subscriptions.apply_choice(LanguageChoice { language: None, ..choice("de", 2) });
    assert_eq!(continued.read(), [format!("in {}", LanguageTag::default())]);
    processes.stop().await;
}

fn choice(language: &str, seconds: u64) -> LanguageChoice {
    let language = Some(LanguageTag::try_new(language).expect("a language tag"));
    LanguageChoice { user: user("a"), language, chosen_at: s(seconds) }
}

/// What ends a stream while it is suspended ends it here if the successor is lost.
#[tokio::test(start_paused = true)]
async fn stream_that_ends_while_suspended_ends_here_after_a_failure() {
    let mut processes = Processes::start(POLICY).await;
    let mut client = processes.old.open_named("a", request("a"));
    client.read();
    let (hand_over, batch) = HandOver::of_all(&processes).await;
    processes.publish_of(&["a"], "backchannel-logout", "bye").await;
    assert_eq!(client.read(), NOTHING);
    batch.fail();
    assert!(hand_over.result().await.is_err());
    assert_eq!(client.read(), ["bye", "Logout"]);
    processes.stop().await;
}

/// The client closes its connection while it is suspended.
#[tokio::test(start_paused = true)]
async fn stream_that_its_client_closes_is_recorded_once() {
    let mut metrics = plain_metrics();
    let closed = |reason: &EndReason, _: &usize, _: &usize| *reason == EndReason::Client;
    metrics.expect_stream_closed().once().withf(closed).return_const(());
    let old = Service::start_with(POLICY, metrics, PLAIN_FRAMES).await;
    let processes = Processes { old, new: Service::start(POLICY).await };
    let client = processes.old.open_named("a", request("a"));
    let (hand_over, batch) = HandOver::of_all(&processes).await;
    drop(client);
    batch.confirm();
    assert_eq!(hand_over.result().await, Ok(1));
    processes.stop().await;
}

#[tokio::test(start_paused = true)]
async fn maximum_age_counts_from_the_opening() {
    let policy = StreamPolicy { max_age: Some(s(100)), ..POLICY };
    let processes = Processes::start(policy).await;
    tokio::spawn(processes.new.subscriptions.clone().maintain());
    let client = processes.old.open_named("a", request("a"));
    tokio::time::sleep(s(60)).await;
    let mut continued = only(processes.hand_over().await);
    drop(client);
    tokio::time::sleep(s(30)).await;
    assert_eq!(continued.read(), NOTHING);
    tokio::time::sleep(s(12)).await;
    assert_eq!(continued.read(), ["MaxAge"]);
    processes.stop().await;
}

/// Keepalives are due as if the stream had not moved.
#[tokio::test(start_paused = true)]
async fn keepalives_keep_their_schedule() {
    let policy = StreamPolicy { keepalive: KeepalivePolicy::every(s(30)), ..POLICY };
    let processes = Processes::start(policy).await;
    tokio::spawn(processes.new.subscriptions.clone().maintain());
    let mut client = processes.old.open_named("a", request("a"));
    client.read();
    tokio::time::sleep(s(20)).await;
    let mut continued = only(processes.hand_over().await);
    assert_eq!(continued.read(), NOTHING);
    tokio::time::sleep(s(8)).await;
    assert_eq!(continued.read(), NOTHING);
    tokio::time::sleep(s(4)).await;
    assert_eq!(continued.read(), [":"]);
    processes.stop().await;
}

/// The client has opened a newer stream, at the old process or at the new one.
#[tokio::test(start_paused = true)]
async fn older_stream_of_a_client_is_replaced() {
    for newer_is_at_new in [false, true] {
        let policy = StreamPolicy { replace_streams: true, ..POLICY };
        let processes = Processes::start(policy).await;
        let older = processes.old.open_named("older", tab("a", "tab"));
        tokio::time::sleep(s(3)).await;
        let at = if newer_is_at_new { &processes.new } else { &processes.old };
        let mut newer = at.open_named("newer", tab("a", "tab"));
        let mut clients = processes.hand_over().await;
        drop(older);
        let newer = clients.get_mut("newer").unwrap_or(&mut newer);
        tokio::spawn(processes.new.subscriptions.clone().maintain());
        tokio::time::sleep(s(10)).await;
        assert_eq!(newer.read(), NOTHING, "{newer_is_at_new}");
        drop(clients.remove("newer"));
        assert_eq!(only(clients).read(), ["Replaced"], "{newer_is_at_new}");
        processes.stop().await;
    }
}
