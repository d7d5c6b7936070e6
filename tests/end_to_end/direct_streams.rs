//! Streams that a reverse proxy connects directly to the service, with the configurations in `deploy/proxies/direct`.

use hyper::Method;
use serde_json::json;

use crate::{
    browser::{Credential, PATH},
    client::{Stream, head, request},
    nats::{Nats, envelope},
    platform::Platform,
    reverse_proxies::{
        KEEPALIVE_INTERVAL, Kind, ReverseProxy, receives_at_once, receives_keepalives,
        stays_complete_when_reloaded,
    },
    service::{Service, token},
    transport::Server,
};

/// Declares the same tests for each proxy that can open direct streams.
macro_rules! directly_behind {
    ($name:ident, $kind:expr) => {
        mod $name {
            use super::Kind;

            directly_behind!(
                $kind,
                events_arrive_at_once_and_unchanged,
                keepalives_keep_the_connection_open,
                reload_loses_nothing,
                request_reaches_the_service,
                browser_cannot_send_ticket_or_token,
                rejection_reaches_the_browser,
                logout_ends_streams_of_the_session,
                stream_ends_with_the_platform_token,
                disabled_account_opens_no_stream,
            );
        }
    };
    ($kind:expr, $($test:ident,)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            super::$test($kind).await;
        })*
    };
}

directly_behind!(nginx, Kind::Nginx);
directly_behind!(caddy, Kind::Caddy);
directly_behind!(traefik, Kind::Traefik);

const TICKET_PATH: &str = "/ocs/v2.php/apps/notifications/api/v1/notifications/sse/ticket";
const TICKET: &str = "x-sse-ticket";
/// The setting that accepts tickets from the proxies in these tests.
const TICKET_CLIENTS: (&str, &str) = ("SSE_TICKET_CLIENTS", "127.0.0.1");

/// The service and the platform behind a reverse proxy.
struct Installation {
    nats: Nats,
    service: Service,
    platform: Platform,
    proxy: ReverseProxy,
}

impl Installation {
    async fn start(kind: Kind) -> Self {
        Self::start_with(kind, &[]).await
    }

    async fn start_with(kind: Kind, settings: &[(&str, &str)]) -> Self {
        let nats = Nats::start().await;
        let settings: Vec<_> = settings.iter().copied().chain([TICKET_CLIENTS]).collect();
        let service = Service::start(&nats, &settings).await;
        let platform = Platform::in_front_of(service.http).await;
        let proxy = ReverseProxy::with_direct_streams(kind, platform.address, &[service.http]).await;
        Self { nats, service, platform, proxy }
    }

    fn address(&self) -> Server {
        self.proxy.address().into()
    }

    fn sign_in(&self, user: &str) -> Credential {
        ("authorization", self.platform.sign_in(user, None))
    }

    /// Opens a stream in a session at the identity provider.
    async fn follow_in(&self, session: Option<&str>) -> Stream {
        let authorization = self.platform.sign_in("einstein", session);
        Stream::open(self.address(), PATH, &[("authorization", &authorization)]).await
    }

    async fn status(&self, headers: &[(&str, &str)]) -> u16 {
        head(self.address(), PATH, headers).await.0
    }
}

/// The platform's proxy carries the request for the ticket, and nothing of the stream.
async fn events_arrive_at_once_and_unchanged(kind: Kind) {
    let installation = Installation::start(kind).await;
    let Installation { nats, service, platform, proxy } = &installation;
    let before = platform.requests_for(TICKET_PATH);
    receives_at_once(proxy.address(), installation.sign_in("einstein"), nats).await;
    service.has_connections(0).await;
    assert_eq!([platform.requests_for(PATH), platform.requests_for(TICKET_PATH) - before], [0, 1]);
}

async fn keepalives_keep_the_connection_open(kind: Kind) {
    let settings = [("SSE_KEEPALIVE_INTERVAL", KEEPALIVE_INTERVAL)];
    let installation = Installation::start_with(kind, &settings).await;
    receives_keepalives(installation.proxy.address(), installation.sign_in("einstein")).await;
}

/// The ticket is always from the first instance, and opens streams at both.
async fn reload_loses_nothing(kind: Kind) {
    let nats = Nats::start().await;
    let settings = [TICKET_CLIENTS];
    let instances = [Service::start(&nats, &settings).await, Service::start(&nats, &settings).await];
    let platform = Platform::in_front_of(instances[0].http).await;
    let proxy = ReverseProxy::with_direct_streams(kind, platform.address, &[instances[0].http]).await;
    let credential = |user: &str| ("authorization", platform.sign_in(user, None));
    stays_complete_when_reloaded(&proxy, &nats, &instances, credential).await;
    assert_eq!(platform.requests_for(PATH), 0);
}

