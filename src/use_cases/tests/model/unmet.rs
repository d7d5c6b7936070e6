//! Promises that the service does not keep yet. Each constant switches on the check of one promise.

/// A stream that ends before it starts, and whose client had no other stream before, leaves the position of its opening.
pub(super) const UNSTARTED_STREAM_LEAVES_ITS_POSITION: bool = false;

/// A newly started instance sends no gap to a client that has only missed messages that are no events.
pub(super) const NO_FALSE_GAP_FOR_OTHER_MESSAGES: bool = false;

/// Also without a history, a stream opened before the connection to NATS gets the events published since.
pub(super) const STREAM_WAITS_FOR_NATS_WITHOUT_HISTORY: bool = false;

/// An instance that does not know yet that the queue was recreated waits for events of the new one that another instance has delivered.
pub(super) const INSTANCE_WAITS_FOR_RECREATED_QUEUE: bool = false;

/// A logout that a client has received from another instance does not end its stream on an instance that reads the logout later.
pub(super) const LOGOUT_ENDS_STREAM_ONCE_ACROSS_INSTANCES: bool = false;

/// A stream opened before the connection to NATS gets a gap for the events that NATS lost before they were read for the first time.
pub(super) const FIRST_READ_REPORTS_LOST_EVENTS: bool = false;
