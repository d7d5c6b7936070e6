//! Promises that are not kept yet. What the model asks for is switched on with the constant that names it.

/// A stream that ends before it was known where it starts, and whose client had no other before, passes on that it was opened.
pub(super) const WAITING_STREAM_LEAVES_ITS_POSITION: bool = false;

/// An instance that has just been started tells no gap to a client that has missed nothing but messages that are no events.
pub(super) const NO_FALSE_GAP_FOR_OTHER_MESSAGES: bool = false;

/// Without a history, too, a stream that was opened before NATS was there gets what is published since.
pub(super) const STREAM_AWAITS_NATS_WITHOUT_HISTORY: bool = false;

/// An instance that has not heard yet that the queue was made anew waits for events of the new one, which another instance has delivered.
pub(super) const INSTANCE_WAITS_FOR_A_QUEUE_MADE_ANEW: bool = false;

/// A logout that a client has had from another instance does not end its stream here, when it is read here later.
pub(super) const LOGOUT_COUNTS_ONCE_ON_ALL_INSTANCES: bool = false;

/// A stream that was opened before NATS was there is told of what NATS has lost before it was read for the first time.
pub(super) const FIRST_READING_TELLS_WHAT_WAS_LOST: bool = false;
