//! Runs against the floors, which are in this process.

use super::{Run, each};
use crate::{
    arguments::Arguments,
    floor::{Floor, Frames},
    publisher::{Error, pace, publish_each},
    report::Report,
    streams::Lines,
    unicast_floor::UnicastFloor,
};

impl Run<'_> {
    pub(super) async fn against_the_floor(&self) -> Result<Report, Error> {
        let Arguments { padding, comments, .. } = self.arguments;
        let lines = self.lines_to_the_floor()?;
        let frames = if *comments { Frames::Comments } else { Frames::Events { padding: *padding } };
        let Floor { address, numbers, sending } = Floor::start(self.streams, frames)?;
        self.open(&[address], &lines).await?;
        let expected = self.expected();
        let publishing = async {
            let mut pace = pace(self.arguments.rate);
            for number in 0..self.arguments.events {
                if let Some(pace) = &mut pace {
                    pace.tick().await;
                }
                // When it has failed, that is told below.
                numbers.send(number).ok();
            }
        };
        tokio::join!(self.arrive(expected), publishing);
        // Before the floor ends, and all streams with it.
        let mut report = self.report(expected);
        drop(numbers);
        let taken = sending.join().map_err(|_| "the floor has failed")??;
        if *comments {
            report.comments = Some(report.arrived);
            report.cpu_to_comment = each(taken, report.arrived);
        } else {
            report.cpu_to_deliver = each(taken, report.arrived);
        }
        Ok(report)
    }

    pub(super) async fn against_the_unicast_floor(&self) -> Result<Report, Error> {
        let Arguments { nats, users, streams, .. } = self.arguments;
        let lines = self.lines_to_the_floor()?;
        let floor = UnicastFloor::start(nats.clone(), *users, *streams)?;
        self.open(&[floor.address], &lines).await?;
        let floor = floor.subscribed().await?;
        let expected = self.expected();
        let publishing = publish_each(nats, self.programme(), |event| floor.prepare(event));
        let ((), published) = tokio::join!(self.arrive(expected), publishing);
        published?;
        // Before the floor ends, and all streams with it.
        let mut report = self.report(expected);
        report.cpu_to_deliver = each(floor.stop()?, report.arrived);
        Ok(report)
    }

    fn lines_to_the_floor(&self) -> Result<Lines, Error> {
        let Arguments { opening, tls, http2, .. } = self.arguments;
        if *tls || *http2 {
            return Err("the floor speaks nothing but HTTP/1.1 in the clear".into());
        }
        Ok(Lines::plain(*opening))
    }
}
