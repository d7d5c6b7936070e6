//! Streams that move from the log of one process to that of another.

use proptest::prelude::*;

use super::*;

/// The two processes between which a stream moves. Both get the same events.
struct Processes([Harness; 2]);

impl Processes {
    fn new(limits: [LogLimits; 2]) -> Self {
        Self(limits.map(Harness::new))
    }

    fn append(&mut self, names: &[&str]) {
        for process in &mut self.0 {
            process.append(names);
        }
    }

    /// Moves a stream to the process `to` and continues it there.
    fn move_stream(&mut self, stream: &Reader, to: usize) -> Reader {
        let [first, second] = &mut self.0;
        let (from, to) = if to == 0 { (second, first) } else { (first, second) };
        let latest = from.log.latest().expect("a started log");
        let continuation =
            stream.mailbox.continuation(stream.id, latest, None, from.now.get()).expect("an open stream");
        from.close(stream);
        to.adopt(stream.mailbox.user(), continuation)
    }
}

impl Harness {
    fn adopt(&mut self, user: &UserId, continuation: Continuation) -> Reader {
        let Continuation { position, gap, .. } = continuation.clone();
        let preference =
            Languages::new(LanguageTag::default()).preference(user, continuation.requested.clone());
        let (mailbox, id) =
            self.log.open_continued(user, "continued", continuation, preference, self.now.get());
        let reader = Reader { now: Rc::clone(&self.now), mailbox, id };
        self.log.continue_after(&reader.mailbox, reader.id, position, gap);
        reader
    }
}

fn sequences(taken: &[String]) -> Vec<u64> {
    taken.iter().filter_map(|words| words.split(' ').next()?.parse().ok()).collect()
}

proptest! {
    #[test]
    fn moved_stream_takes_each_event_once(steps in prop::collection::vec((0..3, 1..4_usize), 1..60)) {
        let mut processes = Processes::new([NO_LIMITS; 2]);
        let stays = processes.0[0].open("a", "stays");
        let mut moves = processes.0[0].open("a", "moves");
        let (mut of_staying, mut of_moving) = (Vec::new(), Vec::new());
        let mut place = 0;
        for (step, amount) in steps {
            match step {
                0 => (0..amount).for_each(|_| processes.append(&["a", "b"])),
                1 => of_moving.extend(moves.take_up_to(amount).0),
                _ => {
                    place = 1 - place;
                    moves = processes.move_stream(&moves, place);
                }
            }
        }
        of_staying.extend(stays.take_all());
        of_moving.extend(moves.take_all());
        prop_assert_eq!(sequences(&of_moving), sequences(&of_staying));
        prop_assert!(of_moving.iter().all(|words| !words.contains("after")), "a gap: {of_moving:?}");
    }
}

#[test]
fn continued_stream_writes_nothing_when_it_has_missed_nothing() {
    let mut processes = Processes::new([NO_LIMITS; 2]);
    let stream = processes.0[0].open("a", "a");
    processes.append(&["b"]);
    let stream = processes.move_stream(&stream, 1);
    assert_eq!(stream.take(), (vec![], TurnOutcome::Wait));
    processes.append(&["a"]);
    assert_eq!(stream.take_all(), ["2 last"]);
}

/// The new process has a shorter log than the old one.
#[test]
fn continued_stream_gets_a_gap_only_for_lost_events() {
    let mut processes = Processes::new([NO_LIMITS; 2]);
    let (idle, lags) = (processes.0[0].open("a", "a"), processes.0[0].open("b", "b"));
    processes.append(&["b"]);
    // The log of the new process starts later.
    processes.0[1].resync(id(1));
    let (idle, lags) = (processes.move_stream(&idle, 1), processes.move_stream(&lags, 1));
    assert_eq!(idle.take_all(), [""; 0]);
    assert_eq!(lags.take_all(), ["Expired after 7-0, at 1"]);
}

#[test]
fn untaken_notes_and_gap_continue() {
    let mut processes = Processes::new([NO_LIMITS; 2]);
    let stream = processes.0[0].open_unstarted("a", "a");
    let gap = Gap::unknown("what?".into());
    processes.0[0].log.start(&stream.mailbox, stream.id, id(0), Some(gap));
    stream.mailbox.with_stream(stream.id, |stream| stream.add_note(Note::Language));
    let stream = processes.move_stream(&stream, 1);
    assert_eq!(stream.take_all(), ["opening at ?", "language at ?", "Unknown after what?, at 0"]);
}

#[test]
fn returning_client_finds_the_bookmark_of_a_continued_stream() {
    let mut processes = Processes::new([NO_LIMITS; 2]);
    let stream = processes.0[0].open("a", "a");
    processes.append(&["a"]);
    stream.take_all();
    let stream = processes.move_stream(&stream, 1);
    processes.0[1].advance(MINUTE / 2);
    let ended = processes.0[1].end(&stream, EndReason::Client).expect("open");
    assert_eq!(ended.bookmark.map(|bookmark| (bookmark.request, bookmark.point.position)), {
        Some((RequestId::try_new("a").expect("a request id"), id(1)))
    });
}

#[test]
fn ended_and_unstarted_streams_do_not_continue() {
    let mut process = Harness::new(NO_LIMITS);
    let (ended, unstarted) = (process.open("a", "a"), process.open_unstarted("a", "b"));
    process.end(&ended, EndReason::Logout);
    for stream in [ended, unstarted] {
        assert_eq!(stream.mailbox.continuation(stream.id, id(0), None, process.now.get()), None);
    }
}
