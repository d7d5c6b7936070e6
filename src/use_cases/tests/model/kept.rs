//! Promises that are not kept yet. What the model asks for is switched on with the constant that names it.

/// A logout that has ended a stream of a request id does not end its successor.
pub(super) const LOGOUT_ENDS_ONE_STREAM: bool = true;

/// A client is told of no gap for the events of others when bytes limit the history and it returns at once.
pub(super) const NO_FALSE_GAP_WHEN_BYTES_LIMIT: bool = true;

/// A stream that ends while it waits for NATS passes on where its client stands.
pub(super) const WAITING_STREAM_LEAVES_ITS_POSITION: bool = true;

/// An instance that knows that it is behind waits for an event that another one has delivered.
pub(super) const INSTANCE_BEHIND_WAITS: bool = true;

/// Without a history a new stream is told of no gap for the events of others.
pub(super) const NO_FALSE_GAP_WITHOUT_HISTORY: bool = true;

/// A token ends a stream by the wall clock, also when that has jumped.
pub(super) const TOKEN_ENDS_BY_WALL_CLOCK: bool = true;

/// A gap that was written within the unacknowledged window before a stream of a request id ended is told to its successor again.
pub(super) const GAP_COMES_AGAIN: bool = false;

/// An instance that has just been started tells no gap to a client that has missed nothing but messages that are no events.
pub(super) const NO_FALSE_GAP_FOR_OTHER_MESSAGES: bool = false;

/// Without a history, too, a stream that was opened before NATS was there gets what is published since.
pub(super) const STREAM_AWAITS_NATS_WITHOUT_HISTORY: bool = false;

/// An instance that has not heard yet that the queue was made anew waits for events of the new one, which another instance has delivered.
pub(super) const INSTANCE_WAITS_FOR_A_QUEUE_MADE_ANEW: bool = false;

/// A logout that a client has had from another instance does not end its stream here, when it is read here later.
pub(super) const LOGOUT_COUNTS_ONCE_ON_ALL_INSTANCES: bool = false;

/// The unacknowledged window counts from when an event was written, also when that was within a second after it was recorded.
pub(super) const WINDOW_COUNTS_FROM_WRITING: bool = false;

/// A stream that was opened before NATS was there is told of what NATS has lost before it was read for the first time.
pub(super) const FIRST_READING_TELLS_WHAT_WAS_LOST: bool = false;
