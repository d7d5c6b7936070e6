//! Runs against the floors, which are servers in this process.

use super::{Run, each};
use crate::{
    arguments::Arguments,
    floor::{Floor, Frames},
    publisher::{Error, pace, publish_each},
    report::Report,
    streams::Transport,
    tls_floor::TlsFloor,
    unicast_floor::UnicastFloor,
};

impl Run<'_> {
    pub(super) async fn against_the_floor(&self) -> Result<Report, Error> {
        let Arguments { padding, comments, .. } = self.arguments;
        let transport = self.floor_transport()?;
        let frames = if *comments { Frames::Comments } else { Frames::Events { padding: *padding } };
        let Floor { address, numbers, sending } = Floor::start(self.streams, frames)?;
        self.open(&[address], &transport).await?;
        let expected = self.expected();
        let publishing = async {
            let mut pace = pace(self.arguments.rate);
            for number in 0..self.arguments.events {
                if let Some(pace) = &mut pace {
                    pace.tick().await;
                }
                // A failure of the floor is reported below.
                numbers.send(number).ok();
            }
        };
        tokio::join!(self.wait_for_arrivals(expected), publishing);
        // The report is made before the floor ends all streams.
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
        let transport = self.floor_transport()?;
        let floor = UnicastFloor::start(nats.clone(), *users, *streams)?;
        self.open(&[floor.address], &transport).await?;
        let floor = floor.subscribed().await?;
        let expected = self.expected();
        let publishing = publish_each(nats, self.workload(), |event| floor.prepare(event));
        let ((), published) = tokio::join!(self.wait_for_arrivals(expected), publishing);
        published?;
        // The report is made before the floor ends all streams.
        let mut report = self.report(expected);
        report.cpu_to_deliver = each(floor.stop()?, report.arrived);
        Ok(report)
    }

    pub(super) async fn against_the_tls_floor(&self) -> Result<Report, Error> {
        let Arguments { tls, http2, .. } = self.arguments;
        if !tls || *http2 {
            return Err("this floor needs --tls, and supports only HTTP/1.1".into());
        }
        let transport = Transport::new(self.arguments);
        let floor = TlsFloor::start(self.streams)?;
        self.open(&[floor.address], &transport).await?;
        // The report is made before the floor ends all streams.
        let mut report = self.report(self.expected());
        report.resumed = transport.resumed();
        report.cpu_to_open = each(floor.stop()?, self.streams as u64);
        Ok(report)
    }

    fn floor_transport(&self) -> Result<Transport, Error> {
        let Arguments { opening, tls, http2, .. } = self.arguments;
        if *tls || *http2 {
            return Err("the floor supports only HTTP/1.1 without TLS".into());
        }
        Ok(Transport::http1(*opening))
    }
}
