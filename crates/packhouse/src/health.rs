//! Whether the process lives, and whether it should get requests.

use packhouse_service::Service;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tracing::warn;

/// Longest time a check may take. It asks catalog and store one small question each and enumerates nothing.
const CHECK_TIME: Duration = Duration::from_secs(5);

/// Why requests should go elsewhere for now. In words for whoever asks; causes are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The server finishes what runs and ends.
    #[error("draining")]
    Draining,
    /// The catalog or the blob store failed.
    #[error("the catalog or the blob store does not answer")]
    Failed,
    /// It took too long.
    #[error("the catalog or the blob store answers too slowly")]
    Slow,
}

/// What can be asked whether it is well.
pub trait Check: Send + Sync + 'static {
    /// Answers whether it is; otherwise why not, for the log.
    fn check(&self) -> impl Future<Output = Result<(), String>> + Send;
}

impl Check for Service {
    async fn check(&self) -> Result<(), String> {
        self.ready().await.map_err(|error| format!("{:#}", anyhow::Error::new(error)))
    }
}

/// The state behind `/readyz`.
#[derive(Debug)]
pub struct Health<C> {
    check: C,
    draining: Arc<AtomicBool>,
}

impl<C: Clone> Clone for Health<C> {
    fn clone(&self) -> Self {
        Self { check: self.check.clone(), draining: Arc::clone(&self.draining) }
    }
}

impl<C: Check> Health<C> {
    /// Healthy as long as the check says so.
    pub fn new(check: C) -> Self {
        Self { check, draining: Arc::default() }
    }

    /// From now on, not ready.
    pub fn drain(&self) {
        self.draining.store(true, Relaxed);
    }

    /// Whether requests are welcome.
    ///
    /// # Errors
    /// Why they are not.
    pub async fn ready(&self) -> Result<(), NotReady> {
        if self.draining.load(Relaxed) {
            return Err(NotReady::Draining);
        }
        match tokio::time::timeout(CHECK_TIME, self.check.check()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) => {
                warn!(reason, "not ready");
                Err(NotReady::Failed)
            }
            Err(_) => {
                warn!("not ready: the catalog or the blob store did not answer within {CHECK_TIME:?}");
                Err(NotReady::Slow)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    enum Patient {
        Well,
        Ill,
        Silent,
    }

    impl Check for Patient {
        async fn check(&self) -> Result<(), String> {
            match self {
                Self::Well => Ok(()),
                Self::Ill => Err("fever".to_owned()),
                Self::Silent => std::future::pending().await,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_is_bounded_and_ends_with_draining() {
        assert_eq!(Health::new(Patient::Ill).ready().await, Err(NotReady::Failed));
        assert_eq!(Health::new(Patient::Silent).ready().await, Err(NotReady::Slow));
        let health = Health::new(Patient::Well);
        assert_eq!(health.ready().await, Ok(()));
        health.clone().drain();
        assert_eq!(health.ready().await, Err(NotReady::Draining));
    }
}
