//! Who is connected and receives what.

use std::{collections::HashMap, time::Instant};

use crate::{bookmark::RequestId, identity::UserId, language::Wish, notification::EventId, session::Session};

/// Names one stream among all that were ever opened here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamId(u64);

/// How many streams may be open.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Of all users together.
    pub total: usize,
    /// Of one user.
    pub per_user: usize,
}

/// Why a stream has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// As many are open as may be.
    Total,
    /// The user has as many open as one may have.
    PerUser,
}

/// The open streams of every user. `S` is what an event is handed to.
///
/// It holds nothing of a user who has no stream open.
#[derive(Debug)]
pub struct Fanout<S> {
    limits: StreamLimits,
    users: HashMap<UserId, Box<[Member<S>]>>,
    streams: usize,
    next: u64,
}

/// One open stream.
#[derive(Debug)]
pub struct Member<S> {
    id: StreamId,
    /// What an event is handed to.
    pub stream: S,
    /// What is due when.
    pub session: Session,
    /// By what it is remembered when it ends, when its client has chosen an id for its request.
    pub resumable: Option<Box<Resumable>>,
    /// Which languages are wished on it.
    pub wish: Wish,
    /// The last event that its client was told the id of, once it is live.
    position: Option<EventId>,
}

/// What makes that a client need not say where it stood: a stream that is opened by the same request goes on there.
#[derive(Debug)]
pub struct Resumable {
    /// The id of the request that opened the stream.
    pub request: RequestId,
    /// After which event the stream began, once that is known. Its client has had, or never needed, everything up to there.
    pub began: Option<EventId>,
}

impl<S> Member<S> {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Whether it is live: it is handed each event as it comes. Before that it still catches up.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.position.is_some()
    }

    /// The last event that its client was told the id of; none before it is live.
    #[must_use]
    pub fn position(&self) -> Option<EventId> {
        self.position
    }

    /// It is known that it begins after the event `after`.
    pub fn begin(&mut self, after: EventId) {
        if let Some(resumable) = &mut self.resumable {
            resumable.began = Some(after);
        }
    }

    /// Its client is told the id `position`; from then on it is live.
    pub fn tell(&mut self, position: EventId) {
        self.position = Some(position);
    }

    fn has_had(&self, event: EventId) -> bool {
        self.position.is_some_and(|position| position == event || position.follows(event))
    }
}

impl<S> Fanout<S> {
    /// No stream is open yet.
    #[must_use]
    pub fn new(limits: StreamLimits) -> Self {
        Self { limits, users: HashMap::new(), streams: 0, next: 0 }
    }

    /// A number for the next stream, by which it can be told apart and spread.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// Whether `user` may open one more stream.
    ///
    /// # Errors
    ///
    /// Which limit is reached.
    pub fn has_place(&self, user: &UserId) -> Result<(), NoPlace> {
        if self.streams >= self.limits.total {
            return Err(NoPlace::Total);
        }
        match self.users.get(user) {
            Some(members) if members.len() >= self.limits.per_user => Err(NoPlace::PerUser),
            _ => Ok(()),
        }
    }

    /// Adds a stream of `user`. It is not live yet.
    pub fn join(
        &mut self,
        user: UserId,
        stream: S,
        session: Session,
        request: Option<RequestId>,
        wish: Wish,
    ) -> StreamId {
        let id = StreamId(self.next);
        self.next += 1;
        self.streams += 1;
        let resumable = request.map(|request| Box::new(Resumable { request, began: None }));
        let member = Member { id, stream, session, resumable, wish, position: None };
        let members = self.users.entry(user).or_default();
        let others = std::mem::take(members);
        // Mostly it stays the only one.
        *members = others.into_iter().chain([member]).collect();
        id
    }

    /// The stream, unless it has left.
    pub fn member(&mut self, user: &UserId, id: StreamId) -> Option<&mut Member<S>> {
        self.users.get_mut(user)?.iter_mut().find(|member| member.id == id)
    }

    /// The streams of `user`.
    pub fn members_of(&mut self, user: &UserId) -> impl Iterator<Item = &mut Member<S>> {
        self.users.get_mut(user).into_iter().flatten()
    }