/// The query and the headers that a stream depends on reach the service; a request other than `GET` goes to the platform.
async fn request_reaches_the_service(kind: Kind) {
    let installation = Installation::start(kind).await;
    let publisher = installation.nats.publisher().await;
    let (name, authorization) = installation.sign_in("einstein");
    let credential = (name, &*authorization);
    let open = async |path: &str, header: (&str, &str)| {
        let headers = [credential, header, ("accept-language", "de")];
        Stream::open(installation.address(), path, &headers).await
    };
    let mut first = open(PATH, ("x-request-id", "a-7")).await;
    assert_eq!(first.headers["content-language"], "de");
    for (event_type, content) in [("file", "0"), ("share", "1"), ("file", "2"), ("share", "3")] {
        publisher.event(&["einstein"], event_type, content).await;
    }
    let id = first.event().await.field("id").expect("an id");
    let mut second = open(&format!("{PATH}?types=share"), ("last-event-id", &id)).await;
    assert_eq!([second.content().await, second.content().await], ["1", "3"]);

    drop(first);
    installation.service.has_connections(1).await;
    publisher.event(&["einstein"], "file", "missed").await;
    let mut again = open(PATH, ("x-request-id", "a-7")).await;
    // Events that may not have arrived are sent again.
    while again.content().await != "missed" {}

    let before = installation.platform.requests_for(PATH);
    request(installation.address(), Method::OPTIONS, PATH, &[]).await;
    assert_eq!(installation.platform.requests_for(PATH), before + 1);
}

/// A ticket or a token of the platform that a browser sends is removed, even if it is valid.
async fn browser_cannot_send_ticket_or_token(kind: Kind) {
    let installation = Installation::start(kind).await;
    let (name, of_marie) = installation.sign_in("marie");
    let issued = head(installation.platform.address, TICKET_PATH, &[(name, &of_marie)]).await;
    assert_eq!(issued.0, 204);
    let ticket = issued.1[TICKET].to_str().expect("text");
    // It is valid: the service accepts it from a proxy.
    assert_eq!(head(installation.service.http, PATH, &[(TICKET, ticket)]).await.0, 200);

    let (name, of_einstein) = installation.sign_in("einstein");
    // On a path through the platform, the service would reject the ticket.
    let forged = [(name, &*of_einstein), (TICKET, "forged")];
    assert_eq!(head(installation.address(), "/sse", &forged).await.0, 200);

    let token = token("marie");
    for sent in [(TICKET, ticket), ("x-access-token", &token)] {
        assert_eq!(installation.status(&[sent]).await, 401, "{sent:?}");
        let mut stream = Stream::open(installation.address(), PATH, &[(name, &of_einstein), sent]).await;
        let publisher = installation.nats.publisher().await;
        publisher.event(&["marie"], "t", "for marie").await;
        publisher.event(&["einstein"], "t", "for einstein").await;
        assert_eq!(stream.content().await, "for einstein", "{sent:?}");
    }
}

async fn rejection_reaches_the_browser(kind: Kind) {
    let Installation { nats: _nats, mut service, platform, proxy } = Installation::start(kind).await;
    let authorization = platform.sign_in("einstein", None);
    let status =
        async |authorization: &str| head(proxy.address(), PATH, &[("authorization", authorization)]).await.0;
    assert_eq!([status("Bearer unknown").await, status(&authorization).await], [401, 200]);
    service.stop();
    service.stopped().await;
    assert_eq!(status(&authorization).await, 502, "the platform reaches no service");
    drop(platform);
    // Traefik answers 500 if nothing answers its request for the ticket.
    let expected = if kind == Kind::Traefik { 500 } else { 502 };
    crate::eventually("nothing answers", async || status(&authorization).await == expected).await;
}

/// A stream of another session stays; one whose session is unknown ends as well.
async fn logout_ends_streams_of_the_session(kind: Kind) {
    let installation = Installation::start(kind).await;
    let mut ended = [installation.follow_in(Some("one")).await, installation.follow_in(None).await];
    let mut other = installation.follow_in(Some("other")).await;
    let publisher = installation.nats.publisher().await;
    let logout = json!({ "userid": "einstein", "sessionid": "one", "timestamp": "" }).to_string();
    publisher.event(&["einstein"], "backchannel-logout", &logout).await;
    for stream in &mut ended {
        assert_eq!(stream.event().await.field("event").as_deref(), Some("backchannel-logout"));
        assert_eq!(stream.closing_comment().await, "the user has logged out");
    }
    publisher.event(&["einstein"], "t", "still here").await;
    assert_eq!([other.content().await, other.content().await], [&*logout, "still here"]);
}

async fn stream_ends_with_the_platform_token(kind: Kind) {
    let settings = [("SSE_KEEPALIVE_INTERVAL", KEEPALIVE_INTERVAL)];
    let installation = Installation::start_with(kind, &settings).await;
    let _stays = installation.follow_in(None).await;
    // The leeway of five seconds ends soon.
    installation.platform.set_lifetime(-1);
    let mut stream = installation.follow_in(None).await;
    let mut last = None;
    while let Some(block) = stream.next().await {
        last = Some(block.0);
    }
    assert_eq!(last.as_deref(), Some(": the token has expired or is about to\n\n"));
    installation.service.has_connections(1).await;
}

async fn disabled_account_opens_no_stream(kind: Kind) {
    let installation = Installation::start(kind).await;
    let (name, authorization) = installation.sign_in("einstein");
    let mut stream = Stream::open(installation.address(), PATH, &[(name, &authorization)]).await;
    installation.platform.disable("einstein");
    let disabled = json!({
        "Executant": null, "UserID": "einstein",
        "Features": [{ "Name": "accountEnabled", "Value": "false", "OldValue": null }], "Timestamp": null,
    });
    let publisher = installation.nats.publisher().await;
    publisher.message(&envelope("events.UserFeatureChanged", &disabled)).await;
    assert_eq!(stream.closing_comment().await, "the account was disabled or deleted");
    assert_eq!(installation.status(&[(name, &authorization)]).await, 401);
}
