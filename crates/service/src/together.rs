//! Several pieces of work at once, in one task: what waits for the same commit or the same disk waits once.
//!
//! No task of its own for each: whoever drops the whole drops all of it, and a simulation that schedules tasks still
//! decides when it goes on.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// Work, and what it came to.
type One<F> = (Pin<Box<F>>, Option<<F as Future>::Output>);

/// Waits for all of them; what they came to, in their order. For a handful: each is asked whenever one has something new.
pub(crate) async fn together<F: Future>(work: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<One<F>> = work.into_iter().map(|work| (Box::pin(work), None)).collect();
    poll_fn(|context| {
        let mut waits = false;
        for (work, done) in &mut running {
            if done.is_none() {
                match work.as_mut().poll(context) {
                    Poll::Ready(output) => *done = Some(output),
                    Poll::Pending => waits = true,
                }
            }
        }
        if waits { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    running.into_iter().filter_map(|(_, done)| done).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn all_run_at_once_and_answer_in_their_order() {
        let (first, waits) = oneshot::channel();
        let (second, then) = oneshot::channel::<u8>();
        // The first one waits for the last, which could not run if they took turns.
        let work: [Pin<Box<dyn Future<Output = u8>>>; 3] = [
            Box::pin(async { waits.await.unwrap() }),
            Box::pin(async {
                let told = then.await.unwrap();
                first.send(told).unwrap();
                2
            }),
            Box::pin(async {
                second.send(1).unwrap();
                3
            }),
        ];
        assert_eq!(together(work).await, [1, 2, 3]);
    }

    #[tokio::test]
    async fn of_nothing_comes_nothing() {
        assert!(together::<std::future::Ready<u8>>([]).await.is_empty());
    }
}