    /// Takes a stream away and hands it back, the first time; afterwards there is nothing to take.
    pub fn leave(&mut self, user: &UserId, id: StreamId) -> Option<Member<S>> {
        let members = self.users.get_mut(user)?;
        let position = members.iter().position(|member| member.id == id)?;
        let mut others = std::mem::take(members).into_vec();
        let member = others.swap_remove(position);
        if others.is_empty() {
            self.users.remove(user);
        } else {
            *members = others.into();
        }
        self.streams -= 1;
        self.users.shrink_to(self.users.len() * 2);
        Some(member)
    }

    /// The live streams of `user` that have not yet had the event `event`, each with what is wished on it; from now on they have
    /// had it.
    pub fn reach(
        &mut self,
        user: &UserId,
        event: EventId,
        now: Instant,
    ) -> impl Iterator<Item = (StreamId, &Wish, &S)> {
        self.members_of(user).filter(move |member| member.is_live() && !member.has_had(event)).map(
            move |member| {
                member.tell(event);
                member.session.write(now);
                (member.id, &member.wish, &member.stream)
            },
        )
    }

    /// All streams, each with its user.
    pub fn members(&mut self) -> impl Iterator<Item = (&UserId, &mut Member<S>)> {
        self.users.iter_mut().flat_map(|(user, members)| members.iter_mut().map(move |member| (user, member)))
    }

    /// How many users have at least one stream.
    #[must_use]
    pub fn users(&self) -> usize {
        self.users.len()
    }

    /// How many streams are open.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use proptest::prelude::*;

    use super::*;
    use crate::{
        keepalive::KeepalivePolicy,
        language::{LanguageTag, Languages},
        notification::Incarnation,
        session::Due,
        spread::Spread,
    };

    /// There is one of it for each open stream, in memory of its own: 96 bytes is a size that allocators have.
    #[test]
    fn a_member_takes_little_memory() {
        assert!(size_of::<Member<std::sync::Arc<dyn Send>>>() <= 96);
    }

    const NO_LIMITS: StreamLimits = StreamLimits { total: usize::MAX, per_user: usize::MAX };

    fn user(name: &str) -> UserId {
        UserId::try_new(name).expect("a user id")
    }

    fn event(sequence: u64) -> EventId {
        EventId { incarnation: Incarnation::of(1), sequence }
    }

    fn join<S>(fanout: &mut Fanout<S>, name: &str, stream: S, now: Instant) -> StreamId {
        let session = Session::new(now, Duration::MAX, None, Spread::of(0));
        let wish = Languages::new(LanguageTag::try_new("en").expect("a tag")).wish(&user(name), None);
        fanout.join(user(name), stream, session, None, wish)
    }

    fn join_live<S>(fanout: &mut Fanout<S>, name: &str, stream: S, now: Instant) -> StreamId {
        let id = join(fanout, name, stream, now);
        fanout.member(&user(name), id).expect("it has just joined").tell(event(0));
        id
    }

    #[test]
    fn an_event_reaches_all_live_streams_of_its_user_and_no_other() {
        let now = Instant::now();
        let mut fanout = Fanout::new(NO_LIMITS);
        join_live(&mut fanout, "a", "a1", now);
        join_live(&mut fanout, "a", "a2", now);
        join_live(&mut fanout, "b", "b1", now);
        join(&mut fanout, "a", "a that catches up", now);
        let mut reach = |name: &str, sequence| -> Vec<&str> {
            fanout.reach(&user(name), event(sequence), now).map(|(_, _, stream)| *stream).collect()
        };
        assert_eq!(reach("a", 1), ["a1", "a2"]);
        assert_eq!(reach("b", 1), ["b1"]);
        assert!(reach("c", 1).is_empty());
    }

    #[test]
    fn an_event_comes_once() {
        let now = Instant::now();
        let mut fanout = Fanout::new(NO_LIMITS);
        let id = join_live(&mut fanout, "a", (), now);
        let mut reach = |event| fanout.reach(&user("a"), event, now).count();
        assert_eq!(reach(event(7)), 1);
        assert_eq!(reach(event(7)), 0, "a user who is named twice");
        assert_eq!(reach(event(8)), 1);
        assert_eq!(reach(event(6)), 0, "it has been caught up beyond this");
        let other = EventId { incarnation: Incarnation::of(2), sequence: 1 };
        assert_eq!(reach(other), 1, "of another making of the stream");
        fanout.member(&user("a"), id).expect("open").tell(event(20));
        assert_eq!(fanout.reach(&user("a"), event(20), now).count(), 0);
    }

