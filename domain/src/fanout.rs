//! Who is connected and receives what.

use std::{collections::HashMap, time::Instant};

use crate::{identity::UserId, keepalive::KeepalivePolicy, notification::EventId};

/// Names one stream among all that were ever opened here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamId(u64);

/// The open streams of every user. `S` is what an event is handed to.
///
/// It holds nothing of a user who has no stream open.
#[derive(Debug)]
pub struct Fanout<S> {
    users: HashMap<UserId, Vec<Member<S>>>,
    streams: usize,
    next: u64,
}

#[derive(Debug)]
struct Member<S> {
    id: StreamId,
    stream: S,
    last_event: Option<EventId>,
    last_written: Instant,
}

impl<S> Default for Fanout<S> {
    fn default() -> Self {
        Self { users: HashMap::new(), streams: 0, next: 0 }
    }
}

impl<S> Fanout<S> {
    /// Adds a stream of `user`. It counts as written to at `now`, when its head went out.
    pub fn join(&mut self, user: UserId, stream: S, now: Instant) -> StreamId {
        let id = StreamId(self.next);
        self.next += 1;
        self.streams += 1;
        self.users.entry(user).or_default().push(Member { id, stream, last_event: None, last_written: now });
        id
    }

    /// Takes a stream away and hands it back, the first time; afterwards there is nothing to take.
    pub fn leave(&mut self, user: &UserId, id: StreamId) -> Option<S> {
        let members = self.users.get_mut(user)?;
        let position = members.iter().position(|member| member.id == id)?;
        let member = members.swap_remove(position);
        if members.is_empty() {
            self.users.remove(user);
        } else {
            members.shrink_to(members.len() * 2);
        }
        self.streams -= 1;
        self.users.shrink_to(self.users.len() * 2);
        Some(member.stream)
    }

    /// The streams of `user` that have not yet had the event `event`; from now on they have.
    pub fn reach(
        &mut self,
        user: &UserId,
        event: EventId,
        now: Instant,
    ) -> impl Iterator<Item = (StreamId, &S)> {
        self.users
            .get_mut(user)
            .into_iter()
            .flatten()
            .filter(move |member| member.last_event != Some(event))
            .map(move |member| {
                member.last_event = Some(event);
                member.last_written = now;
                (member.id, &member.stream)
            })
    }

    /// The streams for which a keepalive is due at `now`; they count as written to.
    pub fn silent(&mut self, policy: KeepalivePolicy, now: Instant) -> impl Iterator<Item = &S> {
        self.users.values_mut().flatten().filter(move |member| policy.is_due(member.last_written, now)).map(
            move |member| {
                member.last_written = now;
                &member.stream
            },
        )
    }

    /// Takes all streams away.
    pub fn clear(&mut self) -> impl Iterator<Item = S> + use<S> {
        self.streams = 0;
        std::mem::take(&mut self.users).into_values().flatten().map(|member| member.stream)
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
    use crate::notification::Incarnation;

    fn user(name: &str) -> UserId {
        UserId::try_new(name).expect("a user id")
    }

    fn event(sequence: u64) -> EventId {
        EventId { incarnation: Incarnation(1), sequence }
    }

    #[test]
    fn an_event_reaches_all_streams_of_its_user_and_no_other() {
        let now = Instant::now();
        let mut fanout = Fanout::default();
        fanout.join(user("a"), "a1", now);
        fanout.join(user("a"), "a2", now);
        fanout.join(user("b"), "b1", now);
        let mut reach = |name: &str, sequence| -> Vec<&str> {
            fanout.reach(&user(name), event(sequence), now).map(|(_, stream)| *stream).collect()
        };
        assert_eq!(reach("a", 1), ["a1", "a2"]);
        assert_eq!(reach("b", 1), ["b1"]);
        assert!(reach("c", 1).is_empty());
    }

    #[test]
    fn a_user_named_twice_gets_an_event_once() {
        let now = Instant::now();
        let mut fanout = Fanout::default();
        fanout.join(user("a"), (), now);
        assert_eq!(fanout.reach(&user("a"), event(7), now).count(), 1);
        assert_eq!(fanout.reach(&user("a"), event(7), now).count(), 0);
        assert_eq!(fanout.reach(&user("a"), event(8), now).count(), 1);
    }

    #[test]
    fn only_silent_streams_are_due() {
        let start = Instant::now();
        let policy = KeepalivePolicy::every(Duration::from_secs(10)).expect("not zero");
        let mut fanout = Fanout::default();
        fanout.join(user("silent"), "silent", start);
        fanout.join(user("busy"), "busy", start);
        let six = start + Duration::from_secs(6);
        assert_eq!(fanout.reach(&user("busy"), event(1), six).count(), 1);
        let ten = start + Duration::from_secs(10);
        assert_eq!(fanout.silent(policy, ten).collect::<Vec<_>>(), [&"silent"]);
        assert_eq!(fanout.silent(policy, ten).count(), 0, "it has just had one");
        let sixteen = start + Duration::from_secs(16);
        assert_eq!(fanout.silent(policy, sixteen).collect::<Vec<_>>(), [&"busy"]);
    }

    #[test]
    fn a_stream_leaves_once() {
        let now = Instant::now();
        let mut fanout = Fanout::default();
        let id = fanout.join(user("a"), "a1", now);
        assert_eq!(fanout.leave(&user("a"), id), Some("a1"));
        assert_eq!(fanout.leave(&user("a"), id), None);
    }

    #[test]
    fn what_a_crowd_took_is_given_back() {
        let now = Instant::now();
        let mut fanout = Fanout::default();
        let ids: Vec<_> =
            (0..10_000).map(|n| (user(&n.to_string()), fanout.join(user(&n.to_string()), (), now))).collect();
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
            let mut fanout = Fanout::default();
            let mut open: Vec<(UserId, StreamId)> = Vec::new();
            for (name, leaves, which) in steps {
                if leaves && !open.is_empty() {
                    let (user, id) = open.swap_remove(which.index(open.len()));
                    prop_assert!(fanout.leave(&user, id).is_some());
                } else {
                    let user = user(&name.to_string());
                    let id = fanout.join(user.clone(), (), now);
                    open.push((user, id));
                }
                let mut model: BTreeMap<&UserId, usize> = BTreeMap::new();
                for (user, _) in &open {
                    *model.entry(user).or_default() += 1;
                }
                prop_assert_eq!(fanout.streams(), open.len());
                prop_assert_eq!(fanout.users(), model.len());
            }
            for (sequence, (user, _)) in (1..).zip(&open) {
                let expected = open.iter().filter(|(other, _)| other == user).count();
                prop_assert_eq!(fanout.reach(user, event(sequence), now).count(), expected);
            }
        }
    }
}
