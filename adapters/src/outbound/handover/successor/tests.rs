//! The moment in which the predecessor gives up waiting.

use super::*;
use crate::outbound::handover::tests::channels;

/// At about the same moment: either the predecessor reads the confirmation, or the successor cannot send it, in whichever order the two act.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_confirmation_is_either_read_or_not_sent() {
    for turn in 0_u64..2000 {
        let (mut predecessor, mut successor) = channels();
        let confirm = tokio::spawn(async move {
            // Around the timeout of the other side.
            let spins = (turn % 50) * 40;
            (0..spins).for_each(|_| std::hint::spin_loop());
            let sent = successor.send(&Message::Confirmed.into(), ANSWER_TIMEOUT).await;
            (successor, sent)
        });
        let answer = final_answer(&mut predecessor, Duration::from_millis(turn % 2)).await;
        let (_successor, sent) = confirm.await.expect("no panic");
        assert_eq!(answer.is_ok(), sent.is_ok(), "exactly one process owns the streams");
    }
}

#[tokio::test(start_paused = true)]
async fn confirmation_before_the_timeout_counts() {
    let (mut predecessor, mut successor) = channels();
    let waiting = tokio::spawn(async move { final_answer(&mut predecessor, CONFIRM_TIMEOUT).await.is_ok() });
    tokio::time::sleep(CONFIRM_TIMEOUT.saturating_sub(Duration::from_millis(1))).await;
    successor.send(&Message::Confirmed.into(), ANSWER_TIMEOUT).await.expect("sent");
    // The clock passes the timeout before the predecessor has read the confirmation.
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(waiting.await.expect("no panic"));
}

#[tokio::test(start_paused = true)]
async fn confirmation_after_the_timeout_cannot_be_sent() {
    let (mut predecessor, mut successor) = channels();
    let answer = final_answer(&mut predecessor, CONFIRM_TIMEOUT).await;
    assert_eq!(answer.err().map(|error| error.kind()), Some(io::ErrorKind::TimedOut));
    assert!(successor.send(&Message::Confirmed.into(), ANSWER_TIMEOUT).await.is_err());
}
