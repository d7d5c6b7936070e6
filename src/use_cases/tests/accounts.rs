//! Accounts that are disabled, deleted or enabled.

use domain::revocation::AccountChange;
use ports::{
    obligations::{self, Token},
    outbound::{TicketRejected, Tickets, TokenRejected, TokenVerifier},
};

use super::*;

/// When the account is disabled, since 1970.
const DISABLED: Duration = s(1_000_000);

impl Service {
    fn disable(&self, name: &str) {
        self.change_account(name, false, DISABLED);
    }

    fn change_account(&self, name: &str, is_enabled: bool, changed_at: Duration) {
        self.receive(SourceEvent::AccountChanged(AccountChange { user: user(name), is_enabled, changed_at }));
    }
}

/// Returns `request` with a token that was issued at `issued_at`.
fn issued(request: StreamRequest, issued_at: Duration) -> StreamRequest {
    let principal = Principal { issued_at: IssuedAt::new(issued_at), ..request.principal };
    StreamRequest { principal, ..request }
}

#[tokio::test(start_paused = true)]
async fn disabled_account_loses_its_streams() {
    let mut service = Service::start(POLICY).await;
    let mut clients = ["a", "a", "b"].map(|name| service.open(name));
    // One stream waits for events, one was not read yet.
    clients[0].read();
    service.publish(&["a", "b"], "before");
    service.disable("a");
    service.publish(&["a", "b"], "after");
    run_until_idle().await;
    assert_eq!(clients.each_ref().map(Client::is_finishing), [true, true, false]);
    let expected = ["before", "Revoked"];
    assert_eq!(clients.each_mut().map(Client::read), [expected, expected, ["before", "after"]]);
    assert_eq!(clients.each_ref().map(Client::ended), [Some("Revoked"), Some("Revoked"), None]);
    service.stop().await;
}

