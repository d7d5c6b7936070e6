//! A stand-in for the platform's proxy: it checks the token of a browser, exchanges it for the platform's token, and
//! forwards the request to the service.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, combinators::BoxBody};
use hyper::{
    HeaderMap, Request, Response, StatusCode, body::Incoming, client, header, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use jsonwebtoken::{EncodingKey, Header};
use parking_lot::Mutex;
use serde_json::json;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use uuid::Uuid;

use crate::{service::token_with, transport::Server};

/// The lifetime of the platform's tokens, in seconds.
const LIFETIME: i64 = 86_400;
/// The header of the platform's token.
const TOKEN: &str = "x-access-token";

/// A running stand-in, which is stopped on drop.
pub(crate) struct Platform {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

struct State {
    /// The users by the value of `Authorization`.
    signed_in: HashMap<String, String>,
    disabled: Vec<String>,
    /// The number of requests for each path.
    requests: HashMap<String, usize>,
    lifetime: i64,
}

impl Platform {
    /// Starts a stand-in that forwards every request to `service`.
    pub(crate) async fn in_front_of(service: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let state = State {
            signed_in: HashMap::new(),
            disabled: Vec::new(),
            requests: HashMap::new(),
            lifetime: LIFETIME,
        };
        let state = Arc::new(Mutex::new(state));
        let accepting = tokio::spawn(accept(listener, service, state.clone()));
        Self { address, state, accepting }
    }

    /// Signs `user` in at the identity provider, in this session if it names one. Returns the value of `Authorization`
    /// with which the browser sends its token.
    pub(crate) fn sign_in(&self, user: &str, session: Option<&str>) -> String {
        let claims = json!({
            "iss": "https://idp.example", "sub": user, "sid": session, "jti": Uuid::new_v4().to_string(),
            "exp": unix_time() + LIFETIME,
        });
        let key = EncodingKey::from_secret(b"the identity provider's key, which only it knows");
        let token = jsonwebtoken::encode(&Header::default(), &claims, &key).expect("signs");
        let authorization = format!("Bearer {token}");
        self.state.lock().signed_in.insert(authorization.clone(), user.to_owned());
        authorization
    }

    /// Disables the account: the platform accepts no token of `user` any more.
    pub(crate) fn disable(&self, user: &str) {
        self.state.lock().disabled.push(user.to_owned());
    }

    /// Sets the lifetime of the platform's tokens that are issued from now on, in seconds; they may have ended before.
    pub(crate) fn set_lifetime(&self, lifetime: i64) {
        self.state.lock().lifetime = lifetime;
    }

    /// Returns the number of requests that had this path.
    pub(crate) fn requests_for(&self, path: &str) -> usize {
        self.state.lock().requests.get(path).copied().unwrap_or_default()
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl State {
    /// Returns the platform's token for the user of a request.
    ///
    /// # Errors
    ///
    /// The request has no token of a user with an account.
    fn exchange(&self, headers: &HeaderMap) -> Result<String, StatusCode> {
        let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let user = authorization.and_then(|value| self.signed_in.get(value));
        let user = user.filter(|user| !self.disabled.contains(user)).ok_or(StatusCode::UNAUTHORIZED)?;
        let now = unix_time();
        Ok(token_with(&json!({
            "iss": "https://idp.example", "aud": ["reva"], "iat": now, "exp": now + self.lifetime,
            "user": {
                "id": { "idp": "https://idp.example", "opaque_id": user, "type": 1 },
                "username": user, "mail": format!("{user}@example.org"), "display_name": user,
                "uid_number": 20000, "gid_number": 30000,
            },
            "scope": { "user": { "resource": { "decoder": "json", "value": "eyJwYXRoIjoiLyJ9" }, "role": 1 } },
        })))
    }
}

async fn accept(listener: TcpListener, service: Server, state: Arc<Mutex<State>>) {
    // Its connections end with this task.
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.expect("a connection");
        let state = state.clone();
        let answer = service_fn(move |request| answer(request, service, state.clone()));
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(client), answer));
    }
}

async fn answer(
    mut request: Request<Incoming>,
    service: Server,
    state: Arc<Mutex<State>>,
) -> hyper::Result<Response<BoxBody<Bytes, hyper::Error>>> {
    let exchanged = {
        let mut state = state.lock();
        *state.requests.entry(request.uri().path().to_owned()).or_default() += 1;
        state.exchange(request.headers())
    };
    // A token that the client sends here must not count as the platform's.
    request.headers_mut().remove(TOKEN);
    match exchanged {
        Ok(token) => {
            request.headers_mut().insert(TOKEN, token.parse().expect("a header"));
            forward(request, service).await
        }
        Err(status) => Ok(rejection(status)),
    }
}

async fn forward(
    request: Request<Incoming>,
    service: Server,
) -> hyper::Result<Response<BoxBody<Bytes, hyper::Error>>> {
    // An unreachable service is the fault of a test that does not start one.
    let Ok(connection) = service.connect().await else { return Ok(rejection(StatusCode::BAD_GATEWAY)) };
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(connection)).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?.map(BodyExt::boxed))
}

fn rejection(status: StatusCode) -> Response<BoxBody<Bytes, hyper::Error>> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response
}

fn unix_time() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "a token's time is the wall clock's")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    i64::try_from(now).expect("before the year 292 billion")
}
