//! What the operator sees: logs to stderr, metrics for Prometheus, and a request id that ties them to an answer.
//!
//! Every request gets an id, which is in the span of its log lines, in its answer (`X-Request-Id`) and in the
//! one line that is logged when its answer has been sent or given up. Bytes are counted as they go over to the
//! connection, so a download that breaks off counts for what was sent and not for what was promised.
//!
//! Left out on purpose: queries and headers are never logged, since tokens travel in them.

mod body;
mod collection;
mod exchange;
pub mod logs;
mod metrics;
mod observed;
mod request_id;

pub use body::{Counted, Sent};
pub use collection::Collection;
pub use metrics::{CONTENT_TYPE, Metrics};
pub use observed::{Answered, Inner, Observed};
pub use request_id::RequestId;