/// No later stream of the user could replay the missed events.
#[tokio::test(start_paused = true)]
async fn disabled_account_gets_missed_events() {
    let mut service = Service::start(POLICY).await;
    for content in ["1", "2"] {
        service.publish(&["a"], &large(content));
    }
    run_until_idle().await;
    let mut client = service.try_open(after("a", id(0))).expect("a stream");
    assert_eq!(client.read_turn(), ["1"]);
    service.publish(&["a"], "3");
    service.disable("a");
    service.publish(&["a"], "4");
    run_until_idle().await;
    assert_eq!(client.read(), ["2", "3", "Revoked"]);
    assert_eq!(service.subscriptions.streams_of(&user("a")), []);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn disabled_account_loses_streams_opened_before_nats() {
    let service = Service::before_nats(POLICY, any_metrics(), PLAIN_FRAMES);
    let mut client = service.open("a");
    let mut later = service.try_open(issued(request("a"), DISABLED + s(10))).expect("a stream");
    service.receive(SourceEvent::Resync { after: id(0) });
    service.disable("a");
    service.receive(SourceEvent::Subscribed);
    run_until_idle().await;
    assert_eq!((client.read(), client.ended()), (vec!["Revoked".to_owned()], Some("Revoked")));
    later.read();
    assert_eq!(later.ended(), None, "its token is newer than the event");
    service.stop().await;
}

/// The token may have been verified a moment before the account was disabled.
#[tokio::test(start_paused = true)]
async fn stream_opened_after_disabling_ends_at_once() {
    let service = Service::start(POLICY).await;
    service.disable("a");
    run_until_idle().await;
    let mut client = service.try_open(issued(request("a"), DISABLED)).expect("a stream");
    assert_eq!((client.read(), client.is_finishing()), (vec!["Revoked".to_owned()], true));
    let mut later = service.try_open(issued(request("a"), DISABLED + s(10))).expect("a stream");
    assert_eq!((later.read(), later.ended()), (Vec::new(), None));
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn enabled_account_keeps_its_streams() {
    let mut service = Service::start(POLICY).await;
    let mut client = service.open("a");
    service.change_account("a", true, DISABLED);
    service.publish(&["a"], "1");
    run_until_idle().await;
    assert_eq!((client.read(), client.ended()), (vec!["1".to_owned()], None));
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn account_change_is_counted() {
    let mut metrics = plain_metrics();
    metrics.expect_event_received().times(2).with(eq(Outcome::AccountChanged)).return_const(());
    metrics.expect_stream_closed().once().with(eq(EndReason::Revoked), eq(0), eq(0)).return_const(());
    let service = Service::start_with(POLICY, metrics, PLAIN_FRAMES).await;
    let _client = service.open("a");
    service.disable("a");
    service.disable("a");
    run_until_idle().await;
    service.stop().await;
}

/// A verifier of tokens in plain text: the name of a user, the time of issue in seconds, and the fault of the token.
struct PlainTokens;

impl TokenVerifier for PlainTokens {
    fn verify(&self, token: &str) -> Result<Principal, TokenRejected> {
        let [name, issued_at, faults @ ..] = &token.split(' ').collect::<Vec<_>>()[..] else {
            return Err(TokenRejected::Invalid);
        };
        match faults {
            [] => {}
            ["expired"] => return Err(TokenRejected::Expired),
            ["NoUser", ..] => return Err(TokenRejected::NoUser),
            ["Scope", ..] => return Err(TokenRejected::Scope),
            _ => return Err(TokenRejected::Invalid),
        }
        let issued_at = issued_at.parse().map_or(IssuedAt::UNKNOWN, |seconds| IssuedAt::new(s(seconds)));
        Ok(Principal { user: user(name), issued_at, expires_at: Duration::MAX, session_id: None })
    }
}

#[tokio::test(start_paused = true)]
async fn check_meets_obligations_of_token_verifier() {
    let service = Service::start(POLICY).await;
    let check =
        AccountCheck { verifier: Arc::new(PlainTokens), subscriptions: service.subscriptions.clone() };
    obligations::token_verifier(&check, |Token { issued_at, is_expired, fault }| {
        let issued = issued_at.map_or("unknown".to_owned(), |issued| issued.as_secs().to_string());
        let fault = fault.map_or(String::new(), |fault| format!(" {fault:?}"));
        format!("a {issued}{fault}{}", if is_expired { " expired" } else { "" })
    });
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn older_tokens_are_rejected_until_account_is_enabled() {
    let service = Service::start(POLICY).await;
    let check =
        AccountCheck { verifier: Arc::new(PlainTokens), subscriptions: service.subscriptions.clone() };
    let verify = |token: &str| check.verify(token).map(|principal| principal.user.to_string());
    assert_eq!(verify("a 999990"), Ok("a".into()));
    service.disable("a");
    run_until_idle().await;
    assert_eq!(verify("a 999990"), Err(TokenRejected::Revoked));
    assert_eq!(verify("a 1000010"), Ok("a".into()), "issued afterwards");
    assert_eq!(verify("b 999990"), Ok("b".into()), "another user's");
    assert_eq!(verify("a"), Err(TokenRejected::Invalid), "for another reason");
    service.change_account("a", true, DISABLED + s(60));
    run_until_idle().await;
    assert_eq!(verify("a 999990"), Ok("a".into()));
    service.stop().await;
}

/// Tickets in plain text: the name of a user.
struct PlainTickets;

impl Tickets for PlainTickets {
    fn issue(&self, principal: &Principal, _: Option<&str>) -> String {
        principal.user.to_string()
    }

    fn redeem(&self, ticket: &str) -> Result<Principal, TicketRejected> {
        Ok(request(ticket).principal)
    }
}

#[tokio::test(start_paused = true)]
async fn older_tickets_are_rejected() {
    let service = Service::start(POLICY).await;
    let check =
        AccountCheck { verifier: Arc::new(PlainTickets), subscriptions: service.subscriptions.clone() };
    let ticket = check.issue(&request("a").principal, None);
    assert_eq!(check.redeem(&ticket), Ok(request("a").principal));
    service.disable("a");
    run_until_idle().await;
    assert_eq!(check.redeem(&ticket), Err(TicketRejected::Revoked));
    assert_eq!(check.redeem("b"), Ok(request("b").principal), "another user's");
    service.stop().await;
}
