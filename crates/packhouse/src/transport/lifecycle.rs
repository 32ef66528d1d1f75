//! Running, draining, over: one word that every listener and connection watches.

use std::time::Duration;
use tokio::sync::watch;

/// Where the server is in its life. It only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Accepting.
    Running,
    /// Finishing what runs.
    Draining,
    /// Cutting what still runs.
    Over,
}

/// Makes the two ends.
#[must_use]
pub fn lifecycle() -> (Stop, Running) {
    let (sender, receiver) = watch::channel(Phase::Running);
    (Stop { sender }, Running { receiver })
}

/// The end that decides.
#[derive(Debug)]
pub struct Stop {
    sender: watch::Sender<Phase>,
}

impl Stop {
    /// Goes on to a phase.
    pub fn enter(&self, phase: Phase) {
        self.sender.send_modify(|now| *now = phase.max(*now));
    }

    /// Waits until every [`Running`] is gone, at most so long. Answers how many are left.
    pub async fn finished(&self, at_most: Duration) -> usize {
        // A time-out is no error here: the count says it.
        let _ = tokio::time::timeout(at_most, self.sender.closed()).await;
        self.sender.receiver_count()
    }
}

/// The end that listeners and connections hold for as long as they run.
#[derive(Clone, Debug)]
pub struct Running {
    receiver: watch::Receiver<Phase>,
}

impl Running {
    /// Waits until a phase has been left. Never returns before; returns at once when it has been left already.
    pub async fn left(&mut self, phase: Phase) {
        if self.receiver.wait_for(|now| *now > phase).await.is_err() && self.phase() <= phase {
            // Whoever decides is gone without a word: run on.
            std::future::pending::<()>().await;
        }
    }

    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.receiver.borrow()
    }
}
