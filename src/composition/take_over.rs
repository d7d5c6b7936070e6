//! The take-over: this process continues the streams of its predecessor, and its successor those of this process.

use std::{
    net::TcpListener,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use adapters::{
    http_server::{Accepting, Adoption},
    inbound::{http::ContinuedStreams, signals::Signal, socket_activation::PassedSockets},
    outbound::{
        handover::{self, Answer, Offer, Predecessor, SuccessorProcess, TakeOverListener},
        jwt::RevaTokens,
        service_manager,
    },
};
use domain::identity::UserId;
use ports::{
    inbound::Readiness as _,
    outbound::{SuccessorLost, TokenVerifier as _},
};
use tracing::{error, info, warn};

use super::{StartError, VERSION};
use crate::{
    configuration::{Address, Configuration, Handover},
    use_cases::{Status, Subscriptions},
};

/// The name of the endpoint's socket in an offer.
const HTTP: &str = "http";
/// The name of the debug server's socket in an offer.
const DEBUG: &str = "debug";
/// The user of the token that shows whether two processes accept the same tokens.
const TOKEN_USER: &str = "ocis-sse-take-over";
/// Validity of that token.
const TOKEN_LIFETIME: Duration = Duration::from_mins(1);
/// Time after which a process that is not ready gives up. Its predecessor waits a little longer.
const READY_TIMEOUT: Duration = Duration::from_secs(55);
/// Interval in which streams are handed over that were opened after the take-over.
const LATER_INTERVAL: Duration = Duration::from_millis(100);
/// Interval in which a process checks whether it is ready.
const READY_CHECK: Duration = Duration::from_millis(50);

/// The offer of a running process to this one, which is starting.
pub struct TakeOver {
    predecessor: Predecessor,
    offer: Offer,
}

impl TakeOver {
    /// Asks the process that listens at the socket of the configuration to hand over. Returns none if there is no such process.
    ///
    /// # Errors
    ///
    /// Returns an error if the other process does not hand over, or if the configuration has no socket.
    pub async fn ask(Handover { socket, .. }: &Handover) -> Result<Option<Self>, StartError> {
        let path = socket.as_ref().ok_or(StartError::NoHandoverSocket)?;
        let asked = Predecessor::ask(Path::new(path), VERSION).await.map_err(StartError::TakeOver)?;
        let Some((predecessor, offer)) = asked else {
            info!(path, "no process listens there, so there is nothing to take over");
            return Ok(None);
        };
        info!(version = offer.version, "taking over from the running process");
        Ok(Some(Self { predecessor, offer }))
    }

    /// Takes the listening sockets of the offer whose addresses are those of the configuration. At other addresses this process listens
    /// itself.
    pub(super) fn sockets(&mut self, configuration: &Configuration) -> PassedSockets {
        let mut sockets = PassedSockets::default();
        for (name, socket) in self.offer.sockets.drain(..) {
            let socket = TcpListener::from(socket);
            let (place, address) = match &*name {
                HTTP => (&mut sockets.http, &configuration.http.addr),
                DEBUG => (&mut sockets.debug, &configuration.debug.addr),
                _ => continue,
            };
            if is_at(&socket, address) {
                *place = Some(socket);
            }
        }
        sockets
    }
}

fn is_at(socket: &TcpListener, address: &Address) -> bool {
    let (Ok(bound), Ok(addresses)) = (socket.local_addr(), address.resolve()) else { return false };
    // Port 0 stands for any port.
    addresses.iter().any(|address| *address == bound || (address.port() == 0 && address.ip() == bound.ip()))
}

/// The parts of the service that take part in a take-over.
pub(super) struct TakeOverParts {
    pub(super) subscriptions: Subscriptions,
    pub(super) status: Arc<Status>,
    pub(super) tokens: Arc<RevaTokens>,
    pub(super) continued: ContinuedStreams,
    pub(super) adoption: Adoption,
    /// The switches of the endpoint and of the debug server.
    pub(super) accepting: [Accepting; 2],
    /// The listening sockets of the endpoint and of the debug server.
    pub(super) sockets: [OwnedFd; 2],
    /// The Unix socket for the successor. None if no process can take over.
    pub(super) path: Option<PathBuf>,
}

/// The successor that has taken over, and continues streams from now on.
pub(super) struct HandedOver {
    pub(super) successor: Arc<SuccessorProcess>,
    /// Maximum number of streams that the successor still continues. Zero if it continues none.
    pub(super) room: usize,
}

impl HandedOver {
    /// Hands over streams that open after the take-over, because their requests were received before. It does not end.
    pub(super) async fn hand_over_later(mut self, subscriptions: &Subscriptions) {
        while self.room > 0 {
            tokio::time::sleep(LATER_INTERVAL).await;
            match subscriptions.hand_over(&self.successor, self.room).await {
                Ok(streams) => self.room -= streams,
                Err(SuccessorLost { cause }) => {
                    warn!(cause, "the other streams are ended here");
                    self.room = 0;
                }
            }
        }
        std::future::pending::<()>().await;
    }
}

impl TakeOverParts {
    /// Takes over from the process of `take_over`, if there is one. Then waits until a successor has taken over from this process.
    ///
    /// # Errors
    ///
    /// Returns an error if the predecessor continues alone: this process has to end.
    pub(super) async fn run(self, take_over: Option<TakeOver>) -> Result<HandedOver, StartError> {
        let predecessor = match take_over {
            Some(take_over) => Some(self.become_ready(take_over).await?),
            None => None,
        };
        self.accept(true);
        let mut listener = self.listen(predecessor.is_some());
        if let Some(predecessor) = predecessor {
            tokio::select! {
                // The predecessor has ended.
                continued = self.continue_streams(predecessor) => continued?,
                () = refuse_all(listener.as_ref()) => {}
            }
        }
        loop {
            let Some(current) = &listener else { return std::future::pending().await };
            let successor = Arc::new(current.accept().await);
            let handed_over = tokio::select! {
                // The successor has taken over, or is lost.
                handed_over = self.hand_over(&successor) => handed_over,
                () = refuse_all(Some(current)) => continue,
            };
            match handed_over {
                Ok(room) => return Ok(HandedOver { successor, room }),
                Err(SuccessorLost { cause }) => {
                    warn!(cause, "the take-over has failed, this process continues");
                    successor.abort(&cause).await;
                    self.accept(true);
                    // The successor may have replaced the socket.
                    listener = self.listen(true);
                }
            }
        }
    }

    /// Waits until this process is ready, and says so to its predecessor. Returns when this process shall accept connections.
    async fn become_ready(
        &self,
        TakeOver { mut predecessor, offer }: TakeOver,
    ) -> Result<Predecessor, StartError> {
        let mut check = tokio::time::interval(READY_CHECK);
        let ready = async {
            while self.status.check().is_err() {
                check.tick().await;
            }
        };
        if tokio::time::timeout(READY_TIMEOUT, ready).await.is_err() {
            let reason = self.status.check().err().map(|reason| reason.to_string()).unwrap_or_default();
            return Err(StartError::NotReady { reason });
        }
        let is_accepted = self.tokens.verify(&offer.token).is_ok();
        let reason = (!is_accepted).then(|| "it has another token_manager.jwt_secret".to_owned());
        predecessor.ready(self.adoption.room(), reason).await.map_err(StartError::TakeOver)?;
        info!("connections are accepted by this process from now on");
        Ok(predecessor)
    }

    /// Continues the streams of the predecessor until it hands over no more.
    async fn continue_streams(&self, mut predecessor: Predecessor) -> Result<(), StartError> {
        let mut streams = 0;
        while let Some(received) = predecessor.streams().await.map_err(StartError::TakeOver)? {
            if let Err(error) = predecessor.confirm().await {
                // They belong to the predecessor. What comes next says whether it still lives.
                warn!(%error, "streams were received too late");
                continue;
            }
            for (stream, connection) in received {
                let body = |handle| self.continued.body(stream, handle);
                match self.adoption.adopt(connection, body) {
                    Ok(()) => streams += 1,
                    Err(error) => warn!(%error, "a stream has ended, because its connection cannot be used"),
                }
            }
        }
        info!(streams, "the previous process has ended");
        Ok(())
    }

    /// Listens for a successor, in place of the predecessor if `replace`. Returns none if no process can take over.
    fn listen(&self, replace: bool) -> Option<TakeOverListener> {
        let path = self.path.as_deref()?;
        let listener = TakeOverListener::bind(path, replace);
        if let Err(error) = &listener {
            let path = path.display();
            error!(%error, %path, "handover.socket: cannot listen, so that no process can take over from this one");
        }
        listener.ok()
    }

    /// Hands over to `successor`: first the right to accept connections, then the streams. Returns how many more streams it continues.
    async fn hand_over(&self, successor: &Arc<SuccessorProcess>) -> Result<usize, SuccessorLost> {
        info!(process = successor.process, version = successor.version, "another process takes over");
        let failed = |cause: &dyn ToString| SuccessorLost { cause: cause.to_string() };
        let user = UserId::try_new(TOKEN_USER).map_err(|error| failed(&error))?;
        let token = self.tokens.issue(&user, TOKEN_LIFETIME).map_err(|error| failed(&error))?;
        let duplicate = |socket: &OwnedFd| socket.try_clone().map_err(|error| failed(&error));
        let [http, debug] = &self.sockets;
        let sockets = vec![(HTTP, duplicate(http)?), (DEBUG, duplicate(debug)?)];
        let Answer { room, reason } = successor.offer(VERSION, token, sockets).await?;
        self.accept(false);
        successor.proceed().await?;
        if let Some(reason) = reason {
            warn!(reason, "the other process continues no stream, so all streams are ended here");
            return Ok(0);
        }
        let streams = self.subscriptions.hand_over(successor, room).await?;
        info!(streams, "streams were handed over");
        Ok(room - streams)
    }

    fn accept(&self, accepting: bool) {
        for switch in &self.accepting {
            switch.set(accepting);
        }
    }
}

/// Starts a successor for each of `requests`.
pub(super) async fn start_successors(mut requests: Signal, can_hand_over: bool) {
    while requests.recv().await.is_some() {
        if !can_hand_over {
            warn!("no successor was started, because handover.socket is not set");
            continue;
        }
        info!("starting a successor");
        service_manager::notify_reloading();
        // A successor that takes over does not end before this process.
        match handover::start_successor().await {
            Ok(status) => warn!(%status, "the successor has ended, this process continues"),
            Err(error) => error!(%error, "no successor can be started, this process continues"),
        }
        service_manager::notify_ready();
    }
}

/// Refuses to hand over to any process. Without a listener there is none to refuse.
async fn refuse_all(listener: Option<&TakeOverListener>) {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        let refused = listener.accept().await;
        refused.refuse("another process takes over at present; try again when it has finished").await;
    }
}