    #[test]
    fn what_is_written_counts_as_a_sign_of_life() {
        let start = Instant::now();
        let policy = KeepalivePolicy::every(Duration::from_secs(10));
        let mut fanout = Fanout::new(NO_LIMITS);
        join_live(&mut fanout, "silent", "silent", start);
        join_live(&mut fanout, "busy", "busy", start);
        let six = start + Duration::from_secs(6);
        assert_eq!(fanout.reach(&user("busy"), event(1), six).count(), 1);
        let mut due = |seconds| {
            let now = start + Duration::from_secs(seconds);
            let due = fanout
                .members()
                .filter_map(|(_, member)| Some((member.stream, member.session.due(policy, now)?)));
            due.collect::<Vec<_>>()
        };
        assert_eq!(due(10), [("silent", Due::Keepalive)]);
        assert_eq!(due(16), [("busy", Due::Keepalive)]);
    }

    #[test]
    fn a_stream_leaves_once() {
        let now = Instant::now();
        let mut fanout = Fanout::new(NO_LIMITS);
        let id = join(&mut fanout, "a", "a1", now);
        assert_eq!(fanout.leave(&user("a"), id).map(|member| member.stream), Some("a1"));
        assert!(fanout.leave(&user("a"), id).is_none());
    }

    #[test]
    fn there_is_a_place_up_to_the_limits_and_again_when_somebody_has_left() {
        let now = Instant::now();
        let mut fanout = Fanout::new(StreamLimits { total: 3, per_user: 2 });
        let first = join(&mut fanout, "a", (), now);
        assert_eq!(fanout.has_place(&user("a")), Ok(()));
        join(&mut fanout, "a", (), now);
        assert_eq!(fanout.has_place(&user("a")), Err(NoPlace::PerUser));
        assert_eq!(fanout.has_place(&user("b")), Ok(()));
        join(&mut fanout, "b", (), now);
        assert_eq!(fanout.has_place(&user("c")), Err(NoPlace::Total));
        fanout.leave(&user("a"), first);
        assert_eq!(fanout.has_place(&user("a")), Ok(()));
    }

    #[test]
    fn what_a_crowd_took_is_given_back() {
        let now = Instant::now();
        let mut fanout = Fanout::new(NO_LIMITS);
        let ids: Vec<_> =
            (0..10_000).map(|n| (user(&n.to_string()), join(&mut fanout, &n.to_string(), (), now))).collect();
        for (user, id) in ids {
            fanout.leave(&user, id);
        }
        assert_eq!((fanout.users(), fanout.streams()), (0, 0));
        assert_eq!(fanout.users.capacity(), 0);
    }

    proptest! {
        /// Against the plainest model there is: a list of users for each stream.
        #[test]
        fn it_holds_exactly_the_streams_that_are_open(
            steps in prop::collection::vec((0..5_u8, any::<bool>(), any::<prop::sample::Index>()), 0..60),
        ) {
            let now = Instant::now();
            let mut fanout = Fanout::new(NO_LIMITS);
            let mut open: Vec<(UserId, StreamId)> = Vec::new();
            for (name, leaves, which) in steps {
                if leaves && !open.is_empty() {
                    let (user, id) = open.swap_remove(which.index(open.len()));
                    prop_assert!(fanout.leave(&user, id).is_some());
                } else {
                    let id = join_live(&mut fanout, &name.to_string(), (), now);
                    open.push((user(&name.to_string()), id));
                }
                let mut model: BTreeMap<&UserId, usize> = BTreeMap::new();
                for (user, _) in &open {
                    *model.entry(user).or_default() += 1;
                }
                prop_assert_eq!(fanout.streams(), open.len());
                prop_assert_eq!(fanout.users(), model.len());
                prop_assert_eq!(fanout.members().count(), open.len());
            }
            for (sequence, (user, _)) in (1..).zip(&open) {
                let expected = open.iter().filter(|(other, _)| other == user).count();
                prop_assert_eq!(fanout.reach(user, event(sequence), now).count(), expected);
            }
        }
    }
}
