//! What the operator sees: logs to stderr, metrics for Prometheus, and a request id that ties them to an answer.
//!
//! Every request gets an id, which is in each of its log lines, in its answer (`X-Request-Id`) and in the
//! one line that is logged when its answer has been sent or given up. Bytes are counted as they go over to the
//! connection, so a download that breaks off counts for what was sent and not for what was promised.
//!
//! What all of it costs a request is bounded by a count of instructions (`tests/tests/instructions.rs`): no look-up under
//! a lock, no system call, no text that nobody reads.
//!
//! Left out on purpose: queries and headers are never logged, since tokens travel in them.

mod body;
mod collection;
mod current;
mod exchange;
mod line;
pub mod logs;
mod metrics;
mod observed;
mod places;
mod request_id;
mod writer;

pub use body::{Counted, Sent};
pub use collection::Collection;
pub use metrics::{CONTENT_TYPE, Metrics};
pub use observed::{Answered, Inner, Observed};
pub use request_id::RequestId;
